"""Every setting of an experiment, with its default, its unit and its one check.

To and from JSON and command lines: settings.py.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args, get_type_hints

from jaxreg.errors import InputError, nearest
from jaxreg.memory import parse_bytes
from jaxreg.shard import Shard

VIEWS = ("identity", "mirror")  # the image as it is, and flipped left to right

MIX_COMPONENTS = 128  # of a mix, at most, where --components is not said: docs/best-head.md
MOST_EPOCHS = 1_000_000  # the history of a training is held in memory


def _require(ok: bool, name: str, value: object, expected: str) -> None:
    if not ok:
        raise InputError(f"--{name.replace('_', '-')} is {value}", expected=expected)


def _require_choice(settings: object, name: str) -> None:
    """The command line allows only the listed words; the Python API must too."""
    allowed = get_args(get_type_hints(type(settings))[name])
    _require(
        getattr(settings, name) in allowed, name, getattr(settings, name), " or ".join(allowed)
    )


def _check_views(views: tuple[str, ...]) -> None:
    """Raise InputError for views that are unknown or repeated, or without identity."""
    for view in views:
        if view not in VIEWS:
            near = nearest(view, VIEWS) or ""
            raise InputError(f"no view {view!r}", expected=" or ".join(VIEWS), remedy=near)
    shown = " ".join(views) or "empty"
    _require(len(set(views)) == len(views), "views", shown, "each view once")
    needs = "identity among them: validation and predictions use it alone"
    _require("identity" in views, "views", shown, needs)


@dataclass(frozen=True)
class SourceOptions:
    """What a user may say about a source; each option belongs to some kinds of source only."""

    image_column: str | None = None  # table: the column with the image's path or bytes
    id_column: str | None = None  # table: the column with the example's name
    group_column: str | None = None  # table: the column that names the sequence of a row
    order_column: str | None = None  # table: the column with the row's place in its sequence
    steering_correction: float | None = None  # udacity: steering units added for the left camera

    def refuse_all_but(self, kind: str, *allowed: str) -> None:
        """Raise InputError if an option was given that a source of this kind has no use for."""
        for name, value in vars(self).items():
            if value is not None and name not in allowed:
                flag = "--" + name.replace("_", "-")
                raise InputError(
                    f"{flag} was given, but it means nothing for {kind}", remedy=f"leave {flag} out"
                )


@dataclass(frozen=True)
class ExtractConfig:
    """How images become features. All but engine, store, batch and max-failed is in the recipe."""

    backbone: str = "inception_v3"  # any network of keras.applications, as mobilenet_v2
    weights: str = "imagenet"  # imagenet, random[:SEED] or a .weights.h5, .h5 or .keras file
    size: tuple[int, int] | Literal["native"] | None = None  # pixels: H W; none: the backbone's own
    preprocess: Literal["keras", "unit"] = "keras"  # keras: the backbone's own; unit: x / 255
    taps: tuple[str, ...] = ()  # layers to read, as mixed0 to mixed10; none: the last
    pool: str = "avg"  # avg, max or grid:RxC
    views: tuple[str, ...] = ("identity",)  # identity, or identity mirror: also left-right flipped
    engine: Literal["auto", "tensorflow", "jax", "openvino"] = "auto"  # what runs the network
    precision: Literal["float32", "bfloat16", "int8"] = "float32"  # below float32: openvino
    store: Literal["float32", "float16"] = "float32"  # how features are kept
    batch: int = 64  # images a step
    max_failed: float = 0.01  # share of images that may fail before it ends with exit code 4
    shard: str | None = None  # I/N: only share I (from 0) of N, so that N machines fill one cache

    def __post_init__(self) -> None:
        _require(self.batch >= 1, "batch", self.batch, "at least 1")
        if self.size is not None and self.size != "native":
            _require(min(self.size) >= 1, "size", self.size, "pixels: height and width")
        _require(0 <= self.max_failed <= 1, "max_failed", self.max_failed, "from 0 to 1")
        for name in ("preprocess", "engine", "precision", "store"):
            _require_choice(self, name)
        able = self.precision == "float32" or self.engine in ("auto", "openvino")
        needs = f"openvino (or auto) with --precision {self.precision}"
        _require(able, "engine", self.engine, needs)
        _require(len(set(self.taps)) == len(self.taps), "taps", self.taps, "each layer once")
        _check_views(self.views)
        Shard.parse(self.shard)


@dataclass(frozen=True)
class HeadConfig:
    """The head and how it is trained. The defaults are the original program's, corrected."""

    head: Literal["mlp", "ridge", "mix"] = "mlp"  # ridge: linear, no epochs; mix: both, weighted
    components: int | None = None  # principal components as the head's input; none: all columns
    hidden: tuple[int, ...] = (512, 256, 128, 64)  # units of each hidden relu layer
    dropout: float = 0.25  # share of units dropped after every second hidden layer
    output_activation: Literal["linear", "relu"] = "linear"  # after un-scaling to target units
    scale_features: bool = True  # standardize by the training rows
    scale_target: bool = True  # work in training deviations of the target
    huber_delta: float = 0.5  # target units: where the loss turns from square to straight
    learning_rate: float = 1e-4  # Adam's first rate
    decay_steps: int = 100_000  # optimizer updates for one factor of decay-rate
    decay_rate: float = 0.95  # factor on the rate, continuous
    batch_size: int = 32  # rows a step
    epochs: int = 100  # at most
    patience: int = 10  # epochs without improvement before stopping
    min_delta: float = 3e-4  # loss units: a smaller improvement does not count
    keep_going: bool = False  # all epochs, stopping or dead output or not; a loss has to be finite
    seed: int = 0  # of initial weights, shuffling, dropout and split

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "decay_steps"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        _require(all(n >= 1 for n in self.hidden), "hidden", self.hidden, "units of at least 1")
        _require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to below 1")
        for name in ("huber_delta", "learning_rate"):
            value = getattr(self, name)
            _require(0 < value < math.inf, name, value, "a finite number above 0")
        _require_choice(self, "output_activation")
        _require_choice(self, "head")
        some = self.components is None or self.components >= 1
        _require(some, "components", self.components, "at least 1")
        if not self.scale_features and (self.components is not None or self.head != "mlp"):
            asked = "--components" if self.head == "mlp" else f"--head {self.head}"
            raise InputError(
                f"{asked} with --no-scale-features",
                expected="scaled features: loud columns would drown the others",
                remedy="leave --no-scale-features out",
            )
        if self.head == "mix" and not self.scale_target:
            raise InputError("--head mix with --no-scale-target", remedy="leave the latter out")
        _require(0 < self.decay_rate <= 1, "decay_rate", self.decay_rate, "above 0, at most 1")
        _require(self.epochs <= MOST_EPOCHS, "epochs", self.epochs, f"at most {MOST_EPOCHS}")
        _require(self.patience >= 0, "patience", self.patience, "0 or more")
        _require(0 <= self.min_delta < math.inf, "min_delta", self.min_delta, "finite, 0 or more")
        _require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")

    def components_of(self, rows: int, columns: int) -> int | None:
        """`components`, or for a mix without any as many as so many training rows can bear."""
        if self.head != "mix" or self.components is not None:
            return self.components
        return max(1, min(MIX_COMPONENTS, (rows - 1) // 2, columns))

    @property
    def layers(self) -> tuple[int, ...]:
        """The hidden layers there are: a ridge is the head without any."""
        return () if self.head == "ridge" else self.hidden


@dataclass(frozen=True)
class TrainConfig(HeadConfig):
    """A whole experiment on a cached dataset: what is read, what is held out, and the head."""

    target: tuple[str, ...] = ()  # columns to predict; none: the source's own
    features: str | None = None  # space or its unique prefix; none: the last extract's
    taps: tuple[str, ...] = ()  # InceptionV3 layers, concatenated; none: the last extract's
    pool: str | None = None  # avg, max or grid:RxC; none: the last extract's
    views: tuple[str, ...] = ("identity",)  # cached views, one drawn per row and epoch
    mirror_targets: tuple[str, ...] = ()  # targets that change their sign in the mirror view
    validation: float = 0.2  # share of rows that early stopping watches
    test: float = 0.0  # share of rows that nothing looks at until the end
    split: str | None = None  # tail, hash, blocks[:N] or group:COLUMN; none: by the source
    gap: float = 0.01  # blocks: share of a sequence left out beside each edge
    folds: int | None = None  # trainings that each hold out another share of the rows
    seeds: int = 1  # trainings that differ in their seed: seed, seed + 1, …
    memory_limit: str | None = None  # features held at a time, as 1GiB; none: what is free

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(0 < self.validation < 1, "validation", self.validation, "between 0 and 1")
        _require(0 <= self.test < 1, "test", self.test, "from 0 to below 1")
        both = self.validation + self.test
        _require(both < 1, "test", self.test, "less than 1 with --validation")
        _require(0 <= self.gap < 0.5, "gap", self.gap, "from 0 to below 0.5")
        _check_views(self.views)
        if self.mirror_targets and "mirror" not in self.views:
            raise InputError(
                "--mirror-targets without the mirror view", remedy="--views identity mirror"
            )
        self._check_members()
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)

    def _check_members(self) -> None:
        _require(self.folds is None or self.folds >= 2, "folds", self.folds, "at least 2")
        _require(1 <= self.seeds <= 1000, "seeds", self.seeds, "from 1 to 1000")
        _require(self.seed + self.seeds <= 2**32, "seeds", self.seeds, "seeds below 2**32")
        if self.folds is not None and self.test:
            raise InputError(
                "--folds with --test: each fold is held out until the end already",
                remedy="leave one of them out",
            )
        if self.seeds > 1 and self.head == "ridge":
            raise InputError("--seeds with --head ridge, which draws nothing", remedy="no --seeds")


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "original": {},  # the defaults: the corrected program's head and rates, with scaling
    "question": {
        "output_activation": "relu",
        "learning_rate": 0.1,
        "scale_features": False,
        "scale_target": False,
        "split": "tail",
    },
    "best": {"head": "mix", "learning_rate": 1e-3, "min_delta": 0.0},
    "answer": {"scale_features": False, "scale_target": False, "split": "tail"},
}
"""What each preset says otherwise than the defaults; docs/keras-parity.md has both programs."""

FEATURES_PRESETS: Mapping[str, Mapping[str, Any]] = {
    "best": {"taps": ("mixed2",), "pool": "grid:2x4", "size": (150, 150)},
}
"""What `extract --preset` says; docs/best-head.md has the reasons."""

FeaturesPreset = Literal["best"]

Preset = Literal["original", "best", "question", "answer"]
