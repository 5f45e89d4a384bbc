"""Vectors that the user has: the recipe of their feature set, and the reader of any recipe."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jaxreg.cache.recipe import LAYER, Column, Recipe, checked
from jaxreg.common.files import safe_name
from jaxreg.errors import InputError
from jaxreg.sources.examples import DIGEST

KIND = "embeddings"

MOST_WIDTH = 2**20  # numbers of one vector


@dataclass(frozen=True)
class Embeddings:
    """The recipe of a feature set of vectors that were computed elsewhere.

    The file that holds the vectors is no part of it: each vector is known by its own digest.
    """

    name: str  # what the user calls them, as dinov2-vits14
    width: int  # numbers of one vector

    weights_tag = KIND  # in the places where a network's recipe names its weights
    range = quantized = random_seed = None  # what only a network has

    def __post_init__(self) -> None:
        check_embeddings_name(self.name)
        if not 1 <= self.width <= MOST_WIDTH:
            raise ValueError(f"recipe: vectors of {self.width} numbers")

    @property
    def column(self) -> Column:
        """The only column of the feature set."""
        return Column("identity", self.name, "none")

    @property
    def digest_column(self) -> str:
        """The column of a dataset with the digests of the vectors."""
        return f"{DIGEST}.{self.name}"

    @property
    def fingerprint(self) -> str:
        """64 hex digits that depend on name and width alone."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @property
    def feature_set(self) -> str:
        """The name of the directory in `cache/features`."""
        return f"{self.name}-{self.width}-{self.fingerprint[:8]}"

    def to_json(self) -> dict[str, Any]:
        return {"kind": KIND, "name": self.name, "width": self.width}


AnyRecipe = Recipe | Embeddings
"""What a feature set is made by: a network, or vectors of the user."""


def check_embeddings_name(name: str) -> None:
    """Raise InputError for a name that no column can have."""
    if not re.fullmatch(LAYER, name) or safe_name(name) != name:
        raise InputError(
            f"--embeddings-name {name!r}",
            expected="at most 80 letters, digits, dashes and underscores",
            remedy=f"--embeddings-name {safe_name(name).replace('.', '-')}",
        )


def read_recipe(fields: Mapping[str, Any], weights_tag: str, feature_set: str) -> AnyRecipe:
    """The recipe of a feature set that is known by its name; the inverse of `to_json`.

    Raises:
        InputError: it cannot be read, or is that of another feature set.
    """
    if fields.get("kind") != KIND:
        return Recipe.from_json(dict(fields), weights_tag, feature_set)
    own = {name: value for name, value in fields.items() if name != "kind"}
    return checked(lambda: Embeddings(**own), feature_set)
