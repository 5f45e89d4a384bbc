"""`mnist`: Keras' MNIST and the square of the digit, as in the original program."""

import contextlib
import os
import socket
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.errors import UnavailableError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.examples import Examples
from jaxreg.sources.npz import read_archive

PARTS = {"train": 60_000, "test": 10_000}
SIDE = 28  # pixels
TIMEOUT = 30.0  # seconds without an answer, where Keras itself would wait for ever


def open_mnist(options: SourceOptions) -> Examples:
    """70,000 images (28, 28) uint8, Keras' training ones first; `square` of `digit` is the target.

    Keras is imported only if its file is not there yet and must be downloaded.

    Raises:
        UnavailableError: it cannot be downloaded, or the file here is damaged.
    """
    options.refuse_all_but("mnist")
    home = os.environ.get("KERAS_HOME") or "~/.keras"
    path = Path(os.path.expanduser(home), "datasets", "mnist.npz")
    if not path.exists():
        _download(path)
    arrays = _load(path)
    digits = np.concatenate([arrays[f"y_{part}"] for part in PARTS]).astype(np.int64)
    images = np.concatenate([arrays[f"x_{part}"] for part in PARTS])
    return Examples(
        ids=tuple(f"{part}-{number:05d}" for part, n in PARTS.items() for number in range(n)),
        images=list(images),
        columns=pa.table({"digit": digits, "square": digits**2}),
        description={"kind": "mnist", "location": "mnist"},
        targets=("square",),
    )


def _remedy(path: Path) -> str:
    return (
        f"put Keras' mnist.npz there by hand as {path} "
        "(or name its folder's parent in KERAS_HOME), or begin with `road`, which needs no data"
    )


def _download(path: Path) -> None:
    """Let Keras fetch its file and check its digest."""
    waited = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        # standard output is for a command's JSON, not for a progress bar
        with contextlib.redirect_stdout(sys.stderr):
            import keras

            keras.datasets.mnist.load_data()
    except Exception as error:  # Keras raises a bare Exception
        raise UnavailableError(
            f"MNIST is not in {path}, where Keras looks, and cannot be downloaded: {error}",
            remedy=_remedy(path),
        ) from error
    finally:
        socket.setdefaulttimeout(waited)


def _load(path: Path) -> dict[str, np.ndarray]:
    wanted = [f"{axis}_{part}" for part in PARTS for axis in "xy"]
    try:
        arrays, names = read_archive(path, wanted)
        if lacking := set(wanted) - set(arrays):
            raise ValueError(f"it has {names}, and no {sorted(lacking)}")
    except (OSError, ValueError) as error:
        raise UnavailableError(
            f"{path} is not Keras' MNIST, or is damaged: {error}",
            remedy=f"move it away, so that Keras downloads it again; or {_remedy(path)}",
        ) from error
    for part, count in PARTS.items():
        images, digits = arrays[f"x_{part}"], arrays[f"y_{part}"]
        whole = images.shape == (count, SIDE, SIDE) and digits.shape == (count,)
        if not whole or images.dtype != np.uint8 or not set(np.unique(digits)) <= set(range(10)):
            raise UnavailableError(
                f"{path} holds {len(images)} {part} images of shape {images.shape[1:]}",
                expected=f"{count} of ({SIDE}, {SIDE}) uint8, each with a digit: all of MNIST",
                remedy=f"move it away, so that Keras downloads it again; or {_remedy(path)}",
            )
    return arrays
