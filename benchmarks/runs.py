"""`jaxreg runs` on 1,000 finished runs: seconds from the start of the process to its table.

python benchmarks/runs.py [--runs 1000] [--rows 1000]
"""

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import jaxreg
from jaxreg.common.json_files import write_json
from jaxreg.sources.examples import Examples

ROUNDS = 3


def first_run(folder: Path, rows: int) -> Path:
    """A real run of five folds on made-up features: 20 groups of rows, with an error of their own.

    Returns:
        Its directory, in `folder`/first.
    """
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, 8)).astype(np.float32)
    group = np.arange(rows) * 20 // rows
    y = x[:, 0] + rng.normal(size=20)[group] + 0.3 * rng.normal(size=rows)
    vectors = folder / "x.npy"
    np.save(vectors, x)
    examples = Examples(
        ids=tuple(f"frame-{row:06d}" for row in range(rows)),
        images=[b""] * rows,
        columns=pa.table({"y": y, "place": group}),
        description={"kind": "made up"},
        targets=("y",),
    )
    cache, settings = folder / "cache", {"head": "ridge", "split": "group:place", "folds": 5}
    jaxreg.extract_features(
        examples, name="frames", cache=cache, embeddings=str(vectors), embeddings_name="made"
    )
    jaxreg.train_head("frames", cache=cache, ckpts=folder / "first", run="run", **settings)
    return folder / "first" / "run"


def changed_run(
    run: Path,
    path: Path,
    *,
    predictions: pa.Table | None = None,
    table: pa.Table | None = None,
    settings: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
    summary: dict[str, Any] | None = None,
) -> Path:
    """A run as `run` would be with other predictions, settings or numbers; its files agree.

    Args:
        run: a finished run.
        path: of the new one.
        predictions: the table of predictions.parquet; `metrics` and `by_target` follow from it.
        table: the same, with the scores of `run`.
        settings, config, summary: keys of config.json and summary.json with other values.

    Returns:
        `path`.
    """
    path.mkdir(parents=True)
    record, scores = (_plain(run / f"{name}.json") for name in ("config", "summary"))
    record |= config or {}
    record["settings"] = {**record["settings"], **(settings or {})}
    write_json(path / "config.json", record)
    written = predictions if table is None else table
    written = pq.read_table(run / "predictions.parquet") if written is None else written
    pq.write_table(written, path / "predictions.parquet", write_page_checksum=True)
    if predictions is not None:
        [target] = record["settings"]["target"]
        scores["metrics"] = {**scores["metrics"], **scores_of(predictions, target)}
        scores["by_target"] = {target: scores["metrics"]}
    scores["files"] = {
        name: hashlib.sha256((path / name).read_bytes()).hexdigest()
        for name in ("config.json", "predictions.parquet")
    }
    write_json(path / "summary.json", {**scores, **(summary or {})})
    return path


def scores_of(predictions: pa.Table, target: str) -> dict[str, float | None]:
    """mae and r2 of the held-out rows of one plain target."""
    held_out = np.array(predictions["split"]) == "validation"
    y, told = (
        predictions[f"{kind}.{target}"].to_numpy()[held_out].astype(np.float64)
        for kind in ("target", "prediction")
    )
    error = told - y
    spread = np.square(y - y.mean()).sum()
    r2 = float(1 - np.square(error).sum() / spread) if spread else None
    return {"mae": float(np.abs(error).mean()), "r2": r2}


def _plain(path: Path) -> dict[str, Any]:
    content = json.loads(path.read_text())
    return {name: value for name, value in content.items() if name not in ("format", "sha256")}


def make_runs(folder: Path, count: int, rows: int) -> Path:
    """A folder of so many finished runs, each with errors of its own."""
    run, rng = first_run(folder, rows), np.random.default_rng(1)
    table = pq.read_table(run / "predictions.parquet")
    place = table.column_names.index("prediction.y")
    for number in range(count):
        told = table["prediction.y"].to_numpy() + rng.normal(0, rng.uniform(0, 1), rows)
        other = table.set_column(place, "prediction.y", pa.array(told.astype(np.float32)))
        changed_run(run, folder / "ckpts" / f"run-{number:04d}", predictions=other)
    return folder / "ckpts"


def seconds_of_runs(folder: Path, *options: str) -> float:
    """The wall time of `jaxreg runs` on a folder, the start of its process included."""
    command = [sys.executable, "-m", "jaxreg", "runs", str(folder), *options]
    begin = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=1_000, help="how many runs")
    parser.add_argument("--rows", type=int, default=1_000, help="rows of each")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = make_runs(Path(made), asked.runs, asked.rows)
        page = str(Path(made) / "runs.html")
        for options in ([], ["--json"], ["--html", page]):
            each = [seconds_of_runs(folder, *options) for _ in range(ROUNDS)]
            words = " ".join(["jaxreg runs", *options[:1]])
            print(f"{words}, {asked.runs} runs: {statistics.median(each):.2f} s")


if __name__ == "__main__":
    main()
