"""Targets as the outputs of a head, and back: `--target-type`.

A plain or bounded target is one output. A circular one with the period P is two, R sin θ and
R cos θ with R = P / 2π and θ the target as an angle. So a small error of the outputs is as large as
that of the target. The two share one std, one alpha and one share of a blend: then no direction
differs from another, and a shift of all angles changes nothing. Between `encode` and `decode`
outputs are plain numbers.

A bounded target is LO + (HI − LO) · sigmoid(b + a · raw) of the MLP's raw output. b is such that
0 is the mean of the training targets, and a is such that the slope there is one std. So raw is in
std, as for a plain target. A ridge is cut at the bounds.
"""

from typing import TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from jaxreg.head import scaling
from jaxreg.head.scaling import ArrayOf, TargetScaler
from jaxreg.target_numbers import mean_and_std
from jaxreg.target_types import TargetType, Types, around
from jaxreg.train_config import HeadConfig

A = TypeVar("A", np.ndarray, Array)

EDGE = 0.05  # of the range: a mean nearer to a bound counts as this far away, for b and a


def types_for(config: HeadConfig, outputs: int) -> tuple[TargetType, ...]:
    """The types of the targets of a head with so many outputs."""
    words = config.target_type
    if len(words) > 1:
        return config.target_types(len(words))
    [circular] = (TargetType.parse(word).circular for word in words)
    return config.target_types(outputs // (1 + circular))


def outputs_of(types: Types) -> int:
    """How many outputs these targets have together."""
    return sum(1 + kind.circular for kind in types)


def target_of_output(types: Types) -> np.ndarray:
    """(outputs,) int: which target each output is of."""
    return np.repeat(np.arange(len(types)), [1 + kind.circular for kind in types])


def first_outputs(types: Types) -> np.ndarray:
    """(targets,) int: the first output of each target, which has its std, alpha and share."""
    sizes = [1 + kind.circular for kind in types]
    return np.cumsum([0, *sizes[:-1]])


def together(types: Types, values: A) -> A:
    """(…, outputs) for each output the sum over its target's; nothing changes for plain ones."""
    if outputs_of(types) == len(types):
        return values
    same = target_of_output(types)
    return values @ (same[:, None] == same[None, :]).astype(values.dtype)


def encode(types: Types, y: Float[np.ndarray, "rows targets"]) -> np.ndarray:
    """(rows, outputs) of targets, in target units; NaN where a target is NaN."""
    if outputs_of(types) == len(types):
        return y
    columns = []
    for kind, values in zip(types, np.asarray(y, np.float64).T, strict=True):
        if kind.circular:
            radius = kind.period / (2 * np.pi)
            columns += [radius * np.sin(values / radius), radius * np.cos(values / radius)]
        else:
            columns.append(values)
    return np.stack(columns, axis=1)


def decode(types: Types, outputs: Float[np.ndarray, "rows outputs"]) -> np.ndarray:
    """(rows, targets) of outputs, float64: angles from 0 to below the period, bounds kept."""
    columns, rest = [], iter(np.asarray(outputs, np.float64).T)
    for kind in types:
        values = next(rest)
        if kind.circular:
            values = np.arctan2(values, next(rest)) * (kind.period / (2 * np.pi))
        elif kind.bounded:
            values = np.clip(values, kind.low, kind.high)
        columns.append(values)
    if not columns:
        return np.asarray(outputs, np.float64)
    return around(types, np.stack(columns, axis=1))


def share_std(
    types: Types, scaler: TargetScaler, outputs: Float[np.ndarray, "rows outputs"]
) -> TargetScaler:
    """The scaler of these outputs with one std for both of a circular target, of their distance."""
    if outputs_of(types) == len(types):
        return scaler
    _, std = mean_and_std(outputs)
    both = np.sqrt(together(types, np.square(std)))
    return scaler._replace(std=np.where(both == 0, 1.0, both).astype(np.float32))


def scaler_for(
    config: HeadConfig, types: Types, outputs: Float[np.ndarray, "rows outputs"]
) -> TargetScaler:
    """The scaler of a head for these outputs of its training rows."""
    if config.scale_target:
        return share_std(types, scaling.target_scaler(outputs), outputs)
    if len(types) == 1:
        return scaling.unscaled_targets(outputs.shape[1])
    # one loss of several targets needs a common unit
    return share_std(types, scaling.uncentred_targets(outputs), outputs)


def scaled(
    config: HeadConfig, scaler: TargetScaler, y: Float[np.ndarray, "rows targets"]
) -> Float[np.ndarray, "rows outputs"]:
    """Targets as the head learns them: outputs in std, float32."""
    types = types_for(config, scaler.mean.shape[0])
    return scaling.scale_targets(scaler, encode(types, y))


def prepared(
    config: HeadConfig,
    scaler: TargetScaler,
    y: Float[np.ndarray, "rows targets"],
    weights: Float[np.ndarray, "rows targets"],
) -> tuple[np.ndarray, np.ndarray]:
    """`scaled` targets, 0 where they have no weight, and the weights of these outputs, float32."""
    of_each = of_outputs(config.target_types(y.shape[1]), weights).astype(np.float32)
    return np.where(of_each > 0, scaled(config, scaler, y), np.float32(0)), of_each


def limited(
    config: HeadConfig, scaler: TargetScaler, raw: Float[ArrayOf, "rows outputs"], *, linear: bool
) -> Float[Array, "rows outputs"]:
    """Raw outputs in std as predictions in std, within the bounds of bounded targets.

    A ridge, which is `linear`, is cut at the bounds; an MLP has the sigmoid.
    """
    types = types_for(config, raw.shape[1])
    if not any(kind.bounded for kind in types):
        return jnp.asarray(raw)
    columns = []
    for number, of in enumerate(target_of_output(types)):
        column = raw[:, number]
        if types[of].bounded:
            mean, std, rest = (jnp.asarray(part)[number] for part in scaler)
            ends = (_split(end) for end in types[of][:2])  # as the mean is: they may be far from 0
            low, high = ((end - mean + (left - rest)) / std for end, left in ends)
            column = jnp.clip(column, low, high) if linear else _sigmoid(column, low, high)
        columns.append(column)
    return jnp.stack(columns, axis=1)


def _split(number: float) -> tuple[np.float32, np.float32]:
    """Two float32 numbers with the sum `number`, as a TargetScaler keeps a mean."""
    first = np.float32(number)
    return first, np.float32(number - float(first))


def _sigmoid(
    raw: Float[ArrayOf, " rows"], low: Float[Array, ""], high: Float[Array, ""]
) -> Float[Array, " rows"]:
    """The sigmoid between bounds in std, which is 0 with the slope 1 at 0."""
    share = jnp.clip(-low / (high - low), EDGE, 1 - EDGE)
    slope = (high - low) * share * (1 - share)
    at_zero = jnp.log(share) - jnp.log1p(-share)
    return low + (high - low) * jax.nn.sigmoid(at_zero + raw / slope)


def sizes(
    config: HeadConfig,
    scaler: TargetScaler,
    pred: Float[ArrayOf, "rows outputs"],
    y: Float[ArrayOf, "rows outputs"],
) -> Float[Array, "rows targets"]:
    """Absolute errors of scaled predictions, in std of each target; around the circle."""
    types = types_for(config, pred.shape[1])
    if outputs_of(types) == len(types):
        return jnp.abs(pred - y)
    columns, start = [], 0
    for kind in types:
        if kind.circular:
            place = slice(start, start + 2)
            mean, std, rest = (jnp.asarray(part)[place][None, :] for part in scaler)
            (a, b), (c, d) = ((v[:, place] + (mean + rest) / std).T for v in (pred, y))
            angle = jnp.arctan2(a * d - b * c, a * c + b * d)
            columns.append(jnp.abs(angle) * (kind.period / (2 * np.pi)) / std[0, 0])
        else:
            columns.append(jnp.abs(pred[:, start] - y[:, start]))
        start += 1 + kind.circular
    return jnp.stack(columns, axis=1)


def of_targets(types: Types, values: Float[ArrayOf, "... outputs"]) -> ArrayOf:
    """What belongs to each target of a number for each output: that of its first output."""
    return values[..., first_outputs(types)]


def of_outputs(types: Types, values: Float[np.ndarray, "... targets"]) -> np.ndarray:
    """What belongs to each output of a number for each target, such as a weight."""
    return values if outputs_of(types) == len(types) else values[..., target_of_output(types)]


def scaler_of(types: Types, scaler: TargetScaler, number: int) -> TargetScaler:
    """The scaler of the outputs of one target."""
    start = int(first_outputs(types)[number])
    own = slice(start, start + 1 + types[number].circular)
    return TargetScaler(*(part[own] for part in scaler))
