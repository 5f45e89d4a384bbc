"""Files and listings of data sets of the Hugging Face Hub: hf://datasets/OWNER/NAME/…"""

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxreg.common.remote_file import RemoteError, RemoteFile
from jaxreg.sources.remote_http import import_url_extra

_PLACE = re.compile(r"datasets/[^/]+/[^/]+(/.*)?")


def web_address(file: RemoteFile) -> tuple[str, dict[str, str]]:
    """Where the bytes of a file are, and the headers with the user's token, if there is one.

    Raises:
        RemoteError: no such data set, or no access to it.
        InputError: the extra `url` is not installed.
    """
    with _reached(file) as system:
        url = system.url(file.place)
    headers = import_url_extra("huggingface_hub").utils.build_hf_headers(library_name="jaxreg")
    names = ("authorization", "user-agent")
    return url, {name: value for name, value in headers.items() if name in names}


def hub_state(file: RemoteFile) -> tuple[int, str] | None:
    """Bytes and the hash of a file; None for a folder. Raises as `web_address`."""
    with _reached(file) as system:
        info = system.info(file.place.rstrip("/"))
    if info["type"] != "file":
        return None
    return info["size"], str((info.get("lfs") or {}).get("sha256") or info.get("blob_id") or "")


def hub_files_below(folder: RemoteFile, *, recursive: bool = True) -> Iterator[str]:
    """Paths below a folder of its files. Raises as `web_address`."""
    root = folder.place.rstrip("/")
    with _reached(folder) as system:
        found = system.find(root, maxdepth=None if recursive else 1)
    for path in found:
        yield path.removeprefix(f"{root}/")


@contextmanager
def _reached(file: RemoteFile) -> Iterator[Any]:
    if not _PLACE.fullmatch(file.place):
        raise RemoteError(errno.EINVAL, "expected hf://datasets/OWNER/NAME/…", str(file))
    hub = import_url_extra("huggingface_hub")
    try:
        yield hub.HfFileSystem()
    except FileNotFoundError:
        raise RemoteError(errno.ENOENT, "no such data set or file", str(file)) from None
    except RemoteError:
        raise
    except Exception as error:  # of the hub, and of the library below it that makes requests
        answer = getattr(error, "response", None)
        status = getattr(answer, "status_code", None)
        if status in (401, 403):
            what = f"HTTP {status}: no access; `hf auth login` or HF_TOKEN gives it"
            raise RemoteError(errno.EACCES, what, str(file)) from None
        what = f"HTTP {status}" if status else f"the hub gives no answer: {type(error).__name__}"
        kind = errno.ENOENT if status == 404 else errno.EIO
        raise RemoteError(kind, what, str(file)) from None
