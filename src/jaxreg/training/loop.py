"""The outer loop of a training: epochs in chunks, with saving, printing and stopping in between."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import numpy as np

from jaxreg.common.steps import step
from jaxreg.experiment.batches import ExperimentBlocks
from jaxreg.experiment.members import Member
from jaxreg.head import fit as on_device
from jaxreg.head import fit_blocks
from jaxreg.head import fit_many as several
from jaxreg.head.state import History, State, init_state
from jaxreg.head.target_outputs import encode, of_outputs, target_of_output
from jaxreg.head.target_ridges import head_on_components
from jaxreg.train_config import TrainConfig
from jaxreg.training.checkpoint import Checkpoints
from jaxreg.training.member_data import data_of, first_states, on_the_device, prepare_all
from jaxreg.training.resume import Record
from jaxreg.training.run_directory import Row, RunDirectory, history_text, read_history
from jaxreg.verdict.dead_head import Watch, next_look

CHUNK_SECONDS = 0.5  # about so long between two looks at signals and the terminal

Fit = Callable[[State, int], tuple[State, History]]


@dataclass(frozen=True)
class Trained:
    """Trainings that have ended or were stopped."""

    states: tuple[State, ...]  # of each member
    history: list[Row]
    compile_seconds: float  # until the first epoch: rows to the device, state, compilation
    train_seconds: float  # epochs, and what is saved and printed between and after them
    interrupted: bool  # stopped by a signal: a later --resume goes on
    dead: str = ""  # why it cannot recover, and was ended for it

    def history_of(self, member: Member) -> list[Row]:
        """The lines of one member."""
        return [row for row in self.history if member.has(row)]


def train(
    directory: RunDirectory,
    members: Sequence[Member],
    record: Record,
    *,
    resume: bool,
    say: Callable[[str], None],
    on_epoch: Callable[[Row], None],
    should_stop: Callable[[], bool],
) -> Trained:
    """Train until early stopping, the last epoch, a loss that is not finite, or a request to stop.

    How the epochs are cut into chunks changes no bit of the result, so a run that was stopped and
    resumed ends like one that was not. Members go through their epochs side by side.
    """
    begin, config = time.perf_counter(), members[0].config
    state, make_fit = _start(members)
    checkpoints = Checkpoints(directory.checkpoints, record)
    history: list[Row] = []
    if resume and (found := checkpoints.load(state, say, goes_on=True)):
        state, history = found.state, read_history(found.history)
        say(f"resumed at epoch {found.epoch}")
    labels = tuple(members[0].label) if len(members) > 1 else ()
    directory.write_history(history, labels)

    with step("compiling the head"):
        fit = make_fit(state)
        state, _ = fit(state, 0)
        jax.block_until_ready(state)
    compile_seconds = time.perf_counter() - begin

    begin = time.perf_counter()
    chunk, interrupted, dead = 1, False, ""
    watch = Watch(members, config.keep_going)
    if history:  # it may have been lost when it was stopped
        dead = watch.look(states_of(state), history, say)
    what = "training" if len(members) == 1 else f"training {len(members)} heads side by side"
    with step(what, config.epochs, "epochs", at_most=True, own_lines=True) as counting:
        while _goes_on(state, config) and not (interrupted or dead):
            started, before = time.perf_counter(), _epochs(state)
            done = int(before.max())
            state, written = fit(state, min(done + chunk, next_look(done)))
            after = _epochs(state)
            rows = _rows(members, written, before, after, time.perf_counter() - started)
            for epoch in range(done + 1, int(after.max()) + 1):
                mean = _mean([row for row in rows if row["epoch"] == epoch])
                on_epoch({**mean, "epochs": config.epochs})
                counting.reach(epoch, f"val_mae {mean['val_mae']:.4g}")
            history += rows
            if after.max() == next_look(done):
                dead = watch.look(states_of(state), history, say)
            directory.write_history(history, labels)
            interrupted = should_stop()
            if not interrupted and checkpoints.due(state):
                checkpoints.save(int(after.max()), state, history_text(history, labels))
            each = (time.perf_counter() - started) / (after.max() - before.max())
            chunk = max(1, int(CHUNK_SECONDS / each))
    stopped = interrupted and not dead
    checkpoints.save(int(_epochs(state).max()), state, history_text(history, labels))
    if not stopped:
        checkpoints.keep_latest()
    checkpoints.wait()
    seconds = time.perf_counter() - begin
    return Trained(states_of(state), history, compile_seconds, seconds, stopped, dead)


def states_of(state: State) -> tuple[State, ...]:
    """The members' states, of what a run keeps: the only one's state, or all of them stacked."""
    if np.ndim(state.epoch) == 0:
        return (state,)
    return tuple(several.member(state, number) for number in range(len(state.epoch)))


def _start(members: Sequence[Member]) -> tuple[State, Callable[[State], Fit]]:
    """The state before the first epoch, and what makes of a state (new or loaded) its `fit`."""
    if on_the_device(members[0]):
        return _start_on_device(members)
    states = first_states(members)
    fits = [fit_blocks.make_fit(member.config) for member in members]

    def begin(state: State) -> Fit:
        scalers = jax.device_get([own.scalers.target for own in states_of(state)])
        blocks = [
            ExperimentBlocks(member.experiment, target)
            for member, target in zip(members, scalers, strict=True)
        ]
        if len(members) == 1:
            return lambda state, until: fits[0](state, blocks[0], until)

        def fit(state: State, until: int) -> tuple[State, History]:
            each = zip(fits, states_of(state), blocks, strict=True)
            ended = [fit_one(own, rows, until) for fit_one, own, rows in each]
            states, histories = zip(*ended, strict=True)
            return several.stack(states), History(*map(np.stack, zip(*histories, strict=True)))

        return fit

    return states[0] if len(members) == 1 else several.stack(states), begin


def _start_on_device(members: Sequence[Member]) -> tuple[State, Callable[[State], Fit]]:
    each, config = data_of(members), members[0].config
    states = first_states(members, each)
    if len(members) == 1:
        fit = on_device.make_fit(config)
        state, join = states[0], lambda data: data[0]
    else:
        configs = [member.config for member in members]
        fit = several.make_fit(configs, together=jax.default_backend() != "cpu")
        state, join = several.stack(states), several.stack_data

    def begin(state: State) -> Fit:
        placed = jax.device_put(join(prepare_all(members, states_of(state), each)))
        return lambda state, until: fit(state, placed, until)

    return state, begin


def solve_ridge(directory: RunDirectory, members: Sequence[Member], record: Record) -> Trained:
    """`--head ridge`: the states of heads without hidden layers, solved at once, after no epoch."""
    begin = time.perf_counter()
    states = [solved_state(member) for member in members]
    directory.write_history([])
    checkpoints = Checkpoints(directory.checkpoints, record)
    checkpoints.save(0, states[0] if len(states) == 1 else several.stack(states), history_text([]))
    checkpoints.wait()
    return Trained(tuple(states), [], 0.0, time.perf_counter() - begin, interrupted=False)


def solved_state(member: Member) -> State:
    """The state of a ridge: of a head without hidden layers, after no epoch.

    Its member has a baseline: `fit_ridge` solves it whenever it is the head.
    """
    (data,) = data_of([member])
    baseline, components = member.baseline, member.config.components
    assert baseline is not None
    state = init_state(member.config, data, baseline.solved)
    if components is None:
        params = baseline.solved.head(state.scalers)
    else:
        types, rows = member.experiment.types, baseline.rows
        y, weights = encode(types, np.asarray(data.y)), of_outputs(types, np.asarray(data.weights))
        solved, groups, same = baseline.solved, baseline.groups, target_of_output(types)
        own = np.asarray(data.x)[rows], y[rows], weights[rows], groups, same
        params = head_on_components(solved, state.scalers, *own)
    return state._replace(params=params, best_params=params)


def _goes_on(state: State, config: TrainConfig) -> bool:
    going = (_epochs(state) < config.epochs) & ~np.asarray(state.stopped)
    return bool((going & np.asarray(state.finite)).any())


def _epochs(state: State) -> np.ndarray:
    """Epochs done by each member."""
    return np.atleast_1d(np.asarray(state.epoch))


def _rows(
    members: Sequence[Member],
    history: History,
    before: np.ndarray,
    after: np.ndarray,
    seconds: float,
) -> list[Row]:
    """The lines of the epochs that a chunk has run, by epoch; its seconds are shared out evenly."""
    columns = {name: np.atleast_2d(values) for name, values in history._asdict().items()}
    each = round(seconds / int((after - before).sum()), 6)
    rows = [
        {
            **(member.label if len(members) > 1 else {}),
            "epoch": i + 1,
            **{name: column[number, i] for name, column in columns.items()},
            "seconds": each,
        }
        for number, member in enumerate(members)
        for i in range(before[number], after[number])
    ]
    return sorted(rows, key=lambda row: row["epoch"])


def _mean(rows: list[Row]) -> Row:
    """One line for people: the mean of the members that ran that epoch, and their seconds."""
    if len(rows) == 1:
        return rows[0]
    mean = {name: np.mean([row[name] for row in rows]) for name in History._fields}
    seconds = sum(row["seconds"] for row in rows)
    return {"epoch": rows[0]["epoch"], **mean, "seconds": seconds, "members": len(rows)}
