"""The ground: road, verges, markings, water, shadows; each a function of metres on the ground."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from jaxreg.sources.road.view import CAMERA, FAR, FOCAL, HEIGHT, SHOULDER, WIDTH, View, blend


@dataclass
class Ground:
    """The rows below the horizon, and where on the ground each pixel looks."""

    view: View
    planes: np.ndarray  # (3, rows, columns) of the picture
    z: np.ndarray  # (rows, 1): m ahead of the car
    pixel: np.ndarray  # (rows, 1): m that a pixel is wide
    u: np.ndarray  # (rows, columns): m right of our lane's centre
    s: np.ndarray  # (rows, 1): m along the road

    def grain(self, across: float, along: float, shear: float = 0.0) -> np.ndarray:
        """The drive's texture in cells of `across` × `along` metres: (rows, columns) in [-1, 1)."""
        u = self.u + np.float32(shear) * self.s + np.float32(1024)
        i = (self.s * np.float32(1 / along)).astype(np.int32) & 63
        j = (u * np.float32(1 / across)).astype(np.int32) & 63
        return self.view.look.grain.ravel()[(i << 6) | j]

    @cached_property
    def fine(self) -> np.ndarray:
        """Grains of centimetres; what is finer than a pixel averages out."""
        return self.grain(0.09, 0.3) * np.minimum(1, 0.09 / self.pixel)

    @cached_property
    def on_road(self) -> np.ndarray:
        """Share of each pixel that is road."""
        from_left = (self.u - np.float32(self.view.left - SHOULDER)) / self.pixel + 0.5
        from_right = (np.float32(self.view.right + SHOULDER) - self.u) / self.pixel + 0.5
        return np.clip(from_left, 0, 1) * np.clip(from_right, 0, 1)

    def line(self, at: float, width: float) -> np.ndarray:
        """Share of each pixel that a line along the road covers, at `u` = `at` metres."""
        reach = np.minimum(width, self.pixel) / self.pixel
        inside = np.float32(width / 2) - np.abs(self.u - np.float32(at))
        return np.clip(inside / self.pixel + 0.5, 0, 1) * reach


def draw_ground(view: View) -> None:
    """Draw all that is flat, in place."""
    first = int(view.horizon) + 1
    below = np.arange(first, HEIGHT, dtype=np.float32)[:, None] - np.float32(view.horizon)
    z = np.minimum(FOCAL * CAMERA / below, np.float32(FAR))
    pixel = z / np.float32(FOCAL)
    columns = np.arange(WIDTH, dtype=np.float32) - np.float32((WIDTH - 1) / 2)
    u = columns * pixel - view.lane_centre(z)
    s = z + np.float32(view.travelled)
    ground = Ground(view, view.planes[:, first:], z, pixel, u, s)
    _surfaces(ground)
    _markings(ground)
    if view.drive.weather in ("rain", "wet"):
        _water(ground)
    _light(ground)
    blend(ground.planes, view.haze_colour, 1 - view.clear(z))


def _surfaces(ground: Ground) -> None:
    """Another verge every 20 m, on each side by itself; the road between them."""
    look = ground.view.look
    stretch = (ground.s[:, 0] / np.float32(20)).astype(np.int32) % 32
    verge = np.asarray(look.verge, np.float32)
    left, right = verge[2 * stretch].T[:, :, None], verge[2 * stretch + 1].T[:, :, None]
    verge = np.where((ground.u < 0)[None], left, right)
    road = np.asarray(look.road, np.float32).reshape(3, 1, 1)
    ground.planes[:] = verge + (road - verge) * ground.on_road
    # what wheels, ploughs and mowers leave runs along the road
    streaks = ground.grain(0.35, 7.0) * np.minimum(1, 0.35 / ground.pixel)
    ground.planes *= 1 + 0.1 * ground.fine + (0.28 - 0.13 * ground.on_road) * streaks


def _markings(ground: Ground) -> None:
    """Paint between two seams of tar, as dark as the paint is bright.

    So from afar, or in the mean over a part of the image, a marking is no brighter than the road.
    """
    look, drive = ground.view.look, ground.view.drive
    period, painted = look.dash
    dashed = ((ground.s % np.float32(period)) < np.float32(painted)).astype(np.float32)
    chipped = 0.85 + 0.15 * ground.fine
    road = np.asarray(look.road, np.float32)
    for lane in range(-drive.lanes_left, drive.lanes_right + 2):
        at = (lane - 0.5) * drive.lane_width
        outer = lane in (-drive.lanes_left, drive.lanes_right + 1)
        colour = look.edge_colour if outer else look.lane_colour
        there = chipped * dashed if look.dashed_edge or not outer else chipped
        paint = ground.line(at, look.line_width) * there
        tar = ground.line(at, 3 * look.line_width) * there
        brighter = np.asarray(colour, np.float32) - road
        ground.planes += (1.5 * brighter).reshape(3, 1, 1) * paint
        ground.planes -= (sum(colour) - sum(look.road)) / 6 * tar


def _water(ground: Ground) -> None:
    """Puddles mirror the sky, most at a flat angle."""
    puddles = (ground.grain(1.3, 3.1) > 0.35) * ground.on_road
    share = np.minimum(0.5, 0.02 * ground.z + 0.1)
    blend(ground.planes, ground.view.look.sky[1], puddles * share)


def _light(ground: Ground) -> None:
    """Shadows of what is beside the road, and of clouds."""
    look = ground.view.look
    light = 1 + 0.12 * ground.grain(31.0, 23.0)
    if look.shadows:
        light *= 1 - np.float32(look.shadows) * (ground.grain(1.7, 2.3, look.shear) > 0.3)
    ground.planes *= light
