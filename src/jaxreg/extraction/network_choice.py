"""The network of an extraction, which is loaded where something must be computed."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxreg.backbone.engine import Engine, load_engine
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.extraction.feature_set import fetch_weights


@dataclass(frozen=True)
class NetworkChoice:
    """All that a machine needs to load the network."""

    engine: str  # as asked for
    recipe: Recipe
    columns: tuple[Column, ...]
    weights: WeightsSource

    def load(self, cache: Cache, say: Callable[[str], None]) -> Engine:
        """Load it. Raises as `load_engine` and `fetch_weights`."""
        quantized = cache.quantized_model(self.recipe)
        known = quantized is None
        return load_engine(
            self.engine,
            self.recipe,
            self.columns,
            fetch_weights(self.recipe.backbone, self.weights) if known else None,
            quantized=quantized,
            say=say,
        )
