"""The paths and URLs in a table → files: as written, or the one file that a path can mean."""

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from jaxreg.common.remote_file import AnyFile, RemoteFile, is_url, leads_out, located, shown
from jaxreg.errors import InputError, nearest
from jaxreg.sources.naming import IMAGE_SUFFIXES, is_image_name, listed, some

FOLDERS = 500  # folders beside the table that are searched
COMPARED = 5000  # names among which the nearest one is looked for
_OPTIONS = "--image-root FOLDER or --image-suffix .jpg says where the images are"


@dataclass(frozen=True)
class FoundNames:
    """How the names in a table mean files."""

    folder: AnyFile  # names are relative to it
    suffix: str  # ending that names without it get
    used: Mapping[str, str]  # names that are no files → the files that they mean
    as_written: int  # rows whose path is a file
    missing: int  # rows whose path means no file, or several
    note: str = ""  # for the user; "" if every path is right as it is
    at_urls: int = 0  # rows whose picture is at a URL
    confined: bool = False  # no name may lead out of the folder: others wrote the table

    def file(self, name: str | None) -> AnyFile:
        """The file of a name; the path as written where no file is found.

        A name that may not lead where it leads becomes a RemoteFile that is refused when it is
        read.
        """
        name = _ending(name or "", self.suffix)
        if name in self.used:
            return Path(self.used[name])
        local = isinstance(self.folder, Path)
        if is_url(name) or (local and self.confined and leads_out(name)):
            return RemoteFile(name)
        try:
            return self.folder / name
        except ValueError:
            return RemoteFile(name)


@dataclass(frozen=True)
class Found:
    """The files of the rows of a table."""

    files: list[AnyFile]  # one a row; the path as written where no file is found
    as_written: int  # rows whose path is a file
    missing: int  # rows whose path means no file, or several
    note: str = ""  # for the user; "" if every path is right as it is


def find_files(
    table: AnyFile, written: Sequence[str | None], root: str | None, suffix: str | None
) -> Found:
    """The file of every row, as `find_names` finds it.

    Args:
        table: paths are relative to its folder, or to `root`.
        written: each row's path; None where there is none.
        root: --image-root.
        suffix: ending that names without it get.

    Raises:
        InputError: `root` is no folder.
    """
    found = find_names(table, Counter(name for name in written if name), root, suffix)
    file_of = {name: found.file(name) for name in dict.fromkeys(written)}
    return Found([file_of[name] for name in written], found.as_written, found.missing, found.note)


def find_names(
    table: AnyFile, rows: Mapping[str, int], root: str | None, suffix: str | None
) -> FoundNames:
    """The files of the names in a table.

    A path that is no file may mean another one: with slashes for backslashes, in another folder,
    by its last parts, with another ending. A file is taken if a path can mean it alone, and if no
    other path means it. At least half of a sample of the missing paths must mean a file. A URL
    whose path means no file stays a URL. Nothing at a URL is searched or asked for.

    A table at a URL names local files only below `root`, where that is a local folder.

    Args:
        table: paths are relative to its folder, or to `root`.
        rows: how many rows have each name.
        root: --image-root, here or at a URL.
        suffix: ending that names without it get.

    Raises:
        InputError: `root` is no folder.
    """
    confined = isinstance(table, RemoteFile)
    folder = table.parent if root is None else located(os.path.expanduser(root))
    if isinstance(folder, RemoteFile):
        suffix = "" if not suffix else suffix if suffix.startswith(".") else f".{suffix}"
        urls = sum(count for name, count in rows.items() if is_url(name))
        below = sum(rows.values()) - urls
        return FoundNames(folder, suffix, {}, 0, below, "", urls + below, confined)
    if not os.path.isdir(folder):  # Path's own raises for a name that is too long
        raise InputError(f"--image-root {root} is no folder", expected="the folder of the images")
    suffix = suffix or ""
    if suffix:
        suffix = "." * (f".{suffix.lower()}" in IMAGE_SUFFIXES) + suffix  # jpg for .jpg
    counts: Counter[str] = Counter()
    for name, count in rows.items():
        if not (confined and leads_out(name)):
            counts[_ending(name, suffix)] += count
    missed = [name for name in counts if not os.path.isfile(os.path.join(folder, name))]
    if not missed:
        return FoundNames(folder, suffix, {}, counts.total(), 0, confined=confined)
    urls = [name for name in missed if is_url(name)]
    meant = _meant(folder, [n for n in missed if not is_url(n)], searched_above=root is None)
    meant |= _meant(folder, urls, searched_above=root is None)
    there = {name: os.path.join(folder, name) for name in counts.keys() - set(missed)}
    used = _used_once(there, {name: found[0] for name, found in meant.items() if len(found) == 1})
    left = [name for name in missed if name not in used and not is_url(name)]
    notes = (
        _on_used(table, used, counts),
        _on_left(table, left, meant, counts, folder, root is None),
    )
    return FoundNames(
        folder,
        suffix,
        used,
        sum(counts[name] for name in there),
        sum(counts[name] for name in left),
        "; ".join(filter(None, notes)),
        sum(counts[name] for name in urls if name not in used),
        confined,
    )


def _ending(name: str, suffix: str) -> str:
    """The name with the ending, unless it is empty or has it."""
    has = not name or not suffix or name.lower().endswith(suffix.lower())
    return name if has or is_url(name) else name + suffix


def _meant(folder: Path, names: Sequence[str], searched_above: bool) -> dict[str, list[str]]:
    """The files that each name may mean, in the nearest folders in which most of a sample do."""
    if not names:
        return {}
    sample = some(names)
    near = _near(folder, searched_above)
    for roots in (near, _distinct([*near, *(sub for place in near[:1] for sub in _deep(place))])):
        places = _Places(roots)
        if 2 * sum(bool(places.meant(name)) for name in sample) >= len(sample):
            places.inside = [root for root in roots if root in places.used]
            return {name: places.meant(name) for name in names}
    return {}


class _Places:
    """The files in some folders; every folder is listed once."""

    def __init__(self, roots: Sequence[str]) -> None:
        self._roots = roots
        self._files: dict[str, dict[str, list[str]]] = {}
        self.inside = roots  # the roots whose folders are searched too
        self.used: set[str] = set()  # those that have a folder which was asked for

    def files(self, inside: str) -> dict[str, list[str]]:
        """The files in the folder `inside` of the roots, by their stem in lower case."""
        if inside not in self._files:
            found = self._files[inside] = {}
            for root in self.inside if inside else self._roots:
                for path in _file_paths(os.path.join(root, inside)):
                    found.setdefault(_stem(os.path.basename(path)).lower(), []).append(path)
                    self.used.add(root)
        return self._files[inside]

    def meant(self, name: str) -> list[str]:
        """The files that have the most of a name: its ending and its case, then its last parts."""
        folder, _, last = _plain(name).rpartition("/")
        parts = [part for part in folder.split("/") if part]
        tails = ["/".join(parts[-count:]) for count in range(min(len(parts), 3), 0, -1)]
        inside = dict.fromkeys([folder or "/" * name.startswith("/"), *tails, ""])
        for alike in (str, str.lower, _any):
            for place in inside:
                found = self.files(place).get(_stem(last).lower(), [])
                found = [path for path in found if alike(os.path.basename(path)) == alike(last)]
                if len(found) > 1:
                    found = list({os.path.realpath(path): path for path in found}.values())
                if found:
                    return found
        return []


def _used_once(there: dict[str, str], found: dict[str, str]) -> dict[str, str]:
    """The files that were found, without those that several names mean."""
    owners: dict[str, set[str]] = {}
    for name, path in (*there.items(), *found.items()):
        owners.setdefault(os.path.abspath(path), set()).add(_plain(name))
    return {n: path for n, path in found.items() if len(owners[os.path.abspath(path)]) == 1}


def _on_used(table: AnyFile, used: dict[str, str], rows: Counter[str]) -> str:
    if not used:
        return ""
    name, path = next(iter(used.items()))
    count = sum(rows[name] for name in used)
    more = f", and found files for {count} rows in this way" if count > 1 else ""
    return f"{table} names {shown(name)!r}, which is no file; jaxreg uses {path} for it{more}"


def _on_left(
    table: AnyFile,
    left: Sequence[str],
    meant: dict[str, list[str]],
    rows: Counter[str],
    folder: Path,
    searched_above: bool,
) -> str:
    if not left:
        return ""
    name, roots = left[0], _near(folder, searched_above)
    count = sum(rows[name] for name in left)
    what = f"no file for {count} of the {rows.total()} paths of {table}: {name!r}"
    if len(found := meant.get(name, [])) == 1:
        return f"{what} may mean {found[0]}, but another row means this file too; {_OPTIONS}"
    if found:
        return f"{what} may mean any of: {listed(found)}; {_OPTIONS}"
    every = (os.path.basename(path) for root in roots for path in _file_paths(root))
    names = [n for n, _ in zip(every, range(COMPARED), strict=False)]
    close = nearest(_plain(name).rpartition("/")[2], names)
    near = f"; the most similar name is {close}" if close else ""
    return f"{what} is not there; looked in: {listed(roots, 5)}{near}; {_OPTIONS}"


def _near(folder: Path, searched_above: bool) -> list[str]:
    """The folder itself; also its folders, the one above and the current one."""
    if not searched_above:
        return [str(folder)]
    return _distinct([str(folder), *_folders(str(folder)), str(folder.parent), "."])


def _deep(folder: str) -> list[str]:
    """The folders in a folder, and those in them."""
    inside = _folders(folder)
    return [*inside, *(sub for place in inside for sub in _folders(place))][:FOLDERS]


def _folders(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            found = sorted(e.path for e in entries if e.is_dir() and not e.name.startswith("."))
    except OSError:
        return []
    return found[:FOLDERS]


def _file_paths(folder: str) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.path for entry in entries if entry.is_file()]
    except (OSError, ValueError):  # no folder, or a name that none can have
        return []


def _distinct(folders: Iterable[str]) -> list[str]:
    """Each folder once, by the first of its names."""
    first: dict[str, str] = {}
    for folder in folders:
        first.setdefault(os.path.realpath(folder), folder)
    return list(first.values())


def _any(_name: str) -> str:
    return ""


def _plain(name: str) -> str:
    """A path with slashes; of an address, the path in it."""
    path = name.replace("\\", "/")
    if "://" in path:
        path = unquote(path.partition("://")[2].split("?")[0])
    return path.removeprefix("./")


def _stem(name: str) -> str:
    return os.path.splitext(name)[0] if is_image_name(name) else name
