"""The networks of a run: the weights or the int8 network of each recipe, wherever they are now."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extraction.feature_set import find_weights


class FoundNetwork(NamedTuple):
    """What an engine needs of a recipe beside it: one of the two is there."""

    weights: WeightsSource | None
    quantized: bytes | None  # the network of an int8 recipe


@dataclass(frozen=True)
class RunNetworks:
    """Where the networks of a run may be."""

    features: ChosenFeatures
    cache: Cache | None  # has the int8 networks, and says where weights were when it was written
    weights: str | None  # --weights
    places: Mapping[str, str | None]  # where the weights of each feature set were last found
    bundled: bytes | None = None  # the int8 network of a bundle

    def find(self, recipe: Recipe) -> FoundNetwork:
        """The network of a recipe.

        Raises:
            InputError: `--weights` is another file; the int8 network is absent or damaged.
            UnavailableError: the weights are not to be found.
        """
        if recipe.quantized is not None:
            return FoundNetwork(None, self._quantized(recipe))
        name = recipe.feature_set
        # of several networks the one that --weights is of is not said
        asked = self.weights if len(self.features.networks) == 1 else None
        places = [self.weights, self.places.get(name)]
        if self.cache is not None and name in self.cache.feature_sets():
            places.insert(0, self.cache.feature_set_record(name)["weights_path"])
        return FoundNetwork(self._find(recipe, asked, places), None)

    def _quantized(self, recipe: Recipe) -> bytes | None:
        own = self.bundled
        if own is not None and hashlib.sha256(own).hexdigest() == recipe.quantized:
            return own
        if self.cache is None:
            raise InputError(
                f"the int8 network of {recipe.feature_set} is in the cache that made it, which is "
                "not to be found",
                expected="the folder of this cache",
                remedy="--cache FOLDER",
            )
        return self.cache.quantized_model(recipe)

    def _find(self, recipe: Recipe, asked: str | None, places: list[str | None]) -> WeightsSource:
        try:
            return find_weights(recipe, asked, places)
        except UnavailableError as error:
            if len(self.features.networks) > 1 and self.weights is not None:
                error.found += f", and --weights {self.weights} is another file"
            last = next((place for place in reversed(places[1:]) if place), None)
            if len(self.features.networks) > 1 and last:
                error.remedy = f"--weights FILE, or put the file back to {last}"
            raise
