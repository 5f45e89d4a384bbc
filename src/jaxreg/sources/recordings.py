"""A folder of recordings (tubs, driving logs): all of them as one source, a group each."""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError
from jaxreg.sources.columns import columns_together
from jaxreg.sources.examples import Examples
from jaxreg.sources.naming import is_image_name, listed, natural_key


def recordings_in(folder: Path, is_recording: Callable[[Path], bool]) -> tuple[list[Path], int]:
    """The folders below `folder` that are recordings, and the number of images outside of them.

    Recordings are in natural order. Hidden folders are left out.
    """
    found, outside = [], 0
    for root, folders, files in os.walk(folder):
        if root != str(folder) and is_recording(Path(root)):
            found.append(Path(root))
            folders.clear()
        else:
            outside += sum(map(is_image_name, files))
        folders[:] = [name for name in folders if not name.startswith(".")]
    return sorted(found, key=lambda path: (natural_key(str(path)), path)), outside


def open_recordings(
    folder: Path, location: str, found: Sequence[Path], open_one: Callable[[Path], Examples]
) -> Examples:
    """The examples of all recordings; ids begin with the recording's folder, which is their group.

    A recording with sessions has a group for each. One that cannot be used is left out with a note.

    Raises:
        InputError: none of them can be used; the reason is that of the first.
    """
    opened: dict[str, Examples] = {}
    notes = [f"recordings in {folder}: {_names(folder, found)}"]
    first: InputError | None = None
    for path in found:
        name = path.relative_to(folder).as_posix()
        try:
            opened[name] = open_one(path)
        except InputError as error:
            notes.append(f"{path} is left out: {error.found}")
            first = first or error
    if not opened:
        raise first or InputError(f"{folder} holds no recording")
    every = list(opened.values())
    return Examples(
        ids=tuple(f"{name}/{own}" for name, one in opened.items() for own in one.ids),
        images=[image for one in every for image in one.images],
        columns=columns_together([one.columns for one in every]),
        description={
            "kind": "recordings",
            "location": location,
            "recordings": {name: one.description for name, one in opened.items()},
        },
        order=np.concatenate([_order(one) for one in every]),
        group=tuple(
            f"{name}/{own}" if own else name
            for name, one in opened.items()
            for own in one.group or [""] * len(one)
        ),
        paths=tuple(path for one in every for path in one.paths or [""] * len(one)),
        targets=_shared(one.targets for one in every),
        bookkeeping=tuple(dict.fromkeys(name for one in every for name in one.bookkeeping)),
        sequential=True,
        unusable=tuple(
            (f"{name}/{own}", why) for name, one in opened.items() for own, why in one.unusable
        ),
        written={
            name: _text(every, name)
            for name in dict.fromkeys(name for one in every for name in one.written)
        },
        notes=(*notes, *(note for one in every for note in one.notes)),
        files=tuple(file for one in every for file in one.files),
    )


def _names(folder: Path, found: Iterable[Path]) -> str:
    return listed((path.relative_to(folder).as_posix() for path in found), 5)


def _order(examples: Examples) -> np.ndarray:
    return np.arange(len(examples)) if examples.order is None else examples.order


def _text(every: Sequence[Examples], name: str) -> pa.ChunkedArray:
    """The text of a column in all recordings; where the numbers keep it, that of the numbers."""
    found = [
        one.written[name] if name in one.written
        else one.columns[name] if one.columns.schema.get_field_index(name) >= 0
        else pa.nulls(len(one), pa.string())
        for one in every
    ]  # fmt: skip
    return columns_together([pa.table({name: text.cast(pa.string())}) for text in found])[name]


def _shared(each: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The names that all have, in the order of the first."""
    first, *others = each
    return tuple(name for name in first if all(name in other for other in others))
