"""A small ridge in NumPy, for questions of the kind: what if these rows had not been there?"""

import numpy as np

from jaxreg.blas import threads_for

STRENGTHS = np.logspace(-2, 6, 17)  # on standardized columns
MOST = 1024  # rows it is fitted on: its time grows with their cube


class Dual:
    """Ridge on the products of rows among themselves; the strength by leave-one-out (GCV's kin).

    Args:
        x: (rows, columns), standardized.
        y: (rows, targets).
        asked: (asked, columns), rows to predict.
    """

    def __init__(self, x: np.ndarray, y: np.ndarray, asked: np.ndarray) -> None:
        if len(x) > MOST:
            chosen = np.random.default_rng(0).permutation(len(x))[:MOST]
            x, y = x[chosen], y[chosen]
        self._x, self._y, self._asked = x, y.astype(np.float64), asked
        self.rows = len(x)

    def predict(self, keep: np.ndarray | None = None) -> np.ndarray:
        """Predictions (asked, targets) of a ridge fitted on the rows of `keep`, or on all."""
        x = self._x if keep is None else self._x[keep]
        y = self._y if keep is None else self._y[keep]
        with threads_for(len(x)):
            return self._solved(x, y)

    def _solved(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        center, mean = x.mean(axis=0), y.mean(axis=0)
        z = x - center
        squares, along = np.linalg.eigh(z.astype(np.float64) @ z.T.astype(np.float64))
        squares = np.maximum(squares, 0)
        told = along.T @ (y - mean)
        best = np.empty((len(y), y.shape[1]))
        errors = np.full(y.shape[1], np.inf)
        for strength in STRENGTHS:
            shrink = squares / (squares + strength)
            leverage = 1 / len(y) + np.square(along) @ shrink
            fitted = along @ (shrink[:, None] * told)
            left_out = (y - mean - fitted) / np.maximum(1 - leverage, 1e-9)[:, None]
            error = np.square(left_out).mean(axis=0)
            better = error < errors
            weights = along @ (told / (squares + strength)[:, None])
            best[:, better], errors[better] = weights[:, better], error[better]
        return (self._asked - center) @ z.T @ best + mean
