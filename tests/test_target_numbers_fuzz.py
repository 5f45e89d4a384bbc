"""Odd numbers as targets and as settings: a run with sound scores, or one of our errors."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from sklearn.metrics import mean_absolute_error

import jaxreg
from jaxreg.errors import JaxregError
from planted_runs import edit_dataset

KINDS = ("plain", "constant", "tiny", "huge", "far", "gaps", "whole", "bool", "decimal", "infinite")


def odd_target(random: np.random.Generator, rows: int) -> pa.Array:
    """A column of one of KINDS; the numbers of some have nothing to do with the images."""
    kind = random.choice(KINDS)
    y = random.normal(size=rows)
    if kind == "constant":
        y[:] = random.choice([0.0, 0.1, 1e300, -5400000.305])
    elif kind in ("tiny", "huge"):
        y *= 10.0 ** float(random.integers(20, 308) * (1 if kind == "huge" else -1))
    elif kind == "far":
        y += 10.0 ** float(random.integers(3, 18))
    elif kind == "gaps":
        y[random.random(rows) < random.choice([0.1, 0.9])] = np.nan
    elif kind == "infinite":
        y[random.integers(rows)] = random.choice([np.inf, -np.inf])
    elif kind == "whole":
        whole = random.integers(-(2**62), 2**62, rows) >> int(random.integers(0, 62))
        return pa.array(np.abs(whole).astype(np.uint64) if random.random() < 0.5 else whole)
    elif kind == "bool":
        return pa.array(y > random.choice([0.0, 5.0]))
    elif kind == "decimal":
        return pa.array(np.round(y, 3)).cast(pa.decimal128(38, 3))
    return pa.array(y, from_pandas=True)


def odd_settings(random: np.random.Generator) -> dict[str, Any]:
    """Some settings with values at the ends of what a person may type."""
    odd = {
        "learning_rate": [1e-30, 1e30],
        "huber_delta": [1e-9, 1e9],
        "min_delta": [0.0, 1e30],
        "batch_size": [1, 10_000_000],
        "decay_rate": [1e-9, 1.0],
        "decay_steps": [1, 2**31 - 1],
        "validation": [1e-9, 0.999999],
        "scale_target": [True, False],
        "patience": [1, 10**9],
        "folds": [2, 3],
        "split": ["hash", "blocks:2", "tail"],
    }
    names = random.choice(list(odd), size=int(random.integers(0, 3)), replace=False)
    return {str(name): random.choice(odd[name]).item() for name in names}


@pytest.mark.parametrize("seed", [*range(8), *(pytest.param(i, marks=pytest.mark.slow)
                                                for i in range(8, 24))])  # fmt: skip
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_training_ends_with_sound_scores_or_one_message(planted: Path, seed: int) -> None:
    """The MAE is that of predictions.parquet, by scikit-learn."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([1, 2, 3, 5, 20, 240]))

    def table(dataset: Any) -> pa.Table:
        part = dataset.table.slice(0, rows)
        return part.set_column(part.column_names.index("angle"), "angle", odd_target(random, rows))

    edit_dataset(planted, table=table)
    settings = {"head": str(random.choice(["ridge", "mlp"])), "hidden": (4,), "epochs": 2}
    try:
        run = jaxreg.train_head(
            cache=planted, run=planted.parent / "run", **settings, **odd_settings(random)
        )
    except JaxregError:
        return
    found = run.predictions.filter(pc.field("split") == "validation")
    true, predicted = (found[name].to_numpy() for name in ("target.angle", "prediction.angle"))
    mae = run.metrics["mae"]
    if np.isfinite(predicted).all() and mae is not None:
        assert math.isfinite(mae)
        assert mae == pytest.approx(mean_absolute_error(true, predicted), rel=1e-6, abs=0)
    else:
        assert not run.summary["verdict"]["healthy"]
