"""The settings as typed keywords, so that an editor completes them. A test compares them with the
settings classes, which have the defaults and the help."""

from collections.abc import Sequence
from typing import Literal, TypedDict

Names = str | Sequence[str]
"""One name, or several."""


class ExtractKeywords(TypedDict, total=False):
    """The fields of `jaxreg.extract_config.ExtractConfig`."""

    backbone: str
    weights: str
    size: tuple[int, int] | Literal["native"] | None
    preprocess: Literal["keras", "unit", "imagenet", "clip", "none"]
    range: tuple[float, float] | None
    layers: Names
    pool: str | None
    columns: Names
    views: Names
    embeddings: str | None
    embeddings_name: str | None
    engine: Literal["auto", "tensorflow", "jax", "openvino"]
    precision: Literal["float32", "bfloat16", "int8"]
    dtype: Literal["float32", "float16"]
    batch_size: int
    max_failed: float
    shard: str | None


class TrainKeywords(TypedDict, total=False):
    """The fields of `jaxreg.train_config.TrainConfig`."""

    target: Names
    mirror_targets: Names
    side_columns: Names
    weight_column: str | None
    memory_limit: str | None
    feature_set: str | None
    layers: Names
    pool: str | None
    columns: Names
    views: Names
    validation: float
    test: float
    split: str | None
    gap: float
    folds: int | None
    seeds: int
    head: Literal["mlp", "ridge", "blend"]
    components: int | None
    hidden: int | Sequence[int]
    dropout: float
    output_activation: Literal["linear", "relu"]
    target_type: Names
    scale_features: bool
    scale_target: bool
    loss: Literal["huber", "mse", "mae"]
    huber_delta: float | tuple[float, ...] | None
    learning_rate: float
    decay_steps: int
    decay_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    patience: int
    min_delta: float | None
    keep_going: bool
    seed: int
