"""A whole experiment, process start to report: `jaxreg train` against the same in Keras.

Both begin with the same features on disk and end with metrics, predictions and pictures: 20 epochs
of the original head without early stopping, jaxreg with a warm compilation cache. Runs go in turn;
medians, their ratio, and what of jaxreg's time is not an epoch, by part.

    python benchmarks/experiment.py [--quick]
"""

import argparse
import csv
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from train import BATCH, ROWS, keras_model, synthetic

VALIDATION = 0.2  # share of all rows, so that ROWS are left to train on


def make_cache(root: Path, x: np.ndarray, y: np.ndarray) -> None:
    """A dataset `synthetic` of these features, as an extract would leave it."""
    import pyarrow as pa

    from jaxreg.cache.dataset_table import make_dataset
    from jaxreg.cache.datasets import write_dataset
    from jaxreg.cache.recipe import Column, Recipe
    from jaxreg.cache.store import Cache
    from jaxreg.extract_config import ExtractConfig, SourceOptions
    from jaxreg.sources.examples import Examples

    cache, column = Cache(root), Column()
    recipe = Recipe(weights="random:0:v1", weights_tag="random0")
    cache.make_feature_set(recipe, None)
    digests = [hashlib.sha256(row.tobytes()).hexdigest() for row in x]
    for start in range(0, len(x), 1024):  # rows of a part, as extract writes them
        part = slice(start, start + 1024)
        cache.add(recipe.feature_set, column, digests[part], x[part])
    examples = Examples(
        ids=tuple(map(str, range(len(x)))),
        images=[b""] * len(x),
        columns=pa.table({"y": y[:, 0]}),
        description={"kind": "synthetic"},
        targets=("y",),
    )
    dataset = make_dataset(
        "synthetic",
        examples,
        digests,
        feature_set=recipe.feature_set,
        columns=[column],
        opened="synthetic",
        options=SourceOptions(),
        settings=ExtractConfig(weights="random"),
    )
    write_dataset(cache, dataset)


def keras_experiment(folder: Path, epochs: int) -> None:
    """What a user's script does: load, fit, predict, score, draw."""
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    model = keras_model()
    history = model.fit(
        x, y, batch_size=BATCH, epochs=epochs, validation_split=VALIDATION, verbose=0
    ).history
    told = model.predict(x, verbose=0)

    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot
    from sklearn.metrics import mean_absolute_error, r2_score

    validation = slice(int(len(x) * (1 - VALIDATION)), None)
    scores = {
        "mae": mean_absolute_error(y[validation], told[validation]),
        "r2": r2_score(y[validation], told[validation]),
    }
    (folder / "scores.json").write_text(json.dumps(scores))
    np.save(folder / "predictions.npy", told)
    figure, (curves, scatter) = pyplot.subplots(1, 2)
    for name, values in history.items():
        curves.plot(values, label=name)
    curves.legend()
    scatter.scatter(y[validation], told[validation])
    figure.savefig(folder / "report.png", dpi=160)
    model.save(folder / "model.keras")


def run(command: list[str], **environment: str) -> tuple[float, str]:
    """Seconds from process start to its end, and what it printed."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{command} ended with {done.returncode}:\n{done.stderr}")
    return seconds, done.stdout


def jaxreg_run(folder: Path, epochs: int) -> dict[str, float]:
    """Seconds of one run, the whole and by part."""
    command = ["-m", "jaxreg.train", "synthetic", "--cache", str(folder / "cache"), "--json"]
    command += ["--ckpts", str(folder / "ckpts"), "--run", "run", "--overwrite"]
    command += ["--epochs", str(epochs), "--keep-going", "--split", "tail"]
    command += ["--validation", str(VALIDATION)]
    whole, printed = run(command, XDG_CACHE_HOME=str(folder / "compiled"))
    parts = json.loads(printed.splitlines()[-1])["seconds"]
    with open(folder / "ckpts" / "run" / "history.csv", newline="") as file:
        in_epochs = sum(float(row["seconds"]) for row in csv.DictReader(file))
    return {
        "whole": whole,
        "epochs": in_epochs,
        "python, parsing, loading the run": whole - parts["total"],
        "imports, features": parts["load"],
        "the ridge": parts["ridge"],
        "rows to the device, compilation": parts["compile"],
        "checkpoints, history, printing": parts["train"] - in_epochs,
        "the verdict": parts["verdict"],
        "predictions, scores, report": parts["report"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="an eighth of the rows, one round")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each that are counted")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--keras", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.keras:
        keras_experiment(arguments.keras, arguments.epochs)
        return
    rows = int((ROWS // 8 if arguments.quick else ROWS) / (1 - VALIDATION))
    rounds = 1 if arguments.quick else arguments.rounds
    ours: list[dict[str, float]] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        x, y = synthetic(rows)
        np.save(folder / "x.npy", x)
        np.save(folder / "y.npy", y)
        make_cache(folder / "cache", x, y)
        jaxreg_run(folder, arguments.epochs)  # fills the compilation cache
        keras = [__file__, "--keras", str(folder), "--epochs", str(arguments.epochs)]
        for _ in range(rounds):
            ours.append(jaxreg_run(folder, arguments.epochs))
            theirs.append(run(keras, KERAS_BACKEND="tensorflow")[0])
    medians = {part: statistics.median(one[part] for one in ours) for part in ours[0]}
    whole, peer = medians["whole"], statistics.median(theirs)
    print(f"{rows} rows, {arguments.epochs} epochs, {rounds} rounds, medians\n")
    print(f"jaxreg {whole:.2f} s, Keras on TensorFlow {peer:.2f} s: {whole / peer:.2f}")
    print(f"not an epoch: {statistics.median(r['whole'] - r['epochs'] for r in ours):.2f} s\n")
    print("| part of jaxreg's run | s |\n|---|---|")
    for part, seconds in medians.items():
        print(f"| {part} | {seconds:.2f} |")


if __name__ == "__main__":
    main()
