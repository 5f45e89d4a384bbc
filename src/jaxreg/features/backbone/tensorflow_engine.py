"""The engine that runs the network in TensorFlow: the fastest of Keras' own on a CPU."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.errors import InputError
from jaxreg.features.backbone.network import MIN_SIZE, build_network, start_keras
from jaxreg.features.recipe import Column, Recipe
from jaxreg.features.weights import WeightsSource


class TensorFlowEngine:
    """Features of uint8 images in float32. Traces nothing until `compile` or `features`."""

    name = "tensorflow"

    def __init__(self, recipe: Recipe, columns: Sequence[Column], weights: WeightsSource) -> None:
        start_keras("tensorflow")
        import tensorflow as tf

        # A GPU's default for float32 convolutions keeps 10 bits: then engines would differ.
        tf.config.experimental.enable_tensor_float_32_execution(False)
        self._recipe = recipe
        self._columns = tuple(columns)
        self._reads = sorted({(column.tap, column.pool) for column in columns})
        taps = sorted({tap for tap, _ in self._reads})
        self.network = build_network(recipe.backbone, taps, weights)
        self._checked: set[tuple[int, int]] = set()
        if recipe.size is not None:
            self._check_grids(*recipe.size)
        pixels = tf.TensorSpec((None, None, None, 3), tf.uint8)  # pyright: ignore[reportCallIssue]
        resized = tf.TensorSpec((None, *(recipe.size or (None, None)), 3), tf.float32)  # pyright: ignore[reportCallIssue]
        self._resize = tf.function(self._resized, input_signature=[pixels])
        self._pool = tf.function(self._pooled, input_signature=[resized])

    def compile(self, image: np.ndarray) -> None:
        """Trace and run the network once, so that this can be counted as start-up."""
        self.features([image])

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        """Pooled features of a batch.

        Args:
            images: at least one, uint8 (height, width, 3); sizes may differ.

        Returns:
            Per column name, in the columns' order, float32 (len(images), D).

        Raises:
            InputError: at native size, an image too small for the network or for a grid.
        """
        by_view = {}
        for view in {column.view for column in self._columns}:
            seen = [image[:, ::-1] for image in images] if view == "mirror" else images
            by_view[view] = dict(zip(self._reads, self._view_features(seen), strict=True))
        return {
            column.name: by_view[column.view][column.tap, column.pool] for column in self._columns
        }

    def _view_features(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One array per read, rows in the order of the images."""
        import tensorflow as tf

        places: dict[tuple[int, ...], list[int]] = defaultdict(list)
        for place, image in enumerate(images):
            places[image.shape].append(place)
        groups = [self._resize(np.stack([images[i] for i in group])) for group in places.values()]
        order = np.argsort([place for group in places.values() for place in group])
        if self._recipe.size is not None:
            batch = groups[0] if len(groups) == 1 else tf.gather(tf.concat(groups, 0), order)
            return [read.numpy() for read in self._pool(batch)]
        for height, width, _ in places:
            self._check_grids(height, width)
        parts = [self._pool(group) for group in groups]
        return [np.concatenate(read)[order] for read in zip(*parts, strict=True)]

    def _resized(self, pixels: Any) -> Any:
        """uint8 pixels of any size -> float32 0..255 of the recipe's size, unrounded."""
        import tensorflow as tf

        if self._recipe.size is None:
            return tf.cast(pixels, tf.float32)
        return tf.cast(tf.image.resize(pixels, self._recipe.size, "bilinear"), tf.float32)

    def _pooled(self, resized: Any) -> list[Any]:
        keras_range = self._recipe.preprocess == "keras"
        x = resized / 127.5 - 1 if keras_range else resized / 255
        outputs = self.network(x, training=False)
        return [_pool(outputs[tap], Column(tap=tap, pool=pool)) for tap, pool in self._reads]

    def _check_grids(self, height: int, width: int) -> None:
        """Refuse images that are too small for the network, and grids finer than a tap's output."""
        if (height, width) in self._checked:
            return
        if min(height, width) < MIN_SIZE:
            raise InputError(
                f"an image of {height} x {width} pixels at native size",
                expected=f"at least {MIN_SIZE} pixels each way",
                remedy="--size 299 299",
            )
        shapes = self.network.compute_output_shape((1, height, width, 3))
        for column in self._columns:
            rows, columns = column.cells or (1, 1)
            if rows > shapes[column.tap][1] or columns > shapes[column.tap][2]:
                raise InputError(
                    f"--pool {column.pool} on {column.tap}",
                    expected=f"at most {shapes[column.tap][1]}x{shapes[column.tap][2]} cells, its "
                    f"output for images of {height} x {width} pixels",
                    remedy="fewer cells, an earlier tap or a larger --size",
                )
        self._checked.add((height, width))


def _pool(output: Any, column: Column) -> Any:
    """(batch, H, W, channels) -> (batch, D).

    Cell r of R covers the rows from floor(r H / R) to ceil((r + 1) H / R), like PyTorch's adaptive
    pooling; cells are flattened row by row, each with all its channels.
    """
    import tensorflow as tf

    if column.pool == "max":
        return tf.reduce_max(output, (1, 2))
    if column.cells is None:
        return tf.reduce_mean(output, (1, 2))
    rows, columns = column.cells
    height, width = tf.shape(output)[1], tf.shape(output)[2]
    cells = [
        tf.reduce_mean(
            output[
                :,
                row * height // rows : -(-(row + 1) * height // rows),
                place * width // columns : -(-(place + 1) * width // columns),
            ],
            (1, 2),
        )
        for row in range(rows)
        for place in range(columns)
    ]
    return tf.concat(cells, -1)
