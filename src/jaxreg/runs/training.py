"""The outer loop of a training: epochs in chunks, with saving, printing and stopping in between."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import jax
import numpy as np

from jaxreg.config import TrainConfig
from jaxreg.features.streaming import read_pieces, read_rows
from jaxreg.heads import fit as on_device
from jaxreg.heads import stream
from jaxreg.heads.ridge import Spectrum, solve
from jaxreg.heads.state import Data, History, State, first_state, init_state, project
from jaxreg.runs.bar import Bar
from jaxreg.runs.blocks import ExperimentBlocks
from jaxreg.runs.checkpoint import Checkpoints
from jaxreg.runs.directory import Row, RunDirectory
from jaxreg.runs.experiment import Experiment
from jaxreg.runs.identity import Identity
from jaxreg.verdict.watching import ROWS as WATCHED_ROWS
from jaxreg.verdict.watching import Watch, next_look

SAVE_SECONDS = 1.0  # at least so long between two checkpoints
CHUNK_SECONDS = 0.5  # about so long between two looks at signals and the terminal

Fit = Callable[[State, int], tuple[State, History]]


@dataclass(frozen=True)
class Trained:
    """A training that has ended, or was told to stop."""

    state: State
    history: list[Row]
    compile_seconds: float  # until the first epoch: rows to the device, state, compilation
    train_seconds: float  # epochs, and what is saved and printed between and after them
    interrupted: bool  # told to stop: a later --resume goes on
    lost: str = ""  # why it cannot recover, and was ended for it


def train(
    directory: RunDirectory,
    experiment: Experiment,
    config: TrainConfig,
    identity: Identity,
    spectrum: Spectrum | None,
    *,
    resume: bool,
    say: Callable[[str], None],
    on_epoch: Callable[[Row], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train until early stopping, the last epoch, a loss that is not finite, or a request to stop.

    How the epochs are cut into chunks changes no bit of the result, so a run that was stopped and
    resumed ends like one that was not. `spectrum` is that of the training rows, for components.
    """
    begin = time.perf_counter()
    state, make_fit = _start(experiment, config, spectrum)
    checkpoints = Checkpoints(directory.checkpoints, identity)
    history: list[Row] = []
    if resume and (found := checkpoints.load(state, say)):
        epoch, state = found
        history = list(directory.read_history()[:epoch])
        say(f"resumed at epoch {epoch}")
    directory.write_history(history)

    fit = make_fit(state)
    state, _ = fit(state, 0)
    jax.block_until_ready(state)
    compile_seconds = time.perf_counter() - begin

    begin = saved = time.perf_counter()
    chunk, interrupted, lost = 1, False, ""
    watch = _watch(experiment, config, state)
    while _goes_on(state, config) and not (interrupted or lost):
        started = time.perf_counter()
        before = int(state.epoch)
        state, written = fit(state, min(before + chunk, next_look(before)))
        rows = _rows(written, before, int(state.epoch), started)
        for row in rows:
            on_epoch(row)
        history += rows
        lost = _look(watch, config, state, history, say)
        directory.write_history(history)
        interrupted = should_stop()
        if time.perf_counter() - saved >= SAVE_SECONDS and not interrupted:
            checkpoints.save(int(state.epoch), state)
            saved = time.perf_counter()
        chunk = max(1, int(CHUNK_SECONDS / rows[-1]["seconds"]))
    checkpoints.save(int(state.epoch), state)
    checkpoints.wait()
    return Trained(state, history, compile_seconds, time.perf_counter() - begin, interrupted, lost)


def _watch(experiment: Experiment, config: TrainConfig, state: State) -> Watch:
    rows = experiment.rows("train")
    some = rows[:: max(1, len(rows) // WATCHED_ROWS)][:WATCHED_ROWS]
    return Watch(config, jax.device_get(state.scalers), read_rows(experiment.x, some))


def _look(
    watch: Watch, config: TrainConfig, state: State, history: list[Row], say: Callable[[str], None]
) -> str:
    """Say it in the epoch in which a head dies; why the training is over, or "" if it is not."""
    epoch = int(state.epoch)
    if epoch != next_look(epoch - 1) or not state.finite:
        return ""
    says, is_lost = watch.look(jax.device_get(state.params), [float(r["loss"]) for r in history])
    if says:
        end = "; it is over" if is_lost and not config.keep_going else ""
        say(f"warning: epoch {epoch}: {says}{end}")
    return says if is_lost and not config.keep_going else ""


def _start(
    experiment: Experiment, config: TrainConfig, spectrum: Spectrum | None
) -> tuple[State, Callable[[State], Fit]]:
    """The state before the first epoch, and what makes of a state (new or loaded) its `fit`."""
    rows, x, y = experiment.rows("train"), experiment.x, experiment.y
    # components are few enough for the device, wherever the features are
    on_the_device = experiment.placement.kind == "device" or config.components is not None
    if on_the_device and isinstance(x, np.ndarray):
        data = _data(experiment, x)
        fit = on_device.make_fit(config)

        def begin(state: State) -> Fit:
            placed = jax.device_put(project(config, state.scalers, data))
            return lambda state, until: fit(state, placed, until)

        return init_state(config, data, spectrum), begin

    def pieces() -> Iterator[np.ndarray]:
        return (piece for _, piece in read_pieces(x, rows))

    blocks, fit_blocks = ExperimentBlocks(experiment, config), stream.make_fit(config)
    state = first_state(config, pieces, y[rows], x.shape[1])
    return state, lambda _: lambda state, until: fit_blocks(state, blocks, until)


def solve_ridge(
    directory: RunDirectory,
    experiment: Experiment,
    config: TrainConfig,
    identity: Identity,
    bar: Bar,
) -> Trained:
    """`--head ridge`: the state of a head without hidden layers, solved at once, after no epoch."""
    begin = time.perf_counter()
    assert isinstance(experiment.x, np.ndarray)  # check_head has seen to it
    data, ridge = _data(experiment, experiment.x), bar.ridge
    state = init_state(config, data, bar.spectrum)
    if config.components is not None:
        ridge = solve(bar.spectrum, data.x, data.y, config.components)
    params = bar.spectrum.head(ridge, state.scalers)
    state = state._replace(params=params, best_params=params)
    directory.write_history([])
    checkpoints = Checkpoints(directory.checkpoints, identity)
    checkpoints.save(0, state)
    checkpoints.wait()
    return Trained(state, [], 0.0, time.perf_counter() - begin, interrupted=False)


def _data(experiment: Experiment, x: np.ndarray) -> Data:
    rows, watched, y = experiment.rows("train"), experiment.rows("validation"), experiment.y
    return Data(x[rows], y[rows], x[watched], y[watched])


def _goes_on(state: State, config: TrainConfig) -> bool:
    return int(state.epoch) < config.epochs and not state.stopped and bool(state.finite)


def _rows(history: History, before: int, after: int, started: float) -> list[Row]:
    """The lines of the epochs that a chunk has run; its seconds are shared out evenly."""
    columns = {name: np.asarray(getattr(history, name)) for name in History._fields}
    seconds = round((time.perf_counter() - started) / (after - before), 6)
    return [
        {
            "epoch": i + 1,
            **{name: column[i] for name, column in columns.items()},
            "seconds": seconds,
        }
        for i in range(before, after)
    ]
