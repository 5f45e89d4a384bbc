"""The rules of `decode: 1`. Expected pixels are written down by hand or read by another decoder."""

import hashlib
import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from jaxreg.sources import pixels

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)


def encoded(picture: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "GIF", "WEBP"])
def test_lossless_kinds_keep_every_pixel(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    picture = Image.fromarray(PHOTO)
    if kind == "GIF":  # a palette of at most 256 colours holds these 54 pixels exactly
        picture = picture.quantize(256)
        expected = np.array(picture.convert("RGB"))
    else:
        expected = PHOTO
    np.testing.assert_array_equal(pixels.decode(encoded(picture, kind, **options)), expected)


def test_jpeg_equals_keras_load_img(tmp_path) -> None:
    from keras.utils import load_img

    path = tmp_path / "a.jpg"
    path.write_bytes(encoded(Image.fromarray(PHOTO), "JPEG"))
    np.testing.assert_array_equal(pixels.decode(pixels.read(path)), np.array(load_img(path)))


@pytest.mark.parametrize(
    ("orientation", "upright"),
    [  # EXIF 2.32, tag 0x0112: what must be done to the stored pixels to see them upright
        (1, PHOTO),
        (2, PHOTO[:, ::-1]),
        (3, PHOTO[::-1, ::-1]),
        (4, PHOTO[::-1]),
        (5, PHOTO.transpose(1, 0, 2)),
        (6, np.rot90(PHOTO, -1)),
        (7, PHOTO[::-1, ::-1].transpose(1, 0, 2)),
        (8, np.rot90(PHOTO)),
    ],
)
def test_exif_rotation_is_applied(orientation: int, upright: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = encoded(Image.fromarray(PHOTO), exif=exif)
    np.testing.assert_array_equal(pixels.decode(content), upright)


def test_alpha_is_dropped_not_blended() -> None:
    alpha = RNG.integers(0, 256, (6, 9, 1), dtype=np.uint8)
    picture = Image.fromarray(np.concatenate([PHOTO, alpha], axis=2))
    np.testing.assert_array_equal(pixels.decode(encoded(picture)), PHOTO)


def test_palette_with_transparency_gives_the_palettes_colours() -> None:
    picture = Image.new("P", (2, 1))
    picture.putpalette([10, 20, 30, 200, 150, 100])
    picture.putpixel((1, 0), 1)
    content = encoded(picture, transparency=1)
    np.testing.assert_array_equal(pixels.decode(content), [[[10, 20, 30], [200, 150, 100]]])


@pytest.mark.parametrize("mode", ["L", "LA"])
def test_greyscale_becomes_three_equal_channels(mode: str) -> None:
    grey = PHOTO[..., 0]
    decoded = pixels.decode(encoded(Image.fromarray(grey).convert(mode)))
    np.testing.assert_array_equal(decoded, np.stack([grey] * 3, axis=2))


def test_one_bit_becomes_black_and_white() -> None:
    bits = PHOTO[..., 0] > 127
    decoded = pixels.decode(encoded(Image.fromarray(bits)))
    np.testing.assert_array_equal(decoded, np.stack([bits * 255] * 3, axis=2))


def test_cmyk_by_the_plain_formula() -> None:
    inks = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
    content = encoded(Image.fromarray(inks, "CMYK"), "TIFF")
    cmy, key = inks[..., :3].astype(float), inks[..., 3:].astype(float)
    by_hand = (255 - cmy) * (255 - key) / 255  # R = (1-C)(1-K), the formula without colour profiles
    assert np.abs(pixels.decode(content) - by_hand).max() <= 1


def test_sixteen_bits_keep_the_high_byte() -> None:
    deep = np.array([[0, 255, 256, 0x1234, 0xFFFF]], dtype=np.uint16)
    expected = np.stack([deep >> 8] * 3, axis=2)
    for kind in ("PNG", "TIFF"):
        np.testing.assert_array_equal(pixels.decode(encoded(Image.fromarray(deep), kind)), expected)
    np.testing.assert_array_equal(pixels.decode(deep), expected)


def test_sixteen_bit_rgb_png_keeps_the_high_byte() -> None:
    def chunk(name: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(name + body)
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", crc)

    deep = np.array([[[0x12FF, 0x3400, 0xFFFF]]], dtype=">u2")
    content = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(b"\0" + deep.tobytes()))
        + chunk(b"IEND", b"")
    )
    np.testing.assert_array_equal(pixels.decode(content), [[[0x12, 0x34, 0xFF]]])


def test_gif_gives_its_first_frame() -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("#102030", "#f0e0d0")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    np.testing.assert_array_equal(pixels.decode(content)[0, 0], [0x10, 0x20, 0x30])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"<html>not found</html>", "not a JPEG, PNG, WebP, AVIF, HEIC, BMP, GIF or TIFF"),
        (encoded(Image.fromarray(PHOTO))[:60], "broken PNG"),
        (encoded(Image.fromarray(PHOTO), "JPEG")[:-40], "broken JPEG"),
        (
            encoded(Image.fromarray(PHOTO[..., 0].astype(np.float32)), "TIFF"),
            "float32 .*--range LO HI",
        ),
        (encoded(Image.fromarray(PHOTO[..., 0].astype(np.int32)), "TIFF"), "int32 .*--range LO HI"),
        (np.zeros((4, 4, 3), np.float32), "an array of float32; expected uint8 or uint16"),
        (np.zeros((4, 4, 2), np.uint8), r"an array of shape \(4, 4, 2\)"),
        (np.zeros((0, 4, 3), np.uint8), r"an array of shape \(0, 4, 3\)"),
    ],
)
def test_what_cannot_be_used_says_why(content: bytes | np.ndarray, reason: str) -> None:
    with pytest.raises(pixels.UnusableImage, match=reason):
        pixels.decode(content)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9_500, 20_000])
def test_a_bomb_is_refused_before_it_is_decoded(side: int) -> None:
    content = encoded(Image.new("1", (side, side)))
    assert len(content) < 100_000
    with pytest.raises(pixels.UnusableImage, match="are refused"):
        pixels.decode(content)


def test_files_that_cannot_be_read(tmp_path) -> None:
    (tmp_path / "empty.jpg").touch()
    for name, reason in [("none.jpg", "no such file"), ("empty.jpg", "empty"), (".", "a folder")]:
        with pytest.raises(pixels.UnusableImage, match=reason):
            pixels.read(tmp_path / name)


def test_digest_is_sha256_of_the_bytes_and_of_dtype_shape_and_bytes() -> None:
    content = encoded(Image.fromarray(PHOTO))
    assert pixels.digest(content) == hashlib.sha256(content).hexdigest()
    plain = hashlib.sha256(b"|u1(6, 9, 3)" + PHOTO.tobytes()).hexdigest()
    assert pixels.digest(PHOTO) == plain
    assert pixels.digest(PHOTO[:, ::1]) == plain
    assert pixels.digest(PHOTO.reshape(9, 6, 3)) != plain
    assert pixels.digest(np.ones((2, 2), ">u2")) == pixels.digest(np.ones((2, 2), "<u2"))


def test_thumbnail_keeps_the_shape_and_never_grows() -> None:
    wide = Image.open(io.BytesIO(pixels.thumbnail(np.zeros((96, 320, 3), np.uint8))))
    assert (wide.size, wide.format) == ((160, 48), "JPEG")
    assert Image.open(io.BytesIO(pixels.thumbnail(PHOTO))).size == (9, 6)
