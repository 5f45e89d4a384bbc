"""What the networks of a run need to be built again: their weights, wherever the files are now."""

from collections.abc import Mapping
from dataclasses import dataclass

from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import UnavailableError
from jaxreg.extraction.feature_set import find_weights


@dataclass(frozen=True)
class NetworkFinder:
    """Finds weights and quantized networks of a run's feature sets. It writes nothing."""

    cache: Cache  # it need not exist
    features: ChosenFeatures
    weights: str | None  # --weights
    places: Mapping[str, str | None]  # where the weights of each feature set were last found
    quantized: bytes | None = None  # the network of an int8 bundle

    def model(self, recipe: Recipe) -> bytes | None:
        """The quantized network of an int8 recipe; None at other precisions.

        Raises:
            InputError: neither a bundle nor the cache has it.
        """
        if recipe.quantized is not None and self.quantized is not None:
            return self.quantized
        return self.cache.quantized_model(recipe)

    def find(self, recipe: Recipe) -> WeightsSource:
        """The weights of a recipe, with their file.

        Raises:
            InputError: `--weights` is another file.
            UnavailableError: they are in none of the known places.
        """
        name, several = recipe.feature_set, len(self.features.networks) > 1
        asked = None if several else self.weights  # of which network it is is not said
        places = [self.weights, self.places.get(name)]
        if name in self.cache.feature_sets():
            places.insert(0, self.cache.feature_set_record(name)["weights_path"])
        try:
            return find_weights(recipe, asked, places)
        except UnavailableError as error:
            if several and self.weights is not None:
                error.found += f", and --weights {self.weights} is another file"
            last = next((place for place in reversed(places[1:]) if place), None)
            if several and last:
                error.remedy = f"--weights FILE, or put the file back to {last}"
            raise
