"""What a bucket says when it refuses or cannot be reached, as one message for a user."""

import re

from jaxreg.errors import InputError, JaxregError, UnavailableError

_AWS = re.compile(r"AWS Error (\w+)(?: during (\w+) operation)?:? ?(.*)", re.DOTALL)
_NO_ENTRY = {
    "ACCESS_DENIED",
    "EXPIRED_TOKEN",
    "INCOMPLETE_SIGNATURE",
    "INVALID_ACCESS_KEY_ID",
    "INVALID_CLIENT_TOKEN_ID",
    "INVALID_SIGNATURE",
    "MISSING_AUTHENTICATION_TOKEN",
    "OPT_IN_REQUIRED",
    "REQUEST_EXPIRED",
    "SIGNATURE_DOES_NOT_MATCH",
    "UNRECOGNIZED_CLIENT",
}
_GOOGLE_NO_ENTRY = re.compile(r"PERMISSION_DENIED|UNAUTHENTICATED")
_GOOGLE_NO_BUCKET = re.compile(r"bucket does not exist", re.IGNORECASE)
_MOVED = re.compile(r"HTTP (status|response code:) 301|PermanentRedirect|HeaderMalformed")


def explained(error: Exception, url: str, bucket: str) -> JaxregError:
    """An error of `pyarrow.fs` as InputError, if the user must act, or as UnavailableError.

    Args:
        error: OSError or an ArrowException.
        url: of the object, without secrets.
        bucket: its name.
    """
    text = " ".join(str(error).split())
    found = _AWS.search(text)
    code, detail = (found[1], found[3]) if found else ("", text)
    if code in _NO_ENTRY or _GOOGLE_NO_ENTRY.search(text):
        return InputError(
            f"{url}: access is denied ({code or detail[:200]})",
            expected="credentials that may list, read and write in this bucket",
            remedy="set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            if url.startswith("s3:")
            else "set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
        )
    if code == "NO_SUCH_BUCKET" or _GOOGLE_NO_BUCKET.search(text):
        return no_bucket(url, bucket)
    if _MOVED.search(text):
        return InputError(
            f"{url}: the bucket is in another region ({detail[:200]})",
            remedy="name its region in the URL, as s3://bucket/folder?region=eu-west-1",
        )
    reason = detail if code in ("", "UNKNOWN") else f"{code}: {detail}".removesuffix(": ")
    return UnavailableError(
        f"{url} cannot be reached: {reason[:300]}",
        expected="a server that answers; all that was written before is kept",
        remedy="run the same command again when it answers"
        + ("; set AWS_ENDPOINT_URL if it is not a server of AWS" if url.startswith("s3:") else ""),
    )


def no_bucket(url: str, bucket: str) -> InputError:
    """There is no bucket of this name."""
    return InputError(
        f"{url}: there is no bucket {bucket}",
        expected="a bucket that exists; jaxreg makes none",
        remedy="make the bucket, or mend its name in --cache",
    )
