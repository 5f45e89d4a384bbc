"""`--head blend`: a ridge on all columns and the MLP on components, as one head.

The ridge is solved before the first epoch and stays. The MLP learns the target by itself, and its
own validation loss chooses its epoch: two predictors with different errors are better together than
one that corrects the other. After each epoch the share of the ridge minimizes the squared error on
the validation rows, and more groups move it: two validation blocks of a video would decide too
much. With few of them, STAND_IN groups move it towards the ridge's share beside a stand-in for the
MLP (`stand_in.py`). Else PRIOR groups move it towards a half. docs/best-head.md has the
measurements.

The parameters are the MLP's and `blend`: `kernel` (columns, targets) and `bias`, from scaled
columns to scaled targets, `share` (targets,), `even`, where the groups move it, and `prior`, these
groups over the number of validation groups. During training there is no `blend`: the ridge's
predictions follow the components of each row (`state.prepare`).
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxreg.head import mlp, scaling
from jaxreg.head.mlp import Params
from jaxreg.head.scaling import ArrayOf, Basis, Scaler, Scalers
from jaxreg.head.target_outputs import limited
from jaxreg.head.target_ridges import Solved
from jaxreg.train_config import HeadConfig

PRIOR = 2.0  # groups, where nothing but validation rows tells which part is better
STAND_IN = 12.0  # groups, that the share of the stand-in counts as
EVEN = 0.5  # the share where nothing tells which part is better


def start(
    solved: Solved, scalers: Scalers, validation_groups: int, even: np.ndarray | None = None
) -> Params:
    """`blend` before the first epoch, for a head with these scalers; `even` is a half if None."""
    without_basis = scalers._replace(features=scalers.features._replace(basis=None))
    layer = solved.head(without_basis)["output"]
    groups = PRIOR if even is None else STAND_IN
    prior = jnp.float32(groups / validation_groups)
    share = jnp.full_like(layer["bias"], EVEN) if even is None else jnp.float32(even)
    return {**layer, "share": share, "even": share, "prior": prior}


def empty(columns: int, targets: int) -> Params:
    """`blend` of the right shapes."""
    nothing = jnp.zeros((), jnp.float32)
    layer = {"kernel": jnp.zeros((columns, targets)), "bias": jnp.zeros(targets)}
    return {**layer, "share": jnp.zeros(targets), "even": jnp.zeros(targets), "prior": nothing}


def ridge_of(
    ridge: Params, scalers: Scalers, x: Float[ArrayOf, "rows columns"]
) -> Float[Array, "rows targets"]:
    """The ridge's predictions for rows of features as stored, in scaled targets."""
    return scaling.scale(_onto(ridge, scalers), x) + ridge["bias"][None, :]


def ridge_of_rows(
    ridge: Params, scalers: Scalers, x: Float[ArrayOf, "rows columns"]
) -> Float[np.ndarray, "rows targets"]:
    """`ridge_of` for any number of rows, to the host; x may stay there."""
    return scaling.scale_rows(_onto(ridge, scalers), x) + np.asarray(ridge["bias"])[None, :]


def _onto(ridge: Params, scalers: Scalers) -> Scaler:
    """The ridge's directions in place of the components."""
    basis = Basis(scalers.features.mean * 0, ridge["kernel"])
    return scalers.features._replace(basis=basis)


def with_share(params: Params, before: Params, share: Float[Array, " targets"]) -> Params:
    """The MLP's parameters with the ridge of `before`, those of a blend, and its share."""
    return {**params, "blend": {**before["blend"], "share": share}}


def weighted(
    share: Float[Array, " targets"],
    ridge: Float[Array, "rows targets"],
    raw: Float[Array, "rows targets"],
) -> Float[Array, "rows targets"]:
    """The blend of both predictions."""
    return share[None, :] * ridge + (1 - share)[None, :] * raw


def best_share(
    products: Float[Array, " targets"],
    squares: Float[Array, " targets"],
    prior: Float[Array, ""],
    even: Float[Array, " targets"],
) -> Float[Array, " targets"]:
    """The share by least squares, from 0 to 1, and `prior` times as many rows with that of even."""
    best = jnp.where(squares > 0, products / squares, even)
    return (jnp.clip(best, 0, 1) + prior * even) / (1 + prior)


def terms(
    params: Params,
    scalers: Scalers,
    inputs: Float[Array, "rows inputs"],
    scaled_targets: Float[Array, "rows targets"],
    config: HeadConfig,
) -> tuple[Float[Array, "rows targets"], Float[Array, "rows targets"]]:
    """For each row, the terms that `best_share` takes the sums of.

    With r the ridge, m the MLP and t the target, Σ (s r + (1 − s) m − t)² is least at
    s = Σ (r − m)(t − m) / Σ (r − m)².
    """
    width = mlp.inputs_of(params)
    _, raw = mlp.layers(params, inputs[:, :width], config)
    raw = limited(config, scalers.target, raw, linear=False)
    apart = inputs[:, width:] - raw
    return apart * (scaled_targets - raw), jnp.square(apart)
