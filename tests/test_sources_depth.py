"""Pixels of more than 8 bits: every file and array that holds them, and `--range`."""

import io
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.feature_set import choose_feature_set
from jaxreg.sources import open_source, pixels
from jaxreg.sources.depth import Depth, mapped
from jaxreg.sources.in_memory import images_of
from test_sources_encoded import encoded
from tiffs import DEFLATE, INKS, tiff
from typed import pixels_of

RNG = np.random.default_rng(1)
WORDS = RNG.integers(0, 4096, (20, 31, 4), dtype=np.uint16)
WORDS[..., 3] = 65535  # an alpha, as most files have it
LIMITS = (100.0, 4000.0)


def scaled(values: np.ndarray, limits: tuple[float, float] = LIMITS) -> np.ndarray:
    """The documented formula, in plain NumPy."""
    share = (values.astype(np.float64) - limits[0]) / (limits[1] - limits[0])
    return np.rint(255 * share.clip(0, 1)).astype(np.uint8)


def png(values: np.ndarray, colour: int, line_filter: int) -> bytes:
    """A PNG of 16 bits by hand: Pillow writes only grey ones. `colour` as in the PNG standard."""
    height, width, bands = values.shape
    raw = np.frombuffer(values.astype(">u2").tobytes(), np.uint8).reshape(height, -1)
    left = np.pad(raw, ((0, 0), (2 * bands, 0)))[:, : raw.shape[1]]
    above = np.pad(raw, ((1, 0), (0, 0)))[:height]
    lines = raw - {0: np.uint8(0), 1: left, 2: above}[line_filter]  # wraps, as it should
    data = b"".join(bytes([line_filter]) + line.tobytes() for line in lines)
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(data)),
        (b"IEND", b""),
    ]
    packed = (struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d))
              for k, d in chunks)  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


ALPHA = {338: ("H", [2])}
COLOURS = {
    **{f"png{c}{f}": png(WORDS[..., :b], c, f) for c, b in ((2, 3), (6, 4)) for f in (0, 1, 2)},
    **{
        f"tiff{order}{'planes' if planes else ''}{pack}{bands}": tiff(
            WORDS[..., :bands],
            order=order,
            planes=planes,
            compression=pack,
            tags=ALPHA if bands == 4 else None,
        )
        for order in "<>"
        for planes in (False, True)
        for pack in (1, DEFLATE)
        for bands in (3, 4)
    },
}


@pytest.mark.parametrize("name", COLOURS)
def test_colours_of_16_bits_are_read_whole(name: str) -> None:
    content, colours = COLOURS[name], WORDS[..., :3]
    plain, depth = pixels.decode_deep(content)
    np.testing.assert_array_equal(plain, colours >> 8)  # the high byte
    assert "network sees 16 of 256 levels" in depth.notes(None)[0]
    if "planes8" in name:  # Pillow gives the high bytes alone
        with pytest.raises(pixels.UnusableImage, match="16 bits; --range does not work"):
            pixels.decode(content, LIMITS)
        return
    assert (depth.low, depth.high) == (colours.min(), colours.max())
    np.testing.assert_array_equal(pixels.decode(content, LIMITS), scaled(colours))
    opened = images_of(Image.open(io.BytesIO(content)))[0]  # as Python code hands it over
    assert isinstance(opened, np.ndarray)
    np.testing.assert_array_equal(pixels.decode(opened, LIMITS), scaled(colours))


def test_grey_and_alpha_of_16_bits_is_grey() -> None:
    content = png(WORDS[..., [0, 3]], 4, 1)
    grey = np.repeat(WORDS[..., :1], 3, axis=2)
    np.testing.assert_array_equal(pixels.decode(content), grey >> 8)
    np.testing.assert_array_equal(pixels.decode(content, LIMITS), scaled(grey))


def test_turned_colours_of_16_bits_are_turned_whole() -> None:
    content = tiff(WORDS[..., :3], tags={274: ("H", [6])})  # a quarter turn
    expected = scaled(np.rot90(WORDS[..., :3], -1))
    np.testing.assert_array_equal(pixels.decode(content, LIMITS), expected)


def test_what_has_16_bits_and_no_range_says_so() -> None:
    inks = tiff(WORDS, photometric=INKS)
    with pytest.raises(pixels.UnusableImage, match="CMYK colours of 16 bits"):
        pixels.decode(inks, LIMITS)
    extra = tiff(WORDS, planes=True, tags={338: ("H", [0])})
    np.testing.assert_array_equal(pixels.decode(extra, LIMITS), scaled(WORDS[..., :3]))
    with pytest.raises(pixels.UnusableImage, match="4 bands of 16-bit integers in separate planes"):
        pixels.decode(tiff(WORDS, photometric=INKS, planes=True))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [1, DEFLATE])
@pytest.mark.parametrize(("kind", "form"), [("u2", 1), ("i2", 2), ("i4", 2), ("f4", 3), ("u4", 1)])
def test_one_band_of_any_numbers_is_read(order, compression, kind, form) -> None:
    values = np.array([[[0], [300], [4095], [-7], [2**31 + 5]]]).astype(kind)  # some wrap
    content = tiff(values, form, order=order, compression=compression, photometric=1)
    if kind == "u4" and order == ">":
        with pytest.raises(pixels.UnusableImage, match="1 band of 32-bit integers"):
            pixels.decode(content, LIMITS)
        return
    got = pixels.decode(content, (-10.0, 2.0**32))
    np.testing.assert_array_equal(got[..., :1], scaled(values, (-10.0, 2.0**32)))
    np.testing.assert_array_equal(pixels.decode(content, LIMITS)[..., :1], scaled(values))
    if kind != "u2":
        with pytest.raises(pixels.UnusableImage, match=r"no fixed scale .* --range LO HI"):
            pixels.decode(content)


def test_a_rare_tiff_of_numbers_is_named() -> None:
    with pytest.raises(pixels.UnusableImage, match="1 band of 64-bit floats"):
        pixels.decode(tiff(np.zeros((2, 2, 1)), 3, photometric=1), LIMITS)


@pytest.mark.parametrize("kind", ["u2", "i2", "i4", "i8", "u8", "f2", "f4", "f8", ">u2"])
@pytest.mark.parametrize("shape", [(20, 31), (20, 31, 1), (20, 31, 3), (20, 31, 4)])
def test_a_range_maps_arrays_of_any_numbers(kind: str, shape: tuple[int, ...]) -> None:
    values = np.linspace(0, 5000, int(np.prod(shape))).reshape(shape).astype(kind)
    expected = scaled(values if values.ndim == 3 else values[..., None])
    expected = np.repeat(expected, 3, axis=2) if expected.shape[2] == 1 else expected[..., :3]
    np.testing.assert_array_equal(pixels.decode(values, LIMITS), expected)


def test_a_range_clips_and_nan_has_no_value() -> None:
    assert mapped(np.array([-5.0, 0, 0.5, 1, np.inf, -np.inf]), (0, 1)).tolist() == [
        0, 0, 128, 255, 255, 0,
    ]  # fmt: skip
    grey = np.full((4, 5), 0.5, np.float32)
    grey[1, 2] = grey[3, 3] = np.nan
    for content in (grey, encoded("TIFF", grey)):
        for limits in (None, (0.0, 1.0)):
            with pytest.raises(pixels.UnusableImage, match="2 of 20 pixels are NaN"):
                pixels.decode(content, limits)
    eight = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pixels.decode(eight, LIMITS), eight)  # 8 bits have a scale
    for wrong in ((5, 5), (6, 5), (0, np.inf), (np.nan, 1), (-1e308, 1e308), (0, 5e-324)):
        with pytest.raises(InputError, match="--range"):
            ExtractConfig(range=wrong)


def test_few_levels_are_named_with_the_range_seen() -> None:
    def notes(values: np.ndarray, limits: tuple[float, float] | None = None) -> list[str]:
        return pixels.decode_deep(values, limits)[1].notes(limits)

    twelve = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    (said,) = notes(twelve)
    assert "hold values from 0 to 4095; the network sees 16 of 256 levels" in said
    assert "--range 0 4095" in said
    assert not notes(np.arange(65536, dtype=np.uint16).reshape(256, 256))
    marked = np.tile(twelve, (4, 1))
    marked[0, 0] = 65535  # one burnt-in pixel does not make 16 bits of 12
    assert "--range LO HI" in notes(marked)[0]
    colours = np.stack([twelve, twelve, twelve, np.full_like(twelve, 65535)], axis=2)
    assert "--range 0 4095" in notes(colours)[0]  # alpha does not count
    assert "--range LO HI" in notes(np.zeros((4, 4), np.uint16))[0]  # 0 to 0 is no range
    # with a range: nothing where it fits, a note where it does not
    assert not notes(twelve, (0, 4095))
    assert "--range 0 65535: 1 images hold values from 0 to 4095" in notes(twelve, (0, 65535))[0]
    assert "LO HI" in notes(twelve, (5000, 6000))[0]


def test_a_range_without_effect_is_said() -> None:
    eight = pixels.decode_deep(np.zeros((4, 4), np.uint8), LIMITS)[1]
    deep = pixels.decode_deep(WORDS, LIMITS)[1]
    assert (eight + eight).notes(LIMITS) == [
        "--range 100 4000 changes only images of more than 8 bits: 2 images have 8 bits, and none "
        "has more"
    ]
    assert (eight + deep).notes(LIMITS)[0].endswith("1 images have 8 bits; 1 have more")
    assert not (eight + eight).notes(None)
    assert not deep.notes(LIMITS)
    assert not Depth().notes(LIMITS)  # nothing was decoded


def test_an_npz_of_floats_needs_a_range(tmp_path: Path) -> None:
    file = tmp_path / "d.npz"
    np.savez(file, images=np.linspace(0, 1, 400).reshape(4, 10, 10), targets=np.arange(4.0))
    with pytest.raises(InputError, match=r"images in .* are float64") as caught:
        open_source(file)
    assert "--range LO HI" in str(caught.value)
    examples = open_source(file, ranged=True)
    got = pixels.decode(pixels_of(examples.images[3]), (0.0, 1.0))
    assert (got.min(), got.max()) == (192, 255)  # 255 * 300 / 399 = 191.7


class MeanEngine:
    """Features = the mean colours."""

    name, parallel = "mean", 1

    def compile(self, image: np.ndarray, batch: int) -> None:
        pass

    def features(self, images) -> dict[str, np.ndarray]:
        means = np.stack([rgb.mean(axis=(0, 1)) for rgb in images])
        return {Column().name: means.astype(np.float32)}


@pytest.fixture
def xrays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An npz of 40 images of 12 bits in 16."""
    for place in ("network_choice", "new_features"):
        loads = f"jaxreg.extraction.{place}.load_engine"
        monkeypatch.setattr(loads, lambda *asked, **more: MeanEngine())
    means = np.linspace(200, 3800, 40)[:, None, None]
    images = np.clip(RNG.normal(means, 150, (40, 12, 16)), 0, 4095).astype(np.uint16)
    np.savez(tmp_path / "xrays.npz", images=images, targets=means[:, 0, 0])
    return tmp_path / "xrays.npz"


def test_each_range_has_its_features_and_its_thumbnails(xrays: Path, tmp_path: Path) -> None:
    cache, said = Cache(tmp_path / "cache"), []

    def extracted(limits: tuple[float, float] | None) -> tuple[str, np.ndarray, np.ndarray]:
        done = jaxreg.extract_features(
            xrays, name="x", cache=cache.root, weights="random", range=limits, say=said.append
        )
        digests = read_dataset(cache, "x").digests
        shown = cache.read_thumbnails(digests, limits)
        light = [np.asarray(Image.open(io.BytesIO(shown[digest]))).mean() for digest in digests]
        return done.feature_set, cache.read(done.feature_set, [Column()], digests), np.array(light)

    images = np.load(xrays)["images"]
    sets = set()
    for limits in (None, (0.0, 4095.0), (1000.0, 3000.0)):
        feature_set, features, light = extracted(limits)
        sets.add(feature_set)
        seen = images >> 8 if limits is None else scaled(images, limits)
        means = seen.mean(axis=(1, 2))
        np.testing.assert_allclose(features[:, 0], means, rtol=1e-5)
        np.testing.assert_allclose(light, means, atol=2)  # a JPEG
    assert len(sets) == 3
    assert sum("of 256 levels" in text for text in said) == 1  # without a range


def test_predict_takes_the_range_of_the_run(xrays: Path, tmp_path: Path) -> None:
    cache, images = tmp_path / "cache", np.load(xrays)["images"]
    feature_sets = [
        jaxreg.extract_features(xrays, cache=cache, weights="random", range=limits).feature_set
        for limits in ((0, 65535), (0, 4095))
    ]
    run = jaxreg.train_head("xrays", cache=cache, run=tmp_path / "run", head="ridge", split="hash")
    (tmp_path / "other").mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got = run.predict(images, cache=tmp_path / "other")
    features = np.repeat(scaled(images, (0, 4095)).mean(axis=(1, 2))[:, None], 3, axis=1)
    np.testing.assert_allclose(got, run.predict_features(features.astype(np.float32)), rtol=1e-4)
    with pytest.warns(UserWarning, match=r"--range 0 4095 changes only .* 1 images have 8 bits"):
        run.predict((images[0] >> 8).astype(np.uint8))
    with pytest.raises(InputError, match="feature-set"):
        jaxreg.train_head(
            run=tmp_path / "run", resume=True, cache=cache, feature_set=feature_sets[0]
        )
    plain = jaxreg.extract_features(xrays, name="plain", cache=cache, weights="random")
    run = jaxreg.train_head("plain", cache=cache, run=tmp_path / "run2", head="ridge", split="hash")
    assert run.settings.feature_set == plain.feature_set
    with pytest.warns(UserWarning, match="from .* the network sees .* of 256 levels"):
        run.predict(images + np.uint16(1))


def test_a_range_is_in_the_recipe_and_recipes_without_one_keep_their_names() -> None:
    plain = Recipe(weights="random:0:v1", weights_tag="random0")
    assert "range" not in plain.to_json()
    ranged = Recipe(weights="random:0:v1", weights_tag="random0", range=(0.0, 4095.0))
    assert ranged.feature_set != plain.feature_set
    again = Recipe.from_json(ranged.to_json(), "random0", ranged.feature_set)
    assert again == ranged
    chosen, _ = choose_feature_set(ExtractConfig(weights="random", range=(0, 4095)), Cache(Path()))
    assert chosen.range == (0.0, 4095.0)
    with pytest.raises(InputError, match="--range"):
        ExtractConfig(range=(5, 5))
