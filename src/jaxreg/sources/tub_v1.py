"""DonkeyCar's tub, version 1: a folder of `record_<index>.json` files and the images beside them.

The files are those of donkeycar's `parts/datastore.py` up to version 3.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxreg.common.json_files import load_json, reason_of
from jaxreg.errors import InputError
from jaxreg.sources.naming import is_image_name

_RECORD = re.compile(r"record_(\d+)\.json")


def is_tub_v1(folder: Path) -> bool:
    """Whether the folder has record files."""
    with os.scandir(folder) as entries:
        return any(_RECORD.fullmatch(entry.name) for entry in entries)


def inputs_v1(folder: Path) -> dict[str, str]:
    """Type by input, of meta.json or, without one, of the first record with a name of an image.

    Raises:
        InputError: meta.json is there and cannot be read.
    """
    if (path := folder / "meta.json").is_file():
        try:
            meta = load_json(path)
            return dict(zip(meta["inputs"], meta["types"], strict=True))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path} is not the meta.json of a DonkeyCar tub: {error}",
                remedy="move it away; the inputs are then found in the records",
            ) from error
    for _, record, _ in records_v1(folder):
        images = [n for n, v in (record or {}).items() if isinstance(v, str) and is_image_name(v)]
        if images:
            return dict.fromkeys(images, "image_array")
    return {}


def deleted_v1(folder: Path) -> set[int]:
    """The indexes in exclude.json, if there is one. Raises InputError if it cannot be read."""
    path = folder / "exclude.json"
    try:
        return {int(index) for index in load_json(path)}
    except FileNotFoundError:
        return set()
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{path} is not a list of indexes", remedy="move it away to use all records"
        ) from error


def records_v1(folder: Path) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
    """For every record file, by index: its name, the record or None, the reason why."""
    names = [match for match in map(_RECORD.fullmatch, os.listdir(folder)) if match]
    for match in sorted(names, key=lambda match: int(match[1])):
        try:
            record = load_json(folder / match[0])
        except (OSError, ValueError) as error:
            yield match[0], None, f"it is not JSON: {reason_of(error)}"
            continue
        if isinstance(record, dict):
            yield match[0], {"_index": int(match[1]), **record}, ""
        else:
            yield match[0], None, "it is no JSON object"
