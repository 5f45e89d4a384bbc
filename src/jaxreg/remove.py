"""`jaxreg remove`: delete a dataset, a feature set or a run."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import humanize
import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import counted
from jaxreg.config_io import command_line, words_given
from jaxreg.errors import InputError, nearest
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    from jaxreg.cache.object_store import Entry, Store
    from jaxreg.usage import Usage


@dataclass(frozen=True)
class RemoveArguments:
    """Delete a dataset, a feature set or a run, but nothing that another dataset or run needs.

    Example: jaxreg remove ckpts/photos-1
    """

    name: str = setting(
        tyro.MISSING, POSITIONAL, "name of a dataset or a feature set; name or path of a run"
    )
    cache: str = setting("cache", "Data", "folder or bucket (s3://…) of datasets and features")
    ckpts: str = setting("ckpts", "Data", "folder of runs; remove keeps what they need")
    yes: bool = setting(False, "Run", "delete without asking")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, say what goes, ask, delete; returns the exit code."""
    own, _ = parse("remove", RemoveArguments, argv=argv)
    from jaxreg.cache.store import Cache
    from jaxreg.usage import Usage, size_of

    places = words_given(own, "cache", "ckpts")
    usage = Usage(Cache(own.cache), Path(own.ckpts), places)
    what, store, entries = _find(usage, own.name)
    if not usage.runs:
        cli.say(f"no run in {own.ckpts} was trained on {usage.cache.root}")
    cli.say(f"{what}: {len(entries)} files, {humanize.naturalsize(size_of(entries))}")
    whole = _common([_folder(entry).parts for entry in entries])
    folders = [PurePosixPath(*_folder(entry).parts[: len(whole) + 2]) for entry in entries]
    for folder in dict.fromkeys(folders):
        inside = [entry for entry, of in zip(entries, folders, strict=True) if of == folder]
        shown = store.shown(inside[0].key if len(inside) == 1 else str(folder))
        names = shown if len(inside) == 1 else f"{shown}/ ({len(inside)} files)"
        cli.say(f"  {names}, {humanize.naturalsize(size_of(inside))}")
    if not own.yes:
        _ask(command_line("jaxreg remove", [own.name, *places, "--yes"]))
    _delete(store, entries)
    cli.say(f"removed {what}")
    return 0


def _find(usage: "Usage", name: str) -> tuple[str, "Store", list["Entry"]]:
    """What a name means, in words, and the files that go, in the order in which they go."""
    from jaxreg.cache.datasets import dataset_key, dataset_names
    from jaxreg.cache.object_store import LocalStore
    from jaxreg.training.replace_run import is_run, run_files
    from jaxreg.training.run_directory import run_path

    datasets, feature_sets = dataset_names(usage.cache), usage.cache.feature_sets()
    run, shown = run_path(name, usage.ckpts), usage.cache.store.shown
    tables = {shown(dataset_key(one)): one for one in datasets}
    if name in tables or str(Path(name)) in tables:
        name = tables.get(name) or tables[str(Path(name))]  # of which no run is meant
        run = Path(shown(dataset_key(name))).with_suffix("")
    found = {
        f"the dataset {name}": name in datasets,
        f"the feature set {name}": name in feature_sets,
        f"the run {run}": is_run(run),
    }
    kinds = [text for text, there in found.items() if there]
    if len(kinds) > 1:
        raise InputError(
            f"{name} is {' and '.join(kinds)}",
            expected=f"the path of one of them: {run} or {shown(dataset_key(name))}",
        )
    if not kinds:
        runs = [Path(path).name for path in usage.runs]
        near = nearest(name, [*datasets, *feature_sets, *runs])
        raise InputError(
            f"no dataset or feature set {name!r} in {usage.cache.root}, and no run {run}",
            expected="a name that jaxreg list datasets, list feature-sets or runs shows",
            remedy=command_line("jaxreg remove", [near, *usage.places]) if near else "",
            instead=(name, near) if near else None,
        )
    if is_run(run):
        store = LocalStore(run)
        there = {store.path(entry.key): entry for entry in store.list("")}
        return kinds[0], store, [there[path] for path in run_files(run)]
    found = usage.of_dataset if name in datasets else usage.of_feature_set
    return kinds[0], usage.cache.store, found(name)


def _ask(command: str) -> None:
    """Go on only if the answer is yes; without a terminal, name the command that needs none."""
    if not sys.stdin.isatty():
        raise InputError("nothing was removed", remedy=command)
    print("Remove these files? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was removed", expected="y to remove the files")


def _delete(store: "Store", entries: Sequence["Entry"]) -> None:
    """Delete files in this order, and the folders that are empty then."""
    for entry in counted("deleting", entries, "files"):
        store.delete(entry.key)
    for folder in dict.fromkeys(map(_folder, entries)):
        store.drop_empty(str(folder))


def _folder(entry: "Entry") -> PurePosixPath:
    return PurePosixPath(entry.key).parent


def _common(folders: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The names at which all of some paths begin."""
    first, last = min(folders), max(folders)
    same = [one == other for one, other in zip(first, last, strict=False)]
    return first[: same.index(False) if False in same else len(same)]


if __name__ == "__main__":
    cli.run_command(main)
