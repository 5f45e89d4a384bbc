"""One extraction of a dataset, as the dataset remembers it."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from jaxreg.cache.embeddings import AnyRecipe, Embeddings
from jaxreg.cache.recipe import HUB, ONNX, Column
from jaxreg.config_io import from_json, to_json
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources.examples import DIGEST


@dataclass(frozen=True)
class Extracted:
    """The last extraction of a dataset into one feature set."""

    feature_set: str
    columns: tuple[Column, ...]
    digest_column: str  # of the dataset: the digests of what the features are of
    opened: str  # what the user called the source
    options: SourceOptions
    settings: ExtractConfig
    workers: tuple[dict[str, Any], ...] = ()  # of a cluster: node, images, images_per_second

    def to_json(self) -> dict[str, Any]:
        return {
            "feature_set": self.feature_set,
            "columns": [column.name for column in self.columns],
            **({} if self.digest_column == DIGEST else {"digest_column": self.digest_column}),
            "opened": self.opened,
            "options": said_of(self.options),
            "settings": said_of(self.settings),
            **({"ray_workers": list(self.workers)} if self.workers else {}),
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(
            feature_set=fields["feature_set"],
            columns=tuple(map(Column.parse, fields["columns"])),
            digest_column=fields.get("digest_column", DIGEST),
            opened=fields["opened"],
            options=from_json(SourceOptions, fields["options"]),
            settings=from_json(ExtractConfig, fields["settings"]),
            workers=tuple(fields.get("ray_workers", ())),
        )


def said_of(settings: SourceOptions | ExtractConfig) -> dict[str, Any]:
    """The settings as JSON values, without those that are None."""
    return {name: value for name, value in to_json(settings).items() if value is not None}


def settings_into(recipe: AnyRecipe) -> dict[str, Any]:
    """The settings that extract into the feature set of a recipe; None is the default.

    FILE and PRESET stand for what the recipe knows by its SHA-256 alone, or not at all.
    """
    said: dict[str, Any] = dict.fromkeys(field.name for field in fields(ExtractConfig))
    if isinstance(recipe, Embeddings):
        return said | {"embeddings": "FILE", "embeddings_name": recipe.name}
    given = {ONNX: "onnx:FILE", HUB: "keras_hub:PRESET"}.get(recipe.backbone)
    seed = recipe.random_seed
    trained = recipe.weights_tag if recipe.weights_tag == "imagenet" else "FILE"
    return said | {
        "backbone": given or recipe.backbone,
        "weights": None if given else trained if seed is None else f"random:{seed}",
        "size": "native" if recipe.size is None else recipe.size,
        **{name: getattr(recipe, name) for name in ("preprocess", "range", "precision")},
    }
