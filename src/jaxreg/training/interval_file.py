"""intervals.npz: what a run needs to predict with intervals, also as a bundle.

It is a zip of NumPy arrays without compression, so `numpy.load` reads it. Nothing is unpickled.
"""

import io
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxreg.common.stored_zip import pack, unpack
from jaxreg.conformal import Errors
from jaxreg.unlike import Familiar

INTERVALS = "intervals.npz"

_END = ".npy"
_HEADER = b"\x93NUMPY\x01\x00"  # of format 1.0, which all these arrays have


class RunIntervals(NamedTuple):
    """What the file holds."""

    errors: tuple[Errors, ...]  # of each target
    seen: Familiar


def packed(intervals: RunIntervals) -> bytes:
    """The content of the file."""
    arrays = {f"images.{name}": part for name, part in intervals.seen._asdict().items()}
    for number, errors in enumerate(intervals.errors):
        arrays |= {f"target{number}.{name}": part for name, part in errors._asdict().items()}
    files = {}
    for name, array in arrays.items():
        content = io.BytesIO()
        np.lib.format.write_array(content, np.asarray(array), version=(1, 0), allow_pickle=False)
        files[name + _END] = content.getvalue()
    return pack(files)


def unpacked_intervals(content: bytes, targets: Sequence[str], columns: int) -> RunIntervals:
    """The inverse of `packed`, for a run with these targets and so many columns of features.

    Raises:
        ValueError: it is damaged, or not of such a run.
    """
    files = {name.removesuffix(_END): own for name, own in unpack(content).items()}
    try:
        seen = Familiar(*(_array(files[f"images.{name}"]) for name in Familiar._fields))
        each = [
            [_array(files[f"target{number}.{name}"]) for name in Errors._fields]
            for number in range(len(targets))
        ]
    except KeyError as error:
        raise ValueError(f"it has no array {error}") from None
    images, directions = seen.places.shape if seen.places.ndim == 2 else (0, 0)
    shapes = [part.shape for part in seen]
    expected = [(columns,), (columns,), (columns, directions), (images, directions), (images,), ()]
    if shapes != expected or not images or not seen.std.all() or not seen.usual > 0:
        raise ValueError(f"its arrays of images have the shapes {shapes}")
    for sizes, shares, units in each:
        rising = sizes.ndim == 1 and len(sizes) and (np.diff(sizes) > 0).all()
        if not rising or shares.shape != sizes.shape or units.shape:
            raise ValueError("its arrays of errors do not fit each other")
    errors = (Errors(sizes, shares, int(units)) for sizes, shares, units in each)
    return RunIntervals(tuple(errors), seen)


def _array(content: bytes) -> np.ndarray:
    """An array of numbers. Raises ValueError for anything else, before memory is taken for it."""
    if not content.startswith(_HEADER):
        raise ValueError("a member is no array of NumPy")
    file = io.BytesIO(content[len(_HEADER) :])
    shape, fortran, kind = np.lib.format.read_array_header_1_0(file)
    data = file.read()
    if kind.kind not in "fi" or fortran or math.prod(shape) * kind.itemsize != len(data):
        raise ValueError(f"an array of {kind} and {shape} has {len(data)} bytes")
    return np.frombuffer(data, kind).reshape(shape)
