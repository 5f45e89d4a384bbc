"""DonkeyCar's tub. Version 2: a manifest, catalogs of JSON lines, a folder of images."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.common.files import open_regular
from jaxreg.common.json_files import MOST_BYTES, parse_json
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import bookkeeping, from_rows, scalar_columns, without_reserved
from jaxreg.sources.examples import Examples
from jaxreg.sources.naming import listed, one_column, unique
from jaxreg.sources.tub_v1 import deleted_v1, inputs_v1, is_tub_v1, records_v1

BOOKKEEPING = ("_index", "_timestamp_ms", "_session_id", "milliseconds")
LARGEST_INDEX = 2**62


def is_tub(folder: Path) -> bool:
    """Whether the folder has catalogs, the manifest of a tub, or the records of version 1."""
    return bool(_catalogs(folder)) or _has_manifest(folder) or is_tub_v1(folder)


def tub_files(folder: Path) -> list[Path]:
    """The files that hold the numbers; for version 1 the folder, which stands for its records."""
    if not _catalogs(folder) and not _has_manifest(folder):
        return [folder]
    return [path for path in (folder / "manifest.json", *_catalogs(folder)) if path.is_file()]


def open_tub(folder: Path, location: str, options: SourceOptions) -> Examples:
    """The records of a tub in their order, without those that its driver deleted.

    The id of a record is its index, which is also its place in its session.

    Raises:
        InputError: the manifest or a catalog it names cannot be read, no clear image column.
    """
    options.refuse_all_but("a DonkeyCar tub", "image_column")
    if _catalogs(folder) or _has_manifest(folder):
        inputs, catalogs, deleted = _manifest(folder)
        records, images = _records(folder, catalogs), folder / "images"
    else:
        inputs, deleted = inputs_v1(folder), deleted_v1(folder)
        records, images = records_v1(folder), folder
    image_column = _image_column(folder, inputs, options.image_column)
    rows, unusable, left_out = [], [], 0
    for place, record, flaw in records:
        flaw = flaw or _flaw(record)
        if flaw or record is None:
            unusable.append((place, flaw))
        elif record["_index"] in deleted:
            left_out += 1
        elif not isinstance(record.get(image_column), str) or not record[image_column]:
            unusable.append((str(record["_index"]), f"no value in {image_column!r}"))
        else:
            rows.append(record)
    if not rows:
        why = f": {': '.join(unusable[0])}" if unusable else f", {left_out} deleted ones"
        raise InputError(f"the tub {folder} has no usable record{why}")

    read, dropped = scalar_columns(Columns(from_rows(rows)))
    columns = without_reserved(read.values)
    index = [row["_index"] for row in rows]
    paths = [images / row[image_column] for row in rows]
    sessions = [str(row.get("_session_id", "")) for row in rows]  # older tubs have none
    return Examples(
        ids=tuple(unique([str(number) for number in index])),
        images=paths,
        columns=columns,
        description={
            "kind": "tub",
            "location": location,
            "image_column": image_column,
            "deleted": left_out,
            **({"dropped_columns": dropped} if dropped else {}),
        },
        order=np.array(index, np.int64),
        group=tuple(sessions) if any("_session_id" in row for row in rows) else None,
        paths=tuple(map(str, paths)),
        bookkeeping=bookkeeping(columns, BOOKKEEPING),
        sequential=True,
        unusable=tuple(unusable),
        notes=tuple(read.notes_on_names((image_column,), lambda row: f"record {index[row]}")),
    )


def _manifest(folder: Path) -> tuple[dict[str, str], list[str], set[int]]:
    """Type by input, names of the catalogs, deleted indexes.

    The lines are those of donkeycar's `parts/datastore_v2.py`: inputs, types, metadata, the
    manifest's own metadata, the catalogs.
    """
    path = folder / "manifest.json"
    if not path.exists():
        raise InputError(
            f"{folder} has catalogs of a DonkeyCar tub and no manifest.json",
            remedy="copy the whole tub; the manifest says which records were deleted",
        )
    try:
        lines = [parse_json(line) for line in _lines(path) if line.strip()]
        inputs = dict(zip(lines[0], lines[1], strict=True))
        catalogs = [str(name) for name in lines[-1]["paths"]]
        return inputs, catalogs, set(lines[-1].get("deleted_indexes", ()))
    except (ValueError, LookupError, TypeError, AttributeError):
        raise InputError(
            f"{path} is damaged or cut off, or is not the manifest of a DonkeyCar tub",
            expected="JSON lines: inputs, types, metadata, manifest metadata, catalogs",
            remedy="copy the whole tub again",
        ) from None


def _catalogs(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.catalog") if not path.name.startswith("."))


def _has_manifest(folder: Path) -> bool:
    """Whether manifest.json begins with the inputs of a tub; other programs use the name too."""
    path = folder / "manifest.json"
    if not path.is_file():
        return False
    with open_regular(path) as file:
        try:
            inputs = parse_json(file.readline(100_000))
        except ValueError:
            return False
    return isinstance(inputs, list) and all(isinstance(name, str) for name in inputs)


def _lines(path: Path) -> list[bytes]:
    with open_regular(path, MOST_BYTES) as file:
        return file.read().splitlines()


def _flaw(record: dict[str, Any] | None) -> str:
    """Why a record cannot be kept in a table; "" if it can."""
    index = None if record is None else record.get("_index")
    if type(index) is not int:
        return "the record has no _index"
    if not 0 <= index < LARGEST_INDEX:
        return "its _index is too large" if index > 0 else "its _index is below 0"
    try:
        json.dumps(record, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return "it holds text that is not Unicode"
    return ""


def _image_column(folder: Path, inputs: dict[str, str], asked: str | None) -> str:
    if asked is not None:
        return one_column(asked, list(inputs), "--image-column", f"the tub {folder}")
    found = [name for name, kind in inputs.items() if kind == "image_array"]
    if len(found) == 1:
        return found[0]
    raise InputError(
        f"the tub {folder} has {len(found) or 'no'} inputs of images: {listed(found)}",
        expected=f"--image-column with one of: {listed(inputs)}",
    )


def _records(folder: Path, catalogs: list[str]) -> Iterator[tuple[str, dict[str, Any] | None, str]]:
    """For every line: its place, the record or None, and the reason why it cannot be used."""
    for name in catalogs:
        path = folder / name
        if not path.is_file():
            raise InputError(
                f"{path} is missing, but the manifest names it", remedy="copy the whole tub"
            )
        for number, line in enumerate(_lines(path), start=1):
            if not line.strip():
                continue
            place = f"{name}:{number}"
            try:
                record = parse_json(line)
            except ValueError:  # bytes that are not UTF-8, too
                yield place, None, "the line is not JSON"
                continue
            if isinstance(record, dict):
                yield place, record, ""
            else:
                yield place, None, "the record has no _index"
