"""`jaxreg verify`: read the whole cache, and name the damage."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.files import TEMPORARY
from jaxreg.common.steps import BYTES, counted, step
from jaxreg.config_io import command_line, words_given
from jaxreg.errors import InputError
from jaxreg.setting_field import setting

DAMAGED = 6  # exit code
OLD = 3600  # seconds; no writer needs so long for one file


@dataclass(frozen=True)
class VerifyArguments:
    """Check every file of the cache, or of the RUNs that you name, against its SHA-256.

    Example: jaxreg verify --repair
    """

    runs: tuple[str, ...] = setting(
        (), POSITIONAL, "names or paths of runs to check in place of the cache"
    )
    ckpts: str = setting("ckpts", "Data", "folder of runs, for a RUN given by its name")
    cache: str = setting("cache", "Data", "folder or bucket (s3://…) of datasets and features")
    repair: bool = setting(
        False, "Data", "set damaged parts aside, and delete unfinished files older than an hour"
    )
    recompute: int = setting(
        0, "Data", "number of images per column whose features are computed again and compared"
    )
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, check, print; returns the exit code: 6 if there is damage that was not repaired."""
    arguments, _ = parse("verify", VerifyArguments, argv=argv)
    if arguments.runs:
        return _verify_runs(arguments)
    from jaxreg.cache.parts import set_aside
    from jaxreg.cache.store import Cache

    if arguments.recompute < 0:
        raise InputError(f"--recompute is {arguments.recompute}", expected="0 or more images")
    cache = Cache(arguments.cache)
    cache.check_there()
    store = cache.store = cache.store.fresh()  # what is in a bucket, not copies on this machine
    every = {entry.key: entry for entry in store.list("")}
    unfinished = {
        store.shown(key): (entry.mtime, partial(store.delete, key))
        for key, entry in every.items()
        if TEMPORARY.fullmatch(key.rpartition("/")[2])
    }
    _say_left_behind(unfinished, repair=arguments.repair)
    sound, damaged, wrong = check(cache, every)
    for key in damaged:
        aside = set_aside(store, key).rpartition("/")[2] if arguments.repair else ""
        cli.say(f"damaged: {store.shown(key)}{f', set aside as {aside}' if aside else ''}")
    for text in wrong:
        cli.say(text)
    with step("comparing the images with those of the calibration"):
        unlike = out_of_range(cache)
    for text in unlike:
        cli.say(f"warning: {text}")
    cli.say(f"{sound} parts are sound, {len(damaged)} damaged, {len(wrong)} other faults")
    result = {"sound": sound, "damaged": list(map(store.shown, damaged)), "wrong": wrong}
    result["warnings"] = unlike
    if arguments.recompute:
        result |= _recompute(cache, arguments.recompute, wrong)
    if damaged:
        cli.say(f"try: {_remedy(cache, damaged, arguments)}")
    if arguments.json:
        cli.print_json(result)
    return DAMAGED if wrong or (damaged and not arguments.repair) else 0


def _remedy(cache, damaged: Sequence[str], own: VerifyArguments) -> str:
    """The command that sets damaged parts aside, or computes again what was in the first of them.

    Nothing else is computed again.
    """
    from jaxreg.cache.datasets import dataset_names, read_dataset

    if not own.repair:
        return command_line("jaxreg verify", [*words_given(own, "cache"), "--repair"])
    for name in dataset_names(cache):
        with suppress(InputError):
            dataset = read_dataset(cache, name)
            for one in dataset.extracted:
                if any(key.startswith(f"features/{one.feature_set}/") for key in damaged):
                    return dataset.extract_command(one.feature_set)
    return "extract again, which computes only what is lost"


def _verify_runs(arguments: VerifyArguments) -> int:
    from jaxreg.training.checkpoint import Checkpoints
    from jaxreg.training.replace_run import delete_left_behind, left_behind, restore
    from jaxreg.training.run_directory import RunDirectory, run_path

    wrong = []
    for name in counted("checking", arguments.runs, "runs"):
        directory = RunDirectory(run_path(name, Path(arguments.ckpts)))
        if arguments.repair:
            restore(directory.path)
        if not directory.exists:
            raise directory.missing()
        try:
            found = {
                str(path): (_last_write(path), partial(delete_left_behind, path))
                for path in left_behind(directory.path)
            }
            _say_left_behind(found, repair=arguments.repair)
            wrong += directory.faults()
            if directory.read_summary() is None:
                what = "only config.json and its checkpoints are checked"
                cli.say(f"note: {directory.path} is not finished: {what}")
        except InputError as error:
            wrong.append(str(error))
        damaged = Checkpoints(directory.checkpoints, {}).damaged()
        wrong += [f"{path} is damaged" for path in damaged]
    for text in wrong:
        cli.say(text)
    cli.say(f"{len(arguments.runs)} runs, {len(wrong)} faults")
    if arguments.json:
        cli.print_json({"wrong": wrong})
    return DAMAGED if wrong else 0


def _say_left_behind(
    found: Mapping[str, tuple[float, Callable[[], object]]], *, repair: bool
) -> None:
    """Name what killed writers left, and delete what is old with `repair`.

    Args:
        found: by path the time of the last write, and what deletes it.
        repair: whether to delete.
    """
    if not found:
        return
    cli.say(f"note: {len(found)} unfinished files of writers that were killed, first {min(found)}")
    if repair:
        old = [delete for written, delete in found.values() if time.time() - written > OLD]
        for delete in old:
            delete()
        cli.say(f"{len(old)} of them are deleted")


def _last_write(path: Path) -> float:
    return max(one.lstat().st_mtime for one in (path, *path.rglob("*")))


def _recompute(cache, count: int, wrong: list[str]) -> dict[str, object]:
    """Compare a sample with features computed now; add a sentence to `wrong` for each fault."""
    from jaxreg.extraction.recompute import recompute

    done = recompute(cache, count, cli.say)
    for text in done.wrong:
        cli.say(text)
    for text in done.skipped:
        cli.say(f"not recomputed: {text}")
    cli.say(f"recomputed {done.images} features: {len(done.wrong)} differ")
    if done.wrong:
        cli.say("try: move that column's folder away and extract again")
    wrong += done.wrong
    return {"recomputed": done.images, "not_recomputed": list(done.skipped)}


def check(cache, every) -> tuple[int, list[str], list[str]]:
    """The number of sound parts, the keys of damaged ones, and a sentence for each other fault.

    Args:
        cache: the cache.
        every: its `Store.list("")` by key.
    """
    from jaxreg.cache.datasets import dataset_names, read_dataset
    from jaxreg.cache.failed_list import check_failed
    from jaxreg.cache.object_store import read_json_at
    from jaxreg.cache.parts import DamagedPart, digests_of, is_part

    store = cache.store
    sound, damaged, wrong = 0, [], []
    there: dict[str, set[str]] = {}  # the digests of each folder
    parts = [key for key in every if is_part(key)]
    sizes = list(itertools.accumulate(every[key].size for key in parts))
    with step("checking", sizes[-1] if parts else 0, BYTES) as one:
        for number, (key, content) in enumerate(store.read_ahead(parts)):
            try:
                folder = there.setdefault(key.rpartition("/")[0], set())
                folder.update(digests_of(store, key, content))
                sound += 1
            except DamagedPart:
                damaged.append(key)
            except FileNotFoundError:
                continue  # an extraction has just set it aside
            except InputError as error:
                wrong.append(str(error))
            one.reach(sizes[number], f"{number + 1}/{len(parts)} files")
    names = cache.feature_sets()
    holders = {PurePosixPath(key).parts[:2] for key in parts if key.startswith("features/")}
    wrong += [
        f"{store.shown('/'.join(holder))} has parts and no feature_set.json; try: extract again, "
        "which writes this file"
        for holder in sorted(holders)
        if holder[1] not in names
    ]
    checks: list[tuple[Callable[[Any], object], Any]] = [
        (lambda feature_set: cache.quantized_model(cache.recipe(feature_set)), name)
        for name in names
    ]
    lost = "delete it: only the warning of images unlike the calibration is lost"
    checks += [
        (lambda key: read_json_at(store, key, {}, expected="", again=lost), key)
        for key in every
        if key.startswith("features/") and key.endswith("/calibration.json")
    ]

    def check_dataset(name: str) -> None:
        dataset = read_dataset(cache, name)
        check_failed(cache, dataset)
        for one in () if damaged else dataset.needed:
            digests = dataset.table[one.digest_column].drop_null().to_pylist()
            for column in one.columns:
                has = there.get(cache.folder(one.feature_set, column), set())
                if lacking := sum(digest not in has for digest in digests):
                    raise InputError(
                        f"{lacking} of {len(dataset)} rows of {name} have no {column.name} "
                        f"features in {one.feature_set}",
                        remedy=dataset.extract_command(one.feature_set),
                    )

    checks += [(check_dataset, name) for name in dataset_names(cache)]
    for read, name in counted("checking the datasets", checks, "files"):
        try:
            read(name)
        except InputError as error:
            wrong.append(str(error))
    return sound, damaged, wrong


def out_of_range(cache) -> list[str]:
    """For each int8 feature set a sentence if images in it are unlike those of its calibration."""
    from jaxreg.backbone.int8 import VERIFIED, read_range, some

    found = []
    for feature_set in cache.feature_sets():
        if limits := read_range(cache.store, cache.calibration_key(feature_set)):
            digests = set().union(
                *(cache.digests(feature_set, c) for c in cache.columns(feature_set))
            )
            some_digests = some(sorted(digests), VERIFIED)
            jpegs = cache.read_thumbnails(some_digests, cache.recipe(feature_set).range)
            if warning := limits.warning(jpegs.values()):
                found.append(f"{feature_set}: {warning}")
    return found


if __name__ == "__main__":
    cli.run_command(main)
