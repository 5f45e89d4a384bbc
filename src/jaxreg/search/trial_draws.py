"""The settings of trials: Sobol points of a space, each different setting once."""

from collections.abc import Iterator, Mapping
from typing import Any

from jaxreg.experiment.finalists import NUMERIC
from jaxreg.search.space import STATIC, Space

CHUNK = 6  # 2**6 points at a time: Sobol points are even in powers of two
MOST_REPEATS = 64 * 2**CHUNK  # points in a row without a new setting: there is none left

Settings = Mapping[str, Any]

_OF_MLP = ("hidden", "batch_size", *(name for name in NUMERIC if name != "huber_delta"))


def draws(space: Space, seed: int, head: str = "mlp") -> Iterator[Settings]:
    """The settings of one trial after the other, without end unless the space has an end.

    The same seed gives the same settings. What has no part in a head is left out: a ridge has no
    learning rate. So two ridges on the same columns are one trial. `head` is that of all heads
    where the space has none.
    """
    from scipy.stats import qmc

    if not space.dimensions:
        yield {}
        return
    points = qmc.Sobol(len(space.dimensions), scramble=True, rng=seed)
    seen: set[tuple[tuple[str, Any], ...]] = set()
    since_new = 0
    while since_new < MOST_REPEATS:
        for point in points.random_base2(CHUNK) if not seen else points.random(2**CHUNK):
            drawn = dict(zip(space.names, _values(space, point), strict=True))
            settings = meaningful(drawn, head)
            key = tuple(sorted(settings.items()))
            since_new += 1
            if key not in seen:
                seen.add(key)
                since_new = 0
                yield settings


def _values(space: Space, point: Any) -> list[Any]:
    return [d.at(float(place)) for d, place in zip(space.dimensions, point, strict=True)]


def meaningful(settings: Settings, head: str = "mlp") -> dict[str, Any]:
    """The settings without those that have no part in this head; `head` where none is drawn."""
    kind, loss = settings.get("head", head), settings.get("loss", "huber")
    left = dict(settings)
    if loss != "huber":
        left.pop("huber_delta", None)
    if kind == "ridge":
        for name in (*_OF_MLP, "huber_delta", "loss"):
            left.pop(name, None)
    return left


def architecture_of(settings: Settings) -> tuple[tuple[str, Any], ...]:
    """What heads of one compiled program have in common."""
    return tuple((name, settings[name]) for name in STATIC if name in settings)


def numeric_of(settings: Settings) -> dict[str, Any]:
    """The settings in which heads of one architecture differ."""
    return {name: value for name, value in settings.items() if name in NUMERIC}
