"""Runs whose heads were never trained: made in a moment, for what only needs their numbers."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.head.state import Data, init_state
from jaxreg.head.target_outputs import encode, target_of_output
from jaxreg.head.target_ridges import solve_targets
from jaxreg.train_config import TrainConfig
from jaxreg.trained_run import TrainedRun

ROWS, FEATURES = 120, 12
RECIPE = Recipe(weights="random:0:v1", weights_tag="random0", size=(75, 75))


def some_features(rows: int = ROWS, features: int = FEATURES) -> np.ndarray:
    """(rows, features) float32, far from 0 and with heavy tails, as features of a network are."""
    rng = np.random.default_rng(7)
    return (3 + 0.01 * rng.standard_t(3, size=(rows, features))).astype(np.float32)


def made_run(
    y: np.ndarray,
    members: int = 1,
    columns: tuple[Column, ...] = (Column(layer="mixed0"),),
    recipe: Recipe = RECIPE,
    features: int = FEATURES,
    dtype: str = "float32",
    **settings: Any,
) -> TrainedRun:
    """A run of such features and of targets y (rows, targets); each head knows other rows.

    The ridge, the components and the scalers are those of the rows, the MLP has random parameters.
    """
    names = tuple("abcdefgh"[: y.shape[1]])
    wanted = {"hidden": (16, 8), "target": names, "huber_delta": 1.0, "min_delta": 0.0, **settings}
    config = TrainConfig(**wanted)
    x, heads = some_features(len(y), features), []
    rng = np.random.default_rng(3)
    for member in range(members):
        rows = np.arange(len(y)) % max(members, 2) != member
        data = Data.of(x[rows], y[rows], x[~rows], y[~rows])
        state = jax.device_get(init_state(config, data))
        params = state.best_params
        if config.head == "ridge":
            types = config.target_types(y.shape[1])
            solved = solve_targets(
                state.scalers.features._replace(basis=None),
                x[rows],
                encode(types, y[rows]),
                same=target_of_output(types),
                components=config.components is not None,
            )
            if config.components is None:
                params = jax.device_get(solved.head(state.scalers))
        else:
            own = {name: part for name, part in params.items() if name != "blend"}
            moved = jax.tree.map(lambda a: a + 0.1 * rng.normal(size=a.shape).astype("f"), own)
            params = {**params, **moved}
        heads.append((params, state.scalers))
    first, scalers = zip(*heads, strict=True)
    chosen = ChosenFeatures(
        tuple((recipe.feature_set, c) for c in columns), {recipe.feature_set: recipe}
    )
    return TrainedRun(
        path=Path("made"),
        summary=_summary(names, len(y)),
        cache=None,
        config={
            "dtype": dtype,
            "dataset": "made",
            "settings": {"feature_set": recipe.feature_set},
            "weights_path": None,
        },
        settings=config,
        features=chosen,
        targets=names,
        params=first,
        scalers=scalers,
    )


def _summary(names: tuple[str, ...], rows: int) -> dict[str, Any]:
    """The parts of summary.json that a README of a run is made of."""
    scores = {"mae": 1.0, "rmse": 1.5, "r2": 0.5}
    return {
        "by_target": dict.fromkeys(names, scores),
        "baselines": {"mean": scores, "median": scores},
        "rows": {"train": rows, "validation": 0, "test": 0, "left-out": 0},
        "verdict": {"healthy": True, "headline": "learning"},
        "intervals": None,
        "files": {"config.json": "0123456789abcdef"},
        "provenance": {"versions": {"python": "3"}},
    }
