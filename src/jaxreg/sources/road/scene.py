"""Draws one frame of a drive: a flat world through a pinhole camera, by NumPy alone.

Colours are float32 planes (3, rows, columns) on the 0 … 255 scale until the last step.
"""

import numpy as np

from jaxreg.sources.road.draws import Draws
from jaxreg.sources.road.drive import VERSION, Drive
from jaxreg.sources.road.ground import draw_ground
from jaxreg.sources.road.look import Look
from jaxreg.sources.road.things import draw_things
from jaxreg.sources.road.view import FOCAL, HEIGHT, WIDTH, View, blend


def draw(drive: Drive, look: Look, frame: int) -> np.ndarray:
    """The frame as (96, 320, 3) uint8 RGB."""
    view = View(drive, look, frame)
    _sky(view)
    draw_ground(view)
    draw_things(view)
    return _camera(view)


def _sky(view: View) -> None:
    """Sky, and hills that move to the left as the car turns to the right."""
    look = view.look
    top = int(view.horizon) + 1
    rows = (np.arange(top, dtype=np.float32) / top)[:, None]
    sky = view.planes[:, :top]
    sky[:] = np.asarray(look.sky[0], np.float32).reshape(3, 1, 1)
    blend(sky, look.sky[1], rows)
    turned = (
        FOCAL * float(view.drive.bearing[view.frame]) + np.arange(WIDTH, dtype=np.float32) + 4096
    )
    hills = np.zeros(WIDTH, np.float32)
    for row, (scale, weight) in enumerate(((53.0, 0.6), (17.0, 0.3), (5.0, 0.1))):
        place = turned / np.float32(scale)
        at = place.astype(np.int32)
        t = place - at
        line = look.grain[row]
        hills += weight * (line[at & 63] * (1 - t) + line[(at + 1) & 63] * t + 1)
    skyline = view.horizon - look.hills * hills
    haze = float(view.clear(140.0))
    share = np.clip(np.arange(top, dtype=np.float32)[:, None] - skyline, 0, 1)
    far = np.asarray(look.hill, np.float32) * haze + view.haze_colour * (1 - haze)
    blend(sky, far, share)


def _camera(view: View) -> np.ndarray:
    """Rain, exposure, white balance, a gradient towards the sun, vignette, noise; uint8 at last."""
    drive, planes, k = view.drive, view.planes, view.frame
    draws = Draws(VERSION, drive.number, 2, k)
    if drive.weather == "rain":
        _rain(planes, draws, view.look.shear)
    x = (np.arange(WIDTH, dtype=np.float32) - np.float32((WIDTH - 1) / 2)) / np.float32(WIDTH / 2)
    y = (np.arange(HEIGHT, dtype=np.float32) - np.float32(47.5))[:, None] / np.float32(48)
    gain = float(drive.brightness[k]) * (1 + 0.18 * float(drive.sun[k]) * x)
    gain = gain * (1 - 0.12 * (x * x + 0.5 * y * y))
    warm = 0.08 * float(drive.warmth[k])
    planes *= gain * np.array([1 + warm, 1, 1 - warm], np.float32).reshape(3, 1, 1)
    noise = draws.bytes(2 * planes.size).reshape(2, *planes.shape).astype(np.int16)
    planes += (noise[0] + noise[1] - 255) * np.float32(0.025)  # triangular, deviation 2.6
    return np.ascontiguousarray(np.clip(planes + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0))


def _rain(planes: np.ndarray, draws: Draws, slant: float) -> None:
    drops = 90
    top = draws.bytes(drops).astype(np.int32) * HEIGHT // 256
    left = draws.bytes(2 * drops).view("<u2").astype(np.int32) * WIDTH // 65536
    for step in range(7):
        rows = np.minimum(top + step, HEIGHT - 1)
        columns = np.clip(left + int(slant * step + 16.5) - 16, 0, WIDTH - 1)
        planes[:, rows, columns] += 0.25 * (220 - planes[:, rows, columns])
