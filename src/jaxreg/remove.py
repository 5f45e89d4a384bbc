"""`jaxreg remove`: delete a dataset, a feature set or a run."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import humanize
import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.files import remove
from jaxreg.common.steps import counted
from jaxreg.errors import InputError, nearest
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    from jaxreg.usage import Usage


@dataclass(frozen=True)
class RemoveArguments:
    """Delete a dataset, a feature set or a run, but nothing that another dataset or run needs.

    Example: jaxreg remove ckpts/photos-1
    """

    name: str = setting(
        tyro.MISSING, POSITIONAL, "name of a dataset or a feature set; name or path of a run"
    )
    cache: str = setting("cache", "Data", "folder of datasets and features")
    ckpts: str = setting("ckpts", "Data", "folder of runs; remove keeps what they need")
    yes: bool = setting(False, "Run", "delete without asking")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, say what goes, ask, delete; returns the exit code."""
    own, _ = parse("remove", RemoveArguments, argv=argv)
    from jaxreg.cache.store import Cache
    from jaxreg.usage import Usage, size_of

    usage = Usage(Cache(Path(own.cache)), Path(own.ckpts))
    what, paths = _find(usage, own.name)
    if not usage.runs:
        cli.say(f"no run in {own.ckpts} was trained on {own.cache}")
    cli.say(f"{what}: {len(paths)} files, {humanize.naturalsize(size_of(paths))}")
    whole = Path(os.path.commonpath([path.parent for path in paths]))
    folders = [whole.joinpath(*p.parent.relative_to(whole).parts[:2]) for p in paths]
    for folder in dict.fromkeys(folders):
        inside = [path for path, of in zip(paths, folders, strict=True) if of == folder]
        names = inside[0] if len(inside) == 1 else f"{folder}/ ({len(inside)} files)"
        cli.say(f"  {names}, {humanize.naturalsize(size_of(inside))}")
    if not own.yes:
        _ask(own.name)
    _delete(paths)
    cli.say(f"removed {what}")
    return 0


def _find(usage: "Usage", name: str) -> tuple[str, list[Path]]:
    """What a name means, in words, and the files that go, in the order in which they go."""
    from jaxreg.cache.datasets import dataset_names
    from jaxreg.training.replace_run import is_run, run_files
    from jaxreg.training.run_directory import run_path

    datasets, feature_sets = dataset_names(usage.cache), usage.cache.feature_sets()
    run, tables = run_path(name, usage.ckpts), usage.cache.root / "datasets"
    if Path(name).suffix == ".parquet" and Path(name).parent == tables:
        name = Path(name).stem  # of which no run is meant
        run = tables / name
    found = {
        f"the dataset {name}": name in datasets,
        f"the feature set {name}": name in feature_sets,
        f"the run {run}": is_run(run),
    }
    kinds = [text for text, there in found.items() if there]
    if len(kinds) > 1:
        raise InputError(
            f"{name} is {' and '.join(kinds)}",
            expected=f"the path of one of them: {run} or {tables / name}.parquet",
        )
    if not kinds:
        runs = [Path(path).name for path in usage.runs]
        near = nearest(name, [*datasets, *feature_sets, *runs])
        raise InputError(
            f"no dataset or feature set {name!r} in {usage.cache.root}, and no run {run}",
            expected="a name that jaxreg list datasets, list feature-sets or runs shows",
            remedy=f"jaxreg remove {near}" if near else "",
            instead=(name, near) if near else None,
        )
    if is_run(run):
        return kinds[0], run_files(run)
    if name in datasets:
        return kinds[0], usage.of_dataset(name)
    return kinds[0], usage.of_feature_set(name)


def _ask(name: str) -> None:
    """Go on only if the answer is yes."""
    if not sys.stdin.isatty():
        raise InputError("nothing was removed", remedy=f"jaxreg remove {name} --yes")
    print("Remove these files? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise InputError("nothing was removed", expected="y to remove the files")


def _delete(paths: Sequence[Path]) -> None:
    """Delete files in this order, and the folders that are empty then."""
    for path in counted("deleting", paths, "files"):
        remove(path)
    for folder in {path.parent for path in paths}:
        for inside, _, _ in os.walk(folder, topdown=False):
            if not os.listdir(inside):
                os.rmdir(inside)


if __name__ == "__main__":
    cli.run_command(main)
