"""Choosing a feature set: from settings to a recipe and its weights."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from jaxreg.backbone.download import download_imagenet
from jaxreg.backbone.hub_names import identify_preset
from jaxreg.backbone.int8 import quantized_network, write_range
from jaxreg.backbone.network import check_layers, check_maps
from jaxreg.backbone.registry import BACKBONES, HUB, ONNX, backbone_name, smallest_side
from jaxreg.backbone.weights import (
    WeightsSource,
    identify_onnx,
    identify_weights,
    keras_weights_file,
)
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.hub_choice import hub_columns, hub_recipe
from jaxreg.extraction.onnx_choice import onnx_columns, onnx_size


def choose_columns(
    chosen: ExtractConfig, say: Callable[[str], None] = lambda text: None
) -> tuple[Column, ...]:
    """The columns that the settings ask for: each view of each layer and pool.

    Raises:
        InputError: no such backbone, or InceptionV3 has no such layer; two names of one column, or
            a column of a view that `views` lacks. The layers of other backbones are checked when
            they are built, those of an ONNX file or a KerasHub preset now.
        UnavailableError: the KerasHub preset cannot be downloaded.
    """
    backbone = backbone_name(chosen.backbone)
    if backbone == ONNX:
        asked = onnx_columns(chosen, identify_onnx(chosen.backbone), say)
    elif backbone == HUB:
        asked = hub_columns(chosen, identify_preset(chosen.backbone), say)
    elif chosen.columns:
        for name in chosen.columns:
            if "." not in name:  # in a training the name of embeddings
                raise InputError(f"no column {name!r}", expected="LAYER.POOL, as mixed10.avg")
        asked = [Column.parse(name) for name in chosen.columns]
    else:
        layers = chosen.layers or (BACKBONES[backbone].last_layer,)
        asked = [Column(layer=layer, pool=chosen.pool or "avg") for layer in layers]
    for column in asked:
        if column.view not in chosen.views:
            views = " ".join((*chosen.views, column.view))
            remedy = f"--columns {column.short_name} --views {views}"
            raise InputError(f"--columns {column.name} without its view", remedy=remedy)
    wanted = [column.identity for column in asked]
    if len(set(wanted)) < len(wanted):
        said = f"--columns {' '.join(chosen.columns)}" if chosen.columns else "--layers"
        raise InputError(said, expected="each column once")
    check_layers(backbone, [column.layer for column in wanted])
    check_maps(backbone, wanted)
    return tuple(replace(column, view=view) for view in chosen.views for column in wanted)


def choose_feature_set(
    chosen: ExtractConfig,
    cache: Cache,
    calibration: Callable[[Recipe], Iterable[np.ndarray]] = lambda recipe: (),
    *,
    download_seconds: float | None = None,
) -> tuple[Recipe, WeightsSource]:
    """The recipe for the settings, and its weights.

    If weights `imagenet` are not on this machine and the cache has a feature set of this very
    recipe, the weights come without a file; `fetch_weights` gets it when something must be
    computed. If the cache has none, Keras downloads them now. For int8 an existing feature set is
    used. If there is none, the network is quantized now and put into the new feature set's folder.

    Args:
        chosen: the settings.
        cache: where to look for feature sets.
        calibration: gives the decoded images that an int8 network is calibrated on.
        download_seconds: for a whole download; None: as long as it moves.

    Raises:
        InputError: the weights file is wrong; int8, and nothing to calibrate on.
        UnavailableError: the imagenet weights cannot be had.
    """
    backbone = backbone_name(chosen.backbone)
    given = backbone not in BACKBONES
    if not given:
        _size(chosen, backbone)  # before anything is downloaded
    weights = _identified(chosen.backbone if given else chosen.weights, backbone)
    if weights is None or chosen.precision == "int8" or given:
        tag = weights.tag if weights else "imagenet"
        for feature_set in cache.feature_sets():
            if f"-{tag}-" not in feature_set and not given:
                continue
            if given and not feature_set.startswith(f"{backbone}-"):
                continue
            there = cache.recipe(feature_set)
            if not isinstance(there, Recipe):
                continue
            theirs = weights or WeightsSource(there.weights, tag)
            if given:  # a file that was renamed keeps its feature sets
                theirs = replace(theirs, tag=there.weights_tag)
            if replace(there, quantized=None) == _recipe(chosen, theirs):
                return there, theirs
    weights = weights or download_imagenet(backbone, download_seconds)
    recipe = _recipe(chosen, weights)
    if recipe.precision == "int8":
        images = calibration(recipe)
        model = quantized_network(recipe, weights, images)
        recipe = replace(recipe, quantized=hashlib.sha256(model).hexdigest())
        write_range(cache.store, cache.calibration_key(recipe.feature_set), images)
        cache.store.put(cache.quantized_key(recipe), model)
    return recipe, weights


def _identified(asked: str, backbone: str) -> WeightsSource | None:
    """As `identify_weights`, of KerasHub presets too."""
    return identify_preset(asked) if backbone == HUB else identify_weights(asked, backbone)


def fetch_weights(backbone: str, weights: WeightsSource) -> WeightsSource:
    """The same weights with their file, which Keras downloads if it is not on this machine.

    Raises:
        UnavailableError: they cannot be had, or Keras now publishes others.
    """
    if weights.path is not None or weights.seed is not None:
        return weights
    fetched = download_imagenet(backbone)
    if fetched.identity != weights.identity:
        raise UnavailableError(
            f"Keras' imagenet weights are not those of the cache ({weights.identity[:8]})",
            remedy="use --weights FILE with the old weights, or another --cache",
        )
    return fetched


def smallest_image(recipe: Recipe) -> int:
    """Pixels that an image needs each way; only images of native size are not resized."""
    return smallest_side(recipe.backbone) if recipe.size is None else 1


def find_weights(recipe: Recipe, asked: str | None, places: Sequence[str | None]) -> WeightsSource:
    """The weights of a recipe, wherever their file is now; its identity proves that it is right.

    Args:
        recipe: of the feature set or run.
        asked: the value of `--weights`, None without it.
        places: files where the weights were last found.

    Raises:
        InputError: what the user named has another identity.
        UnavailableError: they are in none of the places.
    """
    if recipe.random_seed is not None:
        return WeightsSource(recipe.weights, recipe.weights_tag, None, recipe.random_seed)
    known = [*places]
    if recipe.backbone in BACKBONES:
        known.append(str(keras_weights_file(recipe.backbone)))
    there = os.path.isdir if recipe.backbone == HUB else os.path.isfile
    found = [place for place in known if isinstance(place, str) and there(place)]
    for place in found if asked is None else [asked]:
        try:
            weights = _identified(place, recipe.backbone)
        except InputError:
            if asked is not None:
                raise
            continue  # a record names another kind of file; the weights may be in the next place
        if weights is not None and weights.identity == recipe.weights:
            return weights
    kind = "preset" if recipe.backbone == HUB else "file"
    if asked is not None:
        raise InputError(
            f"--weights {asked} is another {kind} than the features were made with",
            expected=f"SHA-256 {recipe.weights}",
        )
    raise UnavailableError(
        f"the weights that the features were made with ({recipe.weights_tag}) cannot be found",
        expected=f"a {kind} of SHA-256 {recipe.weights}",
        remedy="--weights FOLDER" if recipe.backbone == HUB else "--weights FILE",
    )


def _size(chosen: ExtractConfig, backbone: str) -> tuple[int, int] | None:
    """Height and width for a network of keras.applications; None: the image's own."""
    if chosen.size == "native":
        return None
    known = BACKBONES[backbone]
    size = chosen.size or (known.size, known.size)
    if min(size) < known.smallest:
        raise InputError(f"--size is {size}", expected=f"at least {known.smallest} pixels each way")
    return size


def _recipe(chosen: ExtractConfig, weights: WeightsSource) -> Recipe:
    backbone = backbone_name(chosen.backbone)
    own: dict[str, Any]
    if backbone == HUB:
        own = hub_recipe(chosen, weights)
    elif backbone == ONNX:
        own = {"size": onnx_size(chosen, weights)}
    else:
        own = {"size": _size(chosen, backbone)}
    return Recipe(
        weights=weights.identity,
        weights_tag=weights.tag,
        backbone=backbone,
        preprocess=chosen.preprocess,
        range=None if chosen.range is None else (float(chosen.range[0]), float(chosen.range[1])),
        precision=chosen.precision,
        engine=None if chosen.precision == "float32" else "openvino",
        **own,
    )
