"""`extract --ray` with Ray itself; tests/test_cluster.py has what needs none."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import jaxreg
from buckets import Bucket
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import RayOptions
from onnx_files import convolutions

pytest.importorskip("ray", reason="needs the extra ray")
# nodes of a cluster are forked by the test itself; JAX, which other tests have loaded, warns of it
pytestmark = pytest.mark.filterwarnings(r"ignore:os\.fork\(\) was called:RuntimeWarning")
STUDIES = Path(__file__).resolve().parents[1] / "studies"


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch) -> Any:
    """studies/ray_faults.py."""
    monkeypatch.syspath_prepend(STUDIES)
    import ray_faults  # pyright: ignore[reportMissingImports]

    return ray_faults


def test_workers_of_this_machine_give_the_features_of_one_process(
    bucket: Bucket, tmp_path: Path
) -> None:
    """With an int8 network from an ONNX file, and a cache in a bucket."""
    onnx.save(convolutions(), tmp_path / "tiny.onnx")
    settings: dict[str, Any] = {
        "backbone": f"onnx:{tmp_path / 'tiny.onnx'}",
        "preprocess": "unit",
        "size": (96, 320),
        "precision": "int8",
    }
    alone = jaxreg.extract_features("road:40", cache=tmp_path / "alone", **settings)
    said: list[str] = []
    # the other cache has the network that was calibrated for the first one
    folder = Path("features", alone.feature_set)
    for name in ("feature_set.json", "quantized.zip", "calibration.json"):
        bucket.write(f"{folder}/{name}", (tmp_path / "alone" / folder / name).read_bytes())
    done = jaxreg.extract_features(
        "road:40",
        cache=bucket.url,
        ray=RayOptions("local", ray_workers=2, ray_cpus=1),
        say=said.append,
        batch_size=8,
        **settings,
    )
    assert (done.images, done.computed, done.reused, done.failed) == (40, 40, 0, 0)
    assert done.ray_workers is not None
    assert sum(one["images"] for one in done.ray_workers) == 40
    assert done.to_json()["ray_workers"] == done.ray_workers
    assert "ray_workers" not in alone.to_json()
    caches = Cache(tmp_path / "alone"), Cache(bucket.url)
    one, two = (read_dataset(cache, "road") for cache in caches)
    assert one.fingerprint == two.fingerprint
    assert (one.workers, two.workers) == ((), done.ray_workers)
    assert "--ray" not in two.extract_command()  # which runs on one machine too
    features = [cache.read(one.feature_set, one.columns, one.digests) for cache in caches]
    np.testing.assert_allclose(features[0], features[1], rtol=1e-4, atol=1e-5)
    assert not [key for key in bucket.keys("features") if ".ray." in key]  # the mark is gone
    assert len([text for text in said if text.startswith("engine: ")]) == 1


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it looks for processes in /proc")
def test_a_killed_worker_and_a_lost_node_lose_nothing(study: Any, tmp_path: Path) -> None:
    study.prepare(tmp_path, images=240, channels=96)
    told = study.once(tmp_path, 240, "ray")
    assert (told["killed"], told["removed"]) == (1, 1)
    # nothing is written twice, and what was written before a death counts
    assert told["computed"] == told["rows"] == told["distinct"] == 240
    assert told["difference"] <= 1e-5


def test_an_address_where_nothing_answers(tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1: "):
        jaxreg.extract_features("road:2", cache=tmp_path, weights="random", ray="127.0.0.1:1")
    with pytest.raises(InputError, match="HOST:PORT"):
        jaxreg.extract_features("road:2", cache=tmp_path, weights="random", ray="node1")
