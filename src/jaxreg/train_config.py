"""The settings of `train`: data, features, split, head and optimizer.

The group of each field is its box in `--help`. config_io.py reads and writes settings.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal, Self

from jaxreg.common.memory import parse_bytes
from jaxreg.errors import InputError
from jaxreg.setting_field import check_views, require, require_choice, setting
from jaxreg.target_types import TargetType, check_words, types_of

BLEND_COMPONENTS = 128  # of a blend, at most, where --components is not given: docs/best-head.md
MOST_MEMBERS = 1000  # folds, or seeds: each is a whole training
MOST_COUNT = 2**31 - 1  # the counters of a training are int32
MOST_UNITS = 2**14  # of a hidden layer
MOST_WEIGHTS = 2**28  # between hidden layers: 4 GB with the state of Adam and the best weights
THRESHOLDS = ("huber_delta", "min_delta")  # the targets decide them where nobody does
DELTA, MIN_DELTA = 0.5, 3e-4  # of the std and of the variance: the original's, for a std of 1
MOST_EPOCHS = 1_000_000  # the history of a training is held in memory


@dataclass(frozen=True)
class HeadConfig:
    """The head and how it is trained. The defaults are the original program's, corrected."""

    head: Literal["mlp", "ridge", "blend"] = setting(
        "mlp", "Head", "mlp; ridge, which is linear and needs no epochs; or a blend of both"
    )
    components: int | None = setting(
        None,
        "Head",
        "number of principal components for the MLP; without it all columns, blend 128",
    )
    hidden: tuple[int, ...] = setting((512, 256, 128, 64), "Head", "units of each hidden layer")
    dropout: float = setting(0.25, "Head", "share of units dropped after every second layer")
    output_activation: Literal["linear", "relu"] = setting(
        "linear", "Head", "activation of the output, in target units"
    )
    target_type: tuple[str, ...] = setting(
        ("plain",), "Head", "plain; bounded:LO:HI, which no prediction leaves; circular:PERIOD, "
        "which starts again, as circular:360 for degrees. One for all targets, or one for each",
    )  # fmt: skip
    scale_features: bool = setting(True, "Head", "standardize features with the training rows")
    scale_target: bool = setting(True, "Head", "standardize targets with the training rows")
    loss: Literal["huber", "mse", "mae"] = setting(
        "huber", "Optimizer", "loss of an error: huber; mse, its square; or mae, its size"
    )
    huber_delta: float | tuple[float, ...] | None = setting(
        None, "Optimizer", "error in target units above which the Huber loss is linear, one number "
        "or one for each target; by default half the std of the target",
    )  # fmt: skip
    learning_rate: float = setting(1e-4, "Optimizer", "first learning rate of Adam")
    decay_steps: int = setting(
        100_000, "Optimizer", "number of updates that multiply the rate once by --decay-rate"
    )
    decay_rate: float = setting(
        0.95, "Optimizer", "factor that the rate is multiplied by in --decay-steps updates"
    )
    weight_decay: float = setting(
        0.0, "Optimizer", "share of each weight, times the learning rate, that an update takes off"
    )
    batch_size: int = setting(32, "Optimizer", "number of rows in each update")
    epochs: int = setting(100, "Optimizer", "number of epochs to train at most")
    patience: int = setting(
        10, "Optimizer", "number of epochs without improvement after which to stop"
    )
    min_delta: float | None = setting(
        None, "Optimizer", "smallest decrease of val_loss that counts; by default 0.0003 times the "
        "variance of the target, with --loss mae times its std",
    )  # fmt: skip
    keep_going: bool = setting(False, "Optimizer", "train all epochs, even with a dead head")
    seed: int = setting(0, "Optimizer", "seed of weights, shuffling, dropout and split")

    def __post_init__(self) -> None:
        for name in ("batch_size", "epochs", "decay_steps"):
            value, most = getattr(self, name), MOST_EPOCHS if name == "epochs" else MOST_COUNT
            require(1 <= value <= most, name, value, f"from 1 to {most}")
        sound = all(1 <= units <= MOST_UNITS for units in self.hidden)
        require(sound, "hidden", self.hidden, f"layers of 1 to {MOST_UNITS} units")
        weights = sum(map(math.prod, pairwise(self.hidden)))
        most = f"at most {MOST_WEIGHTS:,} weights between the layers"
        require(weights <= MOST_WEIGHTS, "hidden", self.hidden, most)
        require(0 <= self.dropout < 1, "dropout", self.dropout, "from 0 to below 1")
        deltas = self.huber_delta if isinstance(self.huber_delta, tuple) else (self.huber_delta,)
        for name, values in [("huber_delta", deltas), ("learning_rate", (self.learning_rate,))]:
            positive = all(value is None or 0 < value < math.inf for value in values)
            require(positive, name, getattr(self, name), "a finite number above 0")
        decay = 0 <= self.weight_decay < math.inf
        require(decay, "weight_decay", self.weight_decay, "a finite number, 0 or more")
        require_choice(self, "loss")
        if self.loss != "huber" and self.huber_delta is not None:
            raise InputError(
                f"--huber-delta with --loss {self.loss}, which has no delta",
                remedy="leave --huber-delta out",
            )
        require_choice(self, "output_activation")
        require_choice(self, "head")
        check_words(self.target_type, self.output_activation, scaled=self.scale_target)
        some = self.components is None or 1 <= self.components <= MOST_COUNT
        require(some, "components", self.components, f"from 1 to {MOST_COUNT}")
        if not self.scale_features and (self.components is not None or self.head != "mlp"):
            asked = "--components" if self.head == "mlp" else f"--head {self.head}"
            raise InputError(
                f"{asked} with --no-scale-features",
                expected="scaled features; else the columns with the largest numbers decide",
                remedy="leave --no-scale-features out",
            )
        if self.head == "blend" and not self.scale_target:
            raise InputError(
                "--head blend with --no-scale-target", remedy="leave --no-scale-target out"
            )
        require(0 < self.decay_rate <= 1, "decay_rate", self.decay_rate, "above 0, at most 1")
        some = 0 <= self.patience <= MOST_COUNT
        require(some, "patience", self.patience, f"from 0 to {MOST_COUNT}")
        least = self.min_delta is None or 0 <= self.min_delta < math.inf
        require(least, "min_delta", self.min_delta, "finite, 0 or more")
        require(0 <= self.seed < 2**32, "seed", self.seed, "from 0 to 2**32 - 1")

    def components_of(self, rows: int, columns: int) -> int | None:
        """`components`, or for a blend without any as many as so many training rows can bear."""
        if self.head != "blend" or self.components is not None:
            return self.components
        return max(1, min(BLEND_COMPONENTS, (rows - 1) // 2, columns))

    def with_thresholds(self, std: Sequence[float]) -> Self:
        """The same with numbers for `huber_delta` and `min_delta`; with several targets, for each.

        What is given stays. The defaults fit the scale of the targets: DELTA std, and MIN_DELTA
        times the loss of an error of a std. With several targets that loss has no unit. Only the
        Huber loss has a delta.

        Args:
            std: of each target, by the training rows; 0 for a constant one.

        Raises:
            InputError: there are more or fewer deltas than targets.
        """
        units = [float(one) or 1.0 for one in std]
        delta, least = self.huber_delta, self.min_delta
        if delta is None and self.loss == "huber":
            delta = tuple(_rounded(DELTA * unit) for unit in units)
        if isinstance(delta, tuple):
            shown = " ".join(map(str, delta))
            require(len(delta) == len(units), "huber_delta", shown, f"1 or {len(units)} numbers")
            delta = delta if len(units) > 1 else sum(delta)
        if least is None:
            least = _rounded(MIN_DELTA * (units[0] ** self.power if len(units) == 1 else 1.0))
        return replace(self, huber_delta=delta, min_delta=least)

    def target_types(self, targets: int) -> tuple[TargetType, ...]:
        """The type of each of so many targets. Raises InputError if `target_type` has others."""
        return types_of(self.target_type, targets)

    def of_target(self, number: int) -> Self:
        """The settings of one of several targets: its own type and delta."""
        delta, kinds = self.huber_delta, self.target_type  # one kind, or one for each target
        own = delta[number] if isinstance(delta, tuple) else delta
        return replace(self, huber_delta=own, target_type=(kinds[number % len(kinds)],))

    @property
    def thresholds(self) -> tuple[float | tuple[float, ...] | None, float]:
        """`huber_delta`, None for another loss, and `min_delta`, after `with_thresholds`.

        Raises:
            ValueError: one of them is still None.
        """
        if self.min_delta is None or (self.huber_delta is None and self.loss == "huber"):
            raise ValueError("thresholds of settings without numbers for them")
        return self.huber_delta, self.min_delta

    @property
    def power(self) -> int:
        """The loss is in this power of the unit of a single target."""
        return 1 if self.loss == "mae" else 2

    @property
    def hidden_layers(self) -> tuple[int, ...]:
        """The hidden layers there are: a ridge is the head without any."""
        return () if self.head == "ridge" else self.hidden


def _rounded(value: float) -> float:
    """Nine digits: other machines may sum in another order, and get other last ones."""
    return float(f"{value:.9g}")


@dataclass(frozen=True)
class TrainConfig(HeadConfig):
    """A whole experiment on a cached dataset: what is read, what is held out, and the head."""

    target: tuple[str, ...] = setting((), "Data", "columns to predict; by default the source's")
    mirror_targets: tuple[str, ...] = setting(
        (), "Data", "targets that change their sign in the mirror"
    )
    side_columns: tuple[str, ...] = setting(
        (), "Data", "columns that the head gets beside the features: numbers, text or booleans"
    )
    weight_column: str | None = setting(
        None, "Data", "column that says how much each row counts, in training and in scores"
    )
    memory_limit: str | None = setting(
        None, "Data", "limit of the memory for features, such as 1GiB"
    )
    feature_set: str | None = setting(
        None, "Features", "name of a feature set, or its start; by default the last one"
    )
    layers: tuple[str, ...] = setting(
        (), "Features", "layers to train on; by default those of the last extract"
    )
    pool: str | None = setting(
        None, "Features", "pool of these layers; by default as in the last extract"
    )
    columns: tuple[str, ...] = setting(
        (),
        "Features",
        "columns to train on, such as mixed10.avg mixed2.max, in place of layers and pool",
    )
    views: tuple[str, ...] = setting(
        ("identity",),
        "Features",
        "identity, or identity mirror: each epoch draws one view of a row",
    )
    validation: float = setting(0.2, "Split", "share of rows that validate, for early stopping")
    test: float = setting(0.0, "Split", "share of rows that are scored once, at the end")
    split: str | None = setting(
        None,
        "Split",
        "tail, hash, blocks[:N], group:COLUMN or column:COLUMN; by default that of the source",
    )
    gap: float = setting(0.01, "Split", "share of a sequence left out beside each held-out block")
    folds: int | None = setting(
        None, "Split", "number of folds: a head that has not seen a row scores it"
    )
    seeds: int = setting(
        1, "Split", "number of trainings, with the seeds --seed, --seed + 1, and so on"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.validation < 1, "validation", self.validation, "between 0 and 1")
        require(0 <= self.test < 1, "test", self.test, "from 0 to below 1")
        both = self.validation + self.test
        require(both < 1, "test", self.test, "less than 1 with --validation")
        require(0 <= self.gap < 0.5, "gap", self.gap, "from 0 to below 0.5")
        check_views(self.views)
        if self.mirror_targets and "mirror" not in self.views:
            raise InputError(
                "--mirror-targets without the mirror view", remedy="--views identity mirror"
            )
        self._check_members()
        if self.memory_limit is not None:
            parse_bytes(self.memory_limit)

    def _check_members(self) -> None:
        members = f"to {MOST_MEMBERS}"
        some = self.folds is None or 2 <= self.folds <= MOST_MEMBERS
        require(some, "folds", self.folds, f"from 2 {members}")
        require(1 <= self.seeds <= MOST_MEMBERS, "seeds", self.seeds, f"from 1 {members}")
        require(self.seed + self.seeds <= 2**32, "seeds", self.seeds, "seeds below 2**32")
        if self.folds is not None and self.test:
            raise InputError(
                "--folds with --test: each fold is held out until the end already",
                remedy="leave --test out",
            )
        if self.seeds > 1 and self.head == "ridge":
            raise InputError(
                "--seeds with --head ridge, which uses no random numbers",
                remedy="leave --seeds out",
            )


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "original": {},  # the defaults: the corrected program's head and rates, with scaling
    "question": {
        "output_activation": "relu",
        "huber_delta": 0.5,
        "min_delta": 3e-4,
        "learning_rate": 0.1,
        "scale_features": False,
        "scale_target": False,
        "split": "tail",
    },
    "best": {"head": "blend", "learning_rate": 1e-3, "min_delta": 0.0},
    "answer": {
        "huber_delta": 0.5,
        "min_delta": 3e-4,
        "scale_features": False,
        "scale_target": False,
        "split": "tail",
    },
}
"""What each preset says otherwise than the defaults; docs/keras-parity.md has both programs."""

Preset = Literal["original", "best", "question", "answer"]
