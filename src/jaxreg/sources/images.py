"""Images without numbers: a directory, a glob, one file. For prediction."""

import glob
import itertools
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.columns import no_columns
from jaxreg.sources.examples import Examples
from jaxreg.sources.kinds import is_image
from jaxreg.sources.naming import IMAGE_SUFFIXES, listed, natural_key

UNREAD = (".json", ".jsonl", ".xml", ".npy", ".mat", ".feather")
"""Suffixes of files that often hold the numbers of images, and that jaxreg does not read."""


def open_directory(
    folder: Path, location: str, options: SourceOptions, tables: Sequence[Path] = ()
) -> Examples:
    """Every image file below `folder`; its path in it is its id.

    They are in natural order of the paths, so `frame_2` comes before `frame_10`.
    Hidden files and folders are left out, and so are the `._*` files of macOS. A note names the
    `tables` beside the images, and a file that may hold numbers but is not read.

    Raises:
        InputError: there is no image file, or an option is for a table.
    """
    named = f"name the file itself: {tables[0]}" if tables else ""
    options.refuse_all_but("images without a table", remedy=named)
    files: list[Path] = []
    linked: list[str] = []  # os.walk does not follow them
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]  # os.walk reads it
        linked += [name for name in folders if Path(root, name).is_symlink()]
        files += [Path(root, name) for name in names]
    images, passed_over = _sorted_out(files)
    if not images:
        raise InputError(
            f"{folder} holds no image file",
            expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
            remedy=named,
        )
    links = [name for name in linked if not name.startswith(".")]
    notes = [*_said(passed_over)]
    if links:
        notes.append(f"passed over {len(links)} linked folders: {listed(sorted(links))}")
    notes += [
        f"{path} is a table beside the images; its numbers are used by: jaxreg extract {path}"
        for path in tables[:3]
    ]
    if unread := sorted(path for path in passed_over if path.suffix.lower() in UNREAD):
        notes.append(
            f"{unread[0]} may hold numbers of the images, but jaxreg reads no {unread[0].suffix}; "
            "to use them, write a .csv table of image names and numbers"
        )
    examples = _examples("directory", images, folder, location, options)
    return replace(examples, notes=tuple(notes))


def open_glob(pattern: str, location: str, options: SourceOptions) -> Examples:
    """The image files that match; ids are paths below the pattern's part before any wildcard.

    They are in natural order of the ids.

    Raises:
        InputError: no image file matches.
    """
    found = [path for path in map(Path, glob.iglob(pattern, recursive=True)) if not path.is_dir()]
    images, passed_over = _sorted_out(found)
    if not images:
        raise InputError(
            f"no image file matches {pattern!r}",
            expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
        )
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts[:-1])
    examples = _examples("glob", images, Path(*fixed), location, options)
    return replace(examples, notes=_said(passed_over))


def open_image(file: Path, location: str, options: SourceOptions) -> Examples:
    """One image; its id is its file name."""
    return _examples("image", [file], file.parent, location, options)


def _sorted_out(files: Iterable[Path]) -> tuple[list[Path], list[Path]]:
    """The images among the files that are not hidden, and the files that are passed over.

    A link to nothing whose name is that of an image is a failed image.
    """
    images, others = [], []
    for file in files:
        if not file.name.startswith("."):
            there = file.is_file() or file.is_symlink()
            (images if there and is_image(file) else others).append(file)
    return images, others


def _said(passed_over: Iterable[Path]) -> tuple[str, ...]:
    """A note that counts the files which are no images."""
    suffixes = Counter(file.suffix.lower() or "without a suffix" for file in passed_over)
    if not suffixes:
        return ()
    kinds = listed(f"{count} {suffix}" for suffix, count in suffixes.most_common())
    return (f"passed over {suffixes.total()} files that are no images: {kinds}",)


def _examples(
    kind: str, files: list[Path], root: Path, location: str, options: SourceOptions
) -> Examples:
    options.refuse_all_but("images without a table")
    named = [(_text(file.relative_to(root).as_posix()), file) for file in set(files)]
    named.sort(key=lambda pair: (natural_key(pair[0]), pair[0]))
    return Examples(
        ids=tuple(name for name, _ in named),
        images=[file for _, file in named],
        columns=no_columns(len(named)),
        description={"kind": kind, "location": location},
        paths=tuple(_text(str(file)) for _, file in named),
    )


def _text(name: str) -> str:
    """A file name in UTF-8, though Unix allows any bytes."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")
