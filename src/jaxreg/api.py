"""The Python API: extract features, train a head, load a run."""

import os
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from jaxreg.backbone.registry import given_network
from jaxreg.cache.datasets import dataset_names, read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.remote_file import shown
from jaxreg.common.steps import step
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.extract_config import (
    FEATURES_PRESETS,
    ExtractConfig,
    FeaturesPreset,
    RayOptions,
    SourceOptions,
    refuse_beside_embeddings,
)
from jaxreg.keywords import ExtractKeywords, Names, TrainKeywords
from jaxreg.merge_settings import check_preset, merge, preset_settings, read_settings
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples
from jaxreg.sources.vectors import open_vectors
from jaxreg.train_config import Preset

if TYPE_CHECKING:
    from jaxreg.experiment.loaded_features import LoadedFeatures
    from jaxreg.extraction.extract_source import Extraction
    from jaxreg.extraction.pipeline import Progress
    from jaxreg.trained_run import TrainedRun
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
    preset: FeaturesPreset | None = None,
    say: Say = _silent,
    on_progress: "Callable[[Progress], None]" = _silent,
    should_stop: Callable[[], bool] = _never,
    ray: str | RayOptions | None = None,
    **settings: Unpack[ExtractKeywords],
) -> "Extraction":
    """Compute the features of a source that the cache lacks, and write its dataset.

    Args:
        source: as for `jaxreg extract`, or examples made in Python.
        name: of the dataset; by default made from the source.
        cache: the folder or the bucket (a URL) of datasets and features.
        options: which columns a table has, steering correction.
        preset: a key of `jaxreg.extract_config.FEATURES_PRESETS`.
        say: gets each line meant for people.
        on_progress: called after every batch.
        should_stop: asked after every image.
        ray: `local` or the address of a Ray cluster, which then computes; or with its workers as
            `RayOptions("local", ray_workers=4)`.
        settings: fields of `jaxreg.extract_config.ExtractConfig`; they win over the preset.

    Raises:
        InputError: the source, a setting, the cache, the weights or the vectors are wrong.
        UnavailableError: the imagenet weights cannot be had.
        TooManyFailed: a greater share than `max_failed` failed; what was good is written.
        Stopped: `should_stop` said so; features are kept, the dataset is as it was.
    """
    from jaxreg.extraction.explore import cost_text, features_preset
    from jaxreg.extraction.extract_embeddings import EmbeddingsJob
    from jaxreg.extraction.extract_source import (
        ExtractionJob,
        checked_name,
        default_name,
        refuse_other_source,
    )

    if preset is not None:
        check_preset(preset, FEATURES_PRESETS)
    asked = merge(preset=features_preset(preset, settings), given=settings)
    chosen = from_json(ExtractConfig, asked)
    if given_network(chosen.backbone) and "weights" in settings:
        raise InputError(
            f"--weights with --backbone {chosen.backbone}, which holds its own",
            remedy="leave out --weights",
        )
    machines = ray if isinstance(ray, RayOptions) else RayOptions(ray)
    machines.refuse_beside(chosen)
    if machines.ray is not None:
        from jaxreg.cluster.session import require_ray

        require_ray()  # before the weights are fetched
    options = options or SourceOptions()
    vectors = None
    if chosen.embeddings is not None:
        refuse_beside_embeddings([*(["preset"] if preset else []), *settings])
        vectors = open_vectors(chosen.embeddings, options.id_column)
    examples = source
    if not isinstance(examples, Examples):
        ranged, images = chosen.range is not None, vectors is None
        examples = open_source(examples, options, ranged=ranged, images=images, in_slices=True)
    if not len(examples):
        raise InputError(f"no images in {shown(str(source))}", expected="at least one")
    opened = examples.description["kind"] if isinstance(source, Examples) else shown(str(source))
    dataset = default_name(examples) if name is None else checked_name(name)
    store = Cache(cache)
    if name is None:
        refuse_other_source(store, dataset, examples, opened)
    if vectors is not None:
        assert isinstance(examples, Examples)  # rows without images come whole
        given = EmbeddingsJob(examples, vectors, opened, dataset, store, options, chosen, say)
        return given.run(on_progress, should_stop)
    work = ExtractionJob(examples, opened, dataset, store, options, chosen, say)
    if machines.ray is not None:
        from jaxreg.cluster.driver import compute_on_ray

        work.compute = partial(compute_on_ray, machines)
    if preset == "explore":
        say(cost_text(work.columns, chosen))
    return work.run(on_progress, should_stop)


def train_head(
    name: str | None = None,
    *,
    cache: StrPath | None = None,
    run: StrPath | None = None,
    ckpts: StrPath = "ckpts",
    resume: bool = False,
    overwrite: bool = False,
    preset: Preset | None = None,
    config: StrPath | None = None,
    say: Say = _silent,
    on_epoch: "Callable[[Row], None]" = _silent,
    should_stop: Callable[[], bool] = _never,
    **settings: Unpack[TrainKeywords],
) -> "TrainedRun":
    """Train a head on the cached features of a dataset, and write its run.

    Args:
        name: of the dataset; not needed if the cache has only one.
        cache: the folder or the bucket (a URL) of datasets and features; by default `cache`,
            with `resume` the run's.
        run: a name in `ckpts` or a path; by default the next `<dataset>-<number>`.
        ckpts: the folder of runs.
        resume: go on where a run of these settings was stopped or killed.
        overwrite: replace a run of that name.
        preset: a key of `jaxreg.train_config.PRESETS`.
        config: a JSON file of settings, such as the config.json of a run.
        say: gets each line meant for people.
        on_epoch: gets each line of history.csv.
        should_stop: asked about twice a second.
        settings: fields of `jaxreg.train_config.TrainConfig`. They win over `config`, which wins
            over `preset`. With `resume` the run's own settings take the place of the defaults.

    Raises:
        InputError: the dataset, a setting, the cache or the run is wrong.
        Stopped: `should_stop` said so; `resume` goes on from there.

    A loss that is not finite ends the training; the run is written all the same, and its verdict
    has the finding `non-finite`.
    """
    begin = time.perf_counter()
    with step("importing"):
        from jaxreg.experiment.resolve import resolve
        from jaxreg.runner import execute
        from jaxreg.training.replace_run import restore
        from jaxreg.training.run_directory import RunDirectory, new_run, run_path
        from jaxreg.training.sweep_files import refuse_sweep

    asked = merge(
        preset=preset_settings(preset),
        file=None if config is None else read_settings(Path(config)),
        given=settings,
    )
    if resume and run is None:
        raise InputError(
            "--resume without --run", remedy="add --run with the name or path of the run"
        )
    there = None if run is None else RunDirectory(run_path(run, Path(ckpts)))
    if there is not None:
        restore(there.path)
    resumed: Mapping[str, Any] | None = None
    if resume and there is not None:
        refuse_sweep(there.path)
    if resume and there is not None and there.exists:
        resumed = there.read_config()
        name = resumed["dataset"] if name is None else name
        cache = there.cache() if cache is None else cache
    elif resume and there is not None:
        say(f"nothing to resume in {there.path}; a new run begins")
    store = Cache("cache" if cache is None else cache)
    dataset = read_dataset(store, only_dataset(store) if name is None else name)
    resolved = resolve(store, dataset, asked, resumed)
    directory = there or RunDirectory(new_run(dataset.name, Path(ckpts)))
    execute(
        directory,
        resolved,
        resume=resumed is not None,
        overwrite=overwrite,
        say=say,
        on_epoch=on_epoch,
        should_stop=should_stop,
        begin=begin,
    )
    return load_run(directory.path)


def load_features(
    name: str | None = None,
    *,
    cache: StrPath = "cache",
    target: Names = (),
    feature_set: str | None = None,
    layers: Names = (),
    pool: str | None = None,
    columns: Names = (),
    group: str | None = None,
) -> "LoadedFeatures":
    """The cached features of a dataset as arrays: `X, y, ids, groups = load_features("photos")`.

    Args:
        name: of the dataset; not needed if the cache has only one.
        cache: the folder or the bucket (a URL) of datasets and features.
        target: columns of the dataset; by default those that `train_head` takes.
        feature_set, layers, pool, columns: as for `train_head`.
        group: a column whose equal values are one group. By default the groups are the blocks of
            `--split blocks` where rows follow each other in time, else the groups of the source.

    Returns:
        X (rows, features) float32 or float16. y float64 in target units, (rows,) or with several
        targets (rows, targets); NaN where the source has no number; None if it has no numbers at
        all. ids (rows,) text. groups (rows,) int64, as scikit-learn's GroupKFold takes them, or
        None.

    Raises:
        InputError: no such dataset, column or feature set; a damaged part.
    """
    from jaxreg.experiment.loaded_features import load_arrays
    from jaxreg.train_config import TrainConfig

    store = Cache(cache)
    dataset = read_dataset(store, only_dataset(store) if name is None else name)
    asked = {"target": target, "feature_set": feature_set, "layers": layers, "pool": pool}
    config = from_json(TrainConfig, {**asked, "columns": columns})
    return load_arrays(store, dataset, config, group)


def load_run(path: StrPath) -> "TrainedRun":
    """Load a finished run: `.summary`, `.predict(images or paths)`, `.predict_features(array)`.

    Args:
        path: the directory of the run, or its bundle (`jaxreg bundle`), a name that ends in .zip.
            A bundle keeps the features of new images in the folder `cache`, unless `predict` is
            told another.

    Raises:
        InputError: no such run, not finished, damaged, or of another format.
    """
    with step("loading the run"):
        from jaxreg import run_loading

        return run_loading.load_run(Path(path))


def only_dataset(cache: Cache) -> str:
    """The name of the only dataset. Raises InputError if there are several, or none."""
    names = dataset_names(cache)
    if len(names) == 1:
        return names[0]
    listed = "".join(f"\n    {name}: {_rows_of(cache, name)}" for name in names)
    raise InputError(
        f"which dataset of {cache.root}?" + listed if names else f"no dataset in {cache.root}",
        expected="its name as the first word",
        remedy=f"use the dataset {names[0]}" if names else "jaxreg extract SOURCE",
        instead=("", names[0]) if names else None,
    )


def _rows_of(cache: Cache, name: str) -> str:
    try:
        return f"{len(read_dataset(cache, name))} rows"
    except InputError:
        return "damaged"
