"""`jaxreg extract`: run the network once over a source and keep its features."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import step
from jaxreg.config_io import command_line, split_off, words_given
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig, FeaturesPreset, RayOptions, SourceOptions
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    from jaxreg.cache.store import Cache
    from jaxreg.extraction.extract_source import Extraction


@dataclass(frozen=True)
class ExtractArguments:
    """Run a network (InceptionV3 by default) once over SOURCE and keep the pooled features.

    SOURCE: road[:N] (drawn, needs nothing), mnist, a .csv, .tsv, .xlsx or .parquet table, a glob
    of .parquet files, a .npz, a DonkeyCar tub, a Udacity driving_log.csv; a folder, a glob or one
    image. Tables, images, folders and globs may be at a URL: s3, gs, https, http, hf.

    Example: jaxreg extract photos/labels.csv --name photos --preset best
    """

    source: str = setting(tyro.MISSING, POSITIONAL, "where the images and the numbers are")
    preset: FeaturesPreset | None = setting(
        None,
        "Features",
        "best: layer mixed2 in grid:2x4 at 150x150 (docs/best-head.md); explore: ten columns",
    )
    name: str | None = setting(None, "Output", "name of the dataset; by default that of the source")
    cache: str = setting("cache", "Output", "folder or bucket (s3://…) of datasets and features")
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, extract, print; returns the exit code."""
    groups = [SourceOptions, ExtractConfig, RayOptions]
    own, settings = parse("extract", ExtractArguments, groups, argv)
    begin = time.perf_counter()
    with step("importing"):
        from jaxreg.api import extract_features

    importing = time.perf_counter() - begin
    options, ray = split_off(SourceOptions, settings), split_off(RayOptions, settings)
    with cli.stop_signal() as stop:
        done = extract_features(
            own.source,
            name=own.name,
            cache=own.cache,
            options=options,
            preset=own.preset,
            say=cli.say,
            should_stop=stop,
            ray=ray,
            **settings,
        )
    for part in ("start", "total"):  # the Python API cannot know it
        done.seconds[part] = round(done.seconds[part] + importing, 3)
    from jaxreg.cache.store import Cache

    cache = Cache(own.cache)
    _say_result(done, cache)
    if command := _train_command(done, own, cache):
        cli.say_next(command, quiet=own.json)
    if own.json:
        cli.print_json(done.to_json())
    return 0


def _train_command(done: "Extraction", own: ExtractArguments, cache: "Cache") -> str:
    """The command that trains on the dataset; empty if it is not written or has no numbers."""
    from jaxreg.experiment.first_training import first_training
    from jaxreg.train_config import PRESETS

    try:
        needed = first_training(cache, done.dataset)
    except InputError:
        return ""
    presets = ["preset"] if own.preset in PRESETS else []  # one with a head that goes with it
    words = [done.dataset, *words_given(own, "cache", *presets), *needed]
    return command_line("jaxreg train", words)


def _say_result(done: "Extraction", cache: "Cache") -> None:
    from jaxreg.cache.failed_list import failed_key

    seconds = done.seconds
    if done.engine is None:
        cli.say(
            f"wrote {done.computed} vectors ({done.reused} were there), in all "
            f"{seconds['total']:.1f} s"
        )
    elif done.computed:
        cli.say(
            f"computed {done.computed} images ({done.reused} were there), "
            f"{done.images_per_second:.1f} images/s: start {seconds['start']:.1f} s, reading "
            f"{seconds['read']:.1f} s over its threads, computing {seconds['compute']:.1f} s, "
            f"writing {seconds['write']:.1f} s, in all {seconds['total']:.1f} s"
        )
    else:
        cli.say(f"nothing to compute: all {done.reused} images were there")
    shown = cache.store.shown
    cli.say(f"features: {', '.join(done.columns)} in {shown(f'features/{done.feature_set}')}")
    if done.failed:
        cli.say(f"{done.failed} could not be used: {shown(failed_key(done.dataset))}")
    cli.say(f"dataset {done.dataset}: {done.change}")


if __name__ == "__main__":
    cli.run_command(main)
