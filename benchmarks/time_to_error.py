"""Seconds from process start to the original head's error: Keras against `--preset best`.

    python benchmarks/time_to_error.py NAME --cache cache --target COLUMN \
        --original SET mixed10 avg --best SET mixed2 grid:2x4

Keras' `fit` runs on TensorFlow with the original's settings and early stopping, on the cached
features of `--original` (SET is the unique start of a feature set's name). The error is the lowest
MAE that it reaches on the validation rows; the time is that of the epoch that reaches it.
`jaxreg train --preset best` runs on the features of `--best` and the same rows. Two times are
printed: when it has a head of no greater error (the ridge, if that is enough), and when the process
has ended, with report and checkpoints written. Runs take turns; the figures are medians.
"""

import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from train import BATCH, keras_model

Columns = tuple[str, str, str]  # feature set, layer, pool

KERAS = "keras-process"  # the first word where this script is the process that is timed


@dataclass(frozen=True)
class Arguments:
    """Compare on a cached dataset that has both columns."""

    name: Annotated[str, tyro.conf.Positional]
    target: str
    original: Columns
    best: Columns
    cache: str = "cache"
    rounds: int = 3


def main(arguments: Arguments) -> None:
    """Run both in turn and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write(arguments, folder)
        _jaxreg(arguments, folder)  # fills the compilation cache
        theirs, ours = [], []
        for _ in range(arguments.rounds):
            theirs.append(_run([__file__, KERAS, str(folder)], "epoch"))
            ours.append(_jaxreg(arguments, folder))
    errors = [min(mae for _, mae in run[1]) for run in theirs]
    error = statistics.median(errors)
    reached = statistics.median(
        next(seconds for seconds, mae in run[1] if mae <= own)
        for run, own in zip(theirs, errors, strict=True)
    )
    print(f"Keras: MAE {error:.4f}, reached after {reached:.1f} s")
    first = [next((s for s, mae in run[1] if mae <= error), None) for run in ours]
    whole = statistics.median(run[0] for run in ours)
    if None in first:
        sys.exit("the best preset does not reach it")
    soon = statistics.median(seconds for seconds in first if seconds is not None)
    lowest = min(mae for _, mae in ours[-1][1])
    print(f"jaxreg: no greater after {soon:.1f} s ({soon / reached:.3f}), lowest {lowest:.4f}")
    print(f"jaxreg, report written: {whole:.1f} s ({whole / reached:.3f})")


def _write(arguments: Arguments, folder: Path) -> None:
    """What the Keras process reads: the same rows on the same sides."""
    from jaxreg.cache.datasets import read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.experiment.arrays import load_experiment
    from jaxreg.experiment.resolve import resolve

    cache = Cache(Path(arguments.cache))
    feature_set, layer, pool = arguments.original
    asked = {
        "target": (arguments.target,), "feature_set": feature_set, "layers": (layer,), "pool": pool,
        "split": "blocks",
    }  # fmt: skip
    experiment = load_experiment(resolve(cache, read_dataset(cache, arguments.name), asked))
    for side in ("train", "validation"):
        rows = experiment.rows(side)
        np.save(folder / f"{side}-x.npy", np.asarray(experiment.x)[rows])
        np.save(folder / f"{side}-y.npy", experiment.y[rows])


def _keras(folder: Path) -> None:
    """A user's script, told epoch by epoch."""
    import keras

    data = {name: np.load(folder / f"{name}.npy") for name in
            ("train-x", "train-y", "validation-x", "validation-y")}  # fmt: skip
    model = keras_model()
    validation = data["validation-x"], data["validation-y"]

    class Tell(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            told = model.predict_on_batch(validation[0])
            print("epoch", float(np.abs(told - validation[1]).mean()), flush=True)

    stopping: Any = keras.callbacks.EarlyStopping  # it takes a min_delta of float, too
    stop = stopping(patience=10, min_delta=3e-4)
    model.fit(
        data["train-x"], data["train-y"], batch_size=BATCH, epochs=100, validation_data=validation,
        verbose=0, callbacks=[Tell(), stop],
    )  # fmt: skip


def _jaxreg(arguments: Arguments, folder: Path) -> tuple[float, list[tuple[float, float]]]:
    feature_set, layer, pool = arguments.best
    command = ["-m", "jaxreg.train", arguments.name, "--cache", arguments.cache, "--json"]
    command += ["--ckpts", str(folder / "ckpts"), "--run", "run", "--overwrite"]
    command += [
        "--target",
        arguments.target,
        "--feature-set",
        feature_set,
        "--layers",
        layer,
        "--pool",
        pool,
    ]
    return _run([*command, "--split", "blocks", "--preset", "best"], "ridge: MAE")


def _run(command: list[str], mark: str) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of the process, and (seconds, MAE) of each line that tells one."""
    begin, told = time.perf_counter(), []
    process = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert process.stdout is not None
    last = ""
    for line in process.stdout:
        last = line
        if line.startswith(mark):
            word = line.removeprefix(mark).split()[0]
            told.append((time.perf_counter() - begin, float(word)))
    seconds = time.perf_counter() - begin
    if process.wait():
        sys.exit(f"{command} failed: {last}")
    if "ridge" in mark:  # what it came to is in the summary, at the latest when it ended
        told.append((seconds, json.loads(last)["metrics"]["mae"]))
    return seconds, told


if __name__ == "__main__":
    if sys.argv[1:2] == [KERAS]:
        _keras(Path(sys.argv[2]))
    else:
        main(tyro.cli(Arguments))
