"""What a test knows of a value and the type checker does not."""

from typing import TypeVar

import numpy as np
from sklearn.base import clone

from jaxreg.backbone.weights import WeightsSource, identify_weights
from jaxreg.estimator import HeadRegressor
from jaxreg.sources.examples import Image

T = TypeVar("T")


def given(value: T | None) -> T:
    """The value, which is not None."""
    assert value is not None
    return value


def pixels_of(image: Image) -> np.ndarray:
    """An image that its source holds as an array."""
    assert isinstance(image, np.ndarray)
    return image


def known_weights(spec: str) -> WeightsSource:
    """Weights that are there, as a file and random ones always are."""
    return given(identify_weights(spec))


def fresh(model: HeadRegressor) -> HeadRegressor:
    """scikit-learn's clone: the same settings, not fitted."""
    copy = clone(model)
    assert isinstance(copy, HeadRegressor)
    return copy
