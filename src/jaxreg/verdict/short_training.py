"""A few hundred steps from the run's own first weights, at its learning rate and at others.

That is what tells a rate that is too high or too low from data that cannot be learned: what the
same head reaches at another rate is measured, not guessed.
"""

import functools
from dataclasses import replace
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxreg.head import mlp
from jaxreg.head.apply import forward, losses_of
from jaxreg.head.fit import steps_from, train_batch
from jaxreg.head.scaling import Scalers, scale_rows
from jaxreg.head.state import Rates, first_params, static_config
from jaxreg.train_config import HeadConfig
from jaxreg.verdict import dead_head

FACTORS = (0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0)
NEAR = (0.1, 1.0, 10.0)  # those that are tried where the head learns: a second is all it may take
STAGES, STEPS = 6, 50  # the validation loss is taken after each stage of so many steps

Rows = tuple[np.ndarray, np.ndarray]


class Probe(NamedTuple):
    """What the head reaches in STAGES × STEPS steps; one value for each of FACTORS.

    Of a factor that was not tried the losses are infinite.
    """

    reached: np.ndarray  # lowest validation loss at the end of a stage
    last: np.ndarray  # validation loss after the last stage
    jump: np.ndarray  # highest loss of a batch over the first stage's first one
    dead: np.ndarray  # share of hidden units that are dead at the end, the worst layer's
    run: float  # validation loss of the run's best weights on the same rows

    def at(self, factor: float) -> int:
        """Which entry is of that factor."""
        return FACTORS.index(factor)


def run_probe(
    config: HeadConfig,
    output: Literal["linear", "relu"],
    scalers: Scalers,
    best: mlp.Params,
    train: Rows,
    validation: Rows,
    factors: tuple[float, ...] = FACTORS,
) -> Probe:
    """Train from the run's first weights on `train` and evaluate on `validation`.

    `output` is the activation that is tried; `best`, the run's, are judged with its own.
    """
    own = replace(static_config(config), epochs=1)
    static = replace(own, output_activation=output)
    key = jax.random.key_data(jax.random.key(config.seed))
    x, vx = train[0], validation[0]
    if config.components is not None:
        x, vx = scale_rows(scalers.features, x), scale_rows(scalers.features, vx)
    inputs, targets = scalers.features.outputs, train[1].shape[1]
    params = first_params(static, inputs, targets, key)
    size = min(config.batch_size, len(x))
    random = np.random.default_rng(config.seed)
    order = random.integers(len(x), size=(STAGES, STEPS, size), dtype=np.int32)
    data = jax.device_put((x.astype(np.float32), train[1], vx.astype(np.float32), validation[1]))
    told = []
    for factor in FACTORS:
        if factor not in factors:
            told.append((1.0, 1.0, np.full(STAGES, np.inf), 0.0))
            continue
        asked = replace(config, learning_rate=config.learning_rate * factor, decay_rate=1.0)
        *curve, after = _steps(static, Rates.of(asked), scalers, key, params, data, order)
        head = dead_head.activity(jax.device_get(after), scalers, train[0])
        told.append((*curve, max(map(dead_head.dead_share, head.hidden), default=0.0)))
    first, highest, losses, dead = (np.array(part) for part in zip(*told, strict=True))
    losses = np.where(np.isfinite(losses), losses, np.inf)
    with np.errstate(divide="ignore", invalid="ignore"):
        jump = np.where(first > 0, highest / first, 1.0)
    # from features as stored: a blend wants more of them than the components
    stored = jnp.asarray(validation[0].astype(np.float32))
    whole = replace(own, components=None, head="mlp")
    run = float(_loss(whole, Rates.of(config), scalers, best, stored, data[3]))
    return Probe(losses.min(axis=1), losses[:, -1], jump, dead, run)


@functools.partial(jax.jit, static_argnums=0)
def _steps(config, rates, scalers, key, params, data, order):
    x, y, vx, vy = data
    begin = steps_from(params)
    real = jnp.ones(order.shape[2], bool)

    def step(steps, rows):
        after = train_batch(config, rates, scalers, key, steps, x[rows], y[rows], real)
        return after, (after.total - steps.total) / order.shape[2]

    def stage(steps, rows):
        steps = steps._replace(total=jnp.zeros((), jnp.float32))
        steps, losses = lax.scan(step, steps, rows)
        return steps, (losses[0], losses.max(), _loss(config, rates, scalers, steps.params, vx, vy))

    steps, (first, highest, losses) = lax.scan(stage, begin, order)
    return first[0], highest[0], losses, steps.params


@functools.partial(jax.jit, static_argnums=0)
def _loss(config, rates, scalers, params, x, y):
    pred = forward(params, scalers, config, x)
    return losses_of(pred, y, rates, scalers).mean()
