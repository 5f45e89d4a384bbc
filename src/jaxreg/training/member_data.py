"""The arrays of a run's members: their rows, their first states, and rows as `fit` takes them.

Members that have the same rows share what is computed of these rows alone.
"""

from collections.abc import Hashable, Iterator, Sequence

import numpy as np

from jaxreg.cache.lazy_features import read_pieces
from jaxreg.experiment.members import Member
from jaxreg.head.state import Data, Rows, State, first_state, init_state, next_start, prepare


def on_the_device(member: Member) -> bool:
    """Whether its rows fit on the device: components are few enough, wherever the features are."""
    experiment = member.experiment
    few = experiment.placement.kind == "device" or member.config.components is not None
    return few and isinstance(experiment.x, np.ndarray)


def data_of(members: Sequence[Member], capacities: tuple[int, int] | None = None) -> list[Data]:
    """Each member's rows of one array of features, which holds the views one after another.

    Args:
        members: of one dataset and its columns.
        capacities: room for training and for validation rows; None: for the rows that there are.
    """
    experiment = members[0].experiment
    x, y, views, weights = experiment.x, experiment.y, experiment.views, experiment.weights
    assert isinstance(x, np.ndarray)  # `resolve` refuses other placements
    if views:
        x = np.concatenate([x, *(view.x for view in views)])
        y = np.concatenate([y, *(view.y for view in views)])
        weights = np.tile(weights, (1 + len(views), 1))
    behind = np.arange(len(views) + 1, dtype=np.int32) * len(experiment.y)
    room = (None, None) if capacities is None else capacities
    found: dict[Hashable, Data] = {}
    for member in members:
        if (key := _rows_and_ridge(member)) not in found:
            train, validation = (
                Rows.of(member.experiment.rows(side), most)
                for side, most in zip(("train", "validation"), room, strict=True)
            )
            found[key] = Data(x, y, train, validation, behind, weights)
    return [found[_rows_and_ridge(member)] for member in members]


def first_states(members: Sequence[Member], each: Sequence[Data] | None = None) -> list[State]:
    """The state of each member before its first epoch.

    Args:
        members: they may differ in their settings.
        each: their data; None: the features come in pieces.

    Raises:
        InputError: too many components.
    """
    found: dict[Hashable, State] = {}
    states = []
    for number, member in enumerate(members):
        if (start := found.get(key := scaled_rows(member))) is None:
            start = found[key] = _first(member, None if each is None else each[number])
            states.append(start)
        else:
            states.append(next_start(member.config, start))
    return states


def prepare_all(
    members: Sequence[Member], states: Sequence[State], each: Sequence[Data]
) -> list[Data]:
    """The rows of each member as `fit` takes them, by its scalers."""
    found: dict[Hashable, Data] = {}
    for member, state, data in zip(members, states, each, strict=True):
        if (key := scaled_rows(member)) not in found:
            out_of_fold = member.baseline and member.baseline.out_of_fold
            found[key] = prepare(member.config, state, data, out_of_fold)
    return [found[scaled_rows(member)] for member in members]


def _first(member: Member, data: Data | None) -> State:
    experiment, ridge = member.experiment, member.baseline
    if data is not None:
        if ridge is None:
            return init_state(member.config, data, side=experiment.side)
        known = ridge.solved, ridge.validation_groups
        return init_state(member.config, data, *known, experiment.side, ridge.even)
    rows = experiment.rows("train")

    def pieces() -> Iterator[np.ndarray]:
        return (piece for _, piece in read_pieces(experiment.x, rows))

    y, width = experiment.y[rows], experiment.x.shape[1]
    return first_state(member.config, pieces, y, width, side=experiment.side)


def _rows_and_ridge(member: Member) -> Hashable:
    """Equal for members that are on the same sides of one split, with one ridge."""
    return id(member.experiment.split), id(member.baseline)


def scaled_rows(member: Member) -> Hashable:
    """Equal for members whose rows are scaled, projected and encoded alike."""
    config = member.config
    scaled = config.scale_features, config.scale_target, config.target_type
    return _rows_and_ridge(member), scaled, config.head, config.components
