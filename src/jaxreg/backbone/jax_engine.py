"""The JAX engine, for GPUs and TPUs. On a CPU all other engines are faster."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import numpy as np

from jaxreg.backbone.network import build_network, output_sides, start_keras
from jaxreg.backbone.pooling import ReadingEngine, check_size, grid_cells, in_order
from jaxreg.backbone.resize import Corners, mixed
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.common.threads import cores
from jaxreg.common.user_cache import keep_jax_compilations

SIZES_KEPT = 16  # compiled functions, one per size of image


class JaxEngine(ReadingEngine):
    """Features of uint8 images in float32; all local devices share a batch."""

    name = "jax"
    parallel = 2  # the next batch is resized while the devices compute

    def __init__(self, recipe: Recipe, columns: Sequence[Column], weights: WeightsSource) -> None:
        start_keras("jax")
        import jax
        from jax.sharding import Mesh, NamedSharding, PartitionSpec

        keep_jax_compilations()
        self.on_cpu = jax.default_backend() == "cpu"
        super().__init__(recipe, columns)
        self.network = build_network(recipe.backbone, self.layers, weights, recipe.size)
        mesh = Mesh(np.array(jax.local_devices()), ("batch",))
        self._by_row = NamedSharding(mesh, PartitionSpec("batch"))
        variables = [v.value for v in self.network.non_trainable_variables]
        self._variables = jax.device_put(variables, NamedSharding(mesh, PartitionSpec()))
        self._rows = 0  # of every batch on the devices: a multiple of their number
        self._compiled = lru_cache(SIZES_KEPT)(self._compile)
        self._resizers = ThreadPoolExecutor(cores(), "resize")
        if recipe.size is not None:
            self._compiled(*recipe.size)

    def compile(self, image: np.ndarray, batch: int) -> None:
        """Compile for batches of that many images; smaller ones are padded, larger ones cut."""
        devices = self._by_row.num_devices
        self._rows = -(-batch // devices) * devices
        self.features([image])

    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One array per read, rows in the order of the images."""
        if not self._rows:
            self.compile(images[0], len(images))
        places, parts = [], []
        for (height, width), group in self.groups(images).items():
            function = self._compiled(height, width)
            for at in range(0, len(group), self._rows):
                some = group[at : at + self._rows]
                places += some
                parts.append(self._run(function, [images[i] for i in some], height, width))
        return in_order(places, [[np.asarray(read) for read in part] for part in parts])

    def _run(
        self, function: Any, images: Sequence[np.ndarray], height: int, width: int
    ) -> list[Any]:
        """Start one batch on the devices; the arrays returned may still be under way."""
        import jax

        batch = Corners(self._rows, height, width)
        list(self._resizers.map(batch.take, range(len(images)), images))
        arrays = jax.device_put((batch.pixels, batch.across, batch.down), self._by_row)
        reads = function(self._variables, *arrays)
        return [read[: len(images)] for read in reads]

    def _compile(self, height: int, width: int) -> Any:
        """The jitted function for one size; one per size, so that the least used can be dropped."""
        import jax
        import jax.numpy as jnp

        check_size(self.recipe.backbone, height, width)
        self.check_grids(height, width, output_sides(self.network, height, width))

        def features(variables: list[Any], corners: Any, across: Any, down: Any) -> list[Any]:
            four = mixed(jnp.moveaxis(corners, 1, 0).astype(jnp.float32), across, down)
            pixels = four.reshape(-1, height, width, 4)[..., :3]
            # a GPU's or TPU's default for float32 keeps 10 or 7 bits: then engines would differ
            with jax.default_matmul_precision("highest"):
                x = self.prepared(pixels)
                outputs, _ = self.network.stateless_call([], variables, x, training=False)
                return [
                    _pool(outputs[layer], Column(layer=layer, pool=pool), self.prefix)
                    for layer, pool in self.reads
                ]

        return jax.jit(features)


def _pool(output: Any, column: Column, prefix: int) -> Any:
    """(batch, H, W, channels), (batch, tokens, channels) or (batch, D) -> (batch, D)."""
    import jax.numpy as jnp

    if column.pool == "none":
        return output
    if column.pool == "cls":
        return output[:, 0]
    if column.pool == "mean":
        return output[:, prefix:].mean(1)
    if column.pool == "max":
        return output.max((1, 2))
    cells = grid_cells(column, *output.shape[1:3])
    return jnp.concatenate([output[:, rows, places].mean((1, 2)) for rows, places in cells], -1)
