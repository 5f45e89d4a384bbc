"""The settings of `extract`: the source, the features and the computation.

The group of each field is its box in `--help`. config_io.py reads and writes settings.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from jaxreg.errors import InputError, OptionError
from jaxreg.setting_field import MOST_SIDE, check_views, require, require_choice, setting


@dataclass(frozen=True)
class SourceOptions:
    """The options of a source; each belongs to some kinds of source only."""

    image_column: str | None = setting(
        None, "Data", "table column with the path or the bytes of the image"
    )
    id_column: str | None = setting(None, "Data", "table column with the id of each example")
    group_column: str | None = setting(
        None, "Data", "table column with the group of each row, such as the patient or the drive"
    )
    order_column: str | None = setting(
        None, "Data", "table column that orders the rows, such as the frame or the time"
    )
    image_root: str | None = setting(
        None, "Data", "folder that the paths in the table are relative to"
    )
    image_suffix: str | None = setting(
        None, "Data", "ending that the names in the table lack, such as .jpg"
    )
    steering_correction: float | None = setting(
        None,
        "Data",
        "number added to the steering for the left camera and subtracted for the right (Udacity)",
    )

    def refuse_all_but(self, kind: str, *allowed: str, remedy: str = "") -> None:
        """Raise OptionError for an option that a source of this kind does not have."""
        for name, value in vars(self).items():
            if value is not None and name not in allowed:
                flag = "--" + name.replace("_", "-")
                raise OptionError(
                    flag,
                    f"{flag} was given, but it means nothing for {kind}",
                    remedy=remedy or f"leave {flag} out",
                )


@dataclass(frozen=True)
class Shard:
    """Share `index` of `count`, by the images' digests: the same on every machine."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """From `I/N`, I from 0; None is the whole. Raises InputError for anything else."""
        if text is None:
            return cls()
        match = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
        index, count = (int(match[1]), int(match[2])) if match else (0, 0)
        if index >= count:
            raise InputError(
                f"--shard is {text}",
                expected="I/N: share I of N, counted from 0, as 0/4, 1/4, 2/4 and 3/4",
            )
        return cls(index, count)

    @property
    def whole(self) -> bool:
        """Whether there are no other shares."""
        return self.count == 1

    def has(self, digest: str) -> bool:
        """Whether the image of that digest belongs to this share."""
        return int(digest[:16], 16) % self.count == self.index

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


@dataclass(frozen=True)
class RayOptions:
    """The machines that compute; they decide no number, so no dataset remembers them as settings.

    Raises:
        InputError: an option of workers without `ray`, or a value that cannot be.
    """

    ray: str | None = setting(
        None, "Cluster", "local, or the address of a Ray cluster; auto: the one of this node"
    )
    ray_workers: int | None = setting(
        None, "Cluster", "number of workers; by default as many as the cluster has room for"
    )
    ray_cpus: int | None = setting(
        None, "Cluster", "CPUs of each worker; by default all of a node, at most 8"
    )
    ray_gpus: float | None = setting(
        None, "Cluster", "GPUs of each worker; by default 1 where the nodes have some"
    )

    def __post_init__(self) -> None:
        for name in ("ray_workers", "ray_cpus"):
            value = getattr(self, name)
            require(value is None or value >= 1, name, value, "at least 1")
        gpus = self.ray_gpus
        sound = gpus is None or 0 <= gpus < 1 or (gpus >= 1 and gpus % 1 == 0)
        require(sound, "ray_gpus", gpus, "0, a share below 1, or a whole number")
        if self.ray is None:
            for name, value in vars(self).items():
                if value is not None:
                    flag = "--" + name.replace("_", "-")
                    raise InputError(f"{flag} without --ray", remedy=f"--ray local {flag} {value}")

    def refuse_beside(self, settings: "ExtractConfig") -> None:
        """Raise InputError for a setting that means nothing on a cluster."""
        if self.ray is None:
            return
        if settings.shard is not None:
            raise InputError(
                f"--shard {settings.shard} with --ray, which shares the images out itself",
                remedy="leave --shard out",
            )
        if settings.embeddings is not None:
            raise InputError(
                "--ray with --embeddings, where nothing is computed", remedy="leave --ray out"
            )


WHOLE = Shard()
"""All images."""


@dataclass(frozen=True)
class ExtractConfig:
    """How images become features.

    The recipe holds every setting except engine, dtype, batch_size, max_failed and shard.
    """

    backbone: str = setting(
        "inception_v3", "Features", "keras.applications network, onnx:FILE or keras_hub:PRESET"
    )
    weights: str = setting("imagenet", "Features", "imagenet, random[:SEED] or a weights file")
    size: tuple[int, int] | Literal["native"] | None = setting(
        None, "Features", "height and width in pixels, or native; by default the backbone's"
    )
    preprocess: Literal["keras", "unit", "imagenet", "clip", "none"] = setting(
        "keras", "Features", "keras: as the backbone's; or a named set (docs/pixels.md)"
    )
    range: tuple[float, float] | None = setting(
        None, "Features", "values that become 0 and 255, for pixels of more than 8 bits"
    )
    layers: tuple[str, ...] = setting(
        (), "Features", "layers to read, such as mixed0; by default the last"
    )
    pool: str | None = setting(
        None,
        "Features",
        "pool of each layer: avg (default), max, grid:RxC; tokens: cls, mean; vectors: none",
    )
    columns: tuple[str, ...] = setting(
        (), "Features", "columns, such as mixed10.avg mixed2.grid2x4, in place of layers and pool"
    )
    views: tuple[str, ...] = setting(
        ("identity",), "Features", "views to compute: identity, or identity mirror"
    )
    embeddings: str | None = setting(
        None, "Features", "file of vectors to keep as features: .npy, .npz or .parquet; no network"
    )
    embeddings_name: str | None = setting(
        None, "Features", "name of these vectors, such as dinov2-vits14"
    )
    engine: Literal["auto", "tensorflow", "jax", "openvino"] = setting(
        "auto", "Computation", "framework that runs the network"
    )
    precision: Literal["float32", "bfloat16", "int8"] = setting(
        "float32", "Computation", "precision of the network; bfloat16 and int8 need openvino"
    )
    dtype: Literal["float32", "float16"] = setting(
        "float32", "Computation", "type of the numbers that the cache stores"
    )
    batch_size: int = setting(64, "Computation", "number of images computed together")
    max_failed: float = setting(0.01, "Computation", "share of images that may fail")
    shard: str | None = setting(
        None, "Computation", "I/N: compute only share I of N, counted from 0"
    )

    def __post_init__(self) -> None:
        require(self.batch_size >= 1, "batch_size", self.batch_size, "at least 1")
        if self.size is not None and self.size != "native":
            sound = all(1 <= side <= MOST_SIDE for side in self.size)
            require(sound, "size", self.size, f"height and width, from 1 to {MOST_SIDE} pixels")
        if self.range is not None:
            low, high = self.range
            fits = low < high and math.isfinite(high - low) and math.isfinite(255 / (high - low))
            require(fits, "range", self.range, "two numbers, the lower one first")
        require(0 <= self.max_failed <= 1, "max_failed", self.max_failed, "from 0 to 1")
        for name in ("preprocess", "engine", "precision", "dtype"):
            require_choice(self, name)
        able = self.precision == "float32" or self.engine in ("auto", "openvino")
        needs = f"openvino (or auto) with --precision {self.precision}"
        require(able, "engine", self.engine, needs)
        for name in ("layers", "columns"):
            asked = getattr(self, name)
            require(len(set(asked)) == len(asked), name, asked, f"each {name.rstrip('s')} once")
        check_views(self.views)
        Shard.parse(self.shard)
        if (self.embeddings is None) != (self.embeddings_name is None):
            given, missing = "--embeddings", "--embeddings-name NAME"
            if self.embeddings is None:
                given, missing = "--embeddings-name", "--embeddings FILE"
            raise InputError(f"{given} without {missing.split()[0]}", remedy=f"add {missing}")


_OF_EMBEDDINGS = ("embeddings", "embeddings_name", "dtype", "max_failed", "shard")


def refuse_beside_embeddings(said: Iterable[str]) -> None:
    """Raise InputError for a setting of networks beside embeddings."""
    if others := [name for name in said if name not in _OF_EMBEDDINGS]:
        flag = f"--{others[0].replace('_', '-')}"
        raise InputError(
            f"{flag} with --embeddings, which are taken as they are: no network computes them",
            remedy=f"leave {flag} out",
        )


FEATURES_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "best": {"layers": ("mixed2",), "pool": "grid:2x4", "size": (150, 150)},
    "explore": {
        "columns": (
            *("mixed0.avg", "mixed0.grid1x4", "mixed2.avg", "mixed2.grid2x4", "mixed4.avg"),
            *("mixed4.grid2x2", "mixed6.avg", "mixed6.grid2x2", "mixed8.avg", "mixed10.avg"),
        ),
        "size": (150, 150),
    },
}
"""The settings of `extract --preset` for InceptionV3; docs/best-head.md and docs/layers.md have the
reasons. extraction/explore.py has explore for ONNX files."""

FeaturesPreset = Literal["best", "explore"]
