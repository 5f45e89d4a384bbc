"""Images from Python code: one stays one, and an array of unclear shape is refused."""

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from jaxreg.errors import InputError
from jaxreg.sources import open_source
from jaxreg.sources.depth import as_uint8
from jaxreg.sources.in_memory import images_of
from jaxreg.sources.pixels import decode

PHOTO = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
GREY = PHOTO[..., 0]


def png(array: np.ndarray = PHOTO) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    "given",
    [
        PHOTO,
        np.concatenate([PHOTO, PHOTO[..., :1]], axis=2),  # RGBA
        PHOTO[None],
        [PHOTO],
        (PHOTO,),
        (image for image in [PHOTO]),
        np.array([None, PHOTO], object)[1:],
        Image.fromarray(PHOTO),
        [Image.fromarray(PHOTO)],
        png(),
        bytearray(png()),
        [memoryview(png())],
        io.BytesIO(png()),
    ],
    ids=lambda given: type(given).__name__,
)
def test_one_image_is_one_however_it_is_handed_over(given: object) -> None:
    (one,) = images_of(given)
    assert isinstance(one, bytes | np.ndarray)
    np.testing.assert_array_equal(decode(one), PHOTO)


def test_tensors_are_arrays() -> None:
    import jax.numpy as jnp

    (one,) = images_of(jnp.asarray(PHOTO))
    np.testing.assert_array_equal(one, PHOTO)
    assert len(images_of(jnp.asarray(np.stack([PHOTO] * 5)))) == 5


@pytest.mark.parametrize("given", [GREY, GREY[..., None], GREY[None], GREY[None, ..., None]])
def test_one_grey_image(given: np.ndarray) -> None:
    (one,) = images_of(given)
    assert isinstance(one, np.ndarray)
    np.testing.assert_array_equal(decode(one), np.stack([GREY] * 3, axis=2))


@pytest.mark.parametrize(
    "shape", [(5, 24, 32), (2, 24, 32), (5, 24, 32, 1), (5, 24, 32, 3), (5, 24, 32, 4), (9, 8, 8)]
)
def test_a_stack_is_as_many_as_its_first_axis(shape: tuple[int, ...]) -> None:
    stack = np.arange(np.prod(shape), dtype=np.uint16).astype(np.uint8).reshape(shape)
    images = images_of(stack)
    assert len(images) == shape[0]
    np.testing.assert_array_equal(images[-1], stack[-1])


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            PHOTO.transpose(2, 0, 1),
            r"\(3, 24, 32\)\n.*one image \(height, .*\n.*transpose\(1, 2",
        ),
        (PHOTO[None].transpose(0, 3, 1, 2), r"\(1, 3, 24, 32\)\n.*\n.*transpose\(0, 2, 3, 1\)"),
        (PHOTO[..., :2], r"\(24, 32, 2\)\n.*\n.*one of 2 channels"),
        (np.zeros((64, 64, 13), np.uint8), r"\(64, 64, 13\)\n.*\n.*one of 13 channels"),
        (np.zeros((2, 24, 32, 5), np.uint8), r"\(2, 24, 32, 5\)"),
        (np.zeros((32, 3), np.uint8), r"\(32, 3\)"),
        (np.zeros(32, np.uint8), r"shape \(32,\)"),
        (np.uint8(3), r"shape \(\)"),
        (list(PHOTO), r"image 0 is an array of shape \(32, 3\)\n.*\n.*if these are its rows"),
        (PHOTO.tolist(), "image 0 is of type list"),
        ([3], "image 0 is of type int"),
        ({"a": png()}, "dict is no image"),
        ({"a.png"}, "set is no image"),
        (None, "NoneType is no image"),
    ],
)
def test_what_is_unclear_is_refused_with_the_shapes_wanted(given: object, text: str) -> None:
    with pytest.raises(InputError, match=text):
        images_of(given)


def test_paths_one_or_many(tmp_path: Path) -> None:
    one = tmp_path / "a.png"
    assert images_of(str(one)) == images_of(one) == images_of([str(one)]) == [one]
    assert images_of(np.array([str(one)] * 2)) == images_of(pd.Series([str(one)] * 2)) == [one] * 2
    assert images_of([]) == []


def test_an_image_of_pillow_is_decoded_like_its_file() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying, seen upright after a quarter turn
    buffer = io.BytesIO()
    Image.fromarray(PHOTO).save(buffer, "PNG", exif=exif)
    (turned,) = images_of(Image.open(buffer))
    assert isinstance(turned, np.ndarray)
    np.testing.assert_array_equal(turned, np.rot90(PHOTO, -1))
    (palette,) = images_of(Image.fromarray(GREY // 64).convert("P"))
    assert isinstance(palette, np.ndarray)
    np.testing.assert_array_equal(palette, np.stack([GREY // 64] * 3, axis=2))
    with pytest.raises(InputError, match=r"image of Pillow cannot be used: broken"):
        images_of(Image.open(io.BytesIO(png()[:200])))


def archive(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, allow_pickle=False, **arrays)
    return str(path)


def test_an_archive_of_one_image_is_one_example(tmp_path: Path) -> None:
    one = archive(tmp_path / "one.npz", images=PHOTO)
    assert len(open_source(one)) == 1
    grey = np.stack([GREY] * 3)  # three targets say that these are three grey images
    many = archive(tmp_path / "many.npz", images=grey, targets=np.arange(3.0))
    assert len(open_source(many)) == 3
    with pytest.raises(InputError, match=r"shape \(23,\) for 1 images"):
        open_source(archive(tmp_path / "wrong.npz", images=PHOTO, targets=np.arange(23.0)))


@pytest.mark.parametrize(
    "values",
    [
        PHOTO.astype(np.float32),
        PHOTO.astype(np.int64),
        PHOTO + 0.25,
        PHOTO / 255,
        PHOTO / np.float32(127.5) - 1,
        PHOTO * 1000.0 - 7,
        PHOTO[..., 0] > 127,
    ],
    ids=["0..255", "integers", "fractions", "0..1", "-1..1", "another scale", "booleans"],
)
def test_the_advice_for_pixels_of_another_type_keeps_the_picture(values: np.ndarray) -> None:
    expression = as_uint8(values).split(" for ")[0]
    made = eval(expression, {"images": values})
    assert made.dtype == np.uint8
    values = values.astype(float)
    low, high = values.min(), values.max()
    if expression.startswith("images"):
        low, high = 0, 255  # the values keep their scale
    if expression.startswith("(127.5"):
        low, high = -1, 1
    by_hand = (values - low) / (high - low) * 255
    assert np.abs(made - by_hand).max() <= 1


def test_the_advice_for_values_that_no_pixel_has() -> None:
    assert "NaN" in as_uint8(np.array([[[0.0, np.nan]]]))
    assert as_uint8(np.array([[[0, 4095]]])) == "images.astype('uint16')"
