"""Other ways to train the MLP, which jaxreg does not have: `python studies/best_head.py`."""

from typing import Any, NamedTuple

import numpy as np

from jaxreg.head.dropout import Dropout
from jaxreg.head.rates import Rates
from jaxreg.head.state import Data, State
from jaxreg.train_config import HeadConfig


class Ways(NamedTuple):
    """What is done other than `make_fit` does it."""

    decay: float = 0.0  # of weights, decoupled from the gradient, as torch's AdamW
    dropped: float = 0.0  # share of the inputs that a step does not see
    average: float = 0.0  # of the weights that are judged and kept: what of them stays at a step


def train(config: HeadConfig, ways: Ways, state: State, data: Data) -> tuple[float, Any]:
    """The lowest MAE on the validation rows, and the weights that have it.

    Batches, decaying rate, dropout and patience are as `make_fit` has them, except that the last
    batch of an epoch is left out where it is not a whole one.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from jaxreg.head.apply import forward
    from jaxreg.head.losses import huber
    from jaxreg.head.optimizer import decayed_rate

    scalers = state.scalers
    rates = Rates.of(config, scalers.target)
    tx = optax.chain(
        optax.scale_by_adam(eps=1e-7),
        optax.add_decayed_weights(ways.decay),
        optax.scale_by_learning_rate(lambda step: decayed_rate(step, *rates[:3])),
    )

    def step(carry: tuple, batch: tuple) -> tuple[tuple, None]:
        params, opt_state, mean = carry
        rows, key = batch
        kept = jax.random.bernoulli(key, 1 - ways.dropped, (len(rows), x.shape[1]))

        def loss(params: Any) -> jax.Array:
            seen = jnp.where(kept, x[rows], 0) / (1 - ways.dropped)
            dropout = Dropout(jax.random.fold_in(key, 1), rates.keep)
            pred = forward(params, scalers, config, seen, dropout)
            return huber(pred, y[rows], rates.huber_delta).mean()

        updates, opt_state = tx.update(jax.grad(loss)(params), opt_state, params)
        params = optax.apply_updates(params, updates)
        mean = jax.tree.map(lambda m, p: ways.average * m + (1 - ways.average) * p, mean, params)
        return (params, opt_state, mean), None

    @jax.jit
    def epoch(carry: tuple, key: jax.Array) -> tuple[tuple, jax.Array]:
        batches = len(numbers) // config.batch_size
        order = jax.random.permutation(jax.random.fold_in(key, 0), numbers)
        order = order[: batches * config.batch_size].reshape(batches, config.batch_size)
        carry, _ = jax.lax.scan(step, carry, (order, jax.random.split(key, batches)))
        pred = forward(carry[2], scalers, config, x[validation])
        return carry, jnp.abs(pred - y[validation]).mean() * scalers.target.std[0]

    x, y = jnp.asarray(data.x), jnp.asarray(data.y)
    numbers, validation = jnp.asarray(data.train.real), jnp.asarray(data.validation.real)
    carry = (state.params, tx.init(state.params), state.params)
    lowest, best, waited = np.inf, state.params, 0
    for key in jax.random.split(jax.random.key(config.seed), config.epochs):
        carry, mae = epoch(carry, key)
        waited += 1
        if mae < lowest:
            lowest, best, waited = float(mae), carry[2], 0
        if waited >= config.patience:
            break
    return lowest, best
