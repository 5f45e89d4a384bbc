"""Damaged images: pixels, or the reason why there are none."""

import io
import random

import numpy as np
import pillow_heif
import pytest
from PIL import Image, features

from fuzzing import damaged
from jaxreg.sources import pixels
from jaxreg.sources.pixels import UnusableImage

KINDS = {
    "PNG": {},
    "JPEG": {"quality": 80},
    "WEBP": {},
    "GIF": {},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
    "AVIF": {},
    "HEIF": {},
}
PHOTO = np.random.default_rng(0).integers(0, 256, (24, 20, 3), np.uint8)
SEEDS = 400


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_image_gives_pixels_or_a_reason(kind: str) -> None:
    if kind == "HEIF":
        pillow_heif.register_heif_opener()
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("this build of Pillow writes no AVIF")
    whole = io.BytesIO()
    Image.fromarray(PHOTO).save(whole, kind, **KINDS[kind])
    usable = 0
    for seed in range(SEEDS):
        content = damaged(whole.getvalue(), random.Random(f"{kind} {seed}"))
        try:
            rgb = pixels.decode(content)
        except UnusableImage:
            continue
        except Exception as error:
            raise AssertionError(f"{kind} of seed {seed}") from error
        usable += 1
        assert (rgb.dtype, rgb.ndim, rgb.shape[2]) == (np.uint8, 3, 3)
    assert usable < SEEDS
