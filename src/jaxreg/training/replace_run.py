"""Replacing a run: only files of jaxreg are deleted, and a kill leaves the old run or the new one.

The new run is made in `.<name>.new` beside the old one. Then the old one is renamed to
`.<name>.old`, the new one takes its name, and the old one is deleted.
"""

import os
import re
import shutil
import time
from collections.abc import Callable, Collection
from pathlib import Path

from jaxreg.common.files import TEMPORARY, make_folder, remove
from jaxreg.common.json_files import load_json
from jaxreg.errors import InputError
from jaxreg.training.sweep_files import SWEEP, SWEEP_KIND, TRIALS

KIND = "run"
"""The `kind` of a run's config.json. With an integer `format` it proves that jaxreg made it."""

RECORDS = {"config.json": KIND, SWEEP: SWEEP_KIND}
"""The files of which one proves that a folder is jaxreg's, and their `kind`."""

BUSY = 60  # seconds; a training that goes on has written to its run since

BESIDE = len("..new")  # bytes that the names beside a run have more than its own

_TEMPORARY_STEP = r"(\.orbax-checkpoint-tmp[^/]*)?"
_ORBAX_FOLDERS = rf"(head|training){_TEMPORARY_STEP}|d|ocdbt\.process_\d+|array_metadatas"
_UNFINISHED = re.compile(rf"{TEMPORARY.pattern}|\d{{6,}}\.orbax-checkpoint-tmp[^/]*")
_FOLDERS = re.compile(
    rf"plots|checkpoints|checkpoints/\d{{6,}}{_TEMPORARY_STEP}(/({_ORBAX_FOLDERS}))*"
)
_FILES = re.compile(
    r"(config|summary|sweep)\.json|(history|trials)\.csv|predictions\.parquet|intervals\.npz"
    r"|(report|diagnosis)\.html"
    r"|plots/(curves|(predicted|residuals|over-time)-[^/]+)\.png|checkpoints/\d{6,}\.json"
    rf"|checkpoints/\d{{6,}}{_TEMPORARY_STEP}(/({_ORBAX_FOLDERS}))*/(_CHECKPOINT_METADATA|_METADATA"
    r"|_sharding|orbax\.checkpoint|commit_success\.txt|manifest\.ocdbt|[0-9a-f]{32}|[^/]+\.__lock)"
    rf"|(plots/|checkpoints/)?{TEMPORARY.pattern}"
)
"""Every path in a run that jaxreg writes (docs/runs.md), also where it was killed."""


def is_run(folder: Path) -> bool:
    """Whether config.json is jaxreg's own record of a run, or sweep.json of a sweep, of any format.

    A sweep has no config.json before it has chosen a head.
    """
    return any(_is_record(folder / name, kind) for name, kind in RECORDS.items())


def _is_record(path: Path, kind: str) -> bool:
    try:
        content = load_json(path)
    except (OSError, ValueError):
        return False
    return (
        isinstance(content, dict)
        and type(content.get("format")) is int
        and content.get("kind") == kind
    )


def check_replaceable(folder: Path) -> None:
    """Raise InputError if the folder is not a run, or holds anything that jaxreg did not write.

    A folder that the process runs in cannot be replaced either: its relative paths would be lost.
    """
    if not is_run(folder):
        raise InputError(
            f"{folder} is not a run of jaxreg, or its config.json is damaged",
            expected="a run, because its files would be deleted",
            remedy="use another --run",
        )
    if foreign := foreign_files(folder):
        more = f" and {len(foreign) - 3} more" if len(foreign) > 3 else ""
        raise InputError(
            f"{folder} holds files that jaxreg did not write: {', '.join(foreign[:3])}{more}",
            expected="a run with only its own files, because they would be deleted",
            remedy="move these files away",
        )
    if Path.cwd().is_relative_to(folder.resolve()):
        raise InputError(
            f"this command runs in {folder}", remedy="run the command in another folder"
        )


def run_files(folder: Path) -> list[Path]:
    """The files of a run, those of RECORDS last.

    Raises:
        InputError: as `check_replaceable`; it is a link; a training may be writing to it.
    """
    if folder.is_symlink():
        raise InputError(f"{folder} is a link", remedy="name the run itself")
    check_replaceable(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    newest = max(path.stat().st_mtime for path in files)
    if folder / "summary.json" not in files and time.time() - newest < BUSY:
        raise InputError(
            f"{folder} is not finished, and a training wrote to it in the last {BUSY} seconds",
            remedy=f"stop that training, and run the same command after {BUSY} seconds",
        )
    return sorted(files, key=lambda path: path in [folder / name for name in RECORDS])


def foreign_files(folder: Path) -> list[str]:
    """The paths below a run, relative to it, that jaxreg does not write. It writes no links."""
    drawn = _drawn(folder)
    found = []
    for root, folders, files in os.walk(folder):
        for kind, names in ((_FOLDERS, folders), (_FILES, files)):
            for path in (Path(root, name) for name in names):
                name = path.relative_to(folder).as_posix()
                not_drawn = drawn is not None and path.suffix == ".png" and name not in drawn
                if path.is_symlink() or not_drawn or not kind.fullmatch(name):
                    found.append(name)
    return sorted(found)


def _drawn(folder: Path) -> Collection[str] | None:
    """The files that the summary of a run names; None if it has none yet, or a damaged one."""
    try:
        return load_json(folder / "summary.json")["files"].keys()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def left_behind(folder: Path) -> list[Path]:
    """What killed commands left in a run and beside it: unfinished files, checkpoints and runs."""
    inside = [path for path in folder.rglob("*") if _UNFINISHED.fullmatch(path.name)]
    inside = [path for path in inside if not any(one in path.parents for one in inside)]
    beside = [path for path in _beside(folder.resolve()) if path.is_dir()]
    return [*sorted(inside), *(path for path in beside if folder.is_dir())]


def delete_left_behind(path: Path) -> None:
    """Delete what `left_behind` found. Raises InputError if it holds files of others."""
    if not path.is_dir() or path.is_symlink():
        remove(path)
    elif _UNFINISHED.fullmatch(path.name):
        shutil.rmtree(path)
    else:
        _delete(path)


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
    for left_behind in (old, new):
        _delete(left_behind)
    make_folder(new)
    fill(new)
    try:
        folder.rename(old)
        new.rename(folder)
    except OSError as error:
        raise InputError(
            f"cannot replace {folder}: {error.strerror or error}",
            remedy="wait until no other training writes there, or use another --run",
        ) from error
    _delete(old)


def delete_head(folder: Path) -> None:
    """Delete all files of a sweep's run but those of the sweep, summary.json first."""
    (folder / "summary.json").unlink(missing_ok=True)
    kept = [folder / name for name in (SWEEP, TRIALS)]
    if foreign := foreign_files(folder):
        raise InputError(
            f"{folder} holds files that jaxreg did not write: {foreign[0]}",
            remedy="move these files away",
        )
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path not in kept:
            path.unlink()


def restore(folder: Path) -> None:
    """Give a run its name back, if a kill came between the two renames of `replace_run`."""
    folder = folder.resolve()
    if folder.exists():
        return
    _, old = _beside(folder)
    if is_run(old):
        old.rename(folder)


def _beside(folder: Path) -> tuple[Path, Path]:
    return folder.with_name(f".{folder.name}.new"), folder.with_name(f".{folder.name}.old")


def _delete(folder: Path) -> None:
    """Delete a run, its records last: so what a kill leaves is still known to be a run."""
    if not folder.exists():
        return
    left = foreign_files(folder)
    if not left and not is_run(folder):  # it may hold what a kill leaves of a first file, no more
        left = [path.name for path in folder.iterdir() if not TEMPORARY.fullmatch(path.name)]
    if left:
        what = f"{folder} holds {left[0]}, which jaxreg does not leave there"
        raise InputError(what, remedy="move that folder away")
    try:
        for path in folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name not in RECORDS:
                path.unlink()
        shutil.rmtree(folder)
    except OSError as error:
        raise InputError(
            f"cannot delete {error.filename or folder}: {error.strerror or error}",
            remedy=f"move {folder} away, and run the same command again",
        ) from error
