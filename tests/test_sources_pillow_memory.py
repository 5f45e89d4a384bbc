"""Pillow's memory as arrays. Expected pixels are Pillow's own, by `np.array`."""

import numpy as np
import pytest
from PIL import Image

from jaxreg.sources.pillow_memory import four_bytes, packed, rgb_of, stacked
from jaxreg.sources.pixels import from_pillow, thumbnail

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def numbers(rgb: np.ndarray) -> np.ndarray:
    """The first three bytes of each packed number, uint8 (height, width, 3)."""
    pixels = packed(rgb)
    assert pixels.dtype == np.uint32
    return np.stack([pixels >> shift & 255 for shift in (0, 8, 16)], 2).astype(np.uint8)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "P", "CMYK"])
def test_pixels_are_those_of_pillow_in_any_mode(mode: str) -> None:
    picture = Image.fromarray(PHOTO).convert(mode)
    expected = np.array(picture.convert("RGB"))
    np.testing.assert_array_equal(rgb_of(picture), expected)
    np.testing.assert_array_equal(numbers(rgb_of(picture)), expected)


def test_nothing_is_copied_and_nothing_can_be_written() -> None:
    picture = Image.fromarray(PHOTO)
    rgb = rgb_of(picture)
    assert np.shares_memory(rgb, rgb_of(picture))
    assert np.shares_memory(rgb, packed(rgb))
    assert not rgb.flags.writeable
    del picture  # the array keeps the memory
    np.testing.assert_array_equal(rgb, PHOTO)


def test_an_image_in_several_blocks_of_pillow_is_copied() -> None:
    picture = Image.new("RGB", (3000, 2000), (1, 2, 3))
    picture.putpixel((2999, 1999), (4, 5, 6))
    rgb = rgb_of(picture)
    assert rgb.shape == (2000, 3000, 3)
    assert four_bytes(rgb) is None
    assert rgb[-1, -2:].tolist() == [[1, 2, 3], [4, 5, 6]]


def test_other_arrays_are_packed_as_they_are_seen() -> None:
    rgb = rgb_of(Image.fromarray(PHOTO))
    for seen in (PHOTO, rgb[:, ::-1], rgb[2:], rgb[:, :4], rgb[[4, 1]], PHOTO.swapaxes(0, 1)):
        np.testing.assert_array_equal(numbers(seen), np.array(seen))
    assert four_bytes(np.zeros((4, 2, 3), np.uint8)) is None


def test_images_of_any_memory_are_stacked_as_numpy_does() -> None:
    rgb = rgb_of(Image.fromarray(PHOTO))
    for images in ([rgb, rgb[:, ::-1]], [PHOTO, rgb[::-1]], [PHOTO, PHOTO[::-1]], [rgb]):
        batch = stacked(images)
        assert batch.flags.c_contiguous
        np.testing.assert_array_equal(batch, np.stack(images))


def test_a_thumbnail_is_the_same_from_three_or_four_bytes() -> None:
    photo = RNG.integers(0, 256, (170, 333, 3), dtype=np.uint8)
    assert thumbnail(rgb_of(Image.fromarray(photo))) == thumbnail(photo)


def test_an_image_of_the_user_is_copied() -> None:
    picture = Image.fromarray(PHOTO)
    rgb = from_pillow(picture)
    picture.putpixel((0, 0), (0, 0, 0))
    np.testing.assert_array_equal(rgb, PHOTO)
