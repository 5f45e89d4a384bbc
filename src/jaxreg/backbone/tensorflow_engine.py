"""The TensorFlow engine: the fastest of Keras' own backends on a CPU."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.backbone.network import build_network, output_sides, start_keras
from jaxreg.backbone.pooling import ReadingEngine, check_size, grid_cells, in_order, same_size
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.sources.pillow_memory import stacked


class TensorFlowEngine(ReadingEngine):
    """Features of uint8 images in float32. Traces nothing until `compile` or `features`."""

    name = "tensorflow"
    parallel = 1

    def __init__(self, recipe: Recipe, columns: Sequence[Column], weights: WeightsSource) -> None:
        start_keras("tensorflow")
        import tensorflow as tf

        # A GPU's default for float32 convolutions keeps 10 bits: then engines would differ.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self.on_cpu = not tf.config.list_logical_devices("GPU")
        super().__init__(recipe, columns)
        self.network = build_network(recipe.backbone, self.layers, weights, recipe.size)
        self._checked: set[tuple[int, int]] = set()
        if recipe.size is not None:
            self._check(*recipe.size)
        pixels = tf.TensorSpec((None, None, None, 3), tf.uint8)  # pyright: ignore[reportCallIssue]
        resized = tf.TensorSpec((None, *(recipe.size or (None, None)), 3), tf.float32)  # pyright: ignore[reportCallIssue]
        self._whole = tf.function(self._computed, input_signature=[pixels])
        # for batches of several sizes: resized one by one, computed together
        self._resize = tf.function(self._resized, input_signature=[pixels])
        self._pool = tf.function(self._pooled, input_signature=[resized])

    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One array per read, rows in the order of the images."""
        import tensorflow as tf

        places = same_size(images)
        stacks = [stacked([images[i] for i in group]) for group in places.values()]
        order = [place for group in places.values() for place in group]
        if self.recipe.size is None:
            for height, width in places:
                self._check(height, width)
            return in_order(order, [self._whole(stack) for stack in stacks])
        if len(stacks) == 1:
            return [read.numpy() for read in self._whole(stacks[0])]
        resized = tf.concat([self._resize(stack) for stack in stacks], 0)
        return [read.numpy() for read in self._pool(tf.gather(resized, np.argsort(order)))]

    def _computed(self, pixels: Any) -> list[Any]:
        """Resize, preprocessing, network and pools, for a batch of one size."""
        return self._pooled(self._resized(pixels))

    def _resized(self, pixels: Any) -> Any:
        """uint8 pixels of any size -> float32 0..255 of the recipe's size, unrounded."""
        import tensorflow as tf

        if self.recipe.size is None:
            return tf.cast(pixels, tf.float32)
        return tf.cast(tf.image.resize(pixels, self.recipe.size, "bilinear"), tf.float32)

    def _pooled(self, resized: Any) -> list[Any]:
        outputs = self.network(self.prepared(resized), training=False)
        return [
            _pool(outputs[layer], Column(layer=layer, pool=pool), self.prefix)
            for layer, pool in self.reads
        ]

    def _check(self, height: int, width: int) -> None:
        if (height, width) in self._checked:
            return
        check_size(self.recipe.backbone, height, width)
        self.check_grids(height, width, output_sides(self.network, height, width))
        self._checked.add((height, width))


def _pool(output: Any, column: Column, prefix: int) -> Any:
    """(batch, H, W, channels), (batch, tokens, channels) or (batch, D) -> (batch, D)."""
    import tensorflow as tf

    if column.pool == "none":
        return output
    if column.pool == "cls":
        return output[:, 0]
    if column.pool == "mean":
        return tf.reduce_mean(output[:, prefix:], 1)
    if column.pool == "max":
        return tf.reduce_max(output, (1, 2))
    if column.cells is None:
        return tf.reduce_mean(output, (1, 2))
    shape = tf.shape(output)
    cells = grid_cells(column, shape[1], shape[2])
    return tf.concat([tf.reduce_mean(output[:, rows, at], (1, 2)) for rows, at in cells], -1)
