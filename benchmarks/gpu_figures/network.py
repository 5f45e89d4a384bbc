"""Images/s of InceptionV3 on JAX."""

import functools
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from gpu_figures.common import Figure, accelerated, device, figure, seconds

GFLOP_PER_IMAGE = 11.46  # InceptionV3 at 299x299, a multiplication and an addition each counted


def extraction(quick: bool) -> Iterator[Figure]:
    """Images/s of the JAX engine and of its network alone, beside a large matrix product."""
    import jax
    import jax.numpy as jnp

    from jaxreg.backbone.jax_engine import JaxEngine
    from jaxreg.backbone.network import build_network
    from jaxreg.backbone.weights import identify_weights
    from jaxreg.cache.recipe import Column, Recipe

    yield device()
    side, batch = (75, 4) if quick else (299, 256 if accelerated() else 32)
    size = 256 if quick else 8192 if accelerated() else 2048
    operations = GFLOP_PER_IMAGE * (side / 299) ** 2 * 1e9
    peaks, precisions = {}, {"float32": "highest", "bfloat16": "default"}
    for kind in ("float32", "bfloat16"):
        a = jnp.asarray(np.random.default_rng(0).normal(size=(size, size)), kind)
        product = jax.jit(functools.partial(jnp.matmul, precision=precisions[kind]))
        peaks[kind] = 2 * size**3 / seconds(lambda a=a, f=product: f(a, a), calls=5)
        yield figure(f"matrix product of {size}, {kind}", peaks[kind] / 1e12, "TFLOP/s")

    weights = identify_weights("random:0")
    assert weights is not None
    recipe = Recipe(weights=weights.identity, weights_tag=weights.tag, size=(side, side))
    engine = JaxEngine(recipe, [Column()], weights)
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8))
    start = time.perf_counter()
    engine.compile(images[0], batch)
    yield figure("compiling the network", time.perf_counter() - start, "s")

    at_once = engine.parallel  # batches under way at the same time, as in `extract`
    with ThreadPoolExecutor(at_once) as pool:
        read = lambda: list(pool.map(engine.features, [images] * (2 * at_once)))  # noqa: E731
        rate = 2 * at_once * batch / seconds(read)
    yield figure("JAX engine, float32, images in host memory", rate, "images/s")

    network = build_network(recipe.backbone, ["mixed10"], weights, recipe.size)
    variables = [jax.device_put(v.value) for v in network.non_trainable_variables]
    for kind in ("float32", "bfloat16"):
        if kind == "bfloat16":
            for layer in network.layers:
                layer.dtype_policy = "mixed_bfloat16"

        @jax.jit
        def pooled(variables: list[Any], pixels: Any, kind: str = kind) -> Any:
            with jax.default_matmul_precision(precisions[kind]):
                outputs, _ = network.stateless_call([], variables, pixels, training=False)
                return outputs["mixed10"].mean((1, 2))

        pixels = jnp.asarray(rng.uniform(-1, 1, (batch, side, side, 3)), kind)
        assert pooled(variables, pixels).dtype == kind
        rate = batch / seconds(functools.partial(pooled, variables, pixels), calls=4)
        yield figure(f"network alone, {kind}, batch on the device", rate, "images/s")
        share = 100 * rate * operations / peaks[kind]
        yield figure(f"its share of the matrix product, {kind}", share, "%")
