"""Faults planted in recordings: drawn roads and a real tub, with features of a real network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import jaxreg
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.store import Cache

pytestmark = pytest.mark.slow

TARGETS = {"road": "steering", "tub": "user/angle"}

Change = Callable[[np.ndarray], np.ndarray]

FAULTS: dict[str, tuple[str, dict[str, Any], Change]] = {
    "relu": ("output-bounded", {"output_activation": "relu"}, lambda y: y),
    "rate 0.1": ("learning-rate-high", {"learning_rate": 0.1}, lambda y: y),
    "rate 1e-7": ("learning-rate-low", {"learning_rate": 1e-7}, lambda y: y),
    "question": ("output-bounded", {"preset": "question"}, lambda y: y - y.mean()),
    "unscaled": ("inputs-unscaled", {"scale_features": False}, lambda y: y),
    "shuffled frames": ("split-leak", {"split": "hash"}, lambda y: y),
    "shuffled labels": (
        "labels-unrelated", {}, lambda y: np.random.default_rng(0).permutation(y),
    ),
    "999": ("targets-outliers", {}, lambda y: np.where(np.arange(len(y)) % 40 == 0, -999, y)),
    "constant": ("target-constant", {}, np.ones_like),
}  # fmt: skip


@pytest.fixture(scope="session")
def recordings(tmp_path_factory: pytest.TempPathFactory, request) -> Path:
    """A cache of both, with random weights at 75 pixels: seconds, and nothing to download."""
    cache = tmp_path_factory.mktemp("recordings") / "cache"
    options = {"cache": cache, "weights": "random", "size": (75, 75), "layers": ("mixed5",)}
    jaxreg.extract_features("road:1000", name="road", **options)
    jaxreg.extract_features(request.getfixturevalue("tub"), name="tub", **options)
    return cache


@pytest.mark.parametrize("recording", TARGETS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_planted_cause_is_named_first(recordings: Path, recording: str, fault: str) -> None:
    code, options, change = FAULTS[fault]
    verdict = _train(recordings, recording, change, **options)
    found = [finding["code"] for finding in verdict["findings"]]
    if (fault, recording) == (
        "unscaled",
        "tub",
    ):  # no fault: it beats the ridge
        assert verdict["healthy"], verdict["headline"]
        return
    assert found[0] == code, verdict["headline"]


@pytest.mark.parametrize("recording", TARGETS)
def test_nothing_is_wrong_where_nothing_is(recordings: Path, recording: str) -> None:
    verdict = _train(recordings, recording, lambda y: y)
    if recording == "road":  # two blocks of 100 frames of the tub hold too few curves to be sure
        assert verdict["healthy"], verdict["headline"]
    assert not [f for f in verdict["findings"] if f["severity"] != "note"]


def _train(cache: Path, recording: str, change: Change, **options: Any) -> dict[str, Any]:
    """A run on the recording with its target changed."""
    dataset = read_dataset(Cache(cache), recording)
    name = TARGETS[recording]
    y = dataset.table[name].to_numpy().astype(float)
    place = dataset.table.column_names.index(name)
    table = dataset.table.set_column(place, name, pa.array(np.asarray(change(y), float)))
    from dataclasses import replace

    write_dataset(Cache(cache), replace(dataset, name="planted", table=table))
    ckpts = cache.parent / "ckpts"
    run = jaxreg.train_head("planted", cache=cache, ckpts=ckpts, target=(name,), **options)
    return run.summary["verdict"]
