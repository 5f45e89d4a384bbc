"""`jaxreg extract`: run the network once over a source and keep its features."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from jaxreg import cli
from jaxreg.config_io import fields_of
from jaxreg.extract_config import FEATURES_PRESETS, ExtractConfig, FeaturesPreset, SourceOptions

if TYPE_CHECKING:
    from jaxreg.extraction.extract_source import Extraction


@dataclass(frozen=True)
class ExtractArguments(ExtractConfig, SourceOptions):
    """Run InceptionV3 once over SOURCE and keep the pooled features in the cache.

    SOURCE: road[:N] (drawn, needs nothing), mnist, a .csv or .parquet table, a .npz, a DonkeyCar
    tub, a Udacity driving_log.csv; a folder, a glob or one image.
    Example: jaxreg extract tub/ --name track --weights imagenet
    """

    source: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    preset: FeaturesPreset | None = None  # best: mixed2 in grid:2x4 at 150x150 (docs/best-head.md)
    name: str | None = None  # of the dataset; by default the source's own
    cache: str = "cache"  # folder of datasets and features
    json: tyro.conf.FlagCreatePairsOff[bool] = False  # print one JSON object at the end


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, extract, print; returns the exit code."""
    arguments = cli.parse(ExtractArguments, "extract", argv, _defaults)
    begin = time.perf_counter()
    from jaxreg.api import extract_features

    importing = time.perf_counter() - begin
    with cli.LiveLine() as line, cli.stop_signal() as stop:
        done = extract_features(
            arguments.source,
            name=arguments.name,
            cache=arguments.cache,
            options=SourceOptions(**fields_of(SourceOptions, arguments)),
            say=cli.say,
            on_progress=lambda progress: line.show(cli.progress_text(progress), every=5),
            should_stop=stop,
            **fields_of(ExtractConfig, arguments),
        )
    for part in ("start", "total"):  # what Python's API cannot know
        done.seconds[part] = round(done.seconds[part] + importing, 3)
    _tell(done, arguments.cache)
    if arguments.json:
        cli.print_json(done.to_json())
    return 0


def _defaults(argv: Sequence[str]) -> ExtractArguments:
    """What an option left out means: `--preset`'s value."""
    preset = FEATURES_PRESETS.get(cli.value_of(argv, "--preset") or "", {})
    return ExtractArguments(**preset)


def _tell(done: "Extraction", cache: str) -> None:
    where = f"{', '.join(done.columns)} in {cache}/features/{done.feature_set}"
    seconds = done.seconds
    if done.computed:
        cli.say(
            f"computed {done.computed} images ({done.reused} were there), "
            f"{done.images_per_second:.1f} images/s: start {seconds['start']:.1f} s, reading "
            f"{seconds['read']:.1f} s over its threads, computing {seconds['compute']:.1f} s, "
            f"writing {seconds['write']:.1f} s, in all {seconds['total']:.1f} s"
        )
    else:
        cli.say(f"nothing to compute: all {done.reused} images were there")
    cli.say(f"features: {where}")
    if done.failed:
        cli.say(f"{done.failed} could not be used: {cache}/datasets/{done.dataset}.failed.csv")
    cli.say(f"dataset {done.dataset}: {done.change}")


if __name__ == "__main__":
    cli.run_command(main)
