"""`road[:N]`: driving views that jaxreg draws itself, for a first run that needs no data.

`drive` says where the car is, `look` what is there to see, `scene` draws it. More in docs/road.md.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import overload

import numpy as np
import pyarrow as pa

from jaxreg.errors import InputError
from jaxreg.sources.examples import Examples
from jaxreg.sources.road.drive import FRAMES, RATE, VERSION, make_drive
from jaxreg.sources.road.look import Look, make_look
from jaxreg.sources.road.scene import draw


class RoadImages(Sequence[np.ndarray]):
    """Frames drawn when they are asked for: (96, 320, 3) uint8 RGB, each by itself."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice) -> list[np.ndarray]: ...

    def __getitem__(self, index: int | slice) -> np.ndarray | list[np.ndarray]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"frame {index} of a road of {self._count}")
        number, frame = divmod(int(index) % self._count, FRAMES)
        return draw(make_drive(number), _look(number), frame)


@lru_cache(maxsize=64)
def _look(number: int) -> Look:
    return make_look(make_drive(number))


def open_road(count: int) -> Examples:
    """The first `count` frames of the endless road; a larger count only appends.

    Raises:
        InputError: count below 1.
    """
    if count < 1:
        raise InputError(
            f"road:{count}", expected="road:N with N of at least 1", remedy="use road:2000"
        )
    drives = range(-(-count // FRAMES))
    order = np.arange(count, dtype=np.int64) % FRAMES
    return Examples(
        ids=tuple(f"road-{i:06d}" for i in range(count)),
        images=RoadImages(count),
        columns=pa.concat_tables(_columns(number) for number in drives).slice(0, count),
        description={"kind": "road", "count": count, "version": VERSION},
        order=order,
        group=tuple(f"drive-{i // FRAMES:04d}" for i in range(count)),
        targets=("steering",),
        bookkeeping=("time",),
        sequential=True,
    )


def _columns(number: int) -> pa.Table:
    """The table of one drive, a row per frame."""
    d = make_drive(number)
    same = np.ones(FRAMES)
    return pa.table(
        {
            "steering": d.steering,
            "offset": d.offset,
            "heading": d.heading,
            "curvature": d.curvature,
            "speed": d.speed * same,
            "time": np.arange(FRAMES) / RATE,
            "lane_width": d.lane_width * same,
            "lanes": np.full(FRAMES, d.lanes_left + 1 + d.lanes_right, np.int64),
            "weather": [d.weather] * FRAMES,
            "light": [d.light] * FRAMES,
            "brightness": d.brightness,
            "sun": d.sun,
            "cars": np.full(FRAMES, len(d.cars), np.int64),
        }
    )
