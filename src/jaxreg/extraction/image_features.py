"""The features of one image at a time, with every network of a run loaded and no cache."""

import os
import threading
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from jaxreg.backbone.engine import Engine, load_engine
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.extraction.feature_set import smallest_image
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.sources import pixels
from jaxreg.sources.depth import Range
from jaxreg.sources.examples import Image


class _Network(NamedTuple):
    feature_set: str
    engine: Engine
    limits: Range | None  # the values of deep pixels that become 0 and 255
    smallest: int  # pixels that an image needs each way


class ImageFeatures:
    """Makes the features of single images. Several threads may use it at a time.

    It decodes and computes at most one image more than there are cores at a time, so that many
    threads need no more memory than a few. The other threads wait.
    """

    def __init__(self, networks: RunNetworks, dtypes: Mapping[tuple[str, Column], str]) -> None:
        """Find, load and compile the networks. This takes seconds.

        Args:
            networks: of the run, whose features all come from images.
            dtypes: what the features of each column are kept as: float32 or float16.

        Raises:
            InputError, UnavailableError: as `RunNetworks.find` and `load_engine`.
        """
        columns, recipes = networks.features.columns, networks.features.networks
        # names are looked up now: that of a feature set is a hash of its recipe
        self._blocks = [(name, one.identity.name, dtypes[name, one]) for name, one in columns]
        self._turns = threading.Semaphore((os.cpu_count() or 1) + 1)
        self._networks: list[_Network] | None = [_load(networks, recipe) for recipe in recipes]

    def __call__(self, image: Image) -> tuple[np.ndarray, list[str]]:
        """The features (1, columns) of one image, and notes on its depth for the user.

        Raises:
            UnusableImage: the image cannot be read or decoded, or is too small.
            InputError: at native size, an image that the network cannot take.
            RuntimeError: this is closed.
        """
        networks = self._networks
        if networks is None:
            raise RuntimeError("closed: the networks are not loaded any more")
        with self._turns:
            content = pixels.read(image)
            shown, found = {}, {}
            for one in networks:
                if one.limits not in shown:
                    shown[one.limits] = pixels.decode_deep(content, one.limits)
                rgb, _ = shown[one.limits]
                pixels.refuse_small(rgb, one.smallest)
                found[one.feature_set] = one.engine.features([rgb])
        notes = [note for limits, (_, depth) in shown.items() for note in depth.notes(limits)]
        blocks = [found[name][column].astype(dtype) for name, column, dtype in self._blocks]
        return np.concatenate(blocks, axis=1), notes

    def close(self) -> None:
        """Let the networks go. An image that is under way is finished."""
        self._networks = None


def _load(networks: RunNetworks, recipe: Recipe) -> _Network:
    name = recipe.feature_set
    weights, quantized = networks.find(recipe)
    columns = networks.features.columns_of(name)
    engine = load_engine("auto", recipe, columns, weights, quantized=quantized, one_by_one=True)
    if recipe.size is not None:  # at native size, each size is compiled when it first comes
        engine.compile(np.zeros((*recipe.size, 3), np.uint8), 1)
        engine.features([np.zeros((*recipe.size, 3), np.uint8)])
    return _Network(name, engine, recipe.range, smallest_image(recipe))
