"""Data that can be learned, made from a few hidden causes, and its training."""

from dataclasses import dataclass, field, replace

import jax
import numpy as np
import pyarrow as pa

from jaxreg.config_io import to_json
from jaxreg.entry_weights import entry_weights
from jaxreg.experiment.side_baselines import side_baselines
from jaxreg.head import scaling
from jaxreg.head.apply import predict_rows
from jaxreg.head.fit import make_fit
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import Data, History, init_state, prepare
from jaxreg.head.target_outputs import encode, of_outputs, target_of_output
from jaxreg.head.target_ridges import solve_targets
from jaxreg.side_columns import NO_SIDE, SideColumn, SideColumns
from jaxreg.splits.held_out_groups import some_of, training_groups
from jaxreg.target_types import center_and_std
from jaxreg.train_config import HeadConfig, TrainConfig
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows

CONFIG = TrainConfig(hidden=(128, 64, 32, 16), learning_rate=1e-3, epochs=60)


@dataclass(frozen=True)
class Made:
    """What an experiment is, without a cache."""

    x: np.ndarray  # (rows, columns) float32
    y: np.ndarray  # (rows, targets) float32
    labels: np.ndarray  # (rows,)
    digests: list[str]
    sequence: np.ndarray
    order: np.ndarray
    sequential: bool = False
    split: str = "hash"
    units: int = 100
    targets: tuple[str, ...] = ("target",)
    random_seed: int | None = None
    beside: SideColumns = NO_SIDE  # the last columns of x
    weights: np.ndarray | None = None  # (rows,)
    config: TrainConfig = field(default=CONFIG)

    def but(self, **changes) -> "Made":
        """The same with other arrays."""
        return replace(self, **changes)

    def set(self, **settings) -> "Made":
        """The same with other settings."""
        return replace(self, config=replace(self.config, **settings))

    def with_side(self, table: pa.Table, *columns: SideColumn) -> "Made":
        """The same with these side columns after the features."""
        beside = SideColumns(columns)
        x = np.concatenate([self.x, beside.encode(table).values], axis=1)
        return self.but(x=x, beside=beside).set(side_columns=beside.names)

    def side(self, name: str) -> np.ndarray:
        return np.flatnonzero(self.labels == name)


@dataclass(frozen=True)
class Shape:
    """How large, and of how many causes."""

    rows: int
    columns: int
    causes: int
    noise: float


TUNING = Shape(rows=600, columns=96, causes=6, noise=0.15)
HELD_OUT = Shape(rows=500, columns=128, causes=8, noise=0.25)


def photos(shape: Shape, seed: int) -> Made:
    """Independent images; a fifth of them validates."""
    rng = np.random.default_rng([seed, 1])
    cause = rng.normal(size=(shape.rows, shape.causes))
    labels = np.full(shape.rows, "train", dtype=object)
    labels[rng.permutation(shape.rows)[: shape.rows // 5]] = "validation"
    return _made(shape, cause, labels, rng).set(seed=seed)


def video(shape: Shape, seed: int) -> Made:
    """Two sequences of frames, each a tenth like the one before; two tenths of each validate."""
    rng = np.random.default_rng([seed, 2])
    half = shape.rows // 2
    cause = np.concatenate([smooth(rng, half, shape.causes, 0.8) for _ in range(2)])
    place = np.tile(np.arange(half), 2)
    tenth = place * 10 // half
    first = 1 + seed % 4  # never at an edge, so that all seeds have as many rows of each side
    labels = np.where(np.isin(tenth, [first, first + 5]), "validation", "train").astype(object)
    labels[:-1][(labels[:-1] == "train") & (labels[1:] == "validation")] = "left-out"
    made = _made(shape, cause, labels, rng).set(seed=seed)
    return made.but(
        sequence=np.arange(shape.rows) // half, order=place, sequential=True, split="blocks:10"
    )


def smooth(rng: np.random.Generator, rows: int, columns: int, memory: float) -> np.ndarray:
    """Columns of std 1 in which each row is `memory` times the one before, and noise."""
    walk = np.empty((rows, columns))
    walk[0] = rng.normal(size=columns)
    for i in range(1, rows):
        walk[i] = memory * walk[i - 1] + np.sqrt(1 - memory**2) * rng.normal(size=columns)
    return walk


def shown(rng: np.random.Generator, made: Made, *causes: np.ndarray) -> np.ndarray:
    """Other features of the same shape, made from these causes and from four others."""
    cause = np.stack([*causes, *rng.normal(size=(4, len(made.x)))], axis=1)
    blend = rng.normal(size=(cause.shape[1], made.x.shape[1])) / np.sqrt(cause.shape[1])
    x = np.maximum(cause @ blend + 0.3, 0) + 0.05 * rng.normal(size=made.x.shape)
    return x.astype(np.float32)


def _made(shape: Shape, cause: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Made:
    blend = rng.normal(size=(shape.causes, shape.columns)) / np.sqrt(shape.causes)
    x = np.maximum(cause @ blend + 0.3, 0) + 0.05 * rng.normal(size=(shape.rows, shape.columns))
    y = np.tanh(cause[:, 0]) + 0.6 * cause[:, 1] + shape.noise * rng.normal(size=shape.rows)
    return Made(
        x=x.astype(np.float32),
        y=y[:, None].astype(np.float32),
        labels=labels,
        digests=[f"{i:064x}" for i in range(shape.rows)],
        sequence=np.zeros(shape.rows, np.int64),
        order=np.arange(shape.rows),
    )


def train(made: Made) -> Observed:
    """Train as a run does, and observe."""
    x, y, beside = made.x, made.y, made.beside
    rows, validation = made.side("train"), made.side("validation")
    components = made.config.components_of(len(rows), x.shape[1] - beside.width)
    types = made.config.target_types(y.shape[1])
    std = center_and_std(types, y[made.side("train")])[1].tolist()
    config = replace(made.config, components=components).with_thresholds(std)
    weights = entry_weights(y, made.weights)
    data = Data.of(x[rows], y[rows], x[validation], y[validation])
    data = data._replace(weights=weights[np.r_[rows, validation]])
    groups = training_groups(
        made.split,
        rows,
        order=made.order,
        group=[str(number) for number in made.sequence],
        columns=pa.table({}),
        gap=config.gap,
        sequential=made.sequential,
    )
    scaler = scaling.feature_scaler(x[rows], beside)
    outputs, same = encode(types, y), target_of_output(types)
    of_each = of_outputs(types, weights)
    solved = solve_targets(
        scaler, x[rows], outputs[rows], of_each[rows], some_of(groups), same, components=True
    )
    plain = Scalers(scaler, scaling.target_scaler(outputs[rows]))
    linear = HeadConfig(head="ridge", target_type=made.config.target_type)
    ridge = predict_rows(solved.head(plain), plain, linear, x)
    alone = {}
    if beside:
        groups = some_of(groups)
        alone = side_baselines(solved, plain.target, x, outputs, of_each, rows, groups, types)
    state = init_state(config, data, solved, side=beside)
    history = History(*(np.zeros(0) for _ in History._fields))
    if config.head == "ridge":
        head = solved.head(state.scalers)
        state = state._replace(params=head, best_params=head)
    else:
        data = prepare(config, state, data)
        state, history = make_fit(config)(state, data, config.epochs)
    state = jax.device_get(state)
    epochs = int(state.epoch)
    pred = predict_rows(state.best_params, state.scalers, config, x)
    sampled = choose_rows(made.labels, made.sequence, made.order)
    return Observed(
        targets=made.targets,
        config=config,
        asked=to_json(made.config),
        words=("made",),
        extract="jaxreg extract made.csv",
        extract_trained="jaxreg extract made.csv --weights imagenet",
        diagnose="jaxreg diagnose made",
        y=y,
        weights=weights,
        predictions=pred,
        labels=made.labels,
        digests=made.digests,
        sequence=made.sequence,
        order=made.order,
        sequential=made.sequential,
        split=made.split,
        units=made.units,
        sampled=sampled,
        x=x[sampled],
        history={name: np.asarray(getattr(history, name))[:epochs] for name in history._fields},
        state=state,
        ridge=ridge,
        side=beside,
        beside=alone,
        random_seed=made.random_seed,
    )
