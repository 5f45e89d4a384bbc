"""Rows to train on and rows to watch as plain arrays, for tests that look at both."""

from typing import NamedTuple

import numpy as np

from jaxreg.head.state import Data


class Arrays(NamedTuple):
    """What `Data.of` takes."""

    x: np.ndarray  # (rows, features)
    y: np.ndarray  # (rows, targets)
    validation_x: np.ndarray
    validation_y: np.ndarray

    @property
    def data(self) -> Data:
        return Data.of(*self)
