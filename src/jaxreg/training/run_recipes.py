"""The features of a run, as its config.json has them."""

from collections.abc import Mapping
from typing import Any

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.embeddings import AnyRecipe, read_recipe
from jaxreg.errors import InputError


def recipe_to_json(recipe: AnyRecipe) -> dict[str, Any]:
    """A recipe as a record holds it."""
    return {"recipe": recipe.to_json(), "weights_tag": recipe.weights_tag}


def features_of(record: Mapping[str, Any]) -> ChosenFeatures:
    """The columns of a run, and the recipes of their feature sets.

    Raises:
        InputError: a recipe cannot be read, or is not that of its feature set.
    """
    settings = record["settings"]
    first = str(settings["feature_set"])
    kept = {first: record, **record.get("others", {})}
    recipes = {
        name: read_recipe(one["recipe"], one["weights_tag"], name) for name, one in kept.items()
    }
    features = ChosenFeatures.parse(first, settings["columns"], recipes)
    if not {*features.feature_sets} <= {*recipes}:
        raise InputError(
            "config.json has columns of feature sets without a recipe",
            expected="a recipe of each feature set",
            remedy="train again",
        )
    return features


def weights_places(record: Mapping[str, Any]) -> dict[str, str | None]:
    """Where the weights of each feature set of a run were last found."""
    first = str(record["settings"]["feature_set"])
    return {first: record["weights_path"], **record.get("others_weights", {})}
