"""The Python API: extract features, train a head, load a run."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg.cache.datasets import dataset_names, read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.files import safe_name
from jaxreg.config_io import from_json, preset_settings, to_json
from jaxreg.errors import InputError
from jaxreg.extract_config import FEATURES_PRESETS, ExtractConfig, FeaturesPreset, SourceOptions
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples
from jaxreg.train_config import Preset, TrainConfig

if TYPE_CHECKING:
    from jaxreg.extraction.extract_source import Extraction
    from jaxreg.extraction.pipeline import Progress
    from jaxreg.trained_run import Run
    from jaxreg.training.run_directory import Row

StrPath = str | os.PathLike[str]
Say = Callable[[str], None]


def _silent(_: object) -> None:
    pass


def _never() -> bool:
    return False


def extract_features(
    source: StrPath | Examples,
    *,
    name: str | None = None,
    cache: StrPath = "cache",
    options: SourceOptions | None = None,
    say: Say = _silent,
    on_progress: "Callable[[Progress], None]" = _silent,
    should_stop: Callable[[], bool] = _never,
    preset: FeaturesPreset | None = None,
    **settings: Any,
) -> "Extraction":
    """Compute the features of a source that the cache lacks, and write its dataset.

    Args:
        source: what `jaxreg extract` takes, or examples made in Python.
        name: of the dataset; by default made from the source.
        cache: the folder of datasets and features.
        options: what a source may need to be told (columns, steering correction).
        say: gets each line meant for people.
        on_progress: called after every batch.
        should_stop: asked after every image.
        preset: a key of `jaxreg.extract_config.FEATURES_PRESETS`, for settings that are not given.
        settings: fields of `jaxreg.extract_config.ExtractConfig`.

    Raises:
        InputError: the source, a setting, the cache or the weights file is wrong.
        UnavailableError: the imagenet weights cannot be had.
        TooManyFailed: a greater share than `max_failed` failed; what was good is written.
        Stopped: `should_stop` said so; features are kept, the dataset is as it was.
    """
    from jaxreg.extraction.extract_source import ExtractionJob, default_name

    if preset not in (None, *FEATURES_PRESETS):
        raise InputError(f"no preset {preset!r}", expected=" or ".join(FEATURES_PRESETS))
    chosen = from_json(ExtractConfig, {**FEATURES_PRESETS.get(preset or "", {}), **settings})
    options = options or SourceOptions()
    examples = source if isinstance(source, Examples) else open_source(source, options)
    if not examples.ids:
        raise InputError(f"no images in {source}", expected="at least one")
    opened = examples.description["kind"] if isinstance(source, Examples) else str(source)
    work = ExtractionJob(
        examples,
        opened,
        safe_name(name) if name else default_name(examples),
        Cache(Path(cache)),
        options,
        chosen,
        say,
    )
    return work.run(on_progress, should_stop)


def train_head(
    name: str | None = None,
    *,
    cache: StrPath = "cache",
    run: StrPath | None = None,
    ckpts: StrPath = "ckpts",
    resume: bool = False,
    overwrite: bool = False,
    preset: Preset | None = None,
    say: Say = _silent,
    on_epoch: "Callable[[Row], None]" = _silent,
    should_stop: Callable[[], bool] = _never,
    **settings: Any,
) -> "Run":
    """Train a head on the cached features of a dataset, and write its run.

    Args:
        name: of the dataset; not needed if the cache has only one.
        cache: the folder of datasets and features.
        run: a name in `ckpts` or a path; by default the next `<dataset>-<number>`.
        ckpts: the folder of runs.
        resume: go on where a run of these settings was stopped or killed.
        overwrite: replace a run of that name.
        preset: a key of `jaxreg.train_config.PRESETS`, for settings that are not given.
        say: gets each line meant for people.
        on_epoch: gets each line of history.csv.
        should_stop: asked about twice a second.
        settings: fields of `jaxreg.train_config.TrainConfig`; with `resume` the run's own.

    Raises:
        InputError: the dataset, a setting, the cache or the run is wrong.
        Stopped: `should_stop` said so; `resume` goes on from there.

    A loss that is not finite ends the training; the run is written all the same, and its verdict
    has the finding `non-finite`.
    """
    begin = time.perf_counter()
    from jaxreg.runner import execute
    from jaxreg.training.run_directory import RunDirectory, new_run, run_path

    settings = {**preset_settings(preset), **settings}
    store = Cache(Path(cache))
    if resume and run is None:
        raise InputError("--resume without --run", remedy="--run with the run's name or path")
    place = None if run is None else run_path(Path(run), Path(ckpts))
    there = RunDirectory(place) if place is not None else None
    goes_on = resume and there is not None and there.exists
    if goes_on and there is not None:
        name = name or there.read_config()["dataset"]
        settings = {**to_json(there.settings()), **settings}
    elif resume:
        say(f"nothing to resume in {place}: a new run")
    chosen = from_json(TrainConfig, settings)
    dataset = read_dataset(store, name or _only_dataset(store))
    directory = there or RunDirectory(new_run(dataset.name, Path(ckpts)))
    execute(
        directory,
        store,
        dataset,
        chosen,
        resume=goes_on,
        overwrite=overwrite,
        say=say,
        on_epoch=on_epoch,
        should_stop=should_stop,
        begin=begin,
    )
    return load_run(directory.path)


def load_run(path: StrPath) -> "Run":
    """Load a finished run: `.summary`, `.predict(images or paths)`, `.predict_features(array)`.

    Raises:
        InputError: no such run, not finished, damaged, or of another format.
    """
    from jaxreg import trained_run

    return trained_run.load_run(Path(path))


def _only_dataset(cache: Cache) -> str:
    names = dataset_names(cache)
    if len(names) == 1:
        return names[0]
    listed = "".join(f"\n    {name}: {len(read_dataset(cache, name))} rows" for name in names)
    raise InputError(
        f"which dataset of {cache.root}?" + listed if names else f"no dataset in {cache.root}",
        expected="its name as the first word",
        remedy=f"jaxreg train {names[0]}" if names else "jaxreg extract SOURCE",
    )
