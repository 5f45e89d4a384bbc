"""The networks of a run as Keras layers: pixels of any one size to the features of its head.

The same computation as the TensorFlow engine, in layers and operations that Keras has built in.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jaxreg.artefact.float16_rounding import rounded_to_float16
from jaxreg.backbone.network import build_network, plain_float32
from jaxreg.backbone.pooling import even_steps, grid_cells
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def network_model(run: "TrainedRun", networks: RunNetworks) -> Any:
    """A Keras model from uint8 images (rows, height, width, 3) to the run's features, float32.

    Height and width are free. `start_keras` must have been called.

    Raises:
        InputError: weights that are not those of the run.
        UnavailableError: weights that cannot be found.
    """
    import keras

    with plain_float32():
        images = keras.Input((None, None, 3), dtype="uint8", name="images")
        return keras.Model(images, feature_values(run, networks, images), name="network")


def feature_values(run: "TrainedRun", networks: RunNetworks, images: Any) -> Any:
    """The output of `network_model` for a tensor of images."""
    from keras import ops

    whole = ops.cast(images, "float32")
    found: dict[tuple[str, Column], Any] = {}
    for recipe in run.features.networks:
        columns = run.features.columns_of(recipe.feature_set)
        layers = sorted({column.layer for column in columns})
        weights, _ = networks.find(recipe)
        assert weights is not None  # of a network in float32
        network = build_network(recipe.backbone, layers, weights, recipe.size)
        network.name = recipe.backbone if len(run.features.networks) == 1 else recipe.feature_set
        for view in sorted({column.view for column in columns}):
            outputs = network(prepared(recipe, whole, view), training=False)
            for column in columns:
                if column.view == view:
                    output = pooled(outputs[column.layer], column, recipe)
                    found[recipe.feature_set, column] = output
    return joined_features(run, found)


def joined_features(run: "TrainedRun", found: Mapping[tuple[str, Column], Any]) -> Any:
    """The features of a run, from what was read and pooled for each of its columns."""
    from keras import ops

    parts = [found[one] for one in run.features.columns]
    features = parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=1)
    if run.config["dtype"] == "float16":  # as the cache of the run rounded them
        rounded = rounded_to_float16(ops, features)  # what converters leave of the casts
        features = ops.cast(ops.cast(rounded, "float16"), "float32")
    return features


def prepared(recipe: Recipe, whole: Any, view: str) -> Any:
    """Images float32 from 0 to 255, in a view, as the network takes them."""
    import keras
    from keras import ops

    pixels = whole if view == "identity" else ops.flip(whole, axis=2)
    if recipe.size is not None:
        resize = keras.layers.Resizing(*recipe.size, interpolation="bilinear", antialias=False)
        pixels = resize(pixels)
    return preprocessing(recipe)(pixels)


def pooled(output: Any, column: Column, recipe: Recipe) -> Any:
    """(rows, height, width, channels), (rows, tokens, channels) or (rows, D) → (rows, D)."""
    import keras
    from keras import ops

    if column.pool == "none":
        return output
    if column.pool == "cls":
        return output[:, 0]
    if column.pool == "mean":
        return ops.mean(output[:, recipe.prefix_tokens or 0 :], axis=1)
    if column.pool == "max":
        return keras.layers.GlobalMaxPooling2D()(output)
    if column.cells is None:
        return keras.layers.GlobalAveragePooling2D()(output)
    height, width = output.shape[1:3]
    if height is None or width is None:
        return _free_grid(output, *column.cells)
    cells = grid_cells(column, height, width)
    if steps := even_steps(cells):
        sizes, strides = zip(*steps, strict=True)
        return keras.layers.Flatten()(keras.layers.AveragePooling2D(sizes, strides)(output))
    means = []
    for rows, places in cells:
        margins = ((rows.start, height - rows.stop), (places.start, width - places.stop))
        cell = keras.layers.Cropping2D(margins)(output)
        means.append(keras.layers.GlobalAveragePooling2D()(cell))
    return ops.concatenate(means, axis=1)


def _free_grid(output: Any, rows: int, columns: int) -> Any:
    """The cells of `grid_cells` for an output whose height and width only the image decides."""
    from keras import ops

    across = [
        cell
        for by_row in _cells_along(output, 1, rows)
        for cell in _cells_along(by_row, 2, columns)
    ]
    return ops.concatenate([ops.squeeze(cell, axis=(1, 2)) for cell in across], axis=1)


def _cells_along(output: Any, axis: int, count: int) -> list[Any]:
    """The means of `count` cells along an axis, which keeps a length of 1.

    Place p of n is in cell r of R where floor(r n / R) ≤ p < ceil((r + 1) n / R). For whole numbers
    that is r n < (p + 1) R and p R < (r + 1) n.
    """
    from keras import ops

    ones = ops.ones_like(output[:1, :1, :, :1] if axis == 2 else output[:1, :, :1, :1])
    ends = ops.multiply(ops.cumsum(ones, axis=axis), count)  # (p + 1) R
    length = ops.sum(ones, axis=axis, keepdims=True)
    means = []
    for cell in range(count):
        after = ops.greater(ends, ops.multiply(length, cell))
        before = ops.less(ops.subtract(ends, count), ops.multiply(length, cell + 1))
        inside = ops.cast(ops.logical_and(after, before), "float32")
        total = ops.sum(ops.multiply(output, inside), axis=axis, keepdims=True)
        means.append(ops.divide(total, ops.sum(inside, axis=axis, keepdims=True)))
    return means
