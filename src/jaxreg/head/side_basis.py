"""Principal components of features, beside side columns that stay as they are."""

import numpy as np

from jaxreg.common.threads import threads_for


def within(along: np.ndarray, squares: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Decompose rows in a part of the space in which they are decomposed already.

    The scatter of the rows in the part is A S Aᵀ.

    Args:
        along: A, (axes of the part, directions): the known directions along orthonormal axes.
        squares: S, (directions,) sum of squares of the rows along each direction.

    Returns:
        Sums of squares (ranks,), the largest first, and orthonormal directions (axes, ranks).
    """
    rows = along.astype(np.float64) * np.sqrt(squares)[None, :]
    with threads_for(min(rows.shape)):
        if rows.shape[0] <= rows.shape[1]:
            found, directions = np.linalg.eigh(rows @ rows.T)
        else:
            found, inner = np.linalg.eigh(rows.T @ rows)
            inner /= np.sqrt(np.where(found > 0, found, np.inf))[None, :]
            directions = rows @ inner
    least = max(rows.shape) * np.finfo(np.float64).eps * found.max(initial=0)
    order = np.flatnonzero(found > least)[::-1]
    return found[order], directions[:, order]


def joined(directions: np.ndarray, columns: int) -> np.ndarray:
    """Directions of features (features, components), and after them each side column as one.

    The result has `columns` rows, those of features and side columns.
    """
    features, components = directions.shape
    side = columns - features
    both = np.zeros((columns, components + side), directions.dtype)
    both[:features, :components] = directions
    both[features:, components:] = np.eye(side)
    return both


def onto(directions: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """A kernel on columns as one on the outputs of orthogonal directions in whose span it lies."""
    directions = np.asarray(directions, np.float64)
    return (directions.T @ kernel) / np.square(directions).sum(axis=0)[:, None]
