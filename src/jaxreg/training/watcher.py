"""A look at the heads of a run while it trains: a dead one is named when it dies."""

from collections.abc import Callable, Sequence

import jax

from jaxreg.cache.lazy_features import read_rows
from jaxreg.experiment.members import Member
from jaxreg.head.state import State
from jaxreg.train_config import TrainConfig
from jaxreg.training.run_directory import Row
from jaxreg.verdict.dead_head import ROWS, Watch, next_look


class Watching:
    """Looks at all trainings of a run after the epochs that `next_look` gives."""

    def __init__(
        self, members: Sequence[Member], config: TrainConfig, states: Sequence[State]
    ) -> None:
        self._members, self._config = members, config
        self._watches = [_watch(m, config, s) for m, s in zip(members, states, strict=True)]
        self._looked = [0] * len(members)  # the epoch after which each was looked at last
        self._said, self._dead = [""] * len(members), [""] * len(members)

    def look(
        self, states: Sequence[State], history: Sequence[Row], say: Callable[[str], None]
    ) -> str:
        """Say what is to be said; why the run is over, or "" while one training may still learn."""
        for number, state in enumerate(states):
            epoch = int(state.epoch)
            # one that has stopped while others go on has nothing new
            if epoch == self._looked[number] or epoch != next_look(epoch - 1) or not state.finite:
                continue
            self._looked[number] = epoch
            losses = [float(row["loss"]) for row in history if self._members[number].has(row)]
            self._look_at(number, state, losses, say)
        if self._config.keep_going or not all(self._dead):
            return ""
        return self._dead[0]

    def _look_at(
        self, number: int, state: State, losses: list[float], say: Callable[[str], None]
    ) -> None:
        says, is_dead = self._watches[number].look(jax.device_get(state.params), losses)
        if not says or (says == self._said[number] and not is_dead):
            return
        self._said[number] = says
        several = len(self._members) > 1
        label = "".join(f"{k} {v}, " for k, v in self._members[number].label.items() if several)
        end = "; it is over" if is_dead and not self._config.keep_going else ""
        say(f"warning: {label}epoch {int(state.epoch)}: {says}{end}")
        if is_dead:
            self._dead[number] = says


def _watch(member: Member, config: TrainConfig, state: State) -> Watch:
    rows = member.experiment.rows("train")
    some = rows[:: max(1, len(rows) // ROWS)][:ROWS]
    return Watch(config, jax.device_get(state.scalers), read_rows(member.experiment.x, some))
