"""Sources at URLs: which file, folder or glob a URL means, and what opens it."""

import glob
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from jaxreg.common.remote_file import (
    EXPECTED,
    RemoteError,
    RemoteFile,
    is_url,
    scheme_of,
)
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.examples import Examples
from jaxreg.sources.images import images_by_name, said_of_others
from jaxreg.sources.kinds import HEAD, kind_of
from jaxreg.sources.naming import IMAGE_SUFFIXES, is_image_name, listed, natural_key
from jaxreg.sources.remote_read import files_below, first_bytes, state_of
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.table_files import TABLES, open_shards, open_table

WEB = ("http", "https")

AnyExamples = Examples | SlicedExamples


def refuse_other_address(location: str) -> None:
    """Raise InputError for an address of a kind that jaxreg does not read."""
    if "://" in location and not is_url(location):
        kind = scheme_of(location) or location.partition("://")[0]
        what = f"{kind}:// is no address that jaxreg reads"
        raise InputError(what, expected=f"a path, or {EXPECTED}")


def open_remote(
    url: str, options: SourceOptions, *, ranged: bool, images: bool, in_slices: bool
) -> AnyExamples:
    """The examples of a table, an image, a folder or a glob at a URL; as `open_source`.

    Raises:
        InputError: there is nothing, or nothing that jaxreg reads; the extra `url` is absent.
        UnavailableError: the server cannot be reached, or fails.
    """
    file = RemoteFile(url.strip())
    openers = _Openers(str(file), options, ranged, images, in_slices)
    with reached(str(file)):
        if file.scheme in WEB:
            return _open_file(file, options, openers)
        if glob.has_magic(file.place):
            return _open_matches(file, options, openers)
        if not file.place.endswith("/") and "/" in file.place and state_of(file) is not None:
            return _open_file(file, options, openers)
        return _open_folder(file, options, openers)


@dataclass(frozen=True)
class _Openers:
    """What opens the tables that a URL means."""

    location: str
    options: SourceOptions
    ranged: bool
    images: bool
    in_slices: bool

    def table(self, file: RemoteFile) -> AnyExamples:
        return open_table(
            file,
            self.location,
            self.options,
            ranged=self.ranged,
            images=self.images,
            in_slices=self.in_slices,
        )

    def shards(self, files: Sequence[RemoteFile], name: str) -> AnyExamples:
        return open_shards(
            files,
            name,
            self.location,
            self.options,
            images=self.images,
            in_slices=self.in_slices,
        )


@contextmanager
def reached(what: str) -> Iterator[None]:
    """Turn RemoteError into the error for a user."""
    try:
        yield
    except RemoteError as error:
        found = f"cannot read {error.filename or what}: {error.strerror}"
        if error.lasting:
            raise InputError(found) from None
        raise UnavailableError(found, remedy="run the same command again later") from None


def _open_file(file: RemoteFile, options: SourceOptions, openers: _Openers) -> AnyExamples:
    if file.scheme in WEB and "*" in file.place:
        raise _no_listing(file)
    if file.suffix.lower() in TABLES:
        return openers.table(file)
    image = is_image_name(file.name)
    if not image and file.scheme in WEB:  # its address may have no ending
        image = kind_of(first_bytes(file, HEAD)) is not None
    if image:
        return images_by_name("image", {file.name or str(file): file}, str(file), options)
    if file.scheme in WEB:
        raise _no_listing(file)
    raise InputError(
        f"{file} is of a kind that jaxreg does not read",
        expected=f"a table that ends in {listed(TABLES)}, or an image",
    )


def _no_listing(file: RemoteFile) -> InputError:
    return InputError(
        f"{file} is no table and no image, and a web server has no list of its files",
        expected="the address of a table of images (its cells may be URLs), or of one image",
        remedy="name the table itself, or use s3://, gs:// or hf://",
    )


def _open_folder(folder: RemoteFile, options: SourceOptions, openers: _Openers) -> AnyExamples:
    found = _files(folder, files_below(folder))
    images = {name: file for name, file in found.items() if is_image_name(name)}
    others = {name: file for name, file in found.items() if name not in images}
    tables = sorted((n for n in others if _is_table(n)), key=natural_key)
    if images:
        examples = images_by_name("directory", images, str(folder), options)
        notes = [
            f"{what} beside the images; to use the numbers: jaxreg extract {shlex.quote(how)}"
            for what, how in _named([others[name] for name in tables])
        ]
        return replace(examples, notes=(*said_of_others(others.values()), *notes))
    beside = [name for name in tables if "/" not in name]
    if beside and all(name.lower().endswith(".parquet") for name in beside):
        return openers.shards([others[name] for name in beside], "*.parquet")
    named = _named([others[name] for name in tables])
    remedy = f"name the file itself: {shlex.quote(named[0][1])}" if named else ""
    raise InputError(
        f"{folder} holds no image file" if found else f"there is nothing at {folder}",
        expected=f"files that end in {listed(IMAGE_SUFFIXES)}",
        remedy=remedy,
    )


def _named(tables: Sequence[RemoteFile]) -> list[tuple[str, str]]:
    """At most three tables in words, and the source that each is; Parquet files are one."""
    shards = [table for table in tables if table.suffix.lower() == ".parquet"]
    one = []
    if len(shards) > 1 and len({table.parent for table in shards}) == 1:
        source = str(shards[0].parent / "*.parquet")
        one = [(f"{source} are {len(shards)} tables", source)]
        tables = [table for table in tables if table not in shards]
    return one + [(f"{table} is a table", str(table)) for table in tables[:3]]


def _open_matches(pattern: RemoteFile, options: SourceOptions, openers: _Openers) -> AnyExamples:
    """The images that match a glob or, where there are none, the Parquet files as one table."""
    parts = pattern.place.split("/")
    fixed = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    wanted = parts[fixed:]
    query = f"?{pattern.query}" * bool(pattern.query)
    folder = RemoteFile(f"{pattern.scheme}://{'/'.join(parts[:fixed])}{query}")
    if not fixed:
        raise InputError(f"{pattern} has no bucket", expected="a glob in one bucket")
    below = files_below(folder, recursive=len(wanted) > 1)
    found = {n: f for n, f in _files(folder, below).items() if _matches(n.split("/"), wanted)}
    images = {name: file for name, file in found.items() if is_image_name(name)}
    tables = sorted((n for n in found if _is_table(n)), key=natural_key)
    if images:
        examples = images_by_name("glob", images, str(pattern), options)
        return replace(
            examples, notes=said_of_others(f for name, f in found.items() if name not in images)
        )
    if tables and all(name.lower().endswith(".parquet") for name in tables):
        name = f"{pattern.name.removesuffix('.parquet')}.parquet"
        return openers.shards([found[one] for one in tables], name)
    kind = "one kind" if tables else "them"
    raise InputError(
        f"no image and no .parquet file matches {pattern}"
        + (f"; it matches {listed(tables, 3)}" if tables else ""),
        expected=f"images, or .parquet files of one table; all of {kind}",
        remedy=f"name the file itself: {shlex.quote(str(found[tables[0]]))}" if tables else "",
    )


def _files(folder: RemoteFile, below: Iterator[str]) -> dict[str, RemoteFile]:
    """The files in a folder that are not hidden, by their paths below it."""
    base, mark, query = folder.url.partition("?") if folder.query else (folder.url, "", "")
    base = base.rstrip("/")
    return {
        name: RemoteFile(f"{base}/{name}{mark}{query}")
        for name in below
        if not any(part.startswith(".") for part in name.split("/"))
    }


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    if not wanted:
        return not parts
    if wanted[0] == "**":
        return any(_matches(parts[skipped:], wanted[1:]) for skipped in range(len(parts) + 1)) or (
            len(wanted) == 1
        )
    return bool(parts) and fnmatchcase(parts[0], wanted[0]) and _matches(parts[1:], wanted[1:])


def _is_table(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return last.endswith(TABLES) and not last.startswith(("~$", "_"))
