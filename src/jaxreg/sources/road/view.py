"""One frame while it is drawn: the camera, where it stands, and the picture so far."""

from dataclasses import dataclass, field

import numpy as np

from jaxreg.sources.road.draws import Colour
from jaxreg.sources.road.drive import Drive, T, lane_centre
from jaxreg.sources.road.look import Look

HEIGHT, WIDTH = 96, 320
FOCAL = 160.0  # pixels: a view 90 degrees wide
CAMERA = 1.5  # metres above the ground
HORIZON = 29.0  # row, when the road is even
SHOULDER = 0.5  # metres of road outside its edge lines
FAR = 150.0  # metres: what lies beyond is drawn as if it were there


@dataclass
class View:
    """One frame while it is drawn."""

    drive: Drive
    look: Look
    frame: int
    planes: np.ndarray = field(default_factory=lambda: np.empty((3, HEIGHT, WIDTH), np.float32))

    def __post_init__(self) -> None:
        d, k = self.drive, self.frame
        self.horizon = HORIZON + float(d.pitch[k])
        self.pose = float(d.offset[k]), float(d.heading[k]), float(d.curvature[k])
        self.travelled = float(d.travelled[k])
        self.left = -(d.lanes_left + 0.5) * d.lane_width
        self.right = (d.lanes_right + 0.5) * d.lane_width
        self.haze = {"clear": 0.0015, "wet": 0.004, "rain": 0.01, "fog": 0.015}[d.weather]
        self.haze_colour = np.array(self.look.sky[1], np.float32)

    def lane_centre(self, distance: T) -> T:
        """Metres right of the car's axis where our lane's centre is, `distance` metres ahead."""
        return lane_centre(distance, *self.pose)

    def clear(self, distance: T) -> T:
        """Share of a surface's own light that comes through the haze: exp, but rational."""
        x = 1 + 0.5 * self.haze * distance
        return 1 / (x * x)


def blend(planes: np.ndarray, colour: Colour | np.ndarray, share: np.ndarray | float) -> None:
    """Lay a colour over planes (3, rows, columns), in place; `share` 1 covers, 0 leaves."""
    planes += (np.asarray(colour, np.float32).reshape(3, 1, 1) - planes) * share
