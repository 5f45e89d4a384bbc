"""What stands on the ground: trees, houses, posts, signs and other cars, as upright flat shapes."""

import numpy as np

from jaxreg.sources.road.draws import Colour
from jaxreg.sources.road.drive import Car
from jaxreg.sources.road.look import SPACING, Thing
from jaxreg.sources.road.view import CAMERA, FOCAL, HEIGHT, SHOULDER, WIDTH, View, blend

_TRUNK, _STEEL, _ROOF = (72, 56, 44), (110, 110, 112), (96, 60, 52)
_GLASS, _RUBBER, _HEADLAMP, _TAIL_LAMP = (52, 58, 70), (24, 24, 26), (250, 244, 214), (196, 36, 30)


def draw_things(view: View) -> None:
    """What stands on the ground, the farthest first."""
    look = view.look
    row = len(look.things)
    first = int((view.travelled + 3) / SPACING)
    seen: list[tuple[float, Thing | Car]] = []
    for place in range(first, first + 12):
        thing = look.things[place % row]
        seen.append((place * SPACING + thing.along - view.travelled, thing))
    seen += [(float(car.distance[view.frame]), car) for car in view.drive.cars]
    for z, thing in sorted(seen, key=lambda pair: -pair[0]):
        if z < 2.5:
            continue
        if isinstance(thing, Car):
            _car(view, thing, z)
        else:
            _beside(view, thing, z)


def _paint(
    view: View,
    colour: Colour,
    at: tuple[float, float],
    width: float,
    low: float,
    high: float,
    ellipse: bool = False,
) -> None:
    """Paint an upright rectangle, or the ellipse in it, in a colour seen through the haze.

    `at` is metres ahead of the car and right of our lane's centre; the shape stands from `low` to
    `high` metres above the ground.
    """
    z, u = at
    scale = FOCAL / z
    x = WIDTH / 2 + (view.lane_centre(z) + u) * scale
    y = view.horizon + CAMERA * scale
    y0, y1 = _row(y - high * scale), _row(y - low * scale)
    x0, x1 = _row(x - width / 2 * scale), _row(x + width / 2 * scale)
    top, bottom, left, right = max(y0, 0), min(y1, HEIGHT), max(x0, 0), min(x1, WIDTH)
    if top >= bottom or left >= right:
        return
    share: np.ndarray | float = 1.0
    if ellipse:
        down = (np.arange(top, bottom, dtype=np.float32) * 2 - (y0 + y1 - 1)) / (y1 - y0)
        across = (np.arange(left, right, dtype=np.float32) * 2 - (x0 + x1 - 1)) / (x1 - x0)
        share = ((down * down)[:, None] + across * across < 1).astype(np.float32)
    clear = view.clear(z)
    seen = np.asarray(colour, np.float32) * clear + view.haze_colour * (1 - clear)
    blend(view.planes[:, top:bottom, left:right], seen, share)


def _row(position: float) -> int:
    """The nearest whole row or column; int() alone rounds towards 0, also from below."""
    return int(position + 4096.5) - 4096


def _beside(view: View, thing: Thing, z: float) -> None:
    edge = view.right if thing.side > 0 else -view.left
    u = thing.side * (edge + SHOULDER + thing.clearance)
    at, w, h, colour = (z, u), thing.width, thing.height, thing.colour
    if thing.kind == "tree":
        _paint(view, _TRUNK, at, 0.3, 0, 0.5 * h)
        _paint(view, colour, at, w, 0.3 * h, h, ellipse=True)
        red, green, blue = colour
        lit = 1.25 * red, 1.25 * green, 1.25 * blue
        _paint(view, lit, (z, u - 0.15 * w), 0.6 * w, 0.55 * h, 0.95 * h, ellipse=True)
    elif thing.kind == "bush":
        _paint(view, colour, at, w, -0.4 * h, h, ellipse=True)
    elif thing.kind == "post":
        _paint(view, colour, at, w, 0, h)
    elif thing.kind == "sign":
        _paint(view, _STEEL, at, 0.12, 0, h)
        _paint(view, colour, at, w, h - 0.8, h, ellipse=True)
    else:
        _paint(view, colour, at, w, 0, 0.6 * h)
        for step in range(4):
            low = (0.6 + 0.1 * step) * h
            _paint(view, _ROOF, at, w * (1 - 0.22 * step), low, low + 0.1 * h)
        for side in (-1, 1):
            _paint(view, _GLASS, (z, u + side * w / 5), w / 7, 0.2 * h, 0.4 * h)


def _car(view: View, car: Car, z: float) -> None:
    at = z, car.lateral
    _paint(view, _RUBBER, at, 2.0, -0.05, 0.3)
    _paint(view, car.colour, at, 1.75, 0.3, 0.9)
    _paint(view, car.colour, at, 1.4, 0.9, 1.45)
    _paint(view, _GLASS, at, 1.2, 0.95, 1.35)
    for side in (-0.7, 0.7):
        _paint(
            view, _HEADLAMP if car.oncoming else _TAIL_LAMP, (z, car.lateral + side), 0.28, 0.6, 0.8
        )
