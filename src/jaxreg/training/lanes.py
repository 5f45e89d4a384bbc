"""Many trainings of one architecture, each for as many epochs as a search gives it."""

import os
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

import jax
import numpy as np

from jaxreg.cache.lazy_features import read_rows
from jaxreg.common.memory import bytes_text, free_memory
from jaxreg.errors import InputError
from jaxreg.experiment.batches import ExperimentBlocks
from jaxreg.experiment.members import Member
from jaxreg.experiment.placement import SHARE, limit_of_device
from jaxreg.head import fit as on_device
from jaxreg.head import fit_blocks, fit_many
from jaxreg.head.apply import predict_inputs, predict_rows
from jaxreg.head.state import Data, State
from jaxreg.training.loop import CHUNK_SECONDS
from jaxreg.training.member_data import (
    data_of,
    first_states,
    on_the_device,
    prepare_all,
    scaled_rows,
)

_COPIES = 3  # of the states of a batch of lanes on an accelerator: those, gradients, and new ones


@dataclass
class Lane:
    """One of the trainings."""

    member: Member
    rows: Data | ExperimentBlocks
    state: State
    seconds: float = 0.0  # of its epochs

    def goes_on(self, until: int) -> bool:
        """Whether it has an epoch to do before that one."""
        early = bool(self.state.stopped) or not bool(self.state.finite)
        return not early and int(self.state.epoch) < min(until, self.member.config.epochs)


class Lanes:
    """Trainings of one architecture: heads that differ in rows, seed and numeric settings.

    One compiled program trains them all: what they differ in are its arguments. On a CPU it takes
    one lane after another, as many at a time as there are cores: a step is too short for all cores.
    A lane ends with the bits of `train` with its settings. On an accelerator a batch of lanes runs
    under `vmap`, filled up to a power of two with lanes that stand still. A lane that has stopped
    early, or whose loss is not finite, takes no part any more.

    Features are on the device once, or with components once for each set of training rows. Lanes
    with the same rows share all that depends on the rows alone. Where features do not fit on the
    device, they come in blocks, as in `train`.

    Memory beside the features: each lane takes four times its weights (weights, best weights, two
    moments of Adam) and its scaler, in host memory. On an accelerator, a batch has as many lanes as
    its memory holds three times.
    """

    def __init__(
        self, members: Sequence[Member], capacities: tuple[int, int] | None = None
    ) -> None:
        """Lanes before their first epoch.

        Args:
            members: of one dataset and its columns, with thresholds. Members whose `split` and
                `baseline` are the same objects have the same rows.
            capacities: of training and of validation rows. All calls with the same ones, also of
                other lanes, find the same compiled program. None: the most of any member.

        Raises:
            InputError: too many components, or more lanes than memory can hold.
            ValueError: members of several architectures.
        """
        fit_many.one_program([member.config for member in members])
        sides = ("train", "validation")
        most = [max(len(member.experiment.rows(side)) for member in members) for side in sides]
        given = (most[0], most[1]) if capacities is None else capacities
        self._on_device = on_the_device(members[0])
        self._together = self._on_device and jax.default_backend() != "cpu"
        self._epoch_seconds: float | None = None  # of one lane, once one has run
        rows: Sequence[Data | ExperimentBlocks]
        if self._on_device:
            data = data_of(members, given)
            states = first_states(members, data)
            _check_memory(states)
            rows = _placed(prepare_all(members, states, data), everything=not self._together)
        else:
            states = first_states(members)
            _check_memory(states)
            rows = _blocks(members, states)
        each = zip(members, rows, states, strict=True)
        self._lanes = [Lane(member, own, state) for member, own, state in each]

    def __len__(self) -> int:
        return len(self._lanes)

    @property
    def members(self) -> tuple[Member, ...]:
        """The member that each lane trains."""
        return tuple(lane.member for lane in self._lanes)

    @property
    def states(self) -> tuple[State, ...]:
        """The state of each lane; the next `run` consumes those that go on."""
        return tuple(lane.state for lane in self._lanes)

    @property
    def seconds(self) -> tuple[float, ...]:
        """The time that the epochs of each lane took; lanes that ran together share it evenly."""
        return tuple(lane.seconds for lane in self._lanes)

    def keep(self, places: Sequence[int]) -> None:
        """Go on with these lanes only, in this order."""
        self._lanes = [self._lanes[place] for place in places]

    def run(self, until: int, should_stop: Callable[[], bool] = lambda: False) -> bool:
        """Train every lane to the end of that epoch, or to its own early end.

        Args:
            until: the last epoch to do, from 1; `config.epochs` ends a lane before it.
            should_stop: asked about twice a second on a CPU, else between batches of lanes.

        Returns:
            Whether all lanes have come so far; else `should_stop` ended it, and a later call goes
            on.
        """
        going = [lane for lane in self._lanes if lane.goes_on(until)]
        if not going:
            return True
        if not self._together:
            return self._run_in_turn(going, until, should_stop)
        size = min(_power_of_two(len(going)), _most_together(going))
        for start in range(0, len(going), size):
            if should_stop():
                return False
            _run_batch(going[start : start + size], size, until)
        return True

    def predict(self, rows_of_lane: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The predictions of each lane's best weights for rows of the dataset.

        A blend takes those of its ridge for the validation rows from without their group.

        Args:
            rows_of_lane: the numbers of the rows, for each lane.

        Returns:
            (rows, targets) float64 for each lane, in target units.
        """
        return [_predict(lane, rows) for lane, rows in zip(self._lanes, rows_of_lane, strict=True)]

    def _run_in_turn(
        self, lanes: Sequence[Lane], until: int, should_stop: Callable[[], bool]
    ) -> bool:
        """Lane after lane, some at a time, each in pieces of about CHUNK_SECONDS."""
        if self._epoch_seconds is None:
            _train(lanes[0], 0)  # compiles
        workers = (os.cpu_count() or 1) if self._on_device else 1  # blocks have their own threads
        waiting, running, stop = deque(lanes), set(), False
        with ThreadPoolExecutor(workers) as pool:
            while waiting or running:
                stop = stop or should_stop()
                while waiting and not stop and len(running) < workers:
                    running.add(pool.submit(self._run_piece, waiting.popleft(), until))
                if not running:
                    return False
                done, running = wait(running, return_when=FIRST_COMPLETED)
                ended = [future.result() for future in done]
                waiting.extendleft(lane for lane in ended if lane.goes_on(until))
        return True

    def _run_piece(self, lane: Lane, until: int) -> Lane:
        begin, done, known = time.perf_counter(), int(lane.state.epoch), self._epoch_seconds
        chunk = 1 if known is None else max(1, int(CHUNK_SECONDS / known))
        _train(lane, min(until, done + chunk))
        seconds = time.perf_counter() - begin
        lane.seconds += seconds
        self._epoch_seconds = seconds / (int(lane.state.epoch) - done)
        return lane


def _train(lane: Lane, until: int) -> None:
    kind = on_device if isinstance(lane.rows, Data) else fit_blocks
    fit: Callable = kind.make_fit(lane.member.config)
    lane.state, _ = fit(lane.state, lane.rows, until)
    jax.block_until_ready(lane.state)


def _run_batch(lanes: Sequence[Lane], size: int, until: int) -> None:
    """These lanes under `vmap`, with copies of the first one that stand still, up to `size`."""
    begin = time.perf_counter()
    filled = [*lanes, *[lanes[0]] * (size - len(lanes))]
    states = jax.tree.map(lambda *leaves: np.stack(leaves), *(lane.state for lane in filled))
    states = states._replace(stopped=states.stopped | (np.arange(size) >= len(lanes)))
    fit = fit_many.make_fit([lane.member.config for lane in filled], together=True)
    data = fit_many.stack_data([lane.rows for lane in filled if isinstance(lane.rows, Data)])
    states = jax.device_get(fit(states, data, until)[0])
    seconds = (time.perf_counter() - begin) / len(lanes)
    for number, lane in enumerate(lanes):
        lane.state = fit_many.member(states, number)
        lane.seconds += seconds


def _most_together(lanes: Sequence[Lane]) -> int:
    """The largest power of two of such lanes that an accelerator's memory holds."""
    each = _COPIES * _bytes(lanes[0].state)
    most = limit_of_device() / each
    return 2 ** max(0, int(np.log2(max(1.0, min(most, 2.0**20)))))


def _power_of_two(count: int) -> int:
    """The least power of two that is at least `count`."""
    return 1 << max(0, count - 1).bit_length()


def _bytes(state: State) -> int:
    return sum(leaf.nbytes for leaf in jax.tree.leaves(state))


def _check_memory(states: Sequence[State]) -> None:
    """That the states of all lanes fit into memory once more, as they may be copied."""
    needed, free = sum(map(_bytes, states)), SHARE * free_memory()
    if needed > free:
        raise InputError(
            f"{len(states)} heads at once take {bytes_text(needed)}, and {bytes_text(free)} are "
            "free",
            remedy="use fewer trials, fewer units in --hidden, or --components",
        )


def _placed(each: Sequence[Data], *, everything: bool) -> list[Data]:
    """The same with features on the device, each array once; with `everything` all the rest too."""
    arrays = {id(data.x): data.x for data in each}
    features = {key: jax.device_put(x) for key, x in arrays.items()}
    found = {id(data): data._replace(x=features[id(data.x)]) for data in each}
    if everything:
        found = {key: jax.device_put(data) for key, data in found.items()}
    return [found[id(data)] for data in each]


def _blocks(members: Sequence[Member], states: Sequence[State]) -> list[ExperimentBlocks]:
    """The rows of each member in blocks, once for members that have them scaled alike."""
    found = {}
    for member, state in zip(members, states, strict=True):
        if (key := scaled_rows(member)) not in found:
            target = jax.device_get(state.scalers.target)
            found[key] = ExperimentBlocks(member.experiment, target)
    return [found[scaled_rows(member)] for member in members]


def _predict(lane: Lane, rows: np.ndarray) -> np.ndarray:
    state, config = lane.state, lane.member.config
    if isinstance(lane.rows, Data):
        return predict_inputs(state.best_params, state.scalers, config, lane.rows.x, rows)
    x = read_rows(lane.member.experiment.x, rows)
    return predict_rows(state.best_params, state.scalers, config, x)
