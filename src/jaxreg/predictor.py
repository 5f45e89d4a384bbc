"""One image in, one number out: a run with its network and its heads loaded."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from jaxreg.api import StrPath, load_run
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extraction.given_vectors import refuse_images
from jaxreg.extraction.image_features import ImageFeatures
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.head.one_row import OneRow
from jaxreg.new_intervals import interval_ends, read_intervals
from jaxreg.side_columns import sentences
from jaxreg.side_table import side_table
from jaxreg.sources.examples import Image
from jaxreg.sources.in_memory import named_images, one_or_many, refused
from jaxreg.sources.pixels import UnusableImage
from jaxreg.target_types import held, mean_over
from jaxreg.training.interval_file import RunIntervals
from jaxreg.training.run_recipes import weights_places
from jaxreg.unlike import unlike

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

Number = float | dict[str, float]
"""The number of a single target, or those of several targets by name."""


class Prediction(NamedTuple):
    """A prediction with its interval, in target units."""

    value: Number
    low: Number
    high: Number  # below `low` where an interval of a circle goes over 0
    unlike: float  # how far the image is from the training images; above 1 is unusual


class Predictor:
    """Predicts one image at a time, in little more than the time of the network.

    `TrainedRun.predict` opens the cache, loads the network and keeps the features at each call. It
    is made for many images. A Predictor loads the network once, for one image at a time, and writes
    no features. The two differ only by the rounding of float32.

    Several threads may call it. `close`, or the end of a `with` block, lets the network go.

    >>> predictor = jaxreg.Predictor("ckpts/drive-1")
    >>> round(predictor("frame.png"), 3)
    0.172
    >>> around = predictor("frame.png", interval=0.8)
    >>> round(around.low, 3), round(around.high, 3), round(around.unlike, 2)
    (0.097, 0.248, 0.42)
    """

    def __init__(
        self,
        run: "TrainedRun | StrPath",
        *,
        weights: str | None = None,
        cache: StrPath | None = None,
    ) -> None:
        """Load the run and its network, and compile. This takes seconds.

        Args:
            run: a run as `load_run` returns it, its folder, or its bundle.
            weights: a file, where the weights have moved.
            cache: the folder with the int8 network of the run, by default the run's own. Other
                runs need none. Nothing is written there.

        Raises:
            InputError: no such run, or one that is not finished; a run on embeddings; `weights`
                is another file.
            UnavailableError: the weights are not to be found.
        """
        if isinstance(run, str | os.PathLike):
            run = load_run(run)
        refuse_images(str(run.path), run.features)
        folder = cache if cache is not None else run.cache
        store = None if folder is None else Cache(folder)
        places = weights_places(run.config)
        networks = RunNetworks(run.features, store, weights, places, run.network)
        self.run, self.targets = run, run.targets
        self._features = ImageFeatures(networks, _dtypes(run, store))
        self._heads = OneRow(run.params, run.scalers, run.settings)
        self._heads(np.zeros((1, run.scalers[0].features.mean.shape[0]), np.float32))
        self._levels: dict[float, RunIntervals] = {}

    def __call__(self, image: object, *, interval: float | None = None, side: object = None) -> Any:
        """Predict for one image; for a list of images, the list of what each gives.

        Args:
            image: a path, the bytes of a file, an image of Pillow, or a uint8 array (height,
                width[, 1|3|4]); or a list of them, as `TrainedRun.predict` takes it.
            interval: the level of an interval around the prediction, such as 0.8; for a run with
                folds.
            side: the side columns, where the run has some: a dict with a value for each.

        Returns:
            The number of a run with one target. The numbers by name, a dict, of a run with
            several. With `interval`, a `Prediction` with these.

        Raises:
            InputError: the image cannot be used, side columns that the run cannot use, or a level
                that it does not have. The Predictor stays usable.
            RuntimeError: the Predictor is closed.
        """
        known = None if interval is None else self._level(interval)
        given = one_or_many(image)
        images = given if isinstance(given, list) else [given]
        beside = self._beside(side, len(images))
        found, bad = [], []
        for one, name, values in zip(images, named_images(images), beside, strict=True):
            try:
                found.append(self._predict(one, values, known, interval))
            except UnusableImage as error:
                bad.append((name, str(error)))
        if bad and isinstance(given, list):
            raise refused(bad, len(images))
        if bad:
            which = str(given) if isinstance(given, Path) else "the image"
            raise InputError(f"{which} cannot be used: {bad[0][1]}")
        return found if isinstance(given, list) else found[0]

    predict = __call__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Predictor({self.run.path}: {', '.join(self.targets)})"

    def close(self) -> None:
        """Let the network and its memory go. Calls that are under way are finished."""
        self._features.close()

    def _predict(
        self,
        image: Image,
        beside: np.ndarray | None,
        known: RunIntervals | None,
        level: float | None,
    ) -> Number | Prediction:
        run = self.run
        x, notes = self._features(image)
        for note in notes:
            warnings.warn(note, stacklevel=3)
        row = x if beside is None else np.concatenate([x, beside[None]], axis=1)
        each = mean_over(run.types, self._heads(row)[:, None])
        values = held(run.types, each, run.number_types)
        if known is None or level is None:
            return self._number(values)
        both = np.stack(values, axis=1).astype(np.float64)
        low, high = interval_ends(run, known, both, level)
        far = float(unlike(known.seen, x)[0].astype(np.float32))
        return Prediction(self._number(values), self._number(low), self._number(high), far)

    def _beside(self, side: object, rows: int) -> Sequence[np.ndarray | None]:
        """The side columns of each row as the heads take them; None where there are none."""
        own = self.run.side
        if not own and side is None:
            return [None] * rows
        encoded = own.encode(side_table(side, own, rows))
        for text in sentences(encoded, own, "rows"):
            warnings.warn(text, stacklevel=3)
        return list(encoded.values)

    def _number(self, values: tuple[np.ndarray, ...]) -> Number:
        if len(values) == 1:
            return float(values[0][0])
        return {name: float(value[0]) for name, value in zip(self.targets, values, strict=True)}

    def _level(self, level: float) -> RunIntervals:
        if level not in self._levels:
            self._levels[level] = read_intervals(self.run, level)
        return self._levels[level]


def _dtypes(run: "TrainedRun", store: Cache | None) -> dict[tuple[str, Column], str]:
    """What `predict` keeps the features of each column as; without a cache, the run's own type."""
    usual = run.config["dtype"]
    return {one: (store and store.dtype(*one)) or usual for one in run.features.columns}
