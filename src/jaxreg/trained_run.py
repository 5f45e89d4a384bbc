"""A finished run, loaded: its scores, and predictions for new images."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.common.remote_file import shown
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.extraction.given_vectors import refuse_images
from jaxreg.extraction.pipeline import Progress
from jaxreg.head import mlp
from jaxreg.head.apply import predict_rows
from jaxreg.head.scaling import Scalers, mean_and_std_of
from jaxreg.head.target_outputs import of_targets
from jaxreg.new_intervals import Intervals, predict_intervals, read_intervals
from jaxreg.new_predictions import predict_examples
from jaxreg.prediction_table import prediction_table
from jaxreg.run_files import RunFiles
from jaxreg.run_repr import page_of_run, text_of_run
from jaxreg.run_uses import RunUses
from jaxreg.side_columns import Encoded, SideColumns
from jaxreg.side_table import side_table
from jaxreg.sources.examples import Examples
from jaxreg.sources.in_memory import images_of, named_images, refused
from jaxreg.target_numbers import number_type
from jaxreg.target_types import TargetType, held, mean_over
from jaxreg.train_config import TrainConfig

if TYPE_CHECKING:
    from jaxreg.evaluation.result import Evaluation

USUAL = 4.0  # std: so far from their mean targets lie


@dataclass(frozen=True, repr=False)
class TrainedRun(RunUses, RunFiles):
    """A run on disk with its head in memory; of several folds and seeds, all of their heads.

    The prediction of several heads is the mean of theirs, the circular mean of a circular target.
    `summary` is summary.json, `config` config.json; both are described in docs/runs.md.
    """

    cache: Path | str | None  # the folder of datasets and features; None if it is not to be found
    config: dict[str, Any]
    settings: TrainConfig
    features: ChosenFeatures
    targets: tuple[str, ...]
    params: tuple[mlp.Params, ...]  # of the lowest validation loss
    scalers: tuple[Scalers, ...]
    network: bytes | None = None  # of an int8 bundle
    interval_file: bytes | None = None  # the content of intervals.npz, as found

    def __repr__(self) -> str:
        return text_of_run(self)

    def _repr_html_(self) -> str:
        """The headline and the scores of each target, for a notebook."""
        return page_of_run(self)

    @property
    def side(self) -> SideColumns:
        """The columns that the run needs beside the features (`--side-columns`)."""
        return SideColumns.from_json(self.config.get("side"))

    def predict_features(self, features: np.ndarray, side: object = None) -> np.ndarray:
        """Predictions (rows, targets) in target units for features as the cache holds them.

        They are float32, or float64 where float32 would round targets like those of the training
        by more than 1e-4 of their std.

        Args:
            features: (rows, columns).
            side: the side columns of these rows, where the run has some; as in `predict`.

        Raises:
            InputError: another number of columns, or side columns that the run cannot use.
        """
        width = self.scalers[0].features.features
        if features.ndim != 2 or features.shape[1] != width:
            raise InputError(f"features of shape {features.shape}", expected=f"(rows, {width})")
        beside = self.side.encode(side_table(side, self.side, len(features)))
        return self.predict_encoded(features, beside)

    def predict_encoded(self, features: np.ndarray, beside: Encoded) -> np.ndarray:
        """As `predict_features`, with side columns that are encoded already."""
        if self.side:
            features = np.concatenate([features, beside.values], axis=1)
        heads = zip(self.params, self.scalers, strict=True)
        each = [predict_rows(*head, self.settings, features) for head in heads]
        kinds = [np.result_type(*self.number_types).type] * len(self.targets)
        return np.stack(held(self.types, mean_over(self.types, each), kinds), axis=1)

    @cached_property
    def types(self) -> tuple[TargetType, ...]:
        """The type of each target."""
        return self.settings.target_types(len(self.targets))

    @cached_property
    def number_types(self) -> list[type[np.floating]]:
        """The type of each target's predictions."""
        both = mean_and_std_of(self.scalers[0].target)
        mean, std = (of_targets(self.types, part) for part in both)
        usual = zip(self.types, np.abs(mean) + USUAL * std, strict=True)
        largest = [kind.period if kind.circular else value for kind, value in usual]
        return [number_type(*both) for both in zip(largest, std, strict=True)]

    @overload
    def predict(
        self,
        images: object,
        *,
        interval: None = None,
        side: object = None,
        cache: str | Path | None = None,
        weights: str | None = None,
    ) -> np.ndarray: ...

    @overload
    def predict(
        self,
        images: object,
        *,
        interval: float,
        side: object = None,
        cache: str | Path | None = None,
        weights: str | None = None,
    ) -> Intervals: ...

    def predict(
        self,
        images: object,
        *,
        interval: float | None = None,
        side: object = None,
        cache: str | Path | None = None,
        weights: str | None = None,
    ) -> np.ndarray | Intervals:
        """Predict from raw images.

        Args:
            images: one image or a list of them. An image is a path, the bytes of its file, an
                image of Pillow, or a uint8 array (height, width[, 1|3|4]). An array (images,
                height, width[, 1|3|4]) holds many (`jaxreg.sources.in_memory`).
            interval: the level of the intervals that are wanted, such as 0.8; for a run with folds.
            side: the side columns, where the run has some: a dict of columns, a DataFrame or a
                table of Arrow with a row for each image.
            cache: the folder that keeps the features; by default the run's own.
            weights: a file, where the weights have moved.

        Returns:
            (images, targets) in target units, of the type that `predict_features` returns. With
            `interval`, `Intervals`.

        Notes on the images, which `jaxreg predict` prints, are warnings.

        Raises:
            InputError: an array of unclear shape, side columns that the run cannot use, or images
                that cannot be used; the first few are named with their reasons. The run has no
                intervals, or none of this level.
            UnavailableError: something must be computed and the weights are not to be found.
        """
        refuse_images(str(self.path), self.features)
        items = images_of(images)
        ids = named_images(items)
        beside = side_table(side, self.side, len(ids))
        examples = Examples(ids, items, beside, {"kind": "images"})
        own = {"cache": cache, "weights": weights, "interval": interval}
        table = self.predict_table(examples, **own, say=_warn)
        bad = [(i, why) for i, why in zip(ids, table["reason"].to_pylist(), strict=True) if why]
        if bad:
            raise refused(bad, len(ids))
        parts = ("prediction",) if interval is None else ("prediction", "low", "high")
        found = [
            np.stack([table[f"{part}.{name}"].to_numpy() for name in self.targets], axis=1)
            for part in parts
        ]
        if interval is None:
            return found[0]
        predicted, low, high = found
        return Intervals(predicted, low, high, table["unlike"].to_numpy())

    def predict_table(
        self,
        examples: Examples,
        *,
        interval: float | None = None,
        cache: str | Path | None = None,
        weights: str | None = None,
        embeddings: str | Sequence[str] = (),
        say: Callable[[str], None] = lambda text: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> pa.Table:
        """One row per example: id, `prediction.<name>`, `target.<name>` if there is one, reason.

        `reason` is empty, or says why there is no prediction. With an interval, `low.<name>`,
        `high.<name>` and `unlike` stand before it (docs/intervals.md). What the source itself could
        not use follows at the end.

        Args:
            examples: what to predict for.
            interval, cache, weights: as `predict` takes them.
            embeddings: for a run on embeddings the file with the vectors of the examples; of
                several embeddings NAME=FILE for each.
            say: gets each line meant for people.
            on_progress: called after every batch.
            should_stop: asked after every image.

        Raises:
            InputError: the cache of the run is not to be found, the source lacks a side column,
                vectors are missing or wrong, or the run has no intervals of this level.
            Stopped: `should_stop` said so.
            UnavailableError: something must be computed and the weights are not to be found.
        """
        known = None if interval is None else read_intervals(self, interval)
        new = predict_examples(
            self,
            examples,
            cache=cache,
            weights=weights,
            embeddings=embeddings,
            say=say,
            on_progress=on_progress,
            should_stop=should_stop,
        )
        types = self.number_types
        each = dict(zip(self.targets, held(self.types, new.predictions, types), strict=True))
        around = None
        if known is not None and interval is not None:
            around = predict_intervals(self, known, new, interval)
        return prediction_table(examples, each, types, new.reasons, around)

    def evaluate(
        self,
        source: str | Path | Examples,
        *,
        name: str | None = None,
        options: SourceOptions | None = None,
        cache: str | Path | None = None,
        weights: str | None = None,
        embeddings: str | Sequence[str] = (),
        say: Callable[[str], None] = lambda text: None,
        on_progress: Callable[[Progress], None] = lambda progress: None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> "Evaluation":
        """Score the run on other labelled data, and say how these differ from its own.

        Args:
            source: as for `jaxreg evaluate`, or examples made in Python.
            name: of the source, for messages; by default what the source is given by.
            options: which columns a table has; those that are left out are the dataset's own.
            cache, weights, embeddings, say, on_progress, should_stop: as `predict_table` takes
                them.

        Raises:
            InputError: the source has no target of the run, or no row that can be scored; and as
                `predict_table`.
            Stopped, UnavailableError: as `predict_table`.

        >>> found = run.evaluate("new.csv", embeddings="new.npy")
        >>> found.rows, found.far_worse, [finding.code for finding in found.findings]
        (240, False, [])
        """
        from jaxreg.evaluation.evaluate_run import evaluate_run
        from jaxreg.new_source import open_for_evaluation

        examples = source
        if not isinstance(examples, Examples):
            examples = open_for_evaluation(examples, options or SourceOptions(), self, cache)
        return evaluate_run(
            self,
            examples,
            name or ("the source" if isinstance(source, Examples) else shown(str(source))),
            cache=cache,
            weights=weights,
            embeddings=embeddings,
            say=say,
            on_progress=on_progress,
            should_stop=should_stop,
        )


def _warn(text: str) -> None:
    if text.startswith("note: "):
        warnings.warn(text.removeprefix("note: "), stacklevel=4)  # of the caller of `predict`
