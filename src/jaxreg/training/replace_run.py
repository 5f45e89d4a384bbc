"""Replacing a run: only files of jaxreg are deleted, and a kill leaves the old run or the new one.

The new run is made in `.<name>.new` beside the old one. Then the old one is renamed to
`.<name>.old`, the new one takes its name, and the old one is deleted.
"""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from jaxreg.common.files import TEMPORARY, make_folder
from jaxreg.common.json_files import load_json
from jaxreg.errors import InputError

KIND = "run"
"""The `kind` of a run's config.json. With an integer `format` it proves that jaxreg made it."""

_OWN = re.compile(
    r"(config|summary)\.json|history\.csv|predictions\.parquet|(report|diagnosis)\.html"
    r"|plots|plots/(curves|predicted-[^/]+|residuals-[^/]+)\.png"
    r"|checkpoints|checkpoints/\d{6,}[^/]*(/.*)?"
    rf"|(.+/)?{TEMPORARY.pattern}"
)
"""Every path in a run that jaxreg writes (docs/runs.md)."""


def is_run(folder: Path) -> bool:
    """Whether config.json is jaxreg's own record of a run, of any format."""
    try:
        content = load_json(folder / "config.json")
    except (OSError, ValueError):
        return False
    return (
        isinstance(content, dict)
        and type(content.get("format")) is int
        and content.get("kind") == KIND
    )


def check_replaceable(folder: Path) -> None:
    """Raise InputError if the folder is not a run, or holds anything that jaxreg did not write."""
    if not is_run(folder):
        raise InputError(
            f"{folder} is not a run of jaxreg, or its config.json is damaged",
            expected="a run, because its files would be deleted",
            remedy="another --run, or delete the folder yourself",
        )
    if foreign := foreign_files(folder):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise InputError(
            f"{folder} holds files that jaxreg did not write: {', '.join(foreign[:3])}{more}",
            expected="a run with only its own files, because they would be deleted",
            remedy="move these files away, or another --run",
        )


def run_files(folder: Path) -> list[Path]:
    """The files of a run, config.json last. Raises InputError as `check_replaceable`."""
    if folder.is_symlink():
        raise InputError(f"{folder} is a link", remedy="delete the link, or name the run itself")
    check_replaceable(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sorted(files, key=lambda path: path == folder / "config.json")


def foreign_files(folder: Path) -> list[str]:
    """The paths below a run, relative to it, that jaxreg does not write. It writes no links."""
    found = []
    for root, folders, files in os.walk(folder):
        for path in (Path(root, name) for name in (*folders, *files)):
            name = path.relative_to(folder).as_posix()
            if path.is_symlink() or not _OWN.fullmatch(name):
                found.append(name)
    return sorted(found)


def replace_run(folder: Path, fill: Callable[[Path], None]) -> None:
    """Put a new run in the place of the run in `folder`.

    Args:
        folder: a run that `check_replaceable` accepts; a link to one stays a link.
        fill: writes the first files of the new run into a folder.

    Raises:
        InputError: a folder cannot be made, renamed or deleted.
    """
    folder = folder.resolve()
    new, old = _beside(folder)
    _delete(old)
    make_folder(new)
    fill(new)
    try:
        folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise InputError(
            f"cannot replace {folder}: {error.strerror or error}",
            remedy="another --run; does another training write there?",
        ) from error
    _delete(old)


def restore(folder: Path) -> None:
    """Give a run its name back, if a kill came between the two renames of `replace_run`."""
    folder = folder.resolve()
    _, old = _beside(folder)
    if not folder.exists() and is_run(old):
        old.rename(folder)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def _delete(folder: Path) -> None:
    if not folder.exists():
        return
    if foreign := foreign_files(folder):
        raise InputError(f"{folder} holds {foreign[0]}", remedy="move that folder away")
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(
            f"cannot delete {error.filename or folder}: {error.strerror or error}",
            remedy=f"delete {folder} yourself",
        ) from error
