"""A ridge on a sample of rows: what a linear head reaches in a fraction of a second."""

import numpy as np

from jaxreg.entry_weights import entry_weights
from jaxreg.head import scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.scaling import Scalers
from jaxreg.head.target_outputs import encode, of_outputs, target_of_output
from jaxreg.head.target_ridges import solve_targets
from jaxreg.side_columns import NO_SIDE, SideColumns
from jaxreg.target_types import PLAIN, Types, words_of
from jaxreg.train_config import HeadConfig

MOST = 1024  # rows that it is fitted on: its time grows with their cube


def small_ridge(
    x: np.ndarray,
    y: np.ndarray,
    asked: np.ndarray,
    types: Types = (),
    side: SideColumns = NO_SIDE,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Predictions (asked, targets) of a ridge fitted on at most MOST of the rows x, y.

    Features are as stored, with the side columns after them. The alpha is chosen by leaving out
    one row at a time. y may have gaps; the weights are those of `entry_weights`. `types` are those
    of the targets; without them all are plain.
    """
    weights = entry_weights(y) if weights is None else weights
    types = types or (PLAIN,) * y.shape[1]
    y, weights = encode(types, y), of_outputs(types, weights)
    if len(x) > MOST:
        some = np.random.default_rng(0).permutation(len(x))[:MOST]
        x, y, weights = x[some], y[some], weights[some]
    scalers = Scalers(scaling.feature_scaler(x, side), scaling.target_scaler(y))
    same, linear = target_of_output(types), HeadConfig(head="ridge", target_type=words_of(types))
    head = solve_targets(scalers.features, x, y, weights, same=same).head(scalers)
    return predict_rows(head, scalers, linear, asked)
