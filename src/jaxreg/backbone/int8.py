"""The network in int8: NNCF's post-training quantization, calibrated on the user's own images."""

import io
import logging
import warnings
from collections.abc import Iterable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from jaxreg.backbone.openvino_engine import packed_network
from jaxreg.backbone.openvino_model import import_openvino, pack, unpack
from jaxreg.backbone.openvino_reads import fixed_batch, take_size
from jaxreg.backbone.preprocess import preprocessing
from jaxreg.backbone.resize import resize
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.object_store import Store, read_json_at, write_json_at
from jaxreg.cache.recipe import Recipe
from jaxreg.common.lean_imports import show_pandas
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.sources.pixels import thumbnail

T = TypeVar("T")

CALIBRATION_IMAGES = 200
"""Enough for the ranges of activations to settle; twice as many take twice the time."""


def quantized_network(
    recipe: Recipe, weights: WeightsSource, images: Iterable[np.ndarray]
) -> bytes:
    """The whole network in int8, packed: preprocessed pixels in, the last layer out.

    Args:
        recipe: its size and preprocessing count.
        weights: of the float32 network.
        images: to calibrate on, at least one, uint8 (height, width, 3); iterated several times.

    Raises:
        InputError: there is no image; OpenVINO or NNCF is not installed.
    """
    if next(iter(images), None) is None:
        raise InputError("no usable image to calibrate int8 on", expected="at least one")
    ov = import_openvino()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        show_pandas()
        nncf = import_openvino("nncf")
    network = unpack(ov.Core(), packed_network(recipe, weights))
    # the last layers stay the only outputs; the others stay readable as inner layers. NNCF leaves
    # each output layer in float32, and partly the layers after it, which costs 5%
    for result in network.get_results():
        users = result.input_value(0).get_target_inputs()
        if any(user.get_node().get_type_name() != "Result" for user in users):
            network.remove_result(result)
    batch = fixed_batch(network)
    if recipe.size is not None:
        take_size(network, batch, *recipe.size)
    prepared = preprocessing(recipe)

    def prepare(image: np.ndarray) -> np.ndarray:
        pixels = np.empty((1, *(recipe.size or image.shape[:2]), 3), np.float32)
        resize(image, pixels[0])
        return np.repeat(prepared(pixels), batch or 1, axis=0)

    # NNCF treats attention otherwise: its activations have outliers
    attends = any(node.get_type_name() == "Softmax" for node in network.get_ops())
    kind = nncf.ModelType.TRANSFORMER if attends else None

    with redirect_stdout(io.StringIO()), warnings.catch_warnings():  # progress bars
        warnings.simplefilter("ignore")
        nncf.set_log_level(logging.ERROR)
        dataset = nncf.Dataset(images, prepare)
        with step("calibrating int8"):
            return pack(
                nncf.quantize(network, dataset, subset_size=CALIBRATION_IMAGES, model_type=kind)
            )


_COLOURS = ("red", "green", "blue")
NAMES = (*(f"mean {c}" for c in _COLOURS), *(f"contrast in {c}" for c in _COLOURS), "detail")
"""Mean and std of each channel, and the mean step from pixel to pixel: all in 0..255."""

MARGIN = 0.5  # of the calibration's own span, on either side
STEPS = 4.0  # of 0..255, on either side: smaller differences are never another kind of image
WORTH_SAYING = 0.01  # the least share of images outside for a warning
LOOKED_AT = 500  # images of an extraction, spread evenly; more would cost time and change nothing
VERIFIED = 5000  # images of a feature set that `verify` measures; it has the time


@dataclass(frozen=True)
class Range:
    """The least and greatest of each measure among the images of a calibration."""

    low: np.ndarray  # (measures,)
    high: np.ndarray

    def warning(self, jpegs: Iterable[bytes]) -> str | None:
        """A sentence if more than a few of these thumbnails are outside; None otherwise."""
        measures = np.array([measure(jpeg) for jpeg in jpegs])
        if not len(measures):
            return None
        margin = MARGIN * (self.high - self.low) + STEPS
        beyond = (measures < self.low - margin) | (measures > self.high + margin)
        outside = int(beyond.any(axis=1).sum())
        if outside <= WORTH_SAYING * len(measures):
            return None
        worst = int(beyond.sum(axis=0).argmax())
        values = measures[beyond[:, worst], worst]
        return (
            f"{outside} of {len(measures)} images are unlike those that int8 was calibrated on "
            f"({NAMES[worst]} {values.min():.0f} to {values.max():.0f}, there "
            f"{self.low[worst]:.0f} to {self.high[worst]:.0f}); their features may be coarse: "
            "--precision bfloat16, or int8 calibrated on them in another --cache"
        )


def measure(jpeg: bytes) -> np.ndarray:
    """The measures of a thumbnail, in the order of NAMES."""
    from PIL import Image as pillow
    from PIL import ImageStat

    with pillow.open(io.BytesIO(jpeg)) as picture:
        rgb = picture.convert("RGB")
    statistics = ImageStat.Stat(rgb)
    grey = np.asarray(rgb).sum(axis=2, dtype=np.int16)
    detail = np.abs(np.diff(grey, axis=1)).mean() / 3 if rgb.width > 1 else 0.0
    return np.array([*statistics.mean, *statistics.stddev, detail], np.float32)


def write_range(store: Store, key: str, images: Iterable[np.ndarray]) -> None:
    """Write the range of decoded images, uint8 (height, width, 3)."""
    measures = np.array([measure(thumbnail(np.ascontiguousarray(image))) for image in images])
    limits = {
        name: [float(low), float(high)]
        for name, low, high in zip(NAMES, measures.min(axis=0), measures.max(axis=0), strict=True)
    }
    write_json_at(store, key, limits)


def read_range(store: Store, key: str) -> Range | None:
    """The range in a file; None if the file is absent, damaged or of another format."""
    try:
        shape = dict.fromkeys(NAMES, list[float])
        limits = read_json_at(store, key, shape, expected="calibration.json", again="")
    except InputError:
        return None
    low, high = zip(*(limits[name] for name in NAMES), strict=True)
    return Range(np.array(low, np.float32), np.array(high, np.float32))


def some(items: Sequence[T], count: int = LOOKED_AT) -> list[T]:
    """At most `count` of them, spread evenly."""
    places = np.linspace(0, len(items) - 1, min(count, len(items))).round().astype(int)
    return [items[place] for place in places]
