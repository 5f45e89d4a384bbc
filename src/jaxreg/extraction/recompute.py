"""`verify --recompute`: compute the features of a sample of images again, and compare."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from jaxreg.backbone.engine import load_engine
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import dataset_names, read_dataset
from jaxreg.cache.originals import Originals
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.steps import counted, step
from jaxreg.errors import InputError, JaxregError
from jaxreg.extraction.feature_set import find_weights
from jaxreg.sources import pixels
from jaxreg.sources.depth import Range

TOLERANCE = {"float32": 1e-4, "bfloat16": 0.02, "int8": 0.05}
"""Relative error, max|a - b| / max|b| over a column's sample. All engines agree in float32; below
float32 another processor may round otherwise. The features of two images differ by far more.
"""

HALF = 1e-3  # the same for float16 in the cache, which keeps 11 bits

_BATCH = 16  # images computed together


@dataclass
class Recomputed:
    """The result: a sentence for each fault, and for each column that was not compared."""

    images: int = 0  # features compared, counted per column
    wrong: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()


_Known = dict[str, tuple[Dataset, int]]
"""By digest the place of an image in a dataset."""


def recompute(cache: Cache, count: int, say: Callable[[str], None]) -> Recomputed:
    """Compute `count` random images per column again, and compare them with the cache."""
    work = _Recomputing(cache, count, say, _known_images(cache))
    columns: dict[tuple[str, str], list[Column]] = {}  # an engine computes one view
    for feature_set in cache.feature_sets():
        for column in cache.columns(feature_set):
            columns.setdefault((feature_set, column.view), []).append(column)
    for (feature_set, _), there in counted("recomputing", columns.items(), "feature sets"):
        try:
            work.check(feature_set, there)
        except JaxregError as error:  # no weights, no such engine here, a damaged recipe
            work.done.skipped += (f"{feature_set}: {error.found}",)
    return work.done


def _known_images(cache: Cache) -> _Known:
    known: _Known = {}
    for name in dataset_names(cache):
        try:
            dataset = read_dataset(cache, name)
        except InputError:
            continue  # verify names it
        for row, digest in enumerate(dataset.pictures):
            if digest is not None:
                known.setdefault(digest, (dataset, row))
    return known


@dataclass
class _Recomputing:
    cache: Cache
    count: int
    say: Callable[[str], None]
    known: _Known
    originals: dict[str, Originals] = field(default_factory=dict)  # by dataset
    done: Recomputed = field(default_factory=Recomputed)

    def check(self, feature_set: str, columns: list[Column]) -> None:
        """Compare columns of one view of a feature set."""
        samples = {c: self._sample(self.cache.digests(feature_set, c)) for c in columns}
        found: dict[str, np.ndarray] = {}
        reasons: dict[str, str] = {}
        recipe = self.cache.recipe(feature_set)
        if not isinstance(recipe, Recipe):
            raise InputError("embeddings were computed elsewhere: there is no network to run")
        asked = sorted(set().union(*samples.values()))
        for digest in counted("reading", asked, "images"):
            try:
                found[digest] = self._image(digest, recipe.range)
            except pixels.UnusableImage as error:
                reasons[digest] = str(error)
        anew = self._compute(recipe, columns, found) if found else {}
        for column, sample in samples.items():
            lost = [reasons[digest] for digest in sample if digest in reasons]
            if lost or not sample:
                why = lost[0] if lost else "no dataset has its images"
                self.done.skipped += (f"{feature_set}/{column.name}: {why}",)
            if digests := [digest for digest in sample if digest in found]:
                values = np.stack([anew[digest][column.identity.name] for digest in digests])
                self.done.images += len(digests)
                self.done.wrong += tuple(self._differences(recipe, column, digests, values))

    def _sample(self, digests: set[str]) -> list[str]:
        usable = sorted(digests & self.known.keys())
        return random.sample(usable, min(self.count, len(usable)))

    def _image(self, digest: str, limits: Range | None) -> np.ndarray:
        """The decoded image of a digest: from its path, else from its source opened again.

        Raises:
            UnusableImage: it is gone, or has changed.
        """
        dataset, row = self.known[digest]
        originals = self.originals.setdefault(dataset.name, Originals(dataset))
        return pixels.decode(originals.read(row), limits)

    def _compute(
        self, recipe: Recipe, columns: list[Column], found: dict[str, np.ndarray]
    ) -> dict[str, dict[str, np.ndarray]]:
        """{digest: {identity column's name: features}} of images in the view of the columns."""
        model = self.cache.quantized_model(recipe)
        places = [self.cache.feature_set_record(recipe.feature_set)["weights_path"]]
        weights = None if model else find_weights(recipe, None, places)
        engine = load_engine("auto", recipe, columns, weights, quantized=model, say=self.say)
        digests, view = list(found), columns[0].view
        anew: dict[str, dict[str, np.ndarray]] = {}
        with step("computing", len(digests), "images") as one:
            for at in range(0, len(digests), _BATCH):
                some = digests[at : at + _BATCH]
                features = engine.features([pixels.viewed(found[digest], view) for digest in some])
                for row, digest in enumerate(some):
                    anew[digest] = {name: values[row] for name, values in features.items()}
                one.reach(len(anew))
        return anew

    def _differences(
        self, recipe: Recipe, column: Column, digests: list[str], anew: np.ndarray
    ) -> Iterator[str]:
        """A sentence for each image whose cached features differ from those computed now."""
        kept = self.cache.read(recipe.feature_set, [column], digests)
        allowed = TOLERANCE[recipe.precision] + (HALF if kept.dtype == np.float16 else 0)
        errors = np.abs(kept.astype(np.float32) - anew).max(axis=1) / np.abs(anew).max()
        for digest, error in zip(digests, errors, strict=True):
            if not error <= allowed:  # true for NaN too
                dataset, row = self.known[digest]
                yield (
                    f"{recipe.feature_set}/{column.name}: the features of "
                    f"{dataset.table['id'][row].as_py()} of {dataset.name} ({digest[:12]}…) differ "
                    f"from those computed now by {error:.2g} of the largest; at most {allowed:.2g} "
                    "is rounding"
                )
