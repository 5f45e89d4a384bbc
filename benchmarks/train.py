"""Seconds per epoch of the original head: jaxreg, Keras on TensorFlow and on JAX, torch.

Every contender is a process of its own that stays alive; rounds of one epoch each go in turn, so
that noise of the machine falls on all alike. Medians and their ratios are printed, then how far
jaxreg is from what the machine can do, and its memory above the features.

    python benchmarks/train.py [--quick] [--torch-python PYTHON]
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

ROWS, FEATURES, BATCH, HIDDEN, DROPOUT = 12_800, 2_048, 32, (512, 256, 128, 64), 0.25
RATE, DECAY_STEPS, DECAY_RATE, DELTA = 1e-4, 100_000, 0.95, 0.5

COMPONENTS = 128

Epoch = Callable[[], object]


def synthetic(rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Features (rows, 2048) and targets (rows, 1), float32; as skewed as pooled relu features."""
    rng = np.random.default_rng(0)
    x = rng.gamma(0.5, size=(rows, FEATURES)).astype(np.float32)
    return x, 0.2 * x[:, :8] @ rng.normal(size=(8, 1)).astype(np.float32)


def jaxreg_epochs(x: np.ndarray, y: np.ndarray, components: int | None = None) -> Epoch:
    """As the command trains, with one validation row, for the others here validate nothing."""
    import jax

    from jaxreg.head.fit import make_fit
    from jaxreg.head.state import Data, init_state, prepare
    from jaxreg.train_config import HeadConfig

    config = HeadConfig(
        epochs=1_000, keep_going=True, components=components, huber_delta=DELTA, min_delta=0.0
    )
    data = Data.of(x, y, x[:1], y[:1])
    fit, state = make_fit(config), init_state(config, data)
    data = jax.device_put(prepare(config, state, data))

    def epoch() -> None:
        nonlocal state
        state, _ = fit(state, data, int(state.epoch) + 1)
        jax.block_until_ready(state)

    return epoch


def keras_model(features: int = FEATURES) -> Any:
    """The original head, compiled for `fit`."""
    import keras

    layers = [keras.Input((features,))]
    for i, units in enumerate(HIDDEN):
        layers.append(keras.layers.Dense(units, "relu"))
        if i % 2 == 1:
            layers.append(keras.layers.Dropout(DROPOUT))
    model = keras.Sequential([*layers, keras.layers.Dense(1)])
    decay = keras.optimizers.schedules.ExponentialDecay(RATE, DECAY_STEPS, DECAY_RATE)
    adam: Any = keras.optimizers.Adam  # it takes schedules, too
    model.compile(adam(decay), keras.losses.Huber(delta=DELTA))
    return model


def keras_epochs(x: np.ndarray, y: np.ndarray) -> Epoch:
    model = keras_model()
    return lambda: model.fit(x, y, batch_size=BATCH, epochs=1, verbose=0)


def torch_epochs(x: np.ndarray, y: np.ndarray) -> Epoch:
    import torch

    layers, inputs = [], FEATURES
    for i, units in enumerate(HIDDEN):
        layers += [torch.nn.Linear(inputs, units), torch.nn.ReLU()]
        if i % 2 == 1:
            layers.append(torch.nn.Dropout(DROPOUT))
        inputs = units
    model = torch.nn.Sequential(*layers, torch.nn.Linear(inputs, 1))
    adam = torch.optim.Adam(model.parameters(), lr=RATE, fused=True)
    decay = torch.optim.lr_scheduler.ExponentialLR(adam, DECAY_RATE ** (1 / DECAY_STEPS))
    loss_of = torch.nn.HuberLoss(delta=DELTA)
    rows, targets = torch.from_numpy(x), torch.from_numpy(y)

    def epoch() -> None:
        order = torch.randperm(len(rows))
        for start in range(0, len(rows), BATCH):
            batch = order[start : start + BATCH]
            adam.zero_grad()
            loss_of(model(rows[batch]), targets[batch]).backward()
            adam.step()
            decay.step()

    return epoch


CONTENDERS = {
    "jaxreg": (jaxreg_epochs, {}),
    f"jaxreg, --components {COMPONENTS}": (
        lambda x, y: jaxreg_epochs(x, y, COMPONENTS),
        {},
    ),
    "Keras fit, TensorFlow": (keras_epochs, {"KERAS_BACKEND": "tensorflow"}),
    "Keras fit, JAX": (keras_epochs, {"KERAS_BACKEND": "jax"}),
    "torch, fused Adam": (torch_epochs, {}),
}


def contend(name: str, archive: str) -> None:
    """In a contender's own process: a line in, one epoch, its seconds and peak memory out."""
    before = resident()
    with np.load(archive) as arrays:
        x, y = arrays["x"], arrays["y"]
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print is not an answer
    epoch = CONTENDERS[name][0](x, y)
    for _ in sys.stdin:
        start = time.perf_counter()
        epoch()
        seconds = time.perf_counter() - start
        told = {"seconds": seconds, "bytes": peak_resident() - before - x.nbytes}
        print(json.dumps(told), file=answers, flush=True)


def resident() -> int:
    """Bytes of this process in memory now."""
    return _status("VmRSS")


def peak_resident() -> int:
    """The most bytes of this process that were in memory at once."""
    return _status("VmHWM")


def _status(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field + ":"))


class Contender:
    """A process that trains one epoch whenever it is asked to."""

    def __init__(self, name: str, python: str, archive: Path) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **CONTENDERS[name][1]}
        self.process = subprocess.Popen(
            [python, __file__, "--contend", name, str(archive)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def epoch(self) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("epoch\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.process.args} has ended")
        return json.loads(line)

    def close(self) -> None:
        self.process.communicate()


def measure(names: dict[str, str], archive: Path, rounds: int) -> dict[str, list[dict]]:
    """`rounds` epochs of each contender after one that compiles, in turn."""
    contenders = {name: Contender(name, python, archive) for name, python in names.items()}
    told: dict[str, list[dict]] = {name: [] for name in names}
    for round_number in range(rounds + 1):
        for name, contender in contenders.items():
            answer = contender.epoch()
            if round_number:
                told[name].append(answer)
    for contender in contenders.values():
        contender.close()
    return told


def machine_limits() -> tuple[float, float]:
    """Bytes a second of copying memory, and float32 operations a second of a matrix product."""
    source = np.ones(2**26, np.float32)
    target = np.empty_like(source)
    a = np.ones((2048, 2048), np.float32)
    copying = min(_seconds(lambda: np.copyto(target, source)) for _ in range(7))
    product = min(_seconds(lambda: a @ a) for _ in range(7))
    return 2 * source.nbytes / copying, 2 * 2048**3 / product


def machine_kind() -> str:
    """The widest vector instructions of the processor, as Linux names them."""
    flags = Path("/proc/cpuinfo").read_text().partition("flags")[2].partition("\n")[0].split()
    known = {"avx512f": "AVX-512", "avx2": "AVX2", "avx": "AVX"}
    kinds = [kind for flag, kind in known.items() if flag in flags]
    return kinds[0] if kinds else "a processor without AVX"


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def work_of_a_step() -> tuple[float, float]:
    """Bytes and operations that a step cannot do without.

    Bytes: each parameter and Adam's two moments are read and written, and the gradient of each is
    written and read once (8 × 4 bytes a parameter); the batch is read twice. Operations: forward
    and the two products of the backward pass, but for the input's gradient.
    """
    sizes = (FEATURES, *HIDDEN, 1)
    weights = [a * b for a, b in pairwise(sizes)]
    parameters = sum(weights) + sum(sizes[1:])
    moved = 8 * 4 * parameters + 2 * 4 * BATCH * FEATURES
    return moved, 2 * BATCH * (3 * sum(weights) - weights[0])


def tell(told: dict[str, list[dict]], rows: int) -> None:
    """Print the table and the accounting."""
    medians = {name: statistics.median(t["seconds"] for t in all) for name, all in told.items()}
    ours = medians["jaxreg"]
    print(f"{rows} x {FEATURES} float32 features, batch {BATCH}, {len(told['jaxreg'])} rounds\n")
    print("| | s per epoch (median) | least | jaxreg / it | with components / it |")
    print("|---|---|---|---|---|")
    fewer = medians[f"jaxreg, --components {COMPONENTS}"]
    for name, median in medians.items():
        least = min(t["seconds"] for t in told[name])
        ratios = f"{ours / median:.2f} | {fewer / median:.3f}"
        print(f"| {name} | {median:.2f} | {least:.2f} | {ratios} |")
    steps = -(-rows // BATCH)
    rate, matrix_rate = machine_limits()
    moved, operations = work_of_a_step()
    step = ours / steps
    print(f"\na step of jaxreg takes {1e3 * step:.2f} ms")
    print(
        f"it must move {moved / 1e6:.0f} MB: {1e3 * moved / rate:.2f} ms at the "
        f"{rate / 1e9:.1f} GB/s of a copy, {moved / rate / step:.0%} of the step"
    )
    print(
        f"it must do {operations / 1e9:.2f} GFLOP: {1e3 * operations / matrix_rate:.2f} ms at the "
        f"{matrix_rate / 1e9:.0f} GFLOP/s of a product, {operations / matrix_rate / step:.0%} of it"
    )
    share = max(moved / rate, operations / matrix_rate) / step
    print(f"the longer of the two is {share:.0%} of the step, on {machine_kind()}")
    above = max(t["bytes"] for t in told["jaxreg"])
    print(f"peak memory of jaxreg above the features, libraries included: {above / 1e6:.0f} MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the rows, 3 rounds")
    parser.add_argument("--rounds", type=int, default=9, help="epochs of each that are counted")
    parser.add_argument("--torch-python", help="a Python that has torch, if this one has not")
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contend:
        contend(*arguments.contend)
        return
    names = dict.fromkeys(CONTENDERS, sys.executable)
    if arguments.torch_python:
        names["torch, fused Adam"] = arguments.torch_python
    elif importlib.util.find_spec("torch") is None:
        del names["torch, fused Adam"]
        print("torch is not there, and no --torch-python: left out", file=sys.stderr)
    rows = ROWS // 8 if arguments.quick else ROWS
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "features.npz"
        x, y = synthetic(rows)
        np.savez(archive, x=x, y=y)
        tell(measure(names, archive, 3 if arguments.quick else arguments.rounds), rows)


if __name__ == "__main__":
    main()
