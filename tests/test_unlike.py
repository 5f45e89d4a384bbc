"""How unlike images are, against scikit-learn's neighbours; and the file that keeps it."""

import io
import re

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from jaxreg import unlike as module
from jaxreg.common import stored_zip
from jaxreg.conformal import distribution
from jaxreg.training.interval_file import RunIntervals, packed, unpacked_intervals
from jaxreg.unlike import Familiar, familiar, sample, unlike


def features(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """A few strong directions, as features of networks have, and noise in all."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(99).normal(size=(5, columns))
    return (3 * rng.normal(size=(rows, 5)) @ mix + rng.normal(size=(rows, columns))).astype("f4")


def test_the_distance_is_that_to_the_nearest_image() -> None:
    """Of no more columns than directions it is exact; images of the same unit do not count."""
    x, new, units = features(90, 20), features(30, 20, 1), np.arange(90) // 10
    std = np.maximum(x.std(0), 0.1 * x.std(0).max())
    z, new_z = (x - x.mean(0)) / std, (new - x.mean(0)) / std
    near = [
        NearestNeighbors(n_neighbors=1).fit(z[units != unit]).kneighbors(z[units == unit])[0]
        for unit in range(9)
    ]
    usual = np.quantile(np.concatenate(near), 0.99)
    expected = NearestNeighbors(n_neighbors=1).fit(z).kneighbors(new_z)[0][:, 0] / usual
    np.testing.assert_allclose(unlike(familiar(x, units), new), expected, rtol=1e-3)


def test_of_many_columns_it_is_near_the_distance() -> None:
    x, new = features(400, 600), features(100, 600, 1)
    found = unlike(familiar(x, np.arange(400)), new)
    z = (x - x.mean(0)) / x.std(0)
    near = NearestNeighbors(n_neighbors=2).fit(z)
    usual = np.quantile(near.kneighbors(z)[0][:, 1], 0.99)
    expected = near.kneighbors((new - x.mean(0)) / x.std(0))[0][:, 0] / usual
    np.testing.assert_allclose(found, expected, rtol=0.05)


def test_images_of_another_kind_are_far() -> None:
    seen = familiar(features(500, 64), np.arange(500) // 50)
    assert (unlike(seen, features(500, 64, 1)) <= 1).mean() > 0.97
    other = np.random.default_rng(2).normal(size=(50, 64)).astype("f4") * 9
    assert (unlike(seen, other) > 1).all()


def test_constant_columns_few_rows_and_copies() -> None:
    x = features(40, 8)
    x[:, 3] = 5
    assert np.isfinite(unlike(familiar(x, np.arange(40)), x)).all()
    for some in (x[:1], np.repeat(x[:1], 9, axis=0)):  # there is no other image, or no distance
        seen = familiar(some, np.zeros(len(some), int))
        np.testing.assert_allclose(unlike(seen, some), 0, atol=1e-3)
        assert (unlike(seen, some + 1) > 0).all()
    huge = np.full((2, 8), 3e38, np.float32)
    assert np.isfinite(unlike(familiar(x, np.arange(40)), huge)).all()
    half = unlike(familiar(x.astype(np.float16), np.arange(40)), x.astype(np.float16))
    np.testing.assert_allclose(half, unlike(familiar(x, np.arange(40)), x), rtol=0.05, atol=0.02)
    assert unlike(familiar(x, np.arange(40)), np.zeros((0, 8), np.float32)).shape == (0,)


def test_each_image_several_times_is_as_far_as_once() -> None:
    once = features(40, 8)
    x, new = np.repeat(once, 3, axis=0), once[:9] + 0.5
    expected = unlike(familiar(once, np.arange(40)), new)
    np.testing.assert_allclose(unlike(familiar(x, np.arange(120)), new), expected, rtol=0.15)


def test_many_images_are_thinned() -> None:
    rows = sample(np.arange(100_000))
    assert len(rows) == module.MOST_IMAGES
    assert (rows[0], rows[-1]) == (0, 99_999)
    assert sample(np.arange(7)).tolist() == list(range(7))


@pytest.fixture
def kept() -> RunIntervals:
    errors = distribution(np.arange(1.0, 31), np.arange(30) // 3)
    return RunIntervals((errors, errors), familiar(features(30, 12), np.arange(30)))


def test_the_file_keeps_all(kept: RunIntervals) -> None:
    content = packed(kept)
    again = unpacked_intervals(content, ("a", "b"), 12)
    for own, expected in zip(again.seen, kept.seen, strict=True):
        np.testing.assert_array_equal(own, expected)
    for own, expected in zip(again.errors, kept.errors, strict=True):
        assert own.units == expected.units
        np.testing.assert_array_equal(own.sizes, expected.sizes)
    plain = np.load(io.BytesIO(content), allow_pickle=False)  # as docs/intervals.md says
    np.testing.assert_array_equal(plain["target1.shares"], kept.errors[1].shares)


def _changed(content: bytes, name: str, array: np.ndarray | bytes) -> bytes:
    files = stored_zip.unpack(content)
    if not isinstance(array, bytes):
        own = io.BytesIO()
        np.lib.format.write_array(own, array, version=(1, 0))
        array = own.getvalue()
    return stored_zip.pack({**files, f"{name}.npy": array})


@pytest.mark.parametrize(
    ("name", "array", "why"),
    [
        ("images.mean", np.zeros(11, np.float32), "have the shapes"),
        ("images.std", np.zeros(12, np.float32), "have the shapes"),
        ("images.places", np.zeros((0, 12), np.float32), "have the shapes"),
        ("images.usual", np.float32(0), "have the shapes"),
        ("target0.sizes", np.array([2.0, 1.0]), "do not fit each other"),
        ("target1.units", np.array([3]), "do not fit each other"),
        ("target0.shares", np.array(["a"]), "an array of <U1"),
        ("target0.shares", b"\x80\x04N.", "no array of NumPy"),
    ],
)
def test_an_array_that_does_not_fit_is_refused(
    kept: RunIntervals, name: str, array: np.ndarray | bytes, why: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        unpacked_intervals(_changed(packed(kept), name, array), ("a", "b"), 12)


def test_a_false_header_takes_no_memory(kept: RunIntervals) -> None:
    file = io.BytesIO()
    header = {"shape": (1 << 50,), "fortran_order": False, "descr": "<f8"}
    np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(ValueError, match="has 0 bytes"):
        unpacked_intervals(_changed(packed(kept), "images.mean", file.getvalue()), ("a", "b"), 12)
    with pytest.raises(ValueError, match=r"no array 'target2\.sizes'"):
        unpacked_intervals(packed(kept), ("a", "b", "c"), 12)
    assert isinstance(kept.seen, Familiar)


def test_flipped_bits_raise_nothing_else(kept: RunIntervals) -> None:
    content, random = packed(kept), np.random.default_rng(0)
    for at in random.integers(len(content) * 8, size=300).tolist():
        changed = bytearray(content)
        changed[at // 8] ^= 1 << at % 8
        try:
            unpacked_intervals(bytes(changed), ("a", "b"), 12)
        except ValueError:
            continue
