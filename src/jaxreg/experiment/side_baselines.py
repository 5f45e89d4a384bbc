"""What the features reach alone, and what the side columns reach alone."""

from collections.abc import Sequence

import numpy as np

from jaxreg.head import scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.ridge import solve
from jaxreg.head.scaling import Scaler, Scalers, TargetScaler
from jaxreg.head.target_outputs import decode, target_of_output
from jaxreg.head.target_ridges import Solved, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup
from jaxreg.target_types import Types, words_of
from jaxreg.train_config import HeadConfig

LEAF, LEAVES = 5, 64  # rows of a leaf at least, and leaves at most: of the tree


def side_baselines(
    solved: Solved,
    target: TargetScaler,
    x: np.ndarray,
    y: np.ndarray,
    weights: np.ndarray,
    rows: np.ndarray,
    groups: Sequence[HeldOutGroup] | None,
    types: Types,
) -> dict[str, np.ndarray]:
    """Predictions (all rows, targets) of three predictors for a run with side columns.

    `features` is a ridge on the features alone, `side` a ridge on the side columns alone, and
    `side_tree` a small tree on these: a code that stands for the target need not be linear in it.

    Args:
        solved: the ridge of the rows, with side columns.
        target: the scaler of the run's targets.
        x: (all rows, columns) features, and side columns after them.
        y: (all rows, outputs) as `encode` gives them.
        weights: (all rows, outputs) as `entry_weights`.
        rows: numbers of the rows to learn from.
        groups: rows that are left out together while alphas are compared, as for the run's ridge.
        types: of the targets.
    """
    features, side = _halves(solved.eigen.scaler)
    width, same = len(features.mean), target_of_output(types)
    linear = HeadConfig(head="ridge", target_type=words_of(types))
    found = {}
    for name, scaler, part in [("features", features, x[:, :width]), ("side", side, x[:, width:])]:
        own_x, own_y = part[rows], y[rows]
        if name == "features" and solved.alike:  # known from the decomposition of both
            eigen = solved.eigen.with_own().of_features
            its = Solved.of_one(eigen, own_y, solve(eigen, own_x, own_y, groups=groups, same=same))
        else:
            its = solve_targets(scaler, own_x, own_y, weights[rows], groups, same)
        scalers = Scalers(scaler, target)
        found[name] = predict_rows(its.head(scalers), scalers, linear, part)
    tree = _tree(scaling.scale_rows(side, x[:, width:]), y, weights, rows)
    found["side_tree"] = decode(types, tree)
    return found


def _halves(scaler: Scaler) -> tuple[Scaler, Scaler]:
    """The scaler of the features, and that of the side columns."""
    width, fill = scaler.features, np.asarray(scaler.fill)
    mean, std = np.asarray(scaler.mean), np.asarray(scaler.std)
    side = Scaler(mean[width:], std[width:], scaler.limit, fill=fill[width:])
    return Scaler(mean[:width], std[:width], scaler.limit), side


def _tree(x: np.ndarray, y: np.ndarray, weights: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Predictions (all rows, targets) of a small tree for each target."""
    from sklearn.tree import DecisionTreeRegressor  # late: its import takes a second

    trees = DecisionTreeRegressor(min_samples_leaf=LEAF, max_leaf_nodes=LEAVES, random_state=0)
    each = []
    for own, its in zip(y.T, weights.T, strict=True):
        known = rows[its[rows] > 0]
        if not len(known):  # nothing is to be learned of this target
            each.append(np.full(len(x), np.nan))
            continue
        each.append(trees.fit(x[known], own[known], sample_weight=its[known]).predict(x))
    return np.stack(each, axis=1)
