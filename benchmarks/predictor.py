"""`jaxreg.Predictor` on one image against the network alone on the same image, already resized.

    python benchmarks/predictor.py [--engine tensorflow] [--rounds 101] [--quick]

InceptionV3 at 299x299 with random weights. The network alone gets pixels of its own size; the
engine resizes a frame of 120x160 and computes it. All run in turn in one process. The table has the
medians, and the medians of the differences. `predict` on one new image is beside them.
"""

import argparse
import io
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from PIL import Image

import jaxreg
from jaxreg.backbone import engine as engines
from jaxreg.trained_run import TrainedRun

HEADS: dict[str, dict[str, Any]] = {
    "one MLP": {"head": "mlp"},
    "five folds of an MLP": {"head": "mlp", "folds": 5},
    "five folds of a blend": {"head": "blend", "folds": 5},
    "five folds of a ridge": {"head": "ridge", "folds": 5},
}
PHOTO = 4000, 3000


def jpeg(width: int, height: int) -> bytes:
    """A frame of the road in the size of a camera."""
    from jaxreg.sources import open_source

    [frame, *_] = open_source("road:2").images
    file = io.BytesIO()
    Image.fromarray(np.asarray(frame)).resize((width, height)).save(file, "JPEG", quality=90)
    return file.getvalue()


def network_and_engine(
    predictor: jaxreg.Predictor, image: np.ndarray
) -> tuple[Callable[[], object], Callable[[], object]]:
    """The network and its pools on pixels of its own size; the engine on this image."""
    engine: Any
    [network] = predictor._features._networks or []
    engine = network.engine
    height, width = engine.recipe.size
    whole = lambda: engine.features([image])  # noqa: E731
    if engine.name == "openvino":
        request, resizer = engine._compiled(height, width).get()
        resizer([image])
        pixels = resizer.pixels.copy()
        engine._compiled(height, width).put((request, resizer))
        return lambda: request.infer([pixels], share_inputs=True), whole
    if engine.name == "tensorflow":
        pixels = engine._resize(image[None])
        return lambda: [read.numpy() for read in engine._pool(pixels)], whole
    raise SystemExit(f"not written for the engine {engine.name}")


def milliseconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return 1e3 * (time.perf_counter() - begin)


def compare(name: str, parts: tuple[Callable, Callable], whole: Callable, rounds: int) -> None:
    calls = [*parts, whole]
    seen = [[milliseconds(call) for call in calls] for _ in range(rounds + 3)][3:]
    network, engine, all_of_it = zip(*seen, strict=True)
    columns = [
        network,
        engine,
        all_of_it,
        [c - a for a, _, c in seen],
        [c - b for _, b, c in seen],
    ]
    print(f"| {name} |", *(f"{statistics.median(own):.2f} |" for own in columns), flush=True)


def once(run: TrainedRun, image: np.ndarray) -> float:
    """Seconds of `predict` on a new image, in a process that has predicted before."""
    begin = time.perf_counter()
    run.predict(image)
    return time.perf_counter() - begin


def measure(rounds: int, rows: int, folder: Path) -> None:
    size = (75, 75) if rows < 100 else (299, 299)
    cache = folder / "cache"
    jaxreg.extract_features(f"road:{rows}", name="road", cache=cache, weights="random", size=size)
    small, photo = jpeg(160, 120), jpeg(*PHOTO)
    pixels = np.asarray(Image.open(io.BytesIO(small)))
    print("| milliseconds | network | engine | Predictor | more than network | than engine |")
    print("|---|---|---|---|---|---|")
    for name, settings in HEADS.items():
        run = jaxreg.train_head(
            "road", cache=cache, ckpts=folder, target="steering", epochs=2, **settings
        )
        with jaxreg.Predictor(run) as predictor:
            alone = network_and_engine(predictor, pixels)
            compare(f"{name}, JPEG of 160x120", alone, lambda: predictor(small), rounds)
            if "folds" not in settings:
                compare(f"{name}, array of 120x160", alone, lambda: predictor(pixels), rounds)
                several = max(3, rounds // 10)
                compare(f"{name}, JPEG of 4000x3000", alone, lambda: predictor(photo), several)
            elif settings["head"] == "blend":
                whole = lambda: predictor(small, interval=0.5)  # noqa: E731
                compare(f"{name}, JPEG of 160x120, interval", alone, whole, rounds)
        if "folds" not in settings:
            seconds = [once(run, np.roll(pixels, shift, axis=1)) for shift in range(1, 5)]
            print(f"`run.predict` on one new image: {statistics.median(seconds):.2f} s")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", choices=["auto", "tensorflow"], default="auto")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--quick", action="store_true", help="small images: does it work?")
    given = parser.parse_args()
    real = engines.find_spec
    hide = given.engine == "tensorflow"
    seen = lambda name: None if hide and name == "openvino" else real(name)  # noqa: E731
    with tempfile.TemporaryDirectory() as name, mock.patch.object(engines, "find_spec", seen):
        measure(5 if given.quick else given.rounds, 60 if given.quick else 100, Path(name))
