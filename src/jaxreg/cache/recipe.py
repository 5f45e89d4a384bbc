"""Everything that decides a feature's value, and the names made from it. Imports no Keras."""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, Self, TypeVar

from jaxreg.common.files import safe_name
from jaxreg.errors import InputError, nearest
from jaxreg.setting_field import MOST_SIDE, VIEWS
from jaxreg.sources.examples import DIGEST

INCEPTION_LAYERS = tuple(f"mixed{i}" for i in range(11))
"""InceptionV3's concatenations, first to last; 0 is nearest to the image."""

ONNX = "onnx"
"""The backbone of a recipe whose network is an ONNX file; `--backbone onnx:FILE` names the file."""

HUB = "keras_hub"
"""The same for a preset of KerasHub: `--backbone keras_hub:NAME` or `keras_hub:FOLDER`."""

RESIZE = "bilinear-half-pixel"
"""As tf.image.resize: no antialias, float result."""

DECODE = 1
"""Version of the rules in sources/pixels.py; another one gives other pixels."""

LAYER = r"[\w-]+"
"""The names that layers and embeddings may have in a column, as a regular expression."""

_TUPLES = ("range", "scale", "offset")  # fields of a recipe with several numbers, or None

_WORDS = "avg|max|cls|mean|none"

Preprocess = Literal["keras", "unit", "imagenet", "clip", "none"]
Precision = Literal["float32", "bfloat16", "int8"]


@dataclass(frozen=True, order=True)
class Column:
    """One kind of feature: which view of the image, which layer is read, how it is pooled."""

    view: str = "identity"  # identity or mirror
    layer: str = "mixed10"  # a layer of the backbone, or the name of embeddings
    pool: str = "avg"  # of maps avg, max or grid:RxC; of tokens cls or mean; of vectors none

    def __post_init__(self) -> None:
        if self.view not in VIEWS:
            raise InputError(f"no view {self.view!r}", expected=" or ".join(VIEWS))
        if not re.fullmatch(rf"{_WORDS}|grid:[1-9]\d*x[1-9]\d*", self.pool):
            expected = "avg, max or grid:RxC; cls or mean of tokens; none of vectors"
            raise InputError(f"no pool {self.pool!r}", expected=expected)
        if not re.fullmatch(LAYER, self.layer):
            raise InputError(f"no layer {self.layer!r}", expected="a layer's name, as mixed10")

    @property
    def name(self) -> str:
        """The directory's name, as `identity.mixed2.grid1x4`."""
        return f"{self.view}.{self.layer}.{self.pool.replace(':', '')}"

    @property
    def short_name(self) -> str:
        """The name without the view and the pool none, as `mixed2.grid1x4`."""
        return self.name.removeprefix(f"{self.view}.").removesuffix(".none")

    @staticmethod
    def is_name(name: str) -> bool:
        """Whether the name is that of a column."""
        pattern = rf"(identity|mirror)\.{LAYER}\.({_WORDS}|grid\d+x\d+)"
        return re.fullmatch(pattern, name) is not None

    @classmethod
    def parse(cls, name: str) -> Self:
        """The inverse of `name`; `mixed10.avg` means `identity.mixed10.avg`.

        One word is what has no pool: `dinov2` means `identity.dinov2.none`.
        """
        parts = name.split(".")
        if len(parts) > 3:
            raise InputError(f"no column {name!r}", expected="LAYER.POOL, as mixed10.avg")
        if len(parts) == 1:
            parts.append("none")
        view, layer, pool = ("identity", *parts)[-3:]
        return cls(view, layer, re.sub("^grid:?", "grid:", pool))

    @property
    def identity(self) -> "Column":
        """The column with the same layer and pool, and the view identity."""
        return dataclasses.replace(self, view="identity")

    @property
    def cells(self) -> tuple[int, int] | None:
        """Rows and columns of the grid, None for the other pools."""
        if not self.pool.startswith("grid:"):
            return None
        rows, columns = self.pool.removeprefix("grid:").split("x")
        return int(rows), int(columns)


def layer_meant(backbone: str, layer: str, there: Iterable[Column]) -> str | None:
    """The layer that a misspelt name means: the nearest one of the columns `there`.

    None for a layer that exists, and for other backbones, because only Keras knows their layers.
    """
    if backbone != "inception_v3" or layer in INCEPTION_LAYERS:
        return None
    return (
        nearest(layer, sorted({column.layer for column in there}))
        or nearest(layer, INCEPTION_LAYERS)
        or INCEPTION_LAYERS[-1]
    )


class HasFeatureSet(Protocol):
    """A recipe of either kind."""

    @property
    def feature_set(self) -> str: ...


Named = TypeVar("Named", bound=HasFeatureSet)


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a feature's value; each recipe has its own feature set."""

    weights: str  # identity: 64 hex of a file's SHA-256, or random:<seed>:v1
    weights_tag: str  # imagenet, random<seed>, or the first 8 hex: a name for people
    backbone: str = "inception_v3"
    size: tuple[int, int] | None = (299, 299)  # pixels, height and width; None: the image's own
    resize: str = RESIZE
    preprocess: Preprocess = "keras"  # keras: the backbone's own preprocess_input
    precision: Precision = "float32"
    decode: int = DECODE
    engine: str | None = None  # only below float32, where engines differ
    quantized: str | None = None  # int8: SHA-256 of the quantized model that the feature set keeps
    range: tuple[float, float] | None = None  # values of deep pixels that become 0 and 255
    scale: tuple[float, ...] | None = None  # KerasHub with preprocess keras: x * scale + offset,
    offset: tuple[float, ...] | None = None  # one number for each channel
    prefix_tokens: int | None = None  # KerasHub: tokens before the patches, not in the pool mean

    def __post_init__(self) -> None:
        for name in (self.backbone, self.weights_tag):  # parts of a folder's name
            if safe_name(name) != name:
                raise ValueError(f"recipe: {name!r} is not a name")
        if (self.decode, self.resize) != (DECODE, RESIZE):
            raise ValueError(f"recipe: no decode rules {self.decode} or resize {self.resize!r}")
        if self.size is not None and not all(1 <= side <= MOST_SIDE for side in self.size):
            raise ValueError(f"recipe: a size of {self.size}, not from 1 to {MOST_SIDE} pixels")
        if (self.precision == "float32") != (self.engine is None):
            raise ValueError("recipe: the engine counts below float32, and only there")
        if self.quantized is not None and self.precision != "int8":
            raise ValueError("recipe: only int8 has a quantized model")
        for numbers in (self.scale, self.offset):
            if numbers is not None and not (len(numbers) == 3 and all(map(math.isfinite, numbers))):
                raise ValueError(f"recipe: {numbers} are not three numbers")
        if (self.scale is None) != (self.offset is None):
            raise ValueError("recipe: scale and offset come together")
        if self.prefix_tokens is not None and self.prefix_tokens < 0:
            raise ValueError(f"recipe: {self.prefix_tokens} tokens before the patches")
        if self.range is not None and not -math.inf < self.range[0] < self.range[1] < math.inf:
            raise ValueError(f"recipe: no range {self.range}")

    @property
    def fingerprint(self) -> str:
        """64 hex digits that depend on the fields' values alone, never on a path or a time."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()

    @property
    def feature_set(self) -> str:
        """The name of the directory in `cache/features`."""
        size = "native" if self.size is None else f"{self.size[0]}x{self.size[1]}"
        return f"{self.backbone}-{self.weights_tag}-{size}-{self.fingerprint[:8]}"

    @property
    def digest_column(self) -> str:
        """The column of a dataset with the digests of what features are of: of images."""
        return DIGEST

    @property
    def random_seed(self) -> int | None:
        """The seed of random weights, None for trained ones."""
        match = re.fullmatch(r"random:(\d+):v1", self.weights)
        return int(match[1]) if match else None

    def to_json(self) -> dict[str, Any]:
        """The fields that the fingerprint hashes: all but the weights' name for people."""
        fields = dataclasses.asdict(self)
        fields["size"] = "native" if self.size is None else list(self.size)
        del fields["weights_tag"]
        for later in ("quantized", "prefix_tokens", *_TUPLES):  # without them names stay
            if fields[later] is None:
                del fields[later]
            elif later in _TUPLES:
                fields[later] = list(fields[later])
        return fields

    @classmethod
    def from_json(cls, fields: dict[str, Any], weights_tag: str, feature_set: str) -> Self:
        """The inverse of `to_json`, of a recipe whose feature set is known by name.

        Raises:
            InputError: it cannot be read, or is that of another feature set.
        """

        def make() -> Self:
            size = None if fields["size"] == "native" else tuple(fields["size"])
            tuples = {name: tuple(map(float, fields[name])) for name in _TUPLES if name in fields}
            return cls(**{**fields, "size": size, **tuples}, weights_tag=weights_tag)

        return checked(make, feature_set)


def checked(make: Callable[[], Named], feature_set: str) -> Named:
    """What `make` returns, if it is the recipe of this feature set; InputError if it is not."""
    try:
        recipe = make()
        found = recipe.feature_set
    except (InputError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"the recipe of {feature_set} cannot be read: {error!r}",
            expected="a recipe of this version of jaxreg",
            remedy="extract and train again",
        ) from error
    if found != feature_set:
        raise InputError(
            f"the recipe of {feature_set} is that of {found}",
            expected="a recipe that the name of the feature set is made from",
            remedy="extract and train again, because features of two recipes must not be mixed",
        )
    return recipe
