"""What the features reach alone, and what the side columns reach alone."""

from collections.abc import Sequence

import numpy as np

from jaxreg.head import scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.ridge import Eigendecomposition, decompose, solve
from jaxreg.head.scaling import Scaler, Scalers, TargetScaler
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.train_config import HeadConfig

LEAF, LEAVES = 5, 64  # rows of a leaf at least, and leaves at most: of the tree


def side_baselines(
    eigen: Eigendecomposition,
    target: TargetScaler,
    x: np.ndarray,
    y: np.ndarray,
    rows: np.ndarray,
    groups: Sequence[HeldOutGroup] | None,
) -> dict[str, np.ndarray]:
    """Predictions (all rows, targets) of three predictors for a run with side columns.

    `features` is a ridge on the features alone, `side` a ridge on the side columns alone, and
    `side_tree` a small tree on these: a code that stands for the target need not be linear in it.

    Args:
        eigen: of the rows, with side columns.
        target: the scaler of the run's targets.
        x: (all rows, columns) features, and side columns after them.
        y: (all rows, targets).
        rows: numbers of the rows to learn from.
        groups: rows that are left out together while alphas are compared, as for the run's ridge.
    """
    features, side = _halves(eigen.scaler)
    width = len(features.mean)
    own = eigen.with_own().of_features
    parts = {"features": (own, x[:, :width]), "side": (None, x[:, width:])}
    found = {}
    for name, (known, part) in parts.items():
        part_eigen = known or decompose(side, part[rows], y[rows])
        ridge = solve(part_eigen, part[rows], y[rows], groups=groups)
        scalers = Scalers(part_eigen.scaler, target)
        head = part_eigen.head(ridge, scalers)
        found[name] = predict_rows(head, scalers, HeadConfig(hidden=()), part)
    found["side_tree"] = _tree(scaling.scale_rows(side, x[:, width:]), y, rows)
    return found


def _halves(scaler: Scaler) -> tuple[Scaler, Scaler]:
    """The scaler of the features, and that of the side columns."""
    width, fill = scaler.features, np.asarray(scaler.fill)
    mean, std = np.asarray(scaler.mean), np.asarray(scaler.std)
    side = Scaler(mean[width:], std[width:], scaler.limit, fill=fill[width:])
    return Scaler(mean[:width], std[:width], scaler.limit), side


def _tree(x: np.ndarray, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Predictions (all rows, targets) of a small tree for each target."""
    from sklearn.tree import DecisionTreeRegressor  # late: its import takes a second

    trees = DecisionTreeRegressor(min_samples_leaf=LEAF, max_leaf_nodes=LEAVES, random_state=0)
    each = []
    for own in y.T:
        known = rows[~np.isnan(own[rows])]
        each.append(trees.fit(x[known], own[known]).predict(x))
    return np.stack(each, axis=1)
