"""Whether the score of a sweep holds: on rows that nothing saw, and on targets without meaning."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.sweep_api import FinishedSweep
from sweep_tables import make_arrays, make_table

ROWS, UNSEEN, SEEDS = 300, 5000, 20
SEARCH = {"head": ["mlp", "ridge"], "learning_rate": "3e-3..3e-2", "dropout": "0..0.3",
          "columns": "all"}  # fmt: skip


def sweep(folder: Path, seed: int, **table: Any) -> FinishedSweep:
    cache = make_table(folder, rows=ROWS, seed=seed, **table)
    return jaxreg.sweep_heads(
        "table", cache=cache, ckpts=folder / "ckpts", search=SEARCH, trials=8, hidden=(16,),
        epochs=20, split="hash", seed=seed,
    )  # fmt: skip


def interval(errors: np.ndarray, seed: int) -> tuple[float, float]:
    """95% of the mean, by bootstrap over rows."""
    drawn = np.random.default_rng(seed).integers(len(errors), size=(2000, len(errors)))
    low, high = np.quantile(errors[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def holds(folder: Path, seed: int) -> bool:
    """Whether the interval of the nested score holds the score on unseen rows."""
    found = sweep(folder, seed)
    table = pq.read_table(found.run.path / "predictions.parquet")
    low, high = interval(np.abs(table["prediction.y"].to_numpy() - table["target.y"].to_numpy()),
                         seed)  # fmt: skip
    features, columns = make_arrays(ROWS + UNSEEN, seed=seed)
    x = np.concatenate([features[name] for name in found.chosen["columns"]], axis=1)
    predicted = found.run.predict_features(x[ROWS:].astype(np.float32)).reshape(-1)
    unseen = float(np.abs(predicted - columns["y"][ROWS:]).mean())
    print(f"seed {seed}: {low:.4f} to {high:.4f}, unseen {unseen:.4f}, inner "
          f"{found.record['best_inner_mae']:.4f}, {dict(found.chosen)}", flush=True)  # fmt: skip
    return low <= unseen <= high


@pytest.mark.slow
def test_the_interval_of_the_nested_score_holds_the_score_on_unseen_rows(tmp_path: Path) -> None:
    assert sum(holds(tmp_path / str(seed), seed) for seed in range(SEEDS)) >= 16


def test_permuted_targets_score_no_better_than_the_median(tmp_path: Path) -> None:
    found = sweep(tmp_path, 0, permuted=True)
    mae, r2 = found.metrics["mae"], found.metrics["r2"]
    assert mae is not None
    assert r2 is not None
    assert mae > 0.98 * found.record["baselines"]["median"]["mae"]
    assert r2 < 0.02
