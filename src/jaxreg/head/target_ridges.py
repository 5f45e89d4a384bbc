"""The ridges of several targets. Targets of the same rows and weights share a decomposition."""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from jaxreg.common.threads import threads_for
from jaxreg.entry_weights import entry_weights, relative
from jaxreg.head import scaling
from jaxreg.head.mlp import Params
from jaxreg.head.ridge import Eigendecomposition, Ridge, decompose, solve
from jaxreg.head.scaling import ArrayOf, Basis, Scaler, Scalers, TargetScaler
from jaxreg.head.side_basis import joined
from jaxreg.splits.held_out_groups import HeldOutGroup


class Part(NamedTuple):
    """The ridge of targets that have the same rows and weights."""

    targets: np.ndarray  # their numbers
    rows: np.ndarray  # numbers of the rows with a weight, rising
    weights: np.ndarray | None  # (rows,) of these rows; None where all are equal
    eigen: Eigendecomposition  # of these rows
    ridge: Ridge


class Solved(NamedTuple):
    """The ridges of all targets, and the decomposition that components come from."""

    eigen: Eigendecomposition  # of all rows alike if components were asked for; else of a part
    parts: tuple[Part, ...]
    targets: int

    @property
    def alphas(self) -> np.ndarray:
        """(targets,) the alpha of each; NaN for a target without rows."""
        found = np.full(self.targets, np.nan)
        for part in self.parts:
            found[part.targets] = part.ridge.alphas
        return found

    @property
    def alike(self) -> bool:
        """Whether all targets have all rows, each with the same weight."""
        (first, *others) = self.parts or (None,)
        full = first is not None and first.weights is None and len(first.rows) == self.eigen.rows
        return full and not others

    @classmethod
    def of_one(cls, eigen: Eigendecomposition, y: np.ndarray, ridge: Ridge) -> "Solved":
        """The ridge of all targets y on all rows, each with the same weight."""
        rows, targets = map(np.arange, y.shape)
        return cls(eigen, (Part(targets, rows, None, eigen, ridge),), y.shape[1])

    def head(self, scalers: Scalers) -> Params:
        """The parameters of a head without hidden layers behind these scalers.

        A target without rows is predicted by the mean of its scaler.
        """
        found: dict[str, np.ndarray] = {}
        for part in self.parts:
            own = TargetScaler(*(np.asarray(each)[part.targets] for each in scalers.target))
            layer = part.eigen.head(part.ridge, scalers._replace(target=own))["output"]
            for name, values in layer.items():
                its = np.asarray(values)
                shape = (*its.shape[:-1], self.targets)
                found.setdefault(name, np.zeros(shape, its.dtype))[..., part.targets] = its
        return {"output": {name: jnp.asarray(values) for name, values in found.items()}}


def solve_targets(
    scaler: Scaler,
    x: Float[ArrayOf, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    weights: Float[np.ndarray, "rows targets"] | None = None,
    groups: Sequence[HeldOutGroup] | None = None,
    same: np.ndarray | None = None,
    *,
    components: bool = False,
) -> Solved:
    """Solve the ridge of each target on the rows in which it has a weight.

    Args:
        scaler: of x.
        x, y: the rows; y is NaN where a target is missing.
        weights: as `entry_weights` gives them; None: 1 where y is known.
        groups, same: as for `ridge.solve`.
        components: whether the components of all rows are asked for.

    Raises:
        ValueError: no target has a row.
    """
    y = np.asarray(y)
    each = relative(entry_weights(y) if weights is None else weights, np.arange(len(y)))
    equal: dict[bytes, list[int]] = {}  # numpy.unique sorts the columns row by row
    for target, column in enumerate(each.T):
        equal.setdefault(column.tobytes(), []).append(target)
    parts = []
    for targets in map(np.array, equal.values()):
        column = each[:, targets[0]]
        rows = np.flatnonzero(column > 0)
        if not len(rows):
            continue
        whole = len(rows) == len(y)
        own_x, own_y = (x if whole else x[rows]), y[np.ix_(rows, targets)]
        own = None if np.ptp(column[rows]) == 0 else column[rows]
        eigen = decompose(scaler, own_x, own_y, own)
        alike = None if same is None else same[targets]
        found = solve(eigen, own_x, own_y, None, _within(groups, rows), own, alike)
        parts.append(Part(targets, rows, own, eigen, found))
    if not parts:
        raise ValueError("solve_targets: no target has a row")
    solved = Solved(parts[0].eigen, tuple(parts), y.shape[1])
    if components:
        eigen = solved.eigen if solved.alike else decompose(scaler, x, y[:, :0])
        solved = solved._replace(eigen=eigen.with_own())
    return solved


def head_on_components(
    solved: Solved,
    scalers: Scalers,
    x: Float[ArrayOf, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    weights: Float[np.ndarray, "rows targets"],
    groups: Sequence[HeldOutGroup] | None = None,
    same: np.ndarray | None = None,
) -> Params:
    """The ridge on the components alone, as a head behind these scalers, which have the basis.

    Args:
        solved: of these rows, with components.
        scalers: of the head.
        x, y, weights, groups, same: as for `solve_targets`.
    """
    assert scalers.features.basis is not None
    eigen, columns = solved.eigen, len(solved.eigen.center)
    features = eigen.of_features
    side = columns - len(features.center)
    components = scalers.features.outputs - side
    if solved.alike:
        return eigen.head(solve(eigen, x, y, components, groups, None, same), scalers)
    directions = joined(features.directions[:, :components], columns).astype(np.float64)
    basis = Basis(eigen.center, directions)
    on_them = eigen.scaler._replace(basis=basis)
    plain = scalers._replace(features=on_them._replace(basis=None))
    layer = solve_targets(on_them, x, y, weights, groups, same).head(plain)["output"]
    roots = np.concatenate([features.roots(components), np.ones(side)])
    kernel = layer["kernel"] * roots[:, None].astype(np.float32)
    return {"output": {**layer, "kernel": kernel}}


def left_out(
    solved: Solved,
    x: Float[ArrayOf, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    groups: Sequence[HeldOutGroup],
) -> np.ndarray:
    """(rows, targets): predictions for scored rows by ridges without their group, at their alphas.

    NaN where no group scores a row, and where a target has no weight.
    """
    predictions = np.full(y.shape, np.nan)
    for part in solved.parts:
        its = _within(groups, part.rows) or alone(len(part.rows))
        some = np.ix_(part.rows, part.targets)
        own = x if len(part.rows) == len(y) else x[part.rows]
        predictions[some] = _left_out(part, own, y[some], its)
    return predictions


def _left_out(
    part: Part,
    x: Float[ArrayOf, "rows columns"],
    y: Float[np.ndarray, "rows targets"],
    groups: Sequence[HeldOutGroup],
) -> np.ndarray:
    """`left_out` for the rows and targets of one part, in closed form as in leave_out.py."""
    eigen, ridge, predictions = part.eigen, part.ridge, np.full(y.shape, np.nan)
    weights = np.ones(len(y)) if part.weights is None else part.weights
    rows = np.unique(np.concatenate([group.rows for group in groups]))
    z = scaling.scale_rows(eigen.scaler, x[rows]) - eigen.center[None, :]
    along = z @ eigen.directions.astype(np.float64)
    errors = y[rows] - eigen.target_mean[None, :] - along @ ridge.coefficients
    for group in groups:
        places, scored = np.searchsorted(rows, group.rows), group.rows[group.scored]
        some = along[places]
        with threads_for(len(some)):
            for target, alpha in enumerate(ridge.alphas):
                hat = (some / (eigen.squares + alpha)[None, :]) @ some.T + 1 / eigen.weight
                hat *= weights[group.rows][None, :]
                wrong = np.linalg.solve(np.eye(len(some)) - hat, errors[places, target])
                predictions[scored, target] = y[scored, target] - wrong[group.scored]
    return predictions


def _within(groups: Sequence[HeldOutGroup] | None, rows: np.ndarray) -> list[HeldOutGroup] | None:
    """The groups among some rows only; None where one of them would be all of these rows."""
    if groups is None:
        return None
    found = []
    for group in groups:
        kept = np.isin(group.rows, rows)
        if group.scored[kept].any():
            places = np.searchsorted(rows, group.rows[kept])
            found.append(HeldOutGroup(places, group.scored[kept]))
    every = any(len(group.rows) == len(rows) for group in found)
    return None if every or not found else found


def alone(rows: int) -> list[HeldOutGroup]:
    """A group for each of so many rows."""
    return [HeldOutGroup(np.array([row]), np.array([True])) for row in range(rows)]
