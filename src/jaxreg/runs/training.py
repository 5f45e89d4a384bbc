"""The outer loop of a training: epochs in chunks, with saving, printing and stopping in between."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np

from jaxreg.config import TrainConfig
from jaxreg.features.streaming import read_pieces
from jaxreg.heads import fit as on_device
from jaxreg.heads import stream
from jaxreg.heads.state import Data, History, State, first_state, init_state
from jaxreg.runs.blocks import ExperimentBlocks
from jaxreg.runs.checkpoint import Checkpoints
from jaxreg.runs.directory import Row, RunDirectory
from jaxreg.runs.experiment import Experiment
from jaxreg.runs.identity import Identity

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


def train(
    directory: RunDirectory,
    experiment: Experiment,
    config: TrainConfig,
    identity: Identity,
    *,
    resume: bool,
    say: Callable[[str], None],
    on_epoch: Callable[[Row], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train until early stopping, the last epoch, a loss that is not finite, or a request to stop.

    How the epochs are cut into chunks changes no bit of the result, so a run that was stopped and
    resumed ends like one that was not.
    """
    begin = time.perf_counter()
    state, fit = _start(experiment, config)
    checkpoints = Checkpoints(directory.checkpoints, identity)
    history: list[Row] = []
    if resume and (found := checkpoints.load(state, say)):
        epoch, state = found
        history = list(directory.read_history()[:epoch])
        say(f"resumed at epoch {epoch}")
    directory.write_history(history)

    state, _ = fit(state, 0)
    jax.block_until_ready(state)
    compile_seconds = time.perf_counter() - begin

    begin = saved = time.perf_counter()
    chunk, interrupted = 1, False
    while _goes_on(state, config) and not interrupted:
        started = time.perf_counter()
        before = int(state.epoch)
        state, written = fit(state, before + chunk)
        rows = _rows(written, before, int(state.epoch), started)
        for row in rows:
            on_epoch(row)
        history += rows
        directory.write_history(history)
        interrupted = should_stop()
        if time.perf_counter() - saved >= SAVE_SECONDS and not interrupted:
            checkpoints.save(int(state.epoch), state)
            saved = time.perf_counter()
        chunk = max(1, int(CHUNK_SECONDS / rows[-1]["seconds"]))
    checkpoints.save(int(state.epoch), state)
    checkpoints.wait()
    return Trained(state, history, compile_seconds, time.perf_counter() - begin, interrupted)


def _start(experiment: Experiment, config: TrainConfig) -> tuple[State, Fit]:
    """The state before the first epoch, and what trains it further: `fit(state, until_epoch)`."""
    rows, watched = experiment.rows("train"), experiment.rows("validation")
    x, y = experiment.x, experiment.y
    if experiment.placement.kind == "device" and isinstance(x, np.ndarray):
        data = Data(x[rows], y[rows], x[watched], y[watched])
        state = init_state(config, data)
        data, fit = jax.device_put(data), on_device.make_fit(config)
        return state, lambda state, until: fit(state, data, until)
    blocks, fit_blocks = ExperimentBlocks(experiment, config), stream.make_fit(config)
    pieces = lambda: (piece for _, piece in read_pieces(x, rows))  # noqa: E731
    state = first_state(config, pieces, y[rows], x.shape[1])
    return state, lambda state, until: fit_blocks(state, blocks, until)


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
