"""What a sweep costs, against Keras; the table of a thousand runs; what intervals cost.

    python benchmarks/sweep.py [ROW ...] [--quick] [--cache CACHE --dataset NAME --target T]

Each row is one function here, and prints its own lines. All that a row compares runs in turn, each
in a process of its own that stays alive, so that noise of the machine falls on all alike.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from experiment import VALIDATION, make_cache
from intervals import interval
from train import BATCH, ROWS, keras_model, synthetic

TRIALS, FEATURES, EPOCHS = 32, 1_152, 20
ALL = 8  # trials that do all epochs, times TRIALS / ALL

Answer = Callable[[str], object]


def jaxreg_trials(folder: Path) -> Answer:
    """`halving` or `all`: trials that differ in four numbers, as the sweep trains them."""
    from jaxreg.cache.datasets import read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.experiment.arrays import load_experiment
    from jaxreg.experiment.members import Member
    from jaxreg.experiment.resolve import resolve
    from jaxreg.search.head_stage import FINALISTS, rungs_of
    from jaxreg.training.lanes import Lanes

    cache = Cache(folder / "cache")
    asked = {"split": "tail", "validation": VALIDATION, "epochs": EPOCHS, "keep_going": True}
    experiment = load_experiment(resolve(cache, read_dataset(cache, "synthetic"), asked))
    rows = experiment.rows("validation")

    def member(number: int) -> Member:
        rate, dropout, decay, delta = np.random.default_rng(number).uniform(size=4)
        own = replace(
            experiment.config,
            learning_rate=float(10 ** (2 * rate - 5)),
            dropout=float(0.1 + 0.4 * dropout),
            weight_decay=float(0.1 * decay),
            huber_delta=float(0.2 + delta),
        )
        return Member(None, own.seed, replace(experiment, config=own), None)

    def halving() -> None:
        lanes = Lanes([member(number) for number in range(TRIALS)])
        for rung in rungs_of(EPOCHS, TRIALS):
            lanes.run(rung)
            found = lanes.predict([rows] * len(lanes))
            errors = [np.abs(one - experiment.y[rows]).mean() for one in found]
            left = max(FINALISTS, -(-len(lanes) // 2))
            lanes.keep([int(place) for place in np.argsort(errors)[:left]])

    def complete() -> None:
        Lanes([member(number) for number in range(ALL)]).run(EPOCHS)

    return lambda asked: halving() if asked == "halving" else complete()


def keras_trials(folder: Path) -> Answer:
    """`fit`: one trial, from a new model to its last epoch."""
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    first = int(len(x) * (1 - VALIDATION))
    validation = x[first:], y[first:]

    def fit(asked: str) -> None:
        model: Any = keras_model(FEATURES)
        model.fit(x[:first], y[:first], batch_size=BATCH, epochs=EPOCHS,
                  validation_data=validation, verbose=0)  # fmt: skip

    return fit


CONTENDERS = {
    "jaxreg": (jaxreg_trials, {}),
    "Keras fit, TensorFlow": (keras_trials, {"KERAS_BACKEND": "tensorflow"}),
}


class Contender:
    """A process that does what a line says, and answers with the seconds that it took."""

    def __init__(self, name: str, folder: Path) -> None:
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **CONTENDERS[name][1]}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--contend", name, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def seconds(self, asked: str) -> float:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{asked}\n")
        self._process.stdin.flush()
        if not (line := self._process.stdout.readline()):
            raise SystemExit(f"{self._process.args} has ended")
        return json.loads(line)

    def close(self) -> None:
        self._process.communicate()


def contend(name: str, folder: str) -> None:
    """In a contender's own process."""
    answers, sys.stdout = sys.stdout, sys.stderr  # what the libraries print is not an answer
    act = CONTENDERS[name][0](Path(folder))
    for line in sys.stdin:
        start = time.perf_counter()
        act(line.strip())
        print(json.dumps(time.perf_counter() - start), file=answers, flush=True)


def trials(quick: bool, rounds: int) -> None:
    """32 trials of the original architecture, with and without halving, against Keras' `fit`."""
    rows = int((ROWS // 16 if quick else ROWS) / (1 - VALIDATION))
    rounds = 1 if quick else rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = synthetic(rows)
        x = x[:, :FEATURES]
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        make_cache(folder / "cache", x, y)
        ours, theirs = (Contender(name, folder) for name in CONTENDERS)
        halved, whole, keras = [], [], []
        for number in range(rounds):
            keras.append(theirs.seconds("fit"))
            if number % 2 == 0:
                halved.append(ours.seconds("halving"))
                whole.append(ours.seconds("all") * TRIALS / ALL)
        ours.close()
        theirs.close()
    peer = statistics.median(keras) * TRIALS
    train_rows = int(rows * (1 - VALIDATION))
    print(f"{TRIALS} trials of the original head, {train_rows:,} x {FEATURES:,} float32 features,")
    print(f"{rows - train_rows:,} validation rows, {EPOCHS} epochs, batch {BATCH}\n")
    print(f"Keras `fit` on TensorFlow: {rounds} in one process, median x {TRIALS}: {peer:.0f} s")
    every = f"all epochs, {ALL} trials x {TRIALS // ALL}"
    for how, each in [("successive halving", halved), (every, whole)]:
        median = statistics.median(each)
        print(f"jaxreg, {how}: {median:.1f} s, {median / peer:.3f} of Keras")


def table_of_runs(quick: bool, rounds: int) -> None:
    """`jaxreg runs` on finished runs of 1,000 rows, from the start of its process."""
    import runs

    count = 20 if quick else 1_000
    with tempfile.TemporaryDirectory() as folder:
        made = runs.make_runs(Path(folder), count, 1_000)
        each = [runs.seconds_of_runs(made) for _ in range(rounds)]
    print(f"jaxreg runs on {count:,} runs: {statistics.median(each):.2f} s (at most 3 s of 1,000)")


FIGURES = {"trials": trials, "runs": table_of_runs, "interval": interval}


def default_sweep(cache: Path, dataset: str, target: str) -> None:
    """The default sweep of a recording, process start to report, compiling and compiled."""
    with tempfile.TemporaryDirectory() as name:
        for number, state in enumerate(("nothing compiled before", "all compiled before")):
            words = ["-m", "jaxreg.sweep", dataset, "--cache", str(cache), "--ckpts", name]
            words += ["--run", f"run-{number}", "--target", target, "--split", "blocks", "--json"]
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *words],
                env={**os.environ, "XDG_CACHE_HOME": f"{name}/compiled"},
                stdout=subprocess.PIPE,
                check=True,
                text=True,
            )
            seconds = time.perf_counter() - start
            found = json.loads(done.stdout.splitlines()[-1])
            parts = ", ".join(f"{part} {value:.1f}" for part, value in found["seconds"].items())
            scores = found["metrics"]
            print(f"default sweep of {dataset}, {state}: {seconds:.0f} s ({parts})")
            print(f"R² {scores['r2']:.3f}, MAE {scores['mae']:.4f} on rows that no choice has seen")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "rows", nargs="*", choices=[*FIGURES, []], help="all without any or --cache"
    )
    parser.add_argument("--quick", action="store_true", help="few rows: does everything work?")
    parser.add_argument("--rounds", type=int, default=4, help="fits of Keras")
    parser.add_argument("--cache", type=Path, help="of a recording, for its default sweep")
    parser.add_argument("--dataset", default="tub", help="the name of the recording in --cache")
    parser.add_argument("--target", default="user/angle", help="of the recording")
    parser.add_argument("--contend", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.contend:
        contend(*arguments.contend)
        return
    for name in arguments.rows or ([] if arguments.cache else FIGURES):
        FIGURES[name](arguments.quick, arguments.rounds)
    if arguments.cache:
        default_sweep(arguments.cache, arguments.dataset, arguments.target)


if __name__ == "__main__":
    main()
