"""The look of a drive: surfaces, colours, what stands beside the road; the same in all frames."""

from dataclasses import dataclass

import numpy as np

from jaxreg.sources.road.draws import Colour, Draws
from jaxreg.sources.road.drive import VERSION, Drive

SPACING = 10.0
"""Metres along the road between two things beside it."""

_GREENS = ((44, 74, 36), (70, 92, 40), (110, 88, 44), (150, 140, 84), (190, 170, 176))
_WALLS = ((186, 170, 150), (150, 86, 70), (210, 206, 196), (120, 120, 128))
_WHITE, _YELLOW = (226, 226, 220), (224, 194, 104)


@dataclass(frozen=True)
class Look:
    """The surfaces and things of a drive: what does not change from frame to frame."""

    grain: np.ndarray  # (64, 64) float32 in [-1, 1): the texture that every surface is made of
    road: Colour
    dashed_edge: bool  # the lines at the road's edges, as those between lanes are
    edge_colour: Colour
    lane_colour: Colour
    line_width: float  # m
    dash: tuple[float, float]  # m: period and length of the painted part
    shadows: float  # how dark the shadows of trees and clouds are
    shear: float  # m of shadow to the side per m along: the sun's direction
    verge: tuple[Colour, ...]  # by the stretch of road, left and right in turn
    things: tuple["Thing", ...]  # along the road, repeating every `len(things) * SPACING` metres
    sky: tuple[Colour, Colour]  # at the top, at the horizon
    hill: Colour
    hills: float  # rows


@dataclass(frozen=True)
class Thing:
    """Something beside the road."""

    kind: str  # tree, bush, post, sign or house
    side: int  # -1 left, 1 right
    clearance: float  # m from the road's edge
    height: float  # m
    width: float  # m
    along: float  # m, from its place in the row
    colour: Colour


def make_look(drive: Drive) -> Look:
    """The look of a drive, from seeds of its own."""
    draws = Draws(VERSION, drive.number, 1)
    grey = draws.uniform(80, 150)
    # road and verges are tinted alike, and a verge is as often the darker as the brighter of the
    # two: neither colour nor brightness must tell where the road is
    road = _tinted(draws, grey)
    verge = [_tinted(draws, grey * draws.choice((0.8, 0.9, 1.1, 1.2))) for _ in range(64)]
    light = {"day": 1.0, "overcast": 0.0, "dusk": 0.6}[drive.light]
    sky = {
        "day": ((96, 142, 204), (190, 212, 232)),
        "overcast": ((168, 174, 182), (204, 208, 212)),
        "dusk": ((92, 96, 140), (236, 178, 130)),
    }[drive.light]
    return Look(
        grain=draws.units(64, 64),
        road=road,
        dashed_edge=draws.uniform(0, 1) < 0.25,
        edge_colour=draws.choice((_WHITE, _WHITE, _YELLOW)),
        lane_colour=draws.choice((_WHITE, _WHITE, _YELLOW)),
        line_width=draws.uniform(0.2, 0.28),
        dash=draws.choice(((9.0, 4.0), (6.0, 3.0), (12.0, 7.0))),
        shadows=light * draws.uniform(0.1, 0.25),
        shear=draws.uniform(-0.8, 0.8),
        verge=tuple(verge),
        things=tuple(_thing(draws) for _ in range(48)),
        sky=sky,
        hill=draws.choice(_GREENS),
        hills=draws.uniform(2, 12),
    )


def _tinted(draws: Draws, grey: float) -> Colour:
    """A colour of that mean, somewhere between green, sand, soil and slate."""
    warm, green = draws.uniform(-0.14, 0.14), draws.uniform(-0.03, 0.13)
    return grey * (1 + warm - green / 2), grey * (1 + green), grey * (1 - warm - green / 2)


def _thing(draws: Draws) -> Thing:
    kind = draws.choice(
        ("tree", "tree", "tree", "bush", "bush", "post", "post", "post", "sign", "house")
    )
    height, width = {
        "tree": (draws.uniform(3, 8), draws.uniform(2, 4.5)),
        "bush": (draws.uniform(0.6, 1.6), draws.uniform(1, 3)),
        "post": (1.1, 0.16),
        "sign": (2.6, 0.8),
        "house": (draws.uniform(4, 7), draws.uniform(6, 12)),
    }[kind]
    clearance = {"post": 0.7, "sign": 1.4, "house": 14.0}.get(kind, draws.uniform(2, 9))
    colour = {"post": (214, 210, 200), "sign": (196, 60, 50), "house": draws.choice(_WALLS)}.get(
        kind, draws.choice(_GREENS)
    )
    side = draws.choice((-1, 1))
    return Thing(kind, side, clearance, height, width, draws.uniform(-3, 3), colour)
