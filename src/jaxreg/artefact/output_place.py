"""Where an artefact is put: what may be replaced there, and the move of what was written."""

import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from jaxreg.artefact.formats import Format
from jaxreg.artefact.readme import is_readme
from jaxreg.common.files import make_folder
from jaxreg.errors import InputError

_SAVED = re.compile(
    r"README\.md|saved_model\.pb|fingerprint\.pb|assets|variables"
    r"|variables/variables\.(index|data-\d+-of-\d+)"
)
"""Every path in the folder of a SavedModel that jaxreg writes."""


def files_of(path: Path, form: Format) -> list[Path]:
    """The paths that an artefact has, the README last."""
    if not form.suffix:
        return [path, path / "README.md"]
    beside = [path.with_suffix(suffix) for suffix in form.beside]
    return [path, *beside, path.with_name(f"{path.stem}.README.md")]


def check_place(files: Sequence[Path], form: Format, *, overwrite: bool) -> None:
    """Raise InputError if something is there that may not be replaced.

    Args:
        files: as `files_of`.
        form: the format.
        overwrite: `--overwrite`.
    """
    *own, told = files
    for file in own:
        if not os.path.lexists(file):
            continue
        if not overwrite:
            raise InputError(
                f"{file} exists",
                expected="a new name; --overwrite would replace what is there",
                remedy="use another --out",
            )
        if file.is_dir() and form.suffix:
            raise InputError(f"--out {file} is a folder", expected="a file")
        if not form.suffix:
            _check_folder(file)
    # nobody named these: a README beside tells whether jaxreg wrote them
    unnamed = [told, *own[1:]] if form.suffix else []
    foreign = next((file for file in unnamed if os.path.lexists(file)), None)
    if foreign is not None and not is_readme(read_text(told)):
        raise InputError(
            f"{foreign} exists, and jaxreg export did not write it",
            remedy=f"--out {files[0].with_stem(f'{files[0].stem}-model')}",
        )


def _check_folder(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and is_readme(read_text(folder / "README.md")):
        names = (path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*")))
        foreign = next((name for name in names if not _SAVED.fullmatch(name)), "")
        found = f"--out {folder} holds a file that jaxreg export did not write: {foreign}"
    else:
        foreign = folder
        found = f"--out {folder} is there, and jaxreg export did not write it"
    if foreign:
        raise InputError(
            found,
            expected="a folder of jaxreg export, because its files would be deleted",
            remedy="use another --out",
        )


def read_text(path: Path) -> str:
    """The text of a README; "" where there is none."""
    return path.read_text(errors="replace") if path.is_file() else ""


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A new folder beside a path; what is left of it in the end is deleted."""
    folder = path.with_name(f".{path.stem[:150]}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def lack_of_room_told(folder: Path) -> Iterator[None]:
    """Raise InputError where the block fails and the system writes no file of 1 MiB there.

    Libraries raise errors of their own for a full disk.
    """
    try:
        yield
    except Exception as error:
        try:
            Path(folder, "some").write_bytes(bytes(2**20))
            Path(folder, "some").unlink()
        except OSError as full:
            raise _cannot_write(folder.parent, full) from error
        raise


def move_files(new: Path, folder: Path) -> None:
    """Move everything from one folder to another, in the place of what is there."""
    try:
        for made in sorted(new.iterdir()):
            place = folder / made.name
            if place.is_dir():
                place.rename(new / f"{made.name}.old")
            os.replace(made, place)
    except OSError as error:
        raise _cannot_write(folder, error) from error


def _cannot_write(folder: Path, error: OSError) -> InputError:
    return InputError(
        f"cannot write to {folder}: {error.strerror or error}",
        remedy="free some space, or use a folder that can be written",
    )
