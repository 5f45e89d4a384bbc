"""The features of new examples, as the recipes of a run make them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from itertools import groupby
from operator import itemgetter

import numpy as np

from jaxreg.backbone.engine import Engine, load_engine
from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.extraction.feature_set import smallest_image
from jaxreg.extraction.given_vectors import Joined, join
from jaxreg.extraction.pipeline import Outcome, Progress, Task, extract
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.sources.examples import Examples
from jaxreg.sources.vectors import Vectors


@dataclass(frozen=True)
class NewFeatures:
    """The features of the examples that have all of them."""

    rows: np.ndarray  # the numbers of these examples
    x: np.ndarray  # (these, columns)
    digests: list[str | None]  # of each example, as `ChosenFeatures.row_digests` has them
    reasons: dict[int, str]  # why an example has no features


@dataclass(frozen=True)
class FeatureMaker:
    """Makes the features of new examples, and keeps those of images in a cache."""

    cache: Cache
    features: ChosenFeatures
    dtype: str  # of the features of the run
    weights: str | None  # --weights
    places: Mapping[str, str | None]  # where the weights of each feature set were last found
    say: Callable[[str], None]
    on_progress: Callable[[Progress], None]
    should_stop: Callable[[], bool]
    engines: dict[str, Engine] = field(default_factory=dict)  # those loaded, by feature set

    def make(self, examples: Examples, vectors: Mapping[str, Vectors]) -> NewFeatures:
        """The features of examples; errors as of `TrainedRun.predict_table`.

        Args:
            examples: images, or rows of the vectors, or both.
            vectors: by the name of the embeddings.
        """
        recipes = self.features.recipes
        if self.weights is not None and not self.features.networks:
            raise InputError(
                "--weights with a run on embeddings, which has no network",
                remedy="leave --weights out",
            )
        outcomes = {
            name: self._extract(recipe, examples)
            for name, recipe in recipes.items()
            if isinstance(recipe, Recipe)
        }
        joined = {
            name: self._join(recipe, examples, vectors)
            for name, recipe in recipes.items()
            if isinstance(recipe, Embeddings)
        }
        digests = {name: outcome.digests for name, outcome in outcomes.items()}
        for name, one in joined.items():
            hashed = one.digests(self.should_stop)
            if hashed is None:
                raise Stopped("stopped; no predictions are written")
            digests[name] = hashed
        reasons: dict[int, str] = {}
        for failed in (*outcomes.values(), *joined.values()):
            reasons = dict(failed.failed) | reasons
        by_kind = {recipes[name].digest_column: some for name, some in digests.items()}
        both = list(zip(*(by_kind[kind] for kind in self.features.digest_columns), strict=True))
        whole = [None if None in some else " ".join(map(str, some)) for some in both]
        rows = np.array([row for row, digest in enumerate(whole) if digest is not None], np.int64)
        blocks = []
        for name, some in groupby(self.features.columns, itemgetter(0)):
            if name in joined:
                blocks.append(joined[name].read(rows).astype(self.dtype, copy=False))
                continue
            wanted = [str(digests[name][row]) for row in rows.tolist()]
            columns = [column for _, column in some]
            blocks.append(self.cache.read(name, columns, wanted) if len(rows) else None)
        x = np.zeros((0, 0), self.dtype)
        if len(rows):
            x = blocks[0] if len(blocks) == 1 else np.concatenate(blocks, axis=1)
        return NewFeatures(rows, x, whole, reasons)

    def _extract(self, recipe: Recipe, examples: Examples) -> Outcome:
        name, cache = recipe.feature_set, self.cache
        columns = self.features.columns_of(name)
        task = Task(
            examples.images,
            cache,
            name,
            columns,
            dtype=self.dtype,
            smallest=smallest_image(recipe),
            limits=recipe.range,
            on_damage=lambda path: self.say(f"damaged, set aside and computed again: {path}"),
        )
        outcome = extract(
            task,
            partial(self.engine, recipe),
            should_stop=self.should_stop,
            on_progress=self.on_progress,
        )
        if outcome.stopped:
            raise Stopped("stopped; the features are kept, no predictions are written")
        for note in outcome.notes:
            self.say(f"note: {note}")
        return outcome

    def engine(self, recipe: Recipe) -> Engine:
        """The network of a recipe on its engine; it is loaded once.

        Raises:
            UnavailableError: its weights are not to be found.
        """
        name = recipe.feature_set
        if name not in self.engines:
            networks = RunNetworks(self.features, self.cache, self.weights, self.places)
            weights, quantized = networks.find(recipe)
            self.cache.make_feature_set(recipe, weights.path if weights else None)
            columns = self.features.columns_of(name)
            self.engines[name] = load_engine(
                "auto", recipe, columns, weights, quantized=quantized, say=self.say
            )
        return self.engines[name]

    def _join(
        self, recipe: Embeddings, examples: Examples, vectors: Mapping[str, Vectors]
    ) -> Joined:
        given = vectors[recipe.name]
        if given.width != recipe.width:
            raise InputError(
                f"{given.path} has vectors of {given.width} numbers",
                expected=f"{recipe.width}, as the embeddings {recipe.name} of this run have",
            )
        joined = join(given, examples)
        for note in joined.notes:
            self.say(f"note: {note}")
        return joined
