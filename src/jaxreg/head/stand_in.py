"""A stand-in for the MLP of a blend, whose errors on groups that are left out have a closed form.

Whether an MLP is better than a ridge on new groups is hard to say from one or two validation
groups, and training MLPs without each group takes as many trainings. A ridge on radial basis
functions of the MLP's inputs is not linear either. Where targets are curved, both are better than a
ridge on the inputs themselves; where they are not, both are worse.
"""

import numpy as np
from jaxtyping import Float

from jaxreg.common.threads import threads_for
from jaxreg.head import scaling
from jaxreg.head.blend import EVEN
from jaxreg.head.scaling import ArrayOf, Basis
from jaxreg.head.target_outputs import Types, target_of_output, together
from jaxreg.head.target_ridges import Solved, alone, left_out, solve_targets
from jaxreg.splits.held_out_groups import HeldOutGroup, some_of

LANDMARKS = 512  # rows that radial basis functions stand on
ALIKE = 0.05  # of the squared error of the ridge: where both are hardly apart, it gets the share
MOST = 0.9  # of the share: the MLP may be better than the stand-in
DIRECTIONS = 128  # principal directions that distances between rows are measured along
_SMALLEST = 1e-6  # of an eigenvalue of their kernel, beside the largest: what is below is noise


def even_share(
    solved: Solved,
    x: Float[ArrayOf, "rows columns"],
    y: Float[np.ndarray, "rows outputs"],
    weights: Float[np.ndarray, "rows outputs"],
    groups: list[HeldOutGroup] | None,
    types: Types,
) -> Float[np.ndarray, " outputs"]:
    """The share, from 0 to MOST, of the ridge in its best blend with the stand-in.

    It is that of `blend.terms` over all rows, each predicted by both without its group, with ALIKE
    times the squared error of the ridge added to both sums.

    Args:
        solved: the ridge of these rows, with components.
        x, y, weights: the rows. y is NaN where a target is missing, and its weight is 0.
        groups: of these rows; None: each row alone.
        types: of the targets.
    """
    eigen = solved.eigen
    basis = Basis(eigen.center, eigen.directions[:, :DIRECTIONS])
    inputs = scaling.scale_rows(eigen.scaler._replace(basis=basis), x)
    every = alone(len(y)) if groups is None else groups
    radial, same = radial_features(inputs), target_of_output(types)
    scaler = scaling.identity_scaler(radial.shape[1])
    stand_in = solve_targets(scaler, radial, y, weights, some_of(groups), same)
    other = left_out(stand_in, radial, y, every)
    ridge = left_out(solved, x, y, every)
    apart = ridge - other
    alike = ALIKE * np.nansum(weights * np.square(y - ridge), axis=0)
    products = np.nansum(weights * apart * (y - other), axis=0) + alike
    squares = np.nansum(weights * np.square(apart), axis=0) + alike
    products, squares = (together(types, each) for each in (products, squares))
    best = np.divide(products, squares, out=np.full(len(squares), EVEN), where=squares > 0)
    return np.clip(best, 0, MOST)


def radial_features(inputs: Float[np.ndarray, "rows inputs"]) -> Float[np.ndarray, "rows features"]:
    """Features whose products are the Gaussian kernel of the rows, by Nyström's method.

    k(a, b) = exp(−|a − b|² / 2 s²), where s² is the median of all squared distances. Rows at even
    distances are the landmarks (Williams and Seeger 2001, Using the Nyström Method to Speed Up
    Kernel Machines).
    """
    rows = np.asarray(inputs, np.float64)
    chosen = np.linspace(0, len(rows) - 1, min(len(rows), LANDMARKS)).round().astype(int)
    sizes = np.square(rows).sum(axis=1)
    squares = sizes[:, None] + sizes[None, chosen] - 2 * rows @ rows[chosen].T
    squares = np.maximum(squares, 0.0)
    width = np.median(squares) or 1.0
    kernel = np.exp(-squares / (2 * width))
    with threads_for(len(chosen)):
        values, vectors = np.linalg.eigh(kernel[chosen])
    kept = values > _SMALLEST * values[-1]
    return (kernel @ (vectors[:, kept] / np.sqrt(values[kept]))).astype(np.float32)
