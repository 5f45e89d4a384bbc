"""Images without numbers: a directory, a glob, one file. For prediction."""

import glob
import itertools
import os
from pathlib import Path

from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.columns import no_columns
from jaxreg.sources.examples import Examples
from jaxreg.sources.naming import IMAGE_SUFFIXES, is_image_name, listed


def open_directory(folder: Path, location: str, options: SourceOptions) -> Examples:
    """Every image file below `folder`, sorted by its path in it, which is its id.

    Hidden files and folders are left out, and so are the `._*` files of macOS.

    Raises:
        InputError: there is no image file.
    """
    files: list[Path] = []
    for root, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]  # os.walk reads it
        files += [Path(root, name) for name in names]
    images = [file for file in files if _is_image(file)]
    if not images:
        tables = [f.name for f in files if f.suffix.lower() in (".csv", ".parquet", ".npz")]
        raise InputError(
            f"{folder} holds no image file",
            expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
            remedy=f"name the file itself: {folder / sorted(tables)[0]}" if tables else "",
        )
    return _examples("directory", images, folder, location, options)


def open_glob(pattern: str, location: str, options: SourceOptions) -> Examples:
    """The image files that match; ids are paths below the pattern's part before any wildcard.

    Raises:
        InputError: no image file matches.
    """
    images = [p for p in map(Path, glob.iglob(pattern, recursive=True)) if _is_image(p)]
    if not images:
        raise InputError(
            f"no image file matches {pattern!r}",
            expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
        )
    fixed = itertools.takewhile(lambda part: not glob.has_magic(part), Path(pattern).parts[:-1])
    return _examples("glob", images, Path(*fixed), location, options)


def open_image(file: Path, location: str, options: SourceOptions) -> Examples:
    """One image; its id is its file name."""
    return _examples("image", [file], file.parent, location, options)


def _is_image(file: Path) -> bool:
    named = is_image_name(file.name) and not file.name.startswith(".")
    return named and (file.is_file() or file.is_symlink())


def _examples(
    kind: str, files: list[Path], root: Path, location: str, options: SourceOptions
) -> Examples:
    options.refuse_all_but("images without a table")
    named = sorted((_text(file.relative_to(root).as_posix()), file) for file in set(files))
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
