"""The paths in a table → files: as written, or in the one other way that finds them."""

import os
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from urllib.parse import unquote

from jaxreg.errors import InputError, nearest
from jaxreg.sources.naming import IMAGE_SUFFIXES, listed

LOOKED_FOR = 60  # names that decide how the files are found
FOLDERS = 30  # folders beside the table that are searched
_SUFFIXES = ("", *IMAGE_SUFFIXES, *(suffix.upper() for suffix in IMAGE_SUFFIXES))


def find_files(
    table: Path, written: Sequence[str | None], root: str | None, suffix: str | None
) -> tuple[list[Path], str]:
    """The file of every row, and a sentence for the user ("" if the names are right as they are).

    Args:
        table: paths are relative to its folder, or to `root`.
        written: each row's path; None where there is none.
        suffix: ending that names without it get.

    Raises:
        InputError: `root` is no folder.
    """
    folder = table.parent if root is None else Path(root).expanduser()
    if not folder.is_dir():
        raise InputError(f"--image-root {root} is no folder", expected="the folder of the images")
    if suffix:
        written = [n if not n or n.endswith(suffix) else n + suffix for n in written]
    as_written = [folder / (name or "") for name in written]
    distinct = list(dict.fromkeys(name for name in written if name))
    sample = distinct[:: -(-len(distinct) // LOOKED_FOR) or 1]
    if not sample or any(os.path.isfile(folder / name) for name in sample):
        return as_written, ""
    roots = [folder] if root is not None else _roots(folder)
    found: dict[tuple[str, ...], tuple[str, Callable[[str], str]]] = {}
    for words, way in _ways(roots):
        if not any(os.path.isfile(way(name)) for name in sample[:5]):
            continue
        files = [os.path.realpath(path) for path in map(way, sample) if os.path.isfile(path)]
        if 2 * len(files) >= len(sample):
            found.setdefault(tuple(files), (words, way))
    most = max(map(len, found), default=0)
    best = [value for files, value in found.items() if len(files) == most]
    first = f"{sample[0]!r} of {table}"
    options = "--image-root FOLDER or --image-suffix .jpg says where the images are"
    if len(best) == 1:
        words, way = best[0]
        paths = [Path(way(name)) if name else folder for name in written]
        return paths, f"{first} is no path of an image; {words} finds {way(sample[0])}"
    if best:
        several = listed(way(sample[0]) for _, way in best)
        return as_written, f"{first} may be any of: {several}; {options}"
    names = [name for place in roots for name in os.listdir(place)]
    close = nearest(sample[0].replace("\\", "/").rsplit("/", 1)[-1], names)
    near = f"; the nearest name is {close}" if close else ""
    looked = listed(map(str, roots), 5)
    return as_written, f"{first} is not there; looked in: {looked}{near}; {options}"


def _roots(folder: Path) -> list[Path]:
    """The table's folder, its folders, the one above and the current one."""
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    places = [folder, *inside[:FOLDERS], folder.parent, Path()]
    return list({os.path.realpath(place): place for place in reversed(places)}.values())[::-1]


def _ways(roots: Sequence[Path]) -> Iterator[tuple[str, Callable[[str], str]]]:
    """Each way in words, and what it makes of a name: a folder, the last parts, an ending."""
    for root, parts, suffix in product(roots, (0, 1, 2, 3), _SUFFIXES):

        def way(name: str, root: Path = root, parts: int = parts, suffix: str = suffix) -> str:
            path = name.replace("\\", "/")
            if "://" in path:
                path = unquote(path.partition("://")[2].split("?")[0])
            if parts:
                path = "/".join(path.split("/")[-parts:])
            stem, ending = os.path.splitext(path)
            is_image = ending.lower() in IMAGE_SUFFIXES
            return os.path.join(root, (stem if suffix and is_image else path) + suffix)

        tail = ("the path", "the file name", "the last 2 parts", "the last 3 parts")[parts]
        yield f"{tail} in the folder {root}{f' with {suffix}' * bool(suffix)}", way
