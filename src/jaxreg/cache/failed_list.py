"""`<name>.failed.csv`: the examples of a source that could not be used, for people."""

import csv
import hashlib
import io
from collections.abc import Sequence

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import reason_of
from jaxreg.errors import InputError


def failed_key(name: str) -> str:
    """Where the examples of a dataset that could not be used are listed."""
    return f"datasets/{name}.failed.csv"


def write_failed(cache: Cache, name: str, failed: Sequence[tuple[str, str]]) -> str | None:
    """Write `<name>.failed.csv` (id, reason), or remove an old one when nothing failed.

    Returns its SHA-256, None when nothing failed.
    """
    if not failed:
        cache.store.delete(failed_key(name))
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *failed])
    content = text.getvalue().encode()
    cache.store.put(failed_key(name), content)
    return hashlib.sha256(content).hexdigest()


def check_failed(cache: Cache, dataset: Dataset) -> None:
    """Raise InputError if `<name>.failed.csv` is not what the dataset's extraction wrote."""
    key = failed_key(dataset.name)
    try:
        found = hashlib.sha256(cache.store.read(key)).hexdigest()
    except FileNotFoundError:
        found = None
    except OSError as error:
        found = reason_of(error)
    if found != dataset.failed_sha256:
        what = "absent" if found is None else "damaged, or of another extraction"
        raise InputError(f"{cache.store.shown(key)} is {what}", remedy=dataset.extract_command())
