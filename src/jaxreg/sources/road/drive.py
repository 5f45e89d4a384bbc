"""What happens on a drive: its road and weather, and the car's state frame by frame."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeVar

import numpy as np

from jaxreg.sources.road.draws import Colour, Draws

VERSION = 1
"""Of the drawing: a change to any pixel or column is a new version, because caches rely on it."""

FRAMES = 100
"""Frames in a drive."""

RATE = 10.0
"""Frames a second."""

LOOKAHEAD = 9.0
"""Metres ahead of the car where the lane centre is aimed at."""

FULL_LOCK = 0.075
"""1/m: curvature of the path (13 m radius) that steering 1 stands for."""

T = TypeVar("T", float, np.ndarray)


@dataclass(frozen=True)
class Car:
    """Another car: where it is, seen from ours, frame by frame."""

    lateral: float  # m right of our lane's centre
    distance: np.ndarray  # m ahead of our car, (FRAMES,)
    colour: Colour
    oncoming: bool


@dataclass(frozen=True)
class Drive:
    """One road in one weather. Arrays are (FRAMES,) float64; right is positive everywhere."""

    number: int
    steering: np.ndarray  # in [-1, 1]
    offset: np.ndarray  # m, the car right of its lane's centre
    heading: np.ndarray  # rad, the car pointing right of the lane's direction
    curvature: np.ndarray  # 1/m, the road bending right
    bearing: np.ndarray  # rad, the car's direction seen from above, from the drive's beginning
    speed: float  # m/s
    travelled: np.ndarray  # m along the road since its beginning
    lane_width: float  # m
    lanes_left: int  # lanes of the road to the left of ours
    lanes_right: int
    weather: str  # clear, fog, rain or wet
    light: str  # day, overcast or dusk
    sun: np.ndarray  # -1 brighter on the left of the image … 1 on the right
    brightness: np.ndarray  # factor of the camera's exposure
    warmth: np.ndarray  # white balance: -1 blue … 1 red
    pitch: np.ndarray  # rows that the horizon is below its usual place
    cars: tuple[Car, ...]


def lane_centre(distance: T, offset: Any, heading: Any, curvature: Any) -> T:
    """Metres to the right of the car's axis where its lane's centre is, `distance` metres ahead.

    The road is the parabola that has its curvature at the car. Floats, or arrays that broadcast.
    """
    return (0.5 * curvature * distance - heading) * distance - offset


@lru_cache(maxsize=64)
def make_drive(number: int) -> Drive:
    """The drive of that number, from 0; always the same one."""
    draws = Draws(VERSION, number)
    speed = draws.uniform(5, 9)
    travelled = draws.uniform(0, 500) + np.arange(FRAMES) * (speed / RATE)
    curvature, _ = draws.wave(FRAMES, -0.075, 0.075, 12)
    offset, drift = draws.wave(FRAMES, -1.0, 1.0, 15)
    heading = drift * (RATE / speed)  # a car that drifts right points right; small angles
    aim = lane_centre(np.array(LOOKAHEAD), offset, heading, curvature)
    # pure pursuit (Coulter 1992): the circle through the car and the aim, tangent to the car's axis
    steering = np.clip(2 * aim / LOOKAHEAD**2 / FULL_LOCK, -1, 1)
    weather = draws.choice(("clear", "clear", "fog", "rain", "wet"))
    light = draws.choice(("day", "day", "overcast", "dusk"))
    if weather != "clear" and light == "day":
        light = "overcast"
    dim = {"day": 1.0, "overcast": 0.9, "dusk": 0.7}[light]
    lane_width = draws.uniform(3.0, 3.6)
    lanes_left, lanes_right = draws.choice(((0, 0), (1, 0), (0, 1)))
    return Drive(
        number=number,
        steering=steering,
        offset=offset,
        heading=heading,
        curvature=curvature,
        bearing=np.cumsum(curvature) * (speed / RATE) + heading,
        speed=speed,
        travelled=travelled,
        lane_width=lane_width,
        lanes_left=lanes_left,
        lanes_right=lanes_right,
        weather=weather,
        light=light,
        sun=draws.wave(FRAMES, -1, 1, 17)[0],
        brightness=dim * draws.wave(FRAMES, 0.8, 1.2, 9)[0],
        warmth=draws.wave(FRAMES, -1, 1, 13)[0] + (0.6 if light == "dusk" else 0.0),
        pitch=draws.wave(FRAMES, -2, 2, 5)[0],
        cars=_cars(draws, lane_width, lanes_left, lanes_right),
    )


def _cars(draws: Draws, lane_width: float, left: int, right: int) -> tuple[Car, ...]:
    cars = []
    for lane in range(-left, right + 1):
        if draws.uniform(0, 1) < 0.45:
            continue
        oncoming = lane < 0
        if oncoming:
            start, closing = draws.uniform(0, 90), draws.uniform(1.0, 1.8)
            distance = (start - closing * np.arange(FRAMES)) % 90 + 3
        else:
            distance, _ = draws.wave(FRAMES, 9 if lane == 0 else 5, 60, 22)
        shade = draws.uniform(20, 220)
        colour = (
            shade,
            shade * draws.uniform(0.5, 1.3),
            shade * draws.uniform(0.5, 1.3),
        )
        cars.append(Car(lane * lane_width, distance, colour, oncoming))
    return tuple(cars)
