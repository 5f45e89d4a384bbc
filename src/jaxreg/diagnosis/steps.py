"""Some hundred steps of a head's training, watched closely. Every trial is one of these."""

import functools
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from jaxreg.head import optimizer
from jaxreg.head.apply import forward, losses_of
from jaxreg.head.fit import steps_from, train_batch
from jaxreg.head.scaling import Scalers, scale_rows
from jaxreg.head.state import Rates, first_params, static_config
from jaxreg.train_config import HeadConfig
from jaxreg.verdict.observation import Observed

STAGES, STEPS = 8, 50  # validation rows are looked at after each stage of so many steps


class Watched(NamedTuple):
    """What happened, step by step."""

    losses: np.ndarray  # (steps,) of each batch
    gradients: np.ndarray  # (steps, layers) norm of a layer's kernel gradient
    ratios: np.ndarray  # (steps, layers) norm of a kernel's update over that of the kernel
    val_losses: np.ndarray  # (stages,)
    val_maes: np.ndarray  # (stages,) target units

    @property
    def mae(self) -> float:
        """The lowest on the validation rows at the end of a stage."""
        return float(np.nanmin(np.where(np.isfinite(self.val_maes), self.val_maes, np.inf)))


@dataclass(frozen=True)
class Bench:
    """A head, and rows to try it on: the same shapes for all trials, so that little is compiled."""

    config: HeadConfig
    scalers: Scalers
    x: np.ndarray  # (rows, inputs) as `fit` takes them
    y: np.ndarray
    validation_x: np.ndarray
    validation_y: np.ndarray

    @classmethod
    def of(cls, obs: Observed) -> "Bench":
        """The head and the sampled rows of a training."""
        train, validation = obs.sample_train, obs.sample_validation
        x, vx = obs.x[train], obs.x[validation]
        if obs.config.components is not None:
            x, vx = scale_rows(obs.scalers.features, x), scale_rows(obs.scalers.features, vx)
        x, vx = x.astype(np.float32), vx.astype(np.float32)
        config = obs.config
        if config.head == "ridge":
            config = replace(config, head="mlp")
        return cls(config, obs.scalers, x, obs.sample_y[train], vx, obs.sample_y[validation])

    def run(
        self,
        *,
        rows: int | None = None,
        seed: int | None = None,
        rates: Rates | None = None,
        dropout: float | None = None,
    ) -> Watched:
        """STAGES × STEPS steps from new first weights.

        Args:
            rows: train on so many of them only.
            seed: of the first weights and the order; the head's own if not said.
            rates: learning rate and decay; the head's own if not said.
            dropout: likewise.
        """
        seed = self.config.seed if seed is None else seed
        static = replace(static_config(self.config), epochs=1)
        if dropout is not None:
            static = replace(static, dropout=dropout)
        key = jax.random.key_data(jax.random.key(seed))
        params = first_params(static, self.x.shape[1], self.y.shape[1], key)
        size = min(self.config.batch_size, len(self.x))
        random = np.random.default_rng(seed)
        some = np.random.default_rng(0).permutation(len(self.x))[:rows]
        order = some[random.integers(len(some), size=(STAGES, STEPS, size))].astype(np.int32)
        chosen = Rates.of(self.config) if rates is None else rates
        data = (self.x, self.y, self.validation_x, self.validation_y)
        told = jax.device_get(_run(static, chosen, self.scalers, key, params, data, order))
        losses, gradients, ratios = (part.reshape(-1, *part.shape[2:]) for part in told[:3])
        return Watched(losses, gradients, ratios, *told[3:])


@functools.partial(jax.jit, static_argnums=0)
def _run(config, rates, scalers, key, params, data, order):
    x, y, vx, vy = data
    real = jnp.ones(order.shape[2], bool)
    begin = steps_from(params)

    def step(steps, rows) -> Any:
        after: Any = train_batch(config, rates, scalers, key, steps, x[rows], y[rows], real)
        # Adam's mean moves by a tenth of the gradient: that is how it is had without computing
        # it twice
        moments = zip(_kernels(after.opt_state[0].mu), _kernels(steps.opt_state[0].mu), strict=True)
        gradients = [_norm(new - optimizer.B1 * old) / (1 - optimizer.B1) for new, old in moments]
        kernels = zip(_kernels(after.params), _kernels(steps.params), strict=True)
        ratios = [_norm(new - old) / (_norm(old) + 1e-30) for new, old in kernels]
        loss = (after.total - steps.total) / order.shape[2]
        return after, (loss, jnp.stack(gradients), jnp.stack(ratios))

    def stage(steps, rows):
        steps, told = lax.scan(step, steps._replace(total=jnp.zeros((), jnp.float32)), rows)
        pred = forward(steps.params, scalers, config, vx)
        loss = losses_of(pred, vy, rates, scalers).mean()
        return steps, (*told, loss, jnp.abs(pred - vy).mean())

    return lax.scan(stage, begin, order)[1]


def _kernels(params):
    layers = params.get("hidden", {})
    hidden = [layers[f"layer_{i}"]["kernel"] for i in range(len(layers))]
    return [*hidden, params["output"]["kernel"]]


def _norm(values):
    return jnp.sqrt(jnp.square(values).sum())
