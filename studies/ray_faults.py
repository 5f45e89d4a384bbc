"""Does an extraction on Ray survive the death of a worker and of a node?

    python studies/ray_faults.py --times 5

Each time, three raylets run on this machine, with a worker each. In the middle one worker gets
SIGKILL, and later the node of another one is removed. Then the features are compared, digest by
digest, with those of an extraction without Ray, and the rows in the parts are counted. It needs the
extra `ray` and the package onnx.
"""

import argparse
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.cluster.session import import_ray
from jaxreg.extract_config import RayOptions
from jaxreg.extraction.outcome import Progress

SIDE = 64  # pixels
SETTINGS: dict[str, Any] = {"preprocess": "unit", "batch_size": 8, "max_failed": 0.1}


def make_photos(folder: Path, count: int) -> None:
    """Distinct photos, a copy of every fourth one, and three that cannot be decoded."""
    folder.mkdir()
    rng = np.random.default_rng(5)
    for number in range(count):
        path = folder / f"{number:04d}.png"
        Image.fromarray(rng.integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)).save(path)
        if number % 4 == 0:  # far from the first one, so in another unit
            (folder / f"copy-{number:04d}.png").write_bytes(path.read_bytes())
        if number % (count // 2) == 1:
            for place in ("0-cut", "cut", "x-cut"):
                (folder / f"{place}-{number}.png").write_bytes(path.read_bytes()[:-30])


def make_network(path: Path, channels: int) -> None:
    """A network that takes some milliseconds for an image, so that faults come in its middle."""
    rng = np.random.default_rng(6)
    nodes, weights, before, depth = [], [], "pixels", 3
    for layer in range(4):
        values = rng.normal(0, 0.1, (channels, depth, 3, 3)).astype(np.float32)
        weights.append(numpy_helper.from_array(values, f"w{layer}"))
        conv = helper.make_node("Conv", [before, f"w{layer}"], [f"c{layer}"], pads=[1, 1, 1, 1])
        nodes += [conv, helper.make_node("Relu", [f"c{layer}"], [f"r{layer}"])]
        before, depth = f"r{layer}", channels
    nodes.append(helper.make_node("ReduceMean", [before], ["vector"], axes=[2, 3], keepdims=0))
    value = helper.make_tensor_value_info
    pixels = value("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])
    vector = value("vector", TensorProto.FLOAT, [None, channels])
    graph = helper.make_graph(nodes, "slow", [pixels], [vector], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, path)


@contextmanager
def raylets(count: int) -> Iterator[Any]:
    """A cluster of so many nodes with one CPU, all on this machine."""
    import_ray()
    from ray.cluster_utils import Cluster

    cluster = Cluster()
    try:
        for _ in range(count):
            cluster.add_node(num_cpus=1, include_dashboard=False)
        yield cluster
    finally:
        cluster.shutdown()


def workers_of(node: Any) -> list[int]:
    """The processes of workers of jaxreg on a node, by what Ray calls them."""
    raylet = node.all_processes["raylet"][0].process.pid
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().replace(b"\0", b" ")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has just ended
            continue
        if words.startswith(b"ray::Worker") and parent == raylet:
            found.append(int(folder.name))
    return found


class Faults:
    """One worker gets SIGKILL at a third of the images, and a node goes at two thirds."""

    def __init__(self, cluster: Any, images: int) -> None:
        self.cluster, self.images = cluster, images
        self.kept, self.gone = list(cluster.worker_nodes)[:2]
        self.killed = self.removed = 0

    def __call__(self, progress: Progress) -> None:
        if not self.killed and progress.computed >= self.images / 3:
            for process in workers_of(self.kept):
                os.kill(process, signal.SIGKILL)
                self.killed += 1
        elif self.killed and not self.removed and progress.computed >= 2 * self.images / 3:
            self.removed = len(workers_of(self.gone))
            self.cluster.remove_node(self.gone)


def rows_in_parts(cache: Cache, feature_set: str) -> list[str]:
    """The digests of all parts, as often as they are there."""
    import pyarrow.parquet as pq

    folders = Path(cache.root, "features", feature_set).glob("*.*.*")
    parts = [part for folder in folders for part in folder.glob("part-*.parquet")]
    return [
        digest for part in parts for digest in pq.ParquetFile(part).read()["digest"].to_pylist()
    ]


def compare(serial: Cache, other: Cache) -> float:
    """The largest difference of a feature; raises ValueError for another table, list or picture."""
    one, two = (read_dataset(cache, "photos") for cache in (serial, other))
    if one.fingerprint != two.fingerprint or one.failed_sha256 != two.failed_sha256:
        raise ValueError("the datasets differ")
    pictures = [cache.read_thumbnails(one.digests) for cache in (serial, other)]
    if pictures[0] != pictures[1] or len(pictures[0]) != len(set(one.digests)):
        raise ValueError("the thumbnails differ")
    features = [c.read(one.feature_set, one.columns, one.digests) for c in (serial, other)]
    return float(np.abs(features[0] - features[1]).max())


def once(folder: Path, images: int, name: str) -> dict[str, Any]:
    """One extraction with faults, beside the serial one in `folder`."""
    begin = time.perf_counter()
    settings = {"name": "photos", "backbone": f"onnx:{folder / 'network.onnx'}", **SETTINGS}
    with raylets(3) as cluster:
        faults = Faults(cluster, images)
        done = jaxreg.extract_features(
            folder / "photos",
            cache=folder / name,
            ray=RayOptions(cluster.address, ray_cpus=1),
            on_progress=faults,
            **settings,
        )
    serial, other = Cache(folder / "serial"), Cache(folder / name)
    rows = rows_in_parts(other, done.feature_set)
    return {
        "killed": faults.killed,
        "removed": faults.removed,
        "computed": done.computed,
        "rows": len(rows),
        "distinct": len(set(rows)),
        "difference": compare(serial, other),
        "workers": [(one["node"], one["images"]) for one in done.ray_workers or ()],
        "seconds": round(time.perf_counter() - begin, 1),
    }


def prepare(folder: Path, images: int, channels: int) -> None:
    """The photos, the network, and their features without Ray."""
    make_photos(folder / "photos", images)
    make_network(folder / "network.onnx", channels)
    backbone = f"onnx:{folder / 'network.onnx'}"
    jaxreg.extract_features(
        folder / "photos", name="photos", cache=folder / "serial", backbone=backbone, **SETTINGS
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Deaths of workers and nodes")
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--channels", type=int, default=96)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        prepare(folder, asked.images, asked.channels)
        for number in range(asked.times):
            print(once(folder, asked.images, f"ray-{number}"), flush=True)


if __name__ == "__main__":
    main()
