"""All heads of a run for one row at a time, as one program that is compiled before the first."""

import functools
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import Array, Float

from jaxreg.head import mlp, scaling
from jaxreg.head.apply import forward, static_of
from jaxreg.head.fit_many import stack
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.target_outputs import decode, types_for
from jaxreg.train_config import HeadConfig


class OneRow:
    """Heads of one architecture with their arrays on the device."""

    def __init__(
        self, params: Sequence[mlp.Params], scalers: Sequence[Scalers], config: HeadConfig
    ) -> None:
        """The first call compiles."""
        self._config = config
        self._static = static_of(config, output_activation=config.output_activation)
        # under vmap, because a loop over heads would start a program for each
        self._heads = jax.device_put(stack(list(zip(params, scalers, strict=True))))
        both = [scaling.mean_and_std_of(one.target) for one in scalers]
        self._types = types_for(config, scalers[0].target.mean.shape[0])
        self._mean, self._std = (np.stack(part) for part in zip(*both, strict=True))

    def __call__(self, x: Float[np.ndarray, "1 columns"]) -> Float[np.ndarray, "heads targets"]:
        """What `predict_rows` of each head returns for this row, to a rounding or two."""
        scaled = np.asarray(_forward(*self._heads, self._static, x))[:, 0]
        outputs = np.asarray(scaled, np.float64) * self._std + self._mean
        if self._config.output_activation == "relu":
            outputs = np.maximum(outputs, 0.0)
        return decode(self._types, outputs)


@functools.partial(jax.jit, static_argnums=2)
def _forward(
    params: mlp.Params, scalers: Scalers, config: HeadConfig, x: Float[ArrayOf, "1 columns"]
) -> Float[Array, "heads 1 outputs"]:
    return jax.vmap(lambda own, its: forward(own, its, config, x))(params, scalers)
