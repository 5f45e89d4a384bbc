"""Features on the device, in host memory and in the cache's parts: the same training."""

import hashlib
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg import memory
from jaxreg.config import HeadConfig
from jaxreg.errors import InputError, Stopped
from jaxreg.features.cache import Cache
from jaxreg.features.parts import list_parts
from jaxreg.features.recipe import Column
from jaxreg.features.streaming import PartFeatures
from jaxreg.heads import fit
from jaxreg.heads.state import Data, init_state
from jaxreg.runs.blocks import shuffle
from jaxreg.runs.run import Run

ROWS, WIDTH, PART = 240, 512, 12
FEATURES = ROWS * WIDTH * 4  # 492 kB
HOST, PARTS = "1MB", "250kB"  # what makes training keep them there
QUICK = {"hidden": (16, 8), "epochs": 6, "learning_rate": 0.01, "batch_size": 4}


@pytest.fixture
def wide(planted: Path) -> Path:
    """The planted cache with 512 features an image, in parts of 12 images of a mixed order."""
    cache = Cache(planted)
    space, column, digests = cache.spaces()[0], Column(), _digests(planted)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(ROWS, WIDTH)).astype(np.float32)
    features[:, :12] = cache.read(space, [column], digests)
    _write_parts(planted, column, features, rng.permutation(ROWS))
    return planted


def _write_parts(root: Path, column: Column, features: np.ndarray, order: np.ndarray) -> None:
    cache, digests = Cache(root), _digests(root)
    for part in list_parts(cache.folder(cache.spaces()[0], column)):
        part.unlink()
    for rows in np.split(order, ROWS // PART):
        cache.add(cache.spaces()[0], column, [digests[row] for row in rows], features[rows])


def _digests(root: Path) -> list[str]:
    return pq.read_table(root / "datasets" / "planted.parquet")["digest"].to_pylist()


def run(root: Path, limit: str | None, **options) -> Run:
    options = {"cache": root, "ckpts": root.parent / "ckpts", **QUICK, **options}
    return jaxreg.train_head("planted", memory_limit=limit, **options)


def results(path: Path) -> tuple[list[float], list[str]]:
    """Predictions, and every line of the history but for its seconds."""
    lines = (path / "history.csv").read_text().splitlines()
    predictions = pq.read_table(path / "predictions.parquet")["prediction.angle"].to_pylist()
    return predictions, [line.rsplit(",", 1)[0] for line in lines]


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (None, "data: on the device (492 kB)"),
        ("2MB", "data: on the device (492 kB)"),
        (HOST, "data: in host memory (492 kB), 3 batches at a time to the device"),
        (PARTS, "data: in the cache's parts (492 kB), shuffled in a window of "),
    ],
)
def test_where_the_features_are_is_chosen_and_told(
    wide: Path, limit: str | None, told: str
) -> None:
    lines: list[str] = []
    run(wide, limit, epochs=1, say=lines.append)
    assert any(line.startswith(told) for line in lines), lines


@pytest.mark.parametrize("options", [{}, {"batch_size": 7}])
@pytest.mark.parametrize("targets", [("angle",), ("angle", "speed")])
def test_host_memory_gives_the_bits_of_the_device(wide: Path, options, targets) -> None:
    one = run(wide, None, target=targets, **options)
    two = run(wide, HOST, target=targets, **options)
    assert two.config["window"] is None
    assert results(one.path) == results(two.path)
