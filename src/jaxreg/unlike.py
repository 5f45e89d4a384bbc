"""How far an image is from the training images, by its features.

The distance is that to the nearest of some training images, in standardized features. It is
divided by the 99th percentile of the same distance of training images among themselves, each to the
nearest one of another unit: a frame's neighbours in time would say nothing of a new drive. Copies
of an image would say as little, so they count as the image itself.

The distance is computed along the principal directions of the training images, where they differ
most. What lies beyond these directions is counted by its length: two images differ there in
unrelated ways, so the squares add up. This is quick and small, and near the distance itself.
"""

from typing import NamedTuple

import numpy as np

DIRECTIONS = 32  # tested on a recording: as good as all features (docs/intervals.md)
MOST_IMAGES = 2048  # training images that are kept; more are thinned
LIMIT = 12.0  # std at which a standardized feature is clipped: one alone must not decide
USUAL = 0.99  # share of the training images that are at most 1 from the others
_FLOOR = 0.1  # of the largest std, as the scaler of a head has it
_SAMPLE = 512  # images that the directions are of
_ROWS = 1024  # at a time
_ROUNDING = 1e-5  # of the squared lengths of two images: a squared distance below it is 0


class Familiar(NamedTuple):
    """The training images of a run, as new images are compared with them; float32."""

    mean: np.ndarray  # (columns,) of the features
    std: np.ndarray  # (columns,), above 0
    directions: np.ndarray  # (columns, directions), orthonormal
    places: np.ndarray  # (images, directions) of training images
    beyond: np.ndarray  # (images,) squared length of what lies beyond the directions
    usual: np.ndarray  # scalar, the distance that counts as 1; above 0


def sample(rows: np.ndarray) -> np.ndarray:
    """The rows whose images are kept: all, or many at even distances."""
    if len(rows) <= MOST_IMAGES:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_IMAGES).astype(np.int64)]


def familiar(x: np.ndarray, units: np.ndarray) -> Familiar:
    """What new images are compared with.

    Args:
        x: (images, columns) features of training images, as stored.
        units: (images,) the number of each image's unit.
    """
    mean = x.mean(axis=0, dtype=np.float64)
    std = x.std(axis=0, dtype=np.float64)
    std = np.maximum(std, _FLOOR * std.max(initial=0.0))
    std = np.where(std > 0, std, 1.0).astype(np.float32)
    mean = mean.astype(np.float32)
    some = np.unique(np.linspace(0, len(x) - 1, min(_SAMPLE, len(x))).astype(np.int64))
    directions = _principal(_standardized(x[some], mean, std))
    seen = Familiar(mean, std, directions, *_placed(x, mean, std, directions), np.ones((), "f4"))
    apart = _distances(seen, seen.places, seen.beyond, units, units)
    apart = apart[np.isfinite(apart)]  # an image alone has no other
    usual = float(np.quantile(apart, USUAL)) if len(apart) else 0.0
    return seen._replace(usual=np.array(usual if usual > 0 else 1.0, np.float32))


def unlike(seen: Familiar, x: np.ndarray) -> np.ndarray:
    """(images,) how far images are from the training images; 1 is the usual limit.

    Args:
        seen: the training images.
        x: (images, columns) features, as stored.
    """
    found = [np.zeros(0)]
    for start in range(0, len(x), _ROWS):
        placed = _placed(x[start : start + _ROWS], seen.mean, seen.std, seen.directions)
        found.append(_distances(seen, *placed))
    return np.concatenate(found) / float(seen.usual)


def _standardized(x: np.ndarray, mean: np.ndarray, std: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        scaled = (x.astype(np.float32) - mean[None, :]) / std[None, :]
    return np.clip(scaled, -LIMIT, LIMIT)


def _principal(z: np.ndarray) -> np.ndarray:
    """(columns, directions) along which rows z (rows, columns) vary most."""
    if z.shape[0] < z.shape[1]:
        squares, inner = np.linalg.eigh((z @ z.T).astype(np.float64))
        squares, inner = squares[::-1][:DIRECTIONS], inner[:, ::-1][:, :DIRECTIONS]
        kept = squares > squares.max(initial=0.0) * 1e-10
        found = z.T @ (inner[:, kept] / np.sqrt(squares[kept])[None, :])
    else:
        squares, inner = np.linalg.eigh((z.T @ z).astype(np.float64))
        kept = squares[::-1][:DIRECTIONS] > squares.max(initial=0.0) * 1e-10
        found = inner[:, ::-1][:, :DIRECTIONS][:, kept]
    return np.ascontiguousarray(found, dtype=np.float32)


def _placed(
    x: np.ndarray, mean: np.ndarray, std: np.ndarray, directions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Images (rows, directions) along the directions, and the squared length (rows,) beyond."""
    z = _standardized(x, mean, std)
    places = z @ directions
    beyond = np.einsum("ij,ij->i", z, z) - np.einsum("ij,ij->i", places, places)
    return places, np.maximum(beyond, 0)


def _distances(
    seen: Familiar,
    places: np.ndarray,
    beyond: np.ndarray,
    units: np.ndarray | None = None,
    of: np.ndarray | None = None,
) -> np.ndarray:
    """(rows,) the distance to the nearest training image; with units, to one of another unit.

    With units, copies do not count. It is infinite where there is no such image.
    """
    found = np.empty(len(places))
    own = np.einsum("ij,ij->i", seen.places, seen.places) + seen.beyond
    for start in range(0, len(places), _ROWS):
        some = slice(start, start + _ROWS)
        here = places[some]
        apart = (here @ seen.places.T) * np.float32(-2)
        apart += own[None, :]
        square = np.einsum("ij,ij->i", here, here) + beyond[some]
        if units is not None and of is not None:
            lengths = own[None, :] + square[:, None]
            copies = apart + square[:, None] <= _ROUNDING * lengths
            apart[copies | (of[some][:, None] == units[None, :])] = np.inf
        found[some] = np.sqrt(np.maximum(apart.min(axis=1) + square, 0))
    return found
