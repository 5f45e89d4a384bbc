"""`<name>.failed.csv`: the examples of a source that could not be used, for people."""

import csv
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.store import Cache
from jaxreg.common.files import file_sha256, remove, write_whole
from jaxreg.common.json_files import reason_of
from jaxreg.errors import InputError


def failed_path(cache: Cache, name: str) -> Path:
    """Where the examples of a dataset that could not be used are listed."""
    return cache.root / "datasets" / f"{name}.failed.csv"


def write_failed(cache: Cache, name: str, failed: Sequence[tuple[str, str]]) -> str | None:
    """Write `<name>.failed.csv` (id, reason), or remove an old one when nothing failed.

    Returns its SHA-256, None when nothing failed.
    """
    path = failed_path(cache, name)
    if not failed:
        remove(path)
        return None
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("id", "reason"), *failed])
    content = text.getvalue().encode()
    write_whole(path, content)
    return hashlib.sha256(content).hexdigest()


def check_failed(cache: Cache, dataset: Dataset) -> None:
    """Raise InputError if `<name>.failed.csv` is not what the dataset's extraction wrote."""
    path = failed_path(cache, dataset.name)
    try:
        found = file_sha256(path)
    except FileNotFoundError:
        found = None
    except OSError as error:
        found = reason_of(error)
    if found != dataset.failed_sha256:
        what = "absent" if found is None else "damaged, or of another extraction"
        raise InputError(f"{path} is {what}", remedy=dataset.extract_command())
