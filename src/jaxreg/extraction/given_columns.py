"""The columns of a network that brings its weights, as only the network can tell them."""

import re
from collections.abc import Callable, Mapping

from jaxreg.backbone.network_layers import (
    POOLS,
    NamedLayer,
    NetworkFacts,
    check_pool,
    find_layer,
    shape_text,
)
from jaxreg.cache.recipe import Column
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.setting_field import VIEWS

Say = Callable[[str], None]


def given_columns(
    chosen: ExtractConfig, facts: NetworkFacts, name: str, say: Say, pools: Mapping[int, str]
) -> list[Column]:
    """The columns that the settings ask for, of the views in their names.

    A layer has its name in columns or that in the network, which may hold dots and slashes. Without
    layers it is the only output, or the last one, and `say` gets a sentence about that.

    Args:
        chosen: the settings.
        facts: what the network says of itself.
        name: of the network, for messages.
        say: gets sentences for people.
        pools: the default pool by the number of a layer's axes.

    Raises:
        InputError: a layer that the network does not have, a pool that does not fit its shape, or
            no pool for a layer without a default one.
    """
    if chosen.columns:
        return [_parse(facts, asked, name) for asked in chosen.columns]
    layers = [find_layer(facts, asked, name) for asked in chosen.layers]
    return [
        _column(facts, layer, chosen.pool or _default_pool(layer, pools))
        for layer in layers or [_default_layer(facts, name, say)]
    ]


def _parse(facts: NetworkFacts, asked: str, name: str) -> Column:
    known = {name for layer in facts.layers for name in (layer.layer, *layer.names)}
    view, _, rest = asked.partition(".")
    if view not in VIEWS or not rest or asked in known or asked.rpartition(".")[0] in known:
        view, rest = "identity", asked
    layer, dot, pool = rest.rpartition(".")
    if not dot or rest in known:  # a word without a pool is what has none
        layer, pool = rest, "none"
    return _column(facts, find_layer(facts, layer, name), re.sub("^grid:?", "grid:", pool), view)


def _column(facts: NetworkFacts, layer: NamedLayer, pool: str, view: str = "identity") -> Column:
    column = Column(view, layer.layer, pool)
    check_pool(pool, layer.layer, layer.shape)
    if pool == "cls" and facts.prefix_tokens == 0:
        raise InputError(
            f"--pool cls on {layer.layer}, and no class token is known", remedy="--pool mean"
        )
    return column


def _default_layer(facts: NetworkFacts, name: str, say: Say) -> NamedLayer:
    if not facts.outputs:
        find_layer(facts, "", name)  # raises, and lists the inner ones
    *others, last = facts.outputs
    if others:
        say(
            f"layer: {last.layer}, the last of {len(facts.outputs)} outputs; --layers takes "
            + ", ".join(layer.layer for layer in others)
            + " too"
        )
    return last


def _default_pool(layer: NamedLayer, pools: Mapping[int, str]) -> str:
    if pool := pools.get(len(layer.shape)):
        return pool
    raise InputError(
        f"the layer {layer.layer} has tokens, shape {shape_text(layer.shape)}",
        expected=" or ".join(f"--pool {pool}" for pool in POOLS[len(layer.shape)])
        + ": the first token, or the mean of all",
    )
