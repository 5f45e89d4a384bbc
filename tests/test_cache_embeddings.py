"""Columns, recipes and datasets of embeddings: the model of the cache."""

import hashlib
from typing import Any

import pytest

from jaxreg.cache.embeddings import Embeddings, read_recipe
from jaxreg.cache.recipe import Column
from jaxreg.errors import InputError

DINO = Embeddings("dinov2-vits14", 384)


def test_a_column_of_embeddings_has_no_pool() -> None:
    column = DINO.column
    assert column.name == "identity.dinov2-vits14.none"
    assert column.short_name == "dinov2-vits14"
    assert Column.parse("dinov2-vits14") == Column.parse(column.name) == column
    assert Column.is_name(column.name)
    assert not Column.is_name("identity.dino/v2.none")


def test_the_recipe_of_embeddings_holds_their_name_and_width() -> None:
    # by hand: SHA-256 of the fields' JSON, keys sorted
    text = '{"kind": "embeddings", "name": "dinov2-vits14", "width": 384}'
    expected = hashlib.sha256(text.encode()).hexdigest()
    assert DINO.feature_set == f"dinov2-vits14-384-{expected[:8]}"
    assert read_recipe(DINO.to_json(), "embeddings", DINO.feature_set) == DINO


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 385}, "is that of dinov2-vits14-385"),
        ({"width": 0}, "cannot be read"),
        ({"name": "../dino"}, "cannot be read"),
        ({"path": "vectors.npy"}, "cannot be read"),
    ],
)
def test_a_recipe_of_other_embeddings_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_recipe({**DINO.to_json(), **changes}, "embeddings", DINO.feature_set)


@pytest.mark.parametrize("name", ["a.b", "a/b", "", "-a", "a" * 81, "a b"])
def test_names_that_no_folder_and_no_column_can_have(name: str) -> None:
    with pytest.raises(InputError, match="--embeddings-name"):
        Embeddings(name, 4)
