"""Which columns of the cache are the features of a run."""

import dataclasses
from collections.abc import Iterable

import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.recipe import Column, Recipe, layer_meant
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, nearest
from jaxreg.train_config import TrainConfig


def choose_features(cache: Cache, dataset: Dataset, config: TrainConfig) -> ChosenFeatures:
    """The columns asked for, else those of the dataset's last extract.

    A column without a feature set is one of `--feature-set`, else of the newest extract of the
    dataset that has it.

    Raises:
        InputError: no such feature set or column, or a column lacks one of the views.
    """
    asked = config.feature_set
    main = cache.find_feature_set(asked) if asked else dataset.feature_set
    if config.columns:
        found = [_find(cache, dataset, main, name) for name in config.columns]
    else:
        found = [(main, column) for column in _by_layer_and_pool(dataset, main, config)]
    chosen = tuple(dict.fromkeys((name, column.identity) for name, column in found))
    features = ChosenFeatures(chosen, {name: cache.recipe(name) for name, _ in chosen})
    for feature_set, column in chosen:
        there = cache.columns(feature_set)
        for view in config.views:
            shown = dataclasses.replace(column, view=view)
            if shown not in there:
                raise _absent(cache, dataset, config, features, (feature_set, shown))
    return features


def rows_with(dataset: Dataset, features: ChosenFeatures) -> tuple[Dataset, tuple[str, ...]]:
    """The rows that have what all the features are of, and a sentence on each kind of others.

    Raises:
        InputError: no row has it.
    """
    kept, sentences, lacking = dataset.having(features.digest_columns), [], ""
    for feature_set in features.feature_sets:
        rows = np.flatnonzero(dataset.lacks(features.recipes[feature_set].digest_column)).tolist()
        if len(rows) == len(dataset):
            lacking = lacking or feature_set
        if rows:
            have = "1 row has" if len(rows) == 1 else f"{len(rows)} rows have"
            ids = [dataset.ids[row] for row in rows[:5]]
            sentences.append(
                f"{have} no features in {feature_set} and {'is' if len(rows) == 1 else 'are'} left "
                f"out: {', '.join(ids)}{', …' if len(rows) > 5 else ''}"
            )
    if not len(kept):
        raise InputError(
            f"no row of {dataset.name} has features in {' and '.join(features.feature_sets)}",
            remedy=dataset.command_into(features.recipes[lacking or features.feature_sets[-1]]),
        )
    return kept, tuple(sentences)


def _find(cache: Cache, dataset: Dataset, main: str, name: str) -> tuple[str, Column]:
    """The feature set and the column that a word of `--columns` means."""
    feature_set, has_set, name = name.rpartition("/")
    column = Column.parse(name).identity
    if has_set:
        return cache.find_feature_set(feature_set, "--columns"), column
    known = [one.feature_set for one in dataset.extracted]
    others = known if main in known or column.pool == "none" else []
    for other in (main, *others):
        if column in cache.columns(other):
            return other, column
    return main, column


def _by_layer_and_pool(dataset: Dataset, main: str, config: TrainConfig) -> Iterable[Column]:
    """The columns of the last extract into a feature set, with the layers and the pool asked."""
    extracted = {one.feature_set: one for one in dataset.extracted}
    columns = extracted.get(main, dataset.extracted[0]).columns
    columns = tuple(dict.fromkeys(column.identity for column in columns))
    if config.layers or config.pool:
        layers = config.layers or tuple(dict.fromkeys(column.layer for column in columns))
        pools = (config.pool,) if config.pool else tuple(dict.fromkeys(c.pool for c in columns))
        return [Column(layer=layer, pool=pool) for layer in layers for pool in pools]
    return columns


def _absent(
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    features: ChosenFeatures,
    missing: tuple[str, Column],
) -> InputError:
    """The error that a feature set lacks a column of one view."""
    feature_set, column = missing
    there = cache.columns(feature_set)
    recipe = features.recipes[feature_set]
    if isinstance(recipe, Embeddings) and column.view != "identity" and column.identity in there:
        return InputError(
            f"--views {column.view} with the embeddings {recipe.name}, which have no other view",
            expected="columns of images, or --views identity",
            remedy="leave --views out",
        )
    others = [
        f"{other.name} of {one.feature_set}"
        for one in dataset.extracted
        if one.feature_set != feature_set
        for other in cache.columns(one.feature_set)
    ]
    named = ", ".join([*(one.name for one in there), *others])
    if column.pool == "none" and isinstance(recipe, Recipe):  # no extract gives such a column
        every = [c.short_name for e in dataset.extracted for c in cache.columns(e.feature_set)]
        near = nearest(column.short_name, every)
        return InputError(
            f"no column {column.short_name!r}",
            expected=f"LAYER.POOL, or the name of embeddings; there are: {named or 'none'}",
            remedy=f"--columns {near}" if near and len(config.columns) == 1 else "",
        )
    return InputError(
        f"{feature_set} has no {column.name} features",
        expected=f"one of its columns: {named or 'none'}",
        remedy=_how_to_have(cache, dataset, config, features, missing),
    )


def _how_to_have(
    cache: Cache,
    dataset: Dataset,
    config: TrainConfig,
    features: ChosenFeatures,
    missing: tuple[str, Column],
) -> str:
    """The layer that was meant, a column that is there, or the command that computes this one."""
    feature_set, column = missing
    there, recipe = cache.columns(feature_set), features.recipes[feature_set]
    backbone = recipe.backbone if isinstance(recipe, Recipe) else ""
    if meant := layer_meant(backbone, column.layer, there):
        return _instead(missing, dataclasses.replace(column, layer=meant), config, features)
    known = [one.feature_set for one in dataset.extracted]
    if there and (feature_set not in known or not isinstance(recipe, Recipe)):
        return _instead(missing, there[0], config, features)
    return dataset.extract_command(feature_set, columns=(column.short_name,), views=config.views)


def _instead(
    missing: tuple[str, Column], other: Column, config: TrainConfig, features: ChosenFeatures
) -> str:
    """Options with another column in the place of one, as the columns were asked for."""
    feature_set, column = missing
    if config.columns:
        named = [
            (name, other if (name, one) == (feature_set, column.identity) else one)
            for name, one in features.columns
        ]
        main = config.feature_set or named[0][0]
        words = [
            one.short_name if name.startswith(main) else f"{name}/{one.short_name}"
            for name, one in named
        ]
        return "--columns " + " ".join(dict.fromkeys(words))
    pool = "" if other.pool == column.pool else f" --pool {other.pool}"
    return f"--layers {other.layer}{pool}"
