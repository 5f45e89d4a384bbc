"""How fast is `extract`, beside Keras on batches that lie ready in memory?

    python benchmarks/extract.py --images 1000 --rounds 3 [--weights FILE]

Each round runs, one after another and each in a process of its own: Keras' `predict_on_batch`
(TensorFlow, ready float32 batches of 32, 299x299), a large float32 matrix product, and the whole
command, JPEG files in to parts written, on every engine and precision of this machine. Ratios are
of medians. The images are 320x160 JPEGs of drawn roads, each unlike the others.

Each ratio to Keras is given three times: of images/s as `--json` reports; by the wall clock of the
whole process less `seconds.start` (imports count there); and by processor time less that of imports
and loading, which other work on the machine changes less.

For OpenVINO, the compiled network also runs alone on batches that lie ready in memory. The time of
`extract` beyond this is reading, decoding, thumbnails, the resize and writing.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

GFLOP_PER_IMAGE = 11.46  # InceptionV3 at 299x299, a multiplication and an addition each counted

VARIANTS = {  # name: (options of extract, ratio to Keras that is asked for)
    "tensorflow": (["--engine", "tensorflow"], 0.95),
    "openvino float32": (["--engine", "openvino"], 1.05),
    "openvino bfloat16": (["--precision", "bfloat16"], 2.0),
    "openvino int8": (["--precision", "int8"], 3.8),
    "openvino int8, mixed2": (["--precision", "int8", "--layers", "mixed2"], None),
    "best float32": (["--engine", "openvino", "--preset", "best"], 10.0),
    "best int8": (["--precision", "int8", "--preset", "best"], 18.0),
}

KERAS = """
import json, sys, time
import numpy as np
from jaxreg.backbone.network import build_network, start_keras
from jaxreg.backbone.weights import identify_weights
start_keras()
import keras
base = build_network("inception_v3", ["mixed10"], identify_weights(sys.argv[1]))
pooled = keras.layers.GlobalAveragePooling2D()(base.output["mixed10"])
model = keras.Model(base.input, pooled)
batch = np.random.default_rng(0).uniform(-1, 1, (32, 299, 299, 3)).astype(np.float32)
model.predict_on_batch(batch)
count = max(2, int(sys.argv[2]) // 32)
begin, cpu = time.perf_counter(), time.process_time()
for _ in range(count):
    model.predict_on_batch(batch)
wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
images = 32 * count
print(json.dumps({"reported": images / wall, "wall": images / wall, "cpu": images / cpu}))
"""

PRODUCT = """
import json, time
from jaxreg.backbone.network import start_keras
start_keras()
import tensorflow as tf
a = tf.random.normal((4096, 4096))
tf.linalg.matmul(a, a)
begin, cpu = time.perf_counter(), time.process_time()
for _ in range(8):
    tf.linalg.matmul(a, a).numpy()
wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
images = 8 * 2 * 4096**3 / 11.46e9
print(json.dumps({"reported": images / wall, "wall": images / wall, "cpu": images / cpu}))
"""

NETWORK = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import jaxreg
from jaxreg.backbone.openvino_engine import OpenVINOEngine
from jaxreg.backbone.weights import identify_weights
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
cache, name = Cache(Path(sys.argv[1])), sys.argv[2]
recipe = cache.recipe(name)
columns = [Column.parse(column) for column in sys.argv[4].split()]
quantized = Path(sys.argv[1]) / "features" / name / "quantized.zip"
given = (None, quantized.read_bytes()) if quantized.exists() else (identify_weights(sys.argv[3]),)
engine = OpenVINOEngine(recipe, columns, *given)
requests = engine._compiled(*recipe.size)
ready = [requests.get() for _ in range(requests.qsize())]
each = max(1, int(sys.argv[5]) // len(ready) // len(ready[0][1].pixels))
def work(pair):
    request, resizer = pair
    for _ in range(each):
        request.infer([resizer.pixels], share_inputs=True)
with ThreadPoolExecutor(len(ready)) as threads:
    list(threads.map(work, ready))
    begin = time.perf_counter()
    list(threads.map(work, ready))
    wall = time.perf_counter() - begin
print(json.dumps({"network": each * len(ready) * len(ready[0][1].pixels) / wall}))
"""

EXTRACT = """
import json, sys, time
begin = time.perf_counter()
from jaxreg import api, cli, extract
from jaxreg.extraction.engine_queue import EngineQueue
importing = time.perf_counter() - begin
spent = []
send = EngineQueue.send
def first_send(self, batch):
    begin = time.process_time()
    send(self, batch)
    spent.append(time.process_time() - begin)
    EngineQueue.send = send
EngineQueue.send = first_send
begin = time.process_time()
try:
    cli.run_command(extract.main)
finally:
    print(json.dumps({"cpu": time.process_time() - begin - spent[0], "importing": importing}))
"""


@dataclass(frozen=True)
class Arguments:
    """Measure extract against Keras, in one run."""

    images: int = 1000  # JPEG files of each extraction
    rounds: int = 3  # of every variant, interleaved
    weights: str = "random"  # what extract takes; any will do for time
    variants: tuple[str, ...] = tuple(VARIANTS)  # which are measured


def main(arguments: Arguments) -> None:
    """Measure and print a table."""
    unknown = set(arguments.variants) - VARIANTS.keys()
    if unknown:
        sys.exit(f"no variant {unknown}; there are {', '.join(VARIANTS)}")
    names = ("keras", "matrix product", *arguments.variants)
    figures: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        images, kept = Path(folder, "images"), Path(folder, "kept")
        draw(images, arguments.images)
        for name in arguments.variants:  # conversions and calibrations are made and kept
            _extract(name, images, kept, Path(folder, "warm"), arguments.weights)
        for number in range(arguments.rounds):
            print(f"round {number + 1}", file=sys.stderr, flush=True)
            figures["keras"].append(
                _program(KERAS, arguments.weights, str(min(arguments.images, 512)))
            )
            figures["matrix product"].append(_program(PRODUCT))
            for name in arguments.variants:
                cache = Path(folder, "cache")
                figures[name].append(_extract(name, images, kept, cache, arguments.weights))
    _print(figures)


def draw(folder: Path, count: int) -> None:
    """JPEG files of 320x160, of quality 90, drawn and enlarged."""
    from PIL import Image

    from jaxreg.sources import open_source
    from jaxreg.sources.pixels import decode, read

    folder.mkdir()
    examples = open_source(f"road:{count}")
    for number, image in enumerate(examples.images):
        picture = Image.fromarray(decode(read(image))).resize((320, 160), Image.Resampling.BICUBIC)
        picture.save(folder / f"{number:06}.jpg", quality=90)


def _extract(name: str, images: Path, kept: Path, cache: Path, weights: str) -> dict[str, float]:
    """One extraction into a cache that has no features, but the int8 networks made before."""
    shutil.rmtree(cache, ignore_errors=True)
    for path in kept.glob("features/*/*.*"):
        to = cache / path.relative_to(kept)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, to)
    options = ["--cache", str(cache), "--weights", weights, "--json", *VARIANTS[name][0]]
    begin = time.perf_counter()
    done, own = _lines(EXTRACT, str(images), *options)
    wall = time.perf_counter() - begin - done["seconds"]["start"] - own["importing"]
    for path in cache.glob("features/*/*.*"):
        if path.is_file():
            to = kept / path.relative_to(cache)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
    count = done["computed"]
    network = {}
    if done["engine"] == "openvino":
        columns = " ".join(done["columns"])
        network = _program(
            NETWORK, str(cache), done["feature_set"], weights, columns, str(min(count, 512))
        )
    return {
        **network,
        "reported": done["images_per_second"],
        "wall": count / wall,
        "cpu": count / own["cpu"],
    }


def _program(code: str, *words: str) -> dict[str, float]:
    return _lines(code, *words)[-1]


def _lines(code: str, *words: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _print(figures: dict[str, list[dict[str, float]]]) -> None:
    kinds = ("reported", "wall", "cpu")
    medians = {
        name: {kind: statistics.median(figure[kind] for figure in found) for kind in kinds}
        for name, found in figures.items()
    }
    keras, limit = medians["keras"], medians["matrix product"]
    print(f"{os.cpu_count()} cores; limit: {GFLOP_PER_IMAGE} GFLOP per image of a matrix product")
    print("| | images/s | reported / keras | wall | processor time | asked for |")
    print("|---|---|---|---|---|---|")
    for name, found in medians.items():
        asked = VARIANTS[name][1] if name in VARIANTS else None
        ratios = " | ".join(f"{found[kind] / keras[kind]:.2f}" for kind in kinds)
        print(f"| {name} | {found['reported']:.1f} | {ratios} | {asked or ''} |")
    for name, found in figures.items():
        if "network" in found[0]:
            alone = statistics.median(figure["network"] for figure in found)
            shares = [1 - figure["reported"] / figure["network"] for figure in found]
            print(
                f"{name}: {alone:.1f} images/s of the network alone, on batches in memory; "
                f"{statistics.median(shares):.0%} of the wall is not the network"
            )
    for name in ("openvino float32", "tensorflow"):
        if name in medians:
            shares = [f"{medians[name][kind] / limit[kind]:.2f}" for kind in ("reported", "cpu")]
            print(f"{name} / limit: {shares[0]}, by processor time {shares[1]}")


if __name__ == "__main__":
    main(tyro.cli(Arguments))
