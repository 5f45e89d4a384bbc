"""The Python API: extract features, train a head, load a run."""

import dataclasses
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg import config
from jaxreg.config import ExtractConfig, SourceOptions, TrainConfig
from jaxreg.errors import InputError, Stopped, TooManyFailed
from jaxreg.features.cache import Cache
from jaxreg.features.datasets import (
    Dataset,
    dataset_names,
    make_dataset,
    read_dataset,
    write_dataset,
    write_failed,
)
from jaxreg.features.extraction import Outcome, Progress, extract
from jaxreg.features.reading import Sample
from jaxreg.features.recipe import Column, Recipe
from jaxreg.files import safe_name
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples

if TYPE_CHECKING:
    from jaxreg.runs.directory import Row
    from jaxreg.runs.run import Run

StrPath = str | os.PathLike[str]
Say = Callable[[str], None]


def _silent(_: object) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True)
class Extraction:
    """What `extract_features` did; all but `change` is what `extract --json` prints."""

    dataset: str
    space: str
    columns: tuple[str, ...]
    images: int  # examples in the dataset
    computed: int  # distinct images computed now
    reused: int  # distinct images whose features were there
    failed: int  # examples that could not be used, listed in <dataset>.failed.csv
    engine: str
    precision: str
    images_per_second: float | None  # None when nothing was computed
    seconds: dict[str, float]  # start, read (sum over threads), compute, write, total
    change: str  # what became of the dataset, for people

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        del fields["change"]
        return fields


def extract_features(
    source: StrPath | Examples,
    *,
    name: str | None = None,
    cache: StrPath = "cache",
    options: SourceOptions | None = None,
    download_limit: float | None = None,
    say: Say = _silent,
    on_progress: Callable[[Progress], None] = _silent,
    should_stop: Callable[[], bool] = _never,
    **settings: Any,
) -> Extraction:
    """Compute the features of a source that the cache lacks, and write its dataset.

    Args:
        source: what `python -m jaxreg.extract` takes, or examples made in Python.
        name: of the dataset; by default made from the source.
        cache: the folder of datasets and features.
        options: what a source may need to be told (columns, steering correction).
        download_limit: seconds that a download of the imagenet weights may take in all.
        say: gets each line meant for people.
        on_progress: called after every batch.
        should_stop: asked after every image.
        settings: fields of `jaxreg.config.ExtractConfig`.

    Raises:
        InputError: the source, a setting, the cache or the weights file is wrong.
        UnavailableError: the imagenet weights cannot be had.
        TooManyFailed: a greater share than `max_failed` failed; what was good is written.
        Stopped: `should_stop` said so; features are kept, the dataset is as it was.
    """
    from jaxreg.features.backbone import (
        CALIBRATION_IMAGES,
        check_taps,
        choose_engine,
        load_engine,
    )
    from jaxreg.features.space import choose_space, fetch_weights, smallest_image

    chosen = config.from_json(ExtractConfig, settings)
    options = options or SourceOptions()
    examples = source if isinstance(source, Examples) else open_source(source, options)
    if not examples.ids:
        raise InputError(f"no images in {source}", expected="at least one")
    name = safe_name(name or _default_name(examples))
    store = Cache(Path(cache))
    columns = tuple(Column(tap=tap, pool=chosen.pool) for tap in chosen.taps)
    begin = time.perf_counter()

    def calibration(wanted: Recipe) -> Sample:
        say(f"calibrating int8 on {min(CALIBRATION_IMAGES, len(examples))} of the images")
        return Sample(examples.images, CALIBRATION_IMAGES, smallest_image(wanted))

    check_taps(Recipe.backbone, chosen.taps)  # here already: calibrating takes a minute
    engine, _ = choose_engine(chosen.engine, chosen.precision)
    recipe, weights = choose_space(chosen, store, download_limit, calibration)
    prepared = time.perf_counter() - begin
    for column in columns:
        store.check_dtype(recipe.space, column, chosen.store)
    store.make_space(recipe, weights.path)
    if recipe.random_seed is not None:
        say(f"weights: random, seed {recipe.random_seed}: trained on nothing")

    outcome = extract(
        examples.images,
        store,
        recipe.space,
        columns,
        lambda: load_engine(
            chosen.engine,
            recipe,
            columns,
            fetch_weights(weights, download_limit),
            quantized=store.quantized_model(recipe),
            say=say,
        ),
        store=chosen.store,
        batch=chosen.batch,
        smallest=smallest_image(recipe),
        should_stop=should_stop,
        on_damage=lambda path: say(f"damaged, set aside and computed again: {path}"),
        on_progress=on_progress,
    )
    outcome.seconds.start += prepared
    outcome.seconds.total += prepared
    if outcome.stopped:
        raise Stopped(
            f"stopped after {outcome.computed} images; their features are kept",
            remedy="the same command goes on from here",
        )
    words = [
        examples.description["kind"] if isinstance(source, Examples) else source,
        "--name",
        name,
    ]
    dataset = make_dataset(
        name,
        examples,
        outcome.digests,
        space=recipe.space,
        columns=columns,
        extract_command=config.command_line(
            "jaxreg.extract", [*words, "--cache", cache], options, chosen
        ),
    )
    failed = [*examples.unusable, *((examples.ids[row], why) for row, why in outcome.failed)]
    listed = write_failed(store, name, failed)
    change = write_dataset(store, dataset) if len(dataset) else "not written, no image is usable"
    if len(failed) > chosen.max_failed * (len(examples) + len(examples.unusable)):
        raise _too_many_failed(failed, chosen, listed, change)
    return _extraction(dataset, recipe, outcome, len(failed), engine, change)


def train_head(
    name: str | None = None,
    *,
    cache: StrPath = "cache",
    run: StrPath | None = None,
    ckpts: StrPath = "ckpts",
    resume: bool = False,
    overwrite: bool = False,
    preset: config.Preset | None = None,
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
        preset: a key of `jaxreg.config.PRESETS`, for settings that are not given.
        say: gets each line meant for people.
        on_epoch: gets each line of history.csv.
        should_stop: asked about twice a second.
        settings: fields of `jaxreg.config.TrainConfig`; with `resume`, the run's own by default.

    Raises:
        InputError: the dataset, a setting, the cache or the run is wrong.
        Stopped: `should_stop` said so; `resume` goes on from there.

    A loss that is not finite ends the training; the run is written all the same, and its verdict
    has the finding `non-finite`.
    """
    begin = time.perf_counter()
    from jaxreg.runs.directory import RunDirectory, new_run, run_path
    from jaxreg.runs.execution import execute

    settings = {**config.preset_settings(preset), **settings}
    store = Cache(Path(cache))
    if resume and run is None:
        raise InputError("--resume without --run", remedy="--run with the run's name or path")
    place = None if run is None else run_path(Path(run), Path(ckpts))
    there = RunDirectory(place) if place is not None else None
    goes_on = resume and there is not None and there.exists
    if goes_on and there is not None:
        name = name or there.read_config()["dataset"]
        settings = {**config.to_json(there.settings()), **settings}
    elif resume:
        say(f"nothing to resume in {place}: a new run")
    chosen = config.from_json(TrainConfig, settings)
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
    from jaxreg.runs import run

    return run.load_run(Path(path))


def _default_name(examples: Examples) -> str:
    """`road` for road:5000, the folder's or file's own name for the rest."""
    location = str(examples.description.get("location", examples.description["kind"]))
    path = Path(location)
    if path.name == "driving_log.csv":
        path = path.resolve().parent
    if path.is_dir():
        return path.resolve().name
    return path.stem.split(":")[0]


def _only_dataset(cache: Cache) -> str:
    names = dataset_names(cache)
    if len(names) == 1:
        return names[0]
    listed = "".join(f"\n    {name}: {len(read_dataset(cache, name))} rows" for name in names)
    raise InputError(
        f"which dataset of {cache.root}?" + listed if names else f"no dataset in {cache.root}",
        expected="its name as the first word",
        remedy=f"python -m jaxreg.train {names[0]}" if names else "python -m jaxreg.extract SOURCE",
    )


def _too_many_failed(
    failed: list[tuple[str, str]], chosen: ExtractConfig, listed: Path | None, change: str
) -> TooManyFailed:
    first = "; ".join(f"{name}: {reason}" for name, reason in failed[:3])
    more = "; …" if len(failed) > 3 else ""
    return TooManyFailed(
        f"{len(failed)} images could not be used ({first}{more})",
        expected=f"at most a share of {chosen.max_failed} (--max-failed)",
        remedy=f"see {listed}; the dataset with what was good: {change}",
    )


def _extraction(
    dataset: Dataset, recipe: Recipe, outcome: Outcome, failed: int, engine: str, change: str
) -> Extraction:
    seconds = outcome.seconds
    working = seconds.total - seconds.start
    return Extraction(
        dataset=dataset.name,
        space=recipe.space,
        columns=tuple(column.name for column in dataset.columns),
        images=len(dataset),
        computed=outcome.computed,
        reused=outcome.reused,
        failed=failed,
        engine=engine,
        precision=recipe.precision,
        images_per_second=round(outcome.computed / working, 2) if outcome.computed else None,
        seconds={part: round(value, 3) for part, value in vars(seconds).items()},
        change=change,
    )
