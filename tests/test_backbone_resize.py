"""The resize before the network. Expected pixels are those of `tf.image.resize`."""

import importlib.util

import numpy as np
import pytest
from PIL import Image

from jaxreg.backbone.resize import resize
from jaxreg.sources.pillow_memory import rgb_of

SIZES = [(75, 75), (60, 90), (300, 130), (1, 1), (20, 700), (96, 107), (500, 430)]


def wanted(image: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    return tf.image.resize(image, (96, 107), "bilinear").numpy()


def check(got: np.ndarray, image: np.ndarray) -> None:
    """The same up to 3 units of the last place of 255, which is 1.5e-5."""
    np.testing.assert_allclose(got, wanted(image), rtol=0, atol=4.6e-5)


def images(size: tuple[int, int]) -> list[np.ndarray]:
    """Pixels of three and of four bytes, as they are and mirrored."""
    three = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    four = rgb_of(Image.fromarray(three))
    return [three, four, three[:, ::-1], four[:, ::-1]]


@pytest.mark.parametrize("size", SIZES)
def test_numpy_resizes_as_tensorflow_does(size) -> None:
    for image in images(size):
        got = np.empty((96, 107, 3), np.float32)
        resize(image, got)
        check(got, image)


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)
def test_openvino_resizes_as_tensorflow_does() -> None:
    """Images of many sizes, one after another, through the same memory."""
    from jaxreg.backbone.openvino_model import import_openvino
    from jaxreg.backbone.openvino_resize import Resizer, mixing_model

    resizer = Resizer(mixing_model(import_openvino().Core(), 96, 107), 4, 96, 107)
    for size in SIZES:
        shown = images(size)
        resizer(shown)
        for got, image in zip(resizer.pixels, shown, strict=True):
            check(got, image)
    before = resizer.pixels[1:].copy()
    resizer(images((50, 40))[:1])  # a step that is not full
    np.testing.assert_array_equal(resizer.pixels[1:], before)
