"""The OpenVINO engine: the fastest on a CPU, and the only one below float32."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import numpy as np

from jaxreg.backbone.onnx_network import onnx_network
from jaxreg.backbone.openvino_model import (
    converted_network,
    import_openvino,
    reason_of,
    unpack,
)
from jaxreg.backbone.openvino_reads import (
    check_model_layers,
    fixed_batch,
    maps_of,
    pooled_model,
    sides_of_maps,
    take_size,
)
from jaxreg.backbone.openvino_resize import Resizer, mixing_model
from jaxreg.backbone.pooling import PIXEL_BYTES, ReadingEngine, check_size, in_order
from jaxreg.backbone.registry import ONNX
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.common.memory import free_memory
from jaxreg.common.steps import step
from jaxreg.common.threads import cores
from jaxreg.errors import InputError

STEP = 8
"""Images that one core computes at a time. More are no faster, and would leave more at the end."""

SIZES_KEPT = 16  # compiled models, one per size of image

# float32 needs its hint, because some processors would take bfloat16; int8 leaves some float32
_HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "f32"}


class OpenVINOEngine(ReadingEngine):
    """Features of uint8 images on the CPU, in the recipe's precision.

    Each core takes a few images at a time, resizes them and computes them alone. So no core waits
    for another, nor for the last image of a batch. With `one_by_one`, all cores compute one image.
    """

    name = "openvino"
    parallel = 2  # the next batch begins while the last images of this one are under way

    def __init__(
        self,
        recipe: Recipe,
        columns: Sequence[Column],
        weights: WeightsSource | None,
        quantized: bytes | None = None,
        *,
        one_by_one: bool = False,
    ) -> None:
        """`quantized` is the packed model of an int8 recipe; other precisions need the weights."""
        self.one_by_one = one_by_one
        self.at_once = self._most = 1 if one_by_one else STEP
        super().__init__(recipe, columns)
        openvino = import_openvino()
        openvino.Type.f32.to_dtype()  # two threads that make the first such call wait for ever
        self._core = openvino.Core()
        if recipe.precision == "bfloat16" and not computes_bfloat16(self._core):
            raise InputError(
                "--precision bfloat16, and this processor has no such instructions",
                expected="a processor with AVX512_BF16, AMX or similar",
                remedy="--precision float32",
            )
        if quantized is not None:
            self._packed = quantized
        elif weights is not None:
            self._packed = packed_network(recipe, weights)
        else:
            raise ValueError("OpenVINOEngine: neither a quantized model nor weights")
        self._step = self._most
        self._compiled = lru_cache(SIZES_KEPT)(self._compile)
        streams = self._compiled(*recipe.size).qsize() if recipe.size else 1
        self._workers = ThreadPoolExecutor(max(1, streams), "openvino")

    def compile(self, image: np.ndarray, batch: int) -> None:
        """Only at native size is there more to compile than `__init__` has compiled."""
        if self.recipe.size is None:
            super().compile(image, batch)

    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One array per read, rows in the order of the images."""
        places, steps = [], []
        for (height, width), group in self.groups(images).items():
            requests = self._compiled(height, width)
            for at in range(0, len(group), self._step):
                some = group[at : at + self._step]
                places += some
                shown = [images[place] for place in some]
                steps.append((requests, shown))
        with failure_told(self.recipe):
            if len(steps) == 1:  # another thread would only take time
                return _run(*steps[0])
            under_way = [self._workers.submit(_run, *step) for step in steps]
            return in_order(places, [step.result() for step in under_way])

    def _compile(self, height: int, width: int) -> SimpleQueue:
        """The model for images of one size: a queue of as many requests as run at once.

        Each comes with a resize for the images of a step.
        """
        check_size(self.recipe.backbone, height, width)
        model = unpack(self._core, self._packed)
        check_model_layers(model, self.recipe.backbone, self.layers)
        batch = fixed_batch(model)
        self._step = batch or self._most
        take_size(model, batch, height, width)
        maps = maps_of(model, self.recipe, self.reads)
        self.check_grids(height, width, sides_of_maps(maps))
        pooled = pooled_model(model, self.recipe, self.reads, maps)
        # a step of a fixed number is quicker; at native size a step may be one image
        fixed = self.one_by_one or self.recipe.size is not None
        take_size(pooled, batch or (self._most if fixed else None), height, width)
        hints = {
            # else images side by side, few cores for each
            "PERFORMANCE_HINT": "LATENCY" if self.one_by_one else "THROUGHPUT",
            "INFERENCE_PRECISION_HINT": _HINTS[self.recipe.precision],
        }
        together = 0.8 * free_memory() / (self._step * height * width * PIXEL_BYTES)
        if cores() != os.cpu_count():
            hints["INFERENCE_NUM_THREADS"] = str(cores())
        # OpenVINO itself does not ask what is free
        if not self.one_by_one and together < cores():
            hints["NUM_STREAMS"] = str(max(1, int(together)))
        with step("compiling the network"), failure_told(self.recipe):
            compiled = self._core.compile_model(pooled, "CPU", hints)
            mixing = mixing_model(self._core, height, width)
        requests: SimpleQueue = SimpleQueue()
        for _ in range(compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")):
            resizer = Resizer(mixing, self._step, height, width)
            requests.put((compiled.create_infer_request(), resizer))
        return requests


def packed_network(recipe: Recipe, weights: WeightsSource) -> bytes:
    """The whole network of a recipe, packed, from Keras or from an ONNX file."""
    if recipe.backbone == ONNX:
        return onnx_network(weights)
    return converted_network(recipe.backbone, weights, recipe.size)


@contextmanager
def failure_told(recipe: Recipe) -> Iterator[None]:
    """Raise InputError where OpenVINO cannot run what is in a user's ONNX file."""
    try:
        yield
    except RuntimeError as error:
        if recipe.backbone != ONNX:
            raise
        raise InputError(
            f"OpenVINO cannot run the network of the ONNX file: {reason_of(error)}",
            remedy="read an earlier layer, or export the network in another way",
        ) from error


def computes_bfloat16(core: Any) -> bool:
    """Whether the processor has instructions for it: without them OpenVINO takes float32."""
    return "BF16" in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


def _run(requests: SimpleQueue, images: Sequence[np.ndarray]) -> list[np.ndarray]:
    request, resizer = requests.get()
    try:
        resizer(images)
        pixels = resizer.pixels
        fixed = request.get_compiled_model().input().partial_shape.is_static
        shown = pixels if fixed else pixels[: len(images)]
        reads = request.infer([shown], share_inputs=True)
        return [read[: len(images)] for read in reads.values()]
    finally:
        requests.put((request, resizer))
