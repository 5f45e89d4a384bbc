"""Dead heads: the output is one constant, and no gradient can change it."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from jaxreg.cache.lazy_features import read_rows
from jaxreg.experiment.members import Member
from jaxreg.head.apply import Activations, activations
from jaxreg.head.mlp import Params
from jaxreg.head.scaling import ArrayOf, Scalers
from jaxreg.head.state import State
from jaxreg.train_config import HeadConfig

ROWS = 256  # training rows that are evaluated
DRAWS = 4  # of dropped units
SAME = 1e-5  # of a training loss: its sum has another order in each epoch


def dead_share(hidden: ArrayOf) -> float:
    """The share of a layer's units that are 0 for every row: no gradient reaches them."""
    return float((hidden <= 0).all(axis=0).mean())


def is_dead(head: Activations, config: HeadConfig) -> bool:
    """Whether the output is one constant for all rows and no weight gets a gradient.

    This is so where the output relu is 0 for all rows. It is also so, except for the last bias,
    where a whole hidden layer is 0.
    """
    if config.output_activation == "relu" and (head.raw <= 0).all():
        return True
    return any((layer <= 0).all() for layer in head.hidden)


def next_look(epoch: int) -> int:
    """The next epoch after which to look: each of the first eight, then less and less often.

    It depends on the epoch alone, so a resumed run ends where one that was never stopped does.
    """
    look = 1
    while look <= epoch:
        look += max(1, look // 4)
    return look


def look_at(
    config: HeadConfig, params: Params, scalers: Scalers, x: np.ndarray, losses: Sequence[float]
) -> tuple[str, bool]:
    """Look at a head after an epoch.

    Dropout or the momentum of Adam may revive a dead head. So a head counts as lost only if it is
    also dead with units dropped. If the output relu is the cause, the training loss must stand
    still too.

    Args:
        config, params, scalers: the head's.
        x: (rows, columns) features of some training rows, as stored.
        losses: training losses of all epochs so far.

    Returns:
        A sentence if the head is dead, else "", and whether the training is lost.
    """
    head = activations(params, scalers, config, x)
    if not is_dead(head, config):
        return "", False
    hidden = [bool((layer <= 0).all()) for layer in head.hidden]
    what = f"hidden layer {hidden.index(True) + 1}" if any(hidden) else "the output relu"
    sentence = (
        f"{what} is 0 for all of {len(x)} training rows: the output is one constant, and "
        "no gradient can change it"
    )
    for key in jax.random.split(jax.random.key(len(losses)), DRAWS if config.dropout else 0):
        if not is_dead(activations(params, scalers, config, x, key), config):
            return sentence, False
    still = len(losses) > 1 and abs(losses[-1] - losses[-2]) <= SAME * abs(losses[-1])
    return sentence, any(hidden) or still


class Watch:
    """Looks at all heads of a run while they train, and reports a dead one when it dies."""

    def __init__(self, members: Sequence[Member], keep_going: bool) -> None:
        self._members, self._keep_going = members, keep_going
        self._rows = [_some_rows(member) for member in members]
        self._looked = [0] * len(members)  # the last epoch after which each was looked at
        self._said, self._dead = [""] * len(members), [""] * len(members)

    def look(
        self,
        states: Sequence[State],
        history: Sequence[Mapping[str, Any]],
        say: Callable[[str], None],
    ) -> str:
        """Warn of dead heads; returns why the run is over, or "" while one head may still learn."""
        for number, state in enumerate(states):
            epoch = int(state.epoch)
            # a member that has stopped while others go on has nothing new
            if epoch == self._looked[number] or epoch != next_look(epoch - 1) or not state.finite:
                continue
            self._looked[number] = epoch
            member, x = self._members[number], self._rows[number]
            losses = [float(row["loss"]) for row in history if member.has(row)]
            sentence, lost = look_at(member.config, state.params, state.scalers, x, losses)
            if not sentence or (sentence == self._said[number] and not lost):
                continue
            self._said[number] = sentence
            label = member.label if len(self._members) > 1 else {}
            which = "".join(f"{name} {value}, " for name, value in label.items())
            end = "; it is over" if lost and not self._keep_going else ""
            say(f"warning: {which}epoch {epoch}: {sentence}{end}")
            if lost:
                self._dead[number] = sentence
        return "" if self._keep_going or not all(self._dead) else self._dead[0]


def _some_rows(member: Member) -> np.ndarray:
    rows = member.experiment.rows("train")
    return read_rows(member.experiment.x, rows[:: max(1, len(rows) // ROWS)][:ROWS])
