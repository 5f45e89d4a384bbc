"""The Flax head: a multilayer perceptron behind two pure functions on plain dicts of arrays."""

import functools
from itertools import pairwise
from typing import Any

from flax import nnx
from jaxtyping import Array, Float, Key

from jaxreg.head.dropout import Dropout, dropped
from jaxreg.head.layer_product import layer_product
from jaxreg.train_config import HeadConfig

Params = dict[str, Any]
"""Nested dict of arrays: `hidden.layer_<i>` and `output`, each `kernel` (in, out) and `bias`."""


class MLP(nnx.Module):
    """Hidden relu layers with dropout after every second one, and a linear output.

    Kernels are glorot-uniform and biases zero, as in Keras' Dense. A call returns each hidden layer
    after its relu, before its dropout, and the output.
    """

    def __init__(self, inputs: int, hidden: tuple[int, ...], outputs: int, rngs: nnx.Rngs) -> None:
        glorot = nnx.initializers.glorot_uniform()
        linear = functools.partial(
            nnx.Linear, kernel_init=glorot, dot_general=layer_product, rngs=rngs
        )
        sizes = (inputs, *hidden)
        pairs = enumerate(pairwise(sizes))
        self.hidden = nnx.Dict({f"layer_{i}": linear(*pair) for i, pair in pairs})
        self.output = linear(sizes[-1], outputs)

    def __call__(
        self, x: Float[Array, "rows inputs"], dropout: Dropout | None = None
    ) -> tuple[list[Float[Array, "rows _"]], Float[Array, "rows outputs"]]:
        hidden = []
        for i, layer in enumerate(self.hidden.values()):
            x = nnx.relu(layer(x))
            hidden.append(x)
            if i % 2 == 1 and dropout is not None:
                x = dropped(x, dropout.after(i))
        return hidden, self.output(x)


def init(key: Key[Array, ""], inputs: int, config: HeadConfig, outputs: int) -> Params:
    """Fresh float32 parameters of a head from `inputs` features to `outputs` numbers."""
    model = MLP(inputs, config.hidden, outputs, nnx.Rngs(key))
    return nnx.to_pure_dict(nnx.state(model, nnx.Param))


def layers(
    params: Params,
    x: Float[Array, "rows inputs"],
    config: HeadConfig,
    dropout: Dropout | None = None,
) -> tuple[list[Float[Array, "rows _"]], Float[Array, "rows outputs"]]:
    """What a call of `MLP` returns; without `dropout` no unit is dropped.

    Computes in the wider of the dtypes of `params` and `x`.
    """
    outputs = params["output"]["bias"].shape[0]
    graph = _graph(x.shape[1], config.hidden, outputs)
    return nnx.merge(graph, params)(x, dropout)


def inputs_of(params: Params) -> int:
    """How many columns its first layer takes."""
    hidden = params.get("hidden")
    return (hidden["layer_0"] if hidden else params["output"])["kernel"].shape[0]


@functools.lru_cache
def _graph(inputs: int, hidden: tuple[int, ...], outputs: int) -> nnx.GraphDef[MLP]:
    # Built from shapes alone: merging it with a dict is all that Flax does while a step is traced.
    model = nnx.eval_shape(lambda: MLP(inputs, hidden, outputs, nnx.Rngs(0)))
    return nnx.graphdef(model)
