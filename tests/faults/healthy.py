"""Runs with nothing wrong: of many kinds, so that no finding cries wolf."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from faults.made import Made, Shape, photos, shown, video
from jaxreg.side_columns import SideColumn

LARGE = Shape(rows=4000, columns=64, causes=6, noise=0.2)
SMALL = Shape(rows=160, columns=32, causes=3, noise=0.1)


def _several_targets(shape: Shape, seed: int) -> Made:
    made = photos(shape, seed)
    others = np.stack([100 + 30 * made.y[:, 0], made.x[:, 0] - made.x[:, 1]], axis=1)
    y = np.concatenate([made.y, others], axis=1).astype(np.float32)
    return made.but(y=y, targets=("first", "second", "third"))


def _skewed(shape: Shape, seed: int) -> Made:
    made = photos(shape, seed)
    return made.but(y=np.exp(made.y).astype(np.float32))


def _mostly_zero(shape: Shape, seed: int) -> Made:
    """As steering on a straight road."""
    made = photos(shape, seed)
    return made.but(y=np.where(np.abs(made.y) < 0.6, 0, made.y).astype(np.float32))


def _uniform(shape: Shape, seed: int) -> Made:
    """Half told by the images: predictions shrink to the mean, most at both ends."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 3])
    y = rng.uniform(-1.7, 1.7, shape.rows)
    x = shown(rng, made, 0.7 * y + 0.7 * rng.normal(size=shape.rows))
    return made.but(x=x, y=y[:, None].astype(np.float32))


def _steering(shape: Shape, seed: int) -> Made:
    """Mostly small, and clipped: many rows stand exactly at both ends."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 4])
    turn = rng.laplace(size=shape.rows)
    x = shown(rng, made, 0.8 * turn + 0.6 * rng.normal(size=shape.rows))
    y = np.clip(turn / 2, -1, 1).astype(np.float32)
    return made.but(x=x, y=y[:, None]).set(huber_delta=0.2, min_delta=1e-4)


def _angle(shape: Shape, seed: int) -> Made:
    """Headings that train as what they are."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 5])
    angle = rng.uniform(0, 360, shape.rows)
    x = shown(rng, made, np.cos(np.radians(angle)), np.sin(np.radians(angle)))
    made = made.but(x=x, y=angle[:, None].astype(np.float32))
    return made.set(target_type=("circular:360",), huber_delta=50.0, min_delta=3.0)


def _counts(shape: Shape, seed: int) -> Made:
    """Counts with many zeros, and as many ones: their smallest value repeats, but is no bound."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 6])
    rate = np.exp(0.5 * rng.normal(size=shape.rows))
    x = shown(rng, made, 2 * np.log(rate))
    return made.but(x=x, y=rng.poisson(2 * rate)[:, None].astype(np.float32))


def _share(shape: Shape, seed: int) -> Made:
    """Many rows at 0 and at 1, and a head that knows the bounds."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 7])
    turn = rng.normal(size=shape.rows)
    x = shown(rng, made, turn)
    y = np.clip(0.5 + 0.7 * turn, 0, 1).astype(np.float32)
    return made.but(x=x, y=y[:, None]).set(target_type=("bounded:0:1",))


def _random_weights(shape: Shape, seed: int) -> Made:
    made = photos(shape, seed)
    return made.but(x=(0.3 + 1e-3 * made.x).astype(np.float32), random_seed=0)


def _tail(shape: Shape, seed: int) -> Made:
    made = photos(shape, seed)
    labels = np.full(shape.rows, "train", dtype=object)
    labels[shape.rows * 4 // 5 :] = "validation"
    return made.but(labels=labels, split="tail").set(split="tail")


def _group(shape: Shape, seed: int) -> Made:
    made = photos(shape, seed)
    groups = np.arange(shape.rows) // 10
    held_out = np.random.default_rng(seed).permutation(shape.rows // 10)[: shape.rows // 50]
    labels = np.where(np.isin(groups, held_out), "validation", "train").astype(object)
    return made.but(labels=labels, sequence=groups, split="group:group").set(split="group:group")


def _side_columns(shape: Shape, seed: int) -> Made:
    """An altitude and a camera that the images do not show, and an hour that says nothing."""
    made = photos(shape, seed)
    rng = np.random.default_rng([seed, 5])
    altitude, camera = rng.normal(size=shape.rows), rng.integers(0, 3, shape.rows)
    y = made.y + (0.4 * altitude + 0.4 * (camera == 1))[:, None]
    table = pa.table({
        "altitude": pa.array(500 + 90 * altitude, mask=rng.random(shape.rows) < 0.05),
        "camera": np.array(["front", "left", "right"])[camera],
        "hour": rng.integers(0, 24, shape.rows),
    })  # fmt: skip
    return made.but(y=y.astype(np.float32)).with_side(
        table,
        SideColumn("altitude", "number", True, 500.0, 90.0),
        SideColumn("camera", "category", False, categories=("front", "left", "right")),
        SideColumn("hour", "number", False, 12.0, 7.0),
    )


def _gaps(shape: Shape, seed: int) -> Made:
    """Half of the second target is missing, and the third where the first is large."""
    made = _several_targets(shape, seed)
    y, rng = made.y.copy(), np.random.default_rng([seed, 6])
    y[rng.random(shape.rows) < 0.5, 1] = np.nan
    y[y[:, 0] > 1, 2] = np.nan
    return made.but(y=y)


def _weights(shape: Shape, seed: int) -> Made:
    """Weights over two factors of ten, and some of 0 among the rows that validate."""
    made = photos(shape, seed)
    weights = 10 ** np.random.default_rng([seed, 7]).uniform(-1, 1, shape.rows)
    weights[made.side("validation")[::3]] = 0
    return made.but(weights=weights)


def _set(base: Callable[[Shape, int], Made], **settings) -> Callable[[Shape, int], Made]:
    return lambda shape, seed: base(shape, seed).set(**settings)


HEALTHY: dict[str, tuple[Callable[[Shape, int], Made], Shape | None]] = {
    "photos": (photos, None),
    "video": (video, None),
    "small": (photos, SMALL),
    "large": (photos, LARGE),
    "large video": (video, LARGE),
    "several targets": (_several_targets, None),
    "skewed target": (_skewed, None),
    "mostly zero": (_mostly_zero, None),
    "uniform target": (_uniform, None),
    "clipped steering": (_steering, None),
    "angle as circular": (_angle, None),
    "counts": (_counts, None),
    "share as bounded": (_share, None),
    "random weights": (_random_weights, None),
    "tail": (_tail, None),
    "group": (_group, None),
    "components": (_set(photos, components=16), None),
    "relu over positive targets": (_set(_skewed, output_activation="relu"), None),
    "unscaled": (_set(photos, scale_features=False, scale_target=False), None),
    "large batches": (_set(photos, batch_size=128, epochs=100), LARGE),
    "side columns": (_side_columns, None),
    "side columns beside components": (_set(_side_columns, components=16), None),
    "gaps in two of three targets": (_gaps, None),
    "gaps beside components": (_set(_gaps, components=16), None),
    "weights": (_weights, None),
    "one small layer": (_set(photos, hidden=(32,), dropout=0.0), None),
}
"""How each is made, and how large where not as the catalogue's half."""


def healthy(name: str, shape: Shape, seed: int) -> Made:
    """A run of that kind."""
    make, own = HEALTHY[name]
    return make(own or replace(shape), seed)
