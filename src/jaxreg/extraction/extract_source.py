"""One extraction as a user means it: source and settings in, features and a dataset out."""

import dataclasses
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxreg import config_io
from jaxreg.backbone.engine import choose_engine, load_engine
from jaxreg.backbone.int8 import CALIBRATION_IMAGES, read_range, some
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.datasets import make_dataset, write_dataset, write_failed
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.files import safe_name
from jaxreg.errors import InputError, Stopped, TooManyFailed
from jaxreg.extract_config import ExtractConfig, Shard, SourceOptions
from jaxreg.extraction.feature_set import (
    choose_columns,
    choose_feature_set,
    fetch_weights,
    smallest_image,
)
from jaxreg.extraction.pipeline import Outcome, Progress, extract
from jaxreg.extraction.reader import Sample
from jaxreg.extraction.shards import join_shares
from jaxreg.sources.examples import Examples

Say = Callable[[str], None]


@dataclass(frozen=True)
class Extraction:
    """What an extraction did; all but `change` is what `extract --json` prints.

    With `--shard` the counts are those of its share.
    """

    dataset: str
    feature_set: str
    columns: tuple[str, ...]
    images: int  # examples that can be used
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


@dataclass
class Extracting:
    """An extraction of examples that are open, into a cache."""

    examples: Examples
    source: str  # what the user called them
    name: str  # of the dataset
    cache: Cache
    options: SourceOptions
    chosen: ExtractConfig
    download_limit: float | None
    say: Say
    recipe: Recipe = field(init=False)  # once the feature set is chosen

    def __post_init__(self) -> None:
        self.shard = Shard.parse(self.chosen.shard)
        self.columns = choose_columns(self.chosen)

    def run(
        self, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
    ) -> Extraction:
        """Compute what is missing, and write the dataset. Raises as `jaxreg.extract_features`."""
        begin = time.perf_counter()
        engine, _ = choose_engine(self.chosen.engine, self.chosen.precision)
        self.recipe, weights = choose_feature_set(
            self.chosen, self.cache, self.download_limit, self._calibration
        )
        prepared = time.perf_counter() - begin
        for column in self.columns:
            self.cache.check_dtype(self.recipe.feature_set, column, self.chosen.dtype)
        self.cache.make_feature_set(self.recipe, weights.path)
        if self.recipe.random_seed is not None:
            self.say(f"weights: random, seed {self.recipe.random_seed}: trained on nothing")
        outcome = self._extract(weights, on_progress, should_stop)
        outcome.seconds.start += prepared
        outcome.seconds.total += prepared
        if outcome.stopped:
            raise Stopped(
                f"stopped after {outcome.computed} images; their features are kept",
                remedy="the same command goes on from here",
            )
        self._warn_of_range(outcome)
        change = self._write(self._joined(outcome), outcome)
        return self._told(outcome, engine, change)

    def _calibration(self, wanted: Recipe) -> Sample:
        if self.shard.index:
            raise InputError(
                f"--shard {self.shard} with --precision int8, and no network is calibrated yet",
                expected="one network for all shares: share 0 calibrates it",
                remedy=f"--shard 0/{self.shard.count} first, and this one when that computes",
            )
        count = min(CALIBRATION_IMAGES, len(self.examples))
        self.say(f"calibrating int8 on {count} of the images")
        smallest = smallest_image(wanted)
        return Sample(self.examples.images, CALIBRATION_IMAGES, smallest, self.chosen.views)

    def _extract(
        self,
        weights: WeightsSource,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> Outcome:
        recipe, chosen = self.recipe, self.chosen
        return extract(
            self.examples.images,
            self.cache,
            recipe.feature_set,
            self.columns,
            lambda: load_engine(
                chosen.engine,
                recipe,
                self.columns,
                fetch_weights(recipe.backbone, weights, self.download_limit),
                quantized=self.cache.quantized_model(recipe),
                say=self.say,
            ),
            dtype=chosen.dtype,
            batch_size=chosen.batch_size,
            smallest=smallest_image(recipe),
            shard=self.shard,
            should_stop=should_stop,
            on_damage=self._tell_damage,
            on_progress=on_progress,
        )

    def _warn_of_range(self, outcome: Outcome) -> None:
        """Say so if images computed now are unlike those that an int8 network is calibrated on."""
        limits = read_range(self.cache.calibration_path(self.recipe.feature_set))
        if self.recipe.precision == "int8" and limits and outcome.computed:
            jpegs = self.cache.read_thumbnails(some(outcome.computed_digests))
            if told := limits.warning(jpegs.values()):
                self.say(f"warning: {told}")

    def _tell_damage(self, path: Path) -> None:
        self.say(f"damaged, set aside and computed again: {path}")

    def _joined(self, outcome: Outcome) -> Outcome | None:
        """What all shares came to; None while some are still to come."""
        if self.shard.whole:
            return outcome
        return join_shares(
            self.examples.images,
            outcome,
            self.cache,
            self.recipe.feature_set,
            self.columns,
            self.shard,
            smallest_image(self.recipe),
            self._tell_damage,
        )

    def _write(self, joined: Outcome | None, own: Outcome) -> str:
        """Write the dataset and the list of failures if all is there; says what came of it."""
        failed = self._failed(joined or own)
        if joined is None:
            listed, change = None, "not written: the share that ends last writes it"
        else:
            listed = write_failed(self.cache, self.name, failed)
            change = self._write_dataset(joined)
        if len(failed) > self.chosen.max_failed * (len(self.examples) + self._left_out):
            raise self._too_many(failed, listed, change)
        return change

    @property
    def _left_out(self) -> int:
        return len(self.examples.unusable)

    def _failed(self, outcome: Outcome) -> list[tuple[str, str]]:
        """(id, reason), first of what the source itself could not use."""
        ids = self.examples.ids
        return [*self.examples.unusable, *((ids[row], reason) for row, reason in outcome.failed)]

    def _write_dataset(self, outcome: Outcome) -> str:
        words = [self.source, "--name", self.name, "--cache", self.cache.root]
        dataset = make_dataset(
            self.name,
            self.examples,
            outcome.digests,
            feature_set=self.recipe.feature_set,
            columns=self.columns,
            extract_command=config_io.command_line(
                # without its share: the command makes all that is missing
                "jaxreg extract",
                words,
                self.options,
                dataclasses.replace(self.chosen, shard=None),
            ),
        )
        if not len(dataset):
            return "not written, no image is usable"
        return write_dataset(self.cache, dataset)

    def _too_many(
        self, failed: list[tuple[str, str]], listed: Path | None, change: str
    ) -> TooManyFailed:
        first = "; ".join(f"{name}: {reason}" for name, reason in failed[:3])
        more = "; …" if len(failed) > 3 else ""
        see = f"see {listed}; " if listed else ""
        return TooManyFailed(
            f"{len(failed)} images could not be used ({first}{more})",
            expected=f"at most a share of {self.chosen.max_failed} (--max-failed)",
            remedy=f"{see}the dataset with what was good: {change}",
        )

    def _told(self, outcome: Outcome, engine: str, change: str) -> Extraction:
        seconds = outcome.seconds
        working = seconds.total - seconds.start
        usable = [d for d in outcome.digests if d is not None and self.shard.has(d)]
        return Extraction(
            dataset=self.name,
            feature_set=self.recipe.feature_set,
            columns=tuple(column.name for column in self.columns),
            images=len(usable),
            computed=outcome.computed,
            reused=outcome.reused,
            failed=len(self._failed(outcome)),
            engine=engine,
            precision=self.recipe.precision,
            images_per_second=round(outcome.computed / working, 2) if outcome.computed else None,
            seconds={part: round(value, 3) for part, value in vars(seconds).items()},
            change=change,
        )


def default_name(examples: Examples) -> str:
    """`road` for road:5000, the folder's or file's own name for the rest."""
    location = str(examples.description.get("location", examples.description["kind"]))
    path = Path(location)
    if path.name == "driving_log.csv":
        path = path.resolve().parent
    return safe_name(path.resolve().name if path.is_dir() else path.stem.split(":")[0])
