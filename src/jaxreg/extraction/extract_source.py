"""One `extract`: a source and settings in, features and a dataset out."""

import glob
import itertools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from jaxreg.backbone.engine import choose_engine
from jaxreg.backbone.int8 import CALIBRATION_IMAGES, read_range, some
from jaxreg.backbone.registry import backbone_name
from jaxreg.cache.datasets import dataset_names, read_description
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.files import safe_name
from jaxreg.common.remote_file import RemoteFile, is_url
from jaxreg.common.steps import step
from jaxreg.errors import InputError, Stopped
from jaxreg.extract_config import ExtractConfig, Shard, SourceOptions
from jaxreg.extraction.dataset_writer import DatasetWriter, Extraction
from jaxreg.extraction.feature_set import (
    choose_columns,
    choose_feature_set,
    smallest_image,
)
from jaxreg.extraction.network_choice import NetworkChoice
from jaxreg.extraction.outcome import Outcome, Progress
from jaxreg.extraction.pipeline import extract
from jaxreg.extraction.reader import Sample
from jaxreg.extraction.shards import join_shares
from jaxreg.extraction.sliced_dataset import SlicedDatasetWriter
from jaxreg.extraction.task import Task
from jaxreg.sources.examples import Examples
from jaxreg.sources.sliced_examples import SlicedExamples
from jaxreg.sources.source_file import SourceFile

Say = Callable[[str], None]


class Compute(Protocol):
    """Computes the features that a task lacks, on this machine or on others."""

    def __call__(
        self,
        task: Task,
        network: NetworkChoice,
        say: Say,
        should_stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> Outcome: ...


def compute_here(
    task: Task,
    network: NetworkChoice,
    say: Say,
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """On this machine."""
    load = partial(network.load, task.cache, say)
    return extract(task, load, should_stop=should_stop, on_progress=on_progress)


@dataclass
class ExtractionJob:
    """One source, its settings, and the cache that gets its features."""

    examples: Examples | SlicedExamples
    opened: str  # what the user called the source
    name: str  # of the dataset
    cache: Cache
    options: SourceOptions
    settings: ExtractConfig
    say: Say
    compute: Compute = compute_here
    task: Task = field(init=False)  # once the feature set is chosen

    def __post_init__(self) -> None:
        self.shard = Shard.parse(self.settings.shard)
        self.columns = choose_columns(self.settings, self.say)

    def run(
        self, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
    ) -> Extraction:
        """Compute what is missing, and write the dataset. Raises as `jaxreg.extract_features`."""
        begin = time.perf_counter()
        settings = self.settings
        writer = self._writer()
        for note in self.examples.notes:
            self.say(f"note: {note}")
        backbone = backbone_name(settings.backbone)
        engine, _ = choose_engine(settings.engine, settings.precision, backbone)
        recipe, weights = choose_feature_set(settings, self.cache, self._calibration)
        prepared = time.perf_counter() - begin
        for column in self.columns:
            self.cache.check_dtype(recipe.feature_set, column, settings.dtype)
        self.cache.make_feature_set(recipe, weights.path)
        if recipe.random_seed is not None:
            self.say(f"weights: random, seed {recipe.random_seed}: trained on nothing")
        self.task = Task(
            self.examples.images,
            self.cache,
            recipe.feature_set,
            self.columns,
            dtype=settings.dtype,
            batch_size=settings.batch_size,
            smallest=smallest_image(recipe),
            limits=recipe.range,
            shard=self.shard,
            on_damage=lambda path: self.say(f"damaged, set aside and computed again: {path}"),
        )
        network = NetworkChoice(settings.engine, recipe, self.columns, weights)
        outcome = self.compute(self.task, network, self.say, should_stop, on_progress)
        outcome.seconds.start += prepared
        outcome.seconds.total += prepared
        if outcome.stopped:
            raise Stopped(
                f"stopped after {outcome.computed} images; their features are kept",
                remedy="run the same command again; it goes on from here",
            )
        for note in outcome.notes:
            self.say(f"note: {note}")
        writer.workers = outcome.workers
        if recipe.precision == "int8":
            self._warn_of_range(outcome)
        joined = outcome if self.shard.whole else join_shares(self.task, outcome)
        writer.feature_set, writer.columns = recipe.feature_set, self.columns
        with step("writing the dataset"):
            change = writer.write(joined, outcome)
        return self._extraction(outcome, outcome.engine or engine, change)

    def _writer(self) -> DatasetWriter | SlicedDatasetWriter:
        about = self.opened, self.options, self.settings
        if isinstance(self.examples, SlicedExamples):
            return SlicedDatasetWriter(self.cache, self.name, self.examples, *about)
        return DatasetWriter(self.cache, self.name, self.examples, *about, self.say)

    def _calibration(self, wanted: Recipe) -> Sample:
        if self.shard.index:
            raise InputError(
                f"--shard {self.shard} with --precision int8, and no network is calibrated yet",
                expected="one network for all shares: share 0 calibrates it",
                remedy=f"start --shard 0/{self.shard.count} first, and this share when that one "
                "computes",
            )
        count = min(CALIBRATION_IMAGES, len(self.examples))
        self.say(f"calibrating int8 on {count} of the images")
        smallest = smallest_image(wanted)
        return Sample(
            self.examples.images, CALIBRATION_IMAGES, smallest, self.settings.views, wanted.range
        )

    def _warn_of_range(self, outcome: Outcome) -> None:
        """Warn of images computed now that are unlike those that int8 was calibrated on."""
        limits = read_range(self.cache.store, self.cache.calibration_key(self.task.feature_set))
        if limits and outcome.computed:
            shown = some(outcome.computed_digests)
            jpegs = self.cache.read_thumbnails(shown, self.task.limits)
            if warning := limits.warning(jpegs.values()):
                self.say(f"warning: {warning}")

    def _extraction(self, outcome: Outcome, engine: str, change: str) -> Extraction:
        return Extraction.of(
            outcome,
            self.name,
            self.task.feature_set,
            self.columns,
            failed=self.examples.left_out + len(outcome.failed),
            shard=self.shard,
            engine=engine,
            precision=self.settings.precision,
            change=change,
        )


def checked_name(name: str) -> str:
    """The name itself. Raises InputError for one that no dataset can have."""
    if safe_name(name) != name:
        raise InputError(
            f"--name {name!r}",
            expected="at most 80 letters, digits, dots, dashes and underscores",
            remedy=f"--name {safe_name(name)}",
        )
    return name


def default_name(examples: Examples | SlicedExamples) -> str:
    """`road` for road:5000, the folder's or file's own name for the rest.

    For a glob such as `photos/*.jpg` it is the folder's name.
    """
    location = str(examples.description.get("location", examples.description["kind"]))
    if is_url(location):
        return _name_at(RemoteFile(location), str(examples.description["kind"]))
    path = Path(location)
    if path.name == "driving_log.csv":
        path = path.resolve().parent
    if path.is_dir() or not path.stem.strip("*"):
        path = path.resolve()
        return safe_name(path.name if path.is_dir() else path.parent.name)
    return safe_name(path.stem.split(":")[0])


def _name_at(file: RemoteFile, kind: str) -> str:
    """Of a table or an image its own name; of a folder, or where a glob looks, that of the folder.

    A bucket without a folder gives its own name.
    """
    while glob.has_magic(file.name):
        file, kind = file.parent, "directory"
    last = file.name or file.place.partition("/")[0]
    return safe_name(last if kind == "directory" else Path(last).stem)


def refuse_other_source(
    cache: Cache, name: str, examples: Examples | SlicedExamples, opened: str
) -> None:
    """Raise InputError if a dataset from another source has the name that this source gives.

    Files and folders of one name, and names that `safe_name` makes equal, would replace each other.
    """
    try:
        old = read_description(cache, name)
    except InputError:  # there is none, or it is damaged
        return
    if _origin(old.files, old.source) == _origin(examples.files, examples.description):
        return
    raise InputError(
        f"the cache has a dataset {name} from {old.opened}, and this source is {opened}",
        expected="--name with a new name, or with this name to replace the dataset",
        remedy=f"--name {_unused(cache, name)}",
    )


def _origin(files: Sequence[SourceFile], description: Mapping[str, Any]) -> set[str]:
    """What tells one source from another: its files, or its place; the kind of one without."""
    place = description.get("location")
    named = (
        description["kind"] if place is None else place if is_url(place) else os.path.abspath(place)
    )
    return {file.path for file in files} or {str(named)}


def _unused(cache: Cache, name: str) -> str:
    """The name with the first number that makes it new."""
    there = dataset_names(cache)
    numbered = (safe_name(f"{name[:70]}-{number}") for number in itertools.count(2))
    return next(one for one in numbered if one not in there)
