"""Anything a user has → `Examples`. Docs: docs/sources.md."""

import glob
import os
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal, overload

from jaxreg.common.remote_file import is_url, shown
from jaxreg.common.steps import step
from jaxreg.errors import InputError, nearest, reading
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.examples import Examples
from jaxreg.sources.images import find_in_folder, find_matches, open_image
from jaxreg.sources.kinds import is_image
from jaxreg.sources.mnist import open_mnist
from jaxreg.sources.naming import IMAGE_SUFFIXES, listed, natural_key, neighbour
from jaxreg.sources.recordings import open_recordings, recordings_in
from jaxreg.sources.remote_sources import open_remote, refuse_other_address
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.table_files import TABLES, open_csv, open_shards, open_table, with_files
from jaxreg.sources.tub import is_tub, open_tub, tub_files
from jaxreg.sources.udacity import LOG

ROAD_FRAMES = 2000  # of `road` without a number
SPREADSHEETS = (".xls", ".xlsm", ".xlsb", ".ods", ".fods", ".numbers")  # that are not read

KINDS = (
    "road[:N], mnist, a .csv, .tsv, .xlsx or .parquet table, a .npz, a DonkeyCar tub, a Udacity "
    "driving_log.csv, a folder of tubs or logs, a folder or glob of images or of "
    ".parquet files, one image; also at a URL (s3, gs, https, http, hf)"
)

NO_OPTIONS = SourceOptions()


@overload
def open_source(
    spec: str | os.PathLike[str],
    options: SourceOptions = ...,
    *,
    ranged: bool = ...,
    images: bool = ...,
    in_slices: Literal[False] = ...,
) -> Examples: ...
@overload
def open_source(
    spec: str | os.PathLike[str],
    options: SourceOptions = ...,
    *,
    ranged: bool = ...,
    images: bool = ...,
    in_slices: Literal[True],
) -> Examples | SlicedExamples: ...
def open_source(
    spec: str | os.PathLike[str],
    options: SourceOptions = NO_OPTIONS,
    *,
    ranged: bool = False,
    images: bool = True,
    in_slices: bool = False,
) -> Examples | SlicedExamples:
    """The examples of a source. Images are read only when needed, and nothing is decoded.

    Args:
        spec: `road[:N]`, `mnist`, a URL or a path; `./road` is a file or folder of that name.
        options: which columns a table has, and more.
        ranged: whether a range gives pixels of any numbers a scale.
        images: whether each row of a table must have an image.
        in_slices: whether a large Parquet table comes slice by slice.

    Raises:
        InputError: no such source, or one that cannot be used, or options of another kind.
        UnavailableError: mnist cannot be downloaded; the server of a URL gives no answer.
    """
    location = os.fspath(spec)
    if re.fullmatch(r"mnist|road(:.*)?", location):
        open_word = open_mnist if location == "mnist" else partial(_open_road, location)
        return replace(open_word(options), notes=_hidden(location))
    complete = f"SOURCE: {KINDS}; its files complete and undamaged"
    with step("opening the source"), reading(shown(location), expected=complete):
        if is_url(location):
            return open_remote(location, options, ranged=ranged, images=images, in_slices=in_slices)
        return _open_path(location, options, ranged, images, in_slices)


def _open_road(location: str, options: SourceOptions) -> Examples:
    options.refuse_all_but("road")
    count = location.removeprefix("road").removeprefix(":") or str(ROAD_FRAMES)
    if location == "road:" or not re.fullmatch(r"0*[1-9][0-9]{0,6}", count):
        raise InputError(
            f"{location!r} is no number of frames",
            expected="road:N with N from 1 to 9,999,999",
            remedy=f"use road:{ROAD_FRAMES}",
        )
    from jaxreg.sources.road import open_road

    return open_road(int(count))


def _open_path(
    location: str, options: SourceOptions, ranged: bool, images: bool, in_slices: bool
) -> Examples | SlicedExamples:
    path = Path(os.path.expanduser(location))  # Path's own raises for an unknown user
    if location and path.is_dir():
        return _open_folder(path, location, options, images, in_slices)
    if location and path.exists():
        return _open_file(path, location, options, ranged, images, in_slices)
    if glob.has_magic(location):
        return _open_matches(str(path), location, options, images, in_slices)
    refuse_other_address(location)
    head, colon, count = location.partition(":")
    if kind := nearest(head, ("road", "mnist")):
        meant = f"use {kind + colon + count if kind == 'road' else kind}"
    else:
        meant = neighbour("use", path)
    raise InputError(f"no such source: {location!r}", expected=f"SOURCE: {KINDS}", remedy=meant)


def _hidden(word: str) -> tuple[str, ...]:
    """A note for a file or folder that the name of a drawn or downloaded source hides."""
    there = [name for name in dict.fromkeys((word, word.split(":")[0])) if Path(name).exists()]
    return tuple(
        f"{word} is {'the digits of Keras' if word == 'mnist' else 'a drawn road'}; "
        f"the file or folder of that name is ./{name}"
        for name in there[:1]
    )


def _open_folder(
    folder: Path, location: str, options: SourceOptions, images: bool, in_slices: bool
) -> Examples | SlicedExamples:
    if _is_recording(folder):
        return _open_recording(folder, location, options)
    found, outside = recordings_in(folder, _is_recording)
    if found:
        examples = open_recordings(
            folder, location, found, lambda path: _open_recording(path, str(path), options)
        )
        note = f"{outside} images outside of the recordings are not read"
        return replace(examples, notes=(*examples.notes, *([note] if outside else [])))
    found = find_in_folder(folder)
    beside = [path for path in folder.iterdir() if _is_table(path) and not path.is_dir()]
    tables = sorted(beside, key=lambda path: natural_key(path.name))
    below = tables or sorted(path for path in found.others if _is_table(path))
    remedy = f"name the file itself: {shlex.quote(_named(below)[0][1])}" if below else ""
    if found.images:
        examples = found.open("directory", location, options, remedy)
        notes = [
            f"{what} beside the images; to use the numbers: jaxreg extract {shlex.quote(how)}"
            for what, how in _named(tables)
        ]
        if _is_recording(above := folder.resolve().parent):
            notes.append(f"{above} is a recording; to use its numbers: jaxreg extract {above}")
        return replace(examples, notes=(*examples.notes, *notes))
    if tables and all(path.suffix.lower() == ".parquet" for path in tables):
        return open_shards(
            tables, "*.parquet", location, options, images=images, in_slices=in_slices
        )
    raise InputError(
        f"{folder} holds no image file",
        expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
        remedy=remedy,
    )


def _named(tables: Sequence[Path]) -> list[tuple[str, str]]:
    """At most three tables in words, and the source that each is."""
    shards = [path for path in tables if path.suffix.lower() == ".parquet"]
    if len(shards) > 1 and len({path.parent for path in shards}) == 1:
        source = str(shards[0].parent / "*.parquet")
        one = [(f"{source} are {len(shards)} tables", source)]
    else:
        one, shards = [], []
    others = [path for path in tables if path not in shards]
    return one + [(f"{path} is a table", str(path)) for path in others[:3]]


def _open_matches(
    pattern: str, location: str, options: SourceOptions, images: bool, in_slices: bool
) -> Examples | SlicedExamples:
    """The images that match a glob or, where there are none, the Parquet files as one table."""
    found = find_matches(pattern)
    tables = sorted(filter(_is_table, found.others), key=lambda path: natural_key(str(path)))
    if found.images:
        return found.open("glob", location, options)
    if not tables:
        kind = "table" if Path(pattern).suffix.lower() in TABLES else "image file"
        raise InputError(
            f"no {kind} matches {pattern!r}", expected=f"files that end in {listed(IMAGE_SUFFIXES)}"
        )
    other = [path for path in tables if path.suffix.lower() != ".parquet"]
    if other:
        several = ", or one file with the rows of all" if len(tables) > 1 else ""
        raise InputError(
            f"{location!r} is no glob of images; it matches {listed(map(str, tables), 3)}",
            expected="images, or the .parquet files of one table",
            remedy=f"name the file itself: {shlex.quote(str(other[0]))}{several}",
        )
    name = Path(pattern).with_suffix(".parquet").name
    return open_shards(tables, name, location, options, images=images, in_slices=in_slices)


def _is_table(path: Path) -> bool:
    """Whether a table has that name; spreadsheet programs write `~$<name>` beside an open one."""
    return path.suffix.lower() in TABLES and not path.name.startswith((".", "~$"))


def _is_recording(folder: Path) -> bool:
    return is_tub(folder) or (folder / LOG).is_file()


def _open_recording(folder: Path, location: str, options: SourceOptions) -> Examples:
    """The tub or the driving log in a folder."""
    if is_tub(folder):
        return with_files(tub_files(folder), lambda: open_tub(folder, location, options))
    return with_files([folder / LOG], lambda: open_csv(folder / LOG, location, options))


def _open_file(
    path: Path,
    location: str,
    options: SourceOptions,
    ranged: bool,
    images: bool,
    in_slices: bool,
) -> Examples | SlicedExamples:
    kind = path.suffix.lower()
    if kind in TABLES:
        return open_table(
            path, location, options, ranged=ranged, images=images, in_slices=in_slices
        )
    if is_image(path):
        return open_image(path, location, options)
    if kind in SPREADSHEETS:
        raise InputError(
            f"{location} is a spreadsheet of a kind that jaxreg does not read",
            expected=f"SOURCE: {KINDS}",
            remedy="save it as .xlsx or .csv",
        )
    raise InputError(
        f"{location} is of a kind that jaxreg does not read",
        expected=f"SOURCE: {KINDS}",
        remedy="unpack it first" if kind in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".7z") else "",
    )
