"""A look at a training while it runs: can it still recover?"""

from collections.abc import Sequence

import numpy as np

from jaxreg.config import HeadConfig
from jaxreg.heads.mlp import Params
from jaxreg.heads.scaling import Scalers
from jaxreg.verdict import network

ROWS = 256  # training rows that are looked at
DRAWS = 4  # of dropped units
SAME = 1e-5  # of a training loss: it is summed in another order each epoch


def next_look(epoch: int) -> int:
    """The next epoch after which to look: each of the first eight, then ever more rarely.

    Which epochs those are hangs on nothing else, so that a run that is resumed ends where one that
    was never stopped does.
    """
    look = 1
    while look <= epoch:
        look += max(1, look // 4)
    return look


class Watch:
    """Whether a head is dead: the same answer for every row, and no gradient to change it.

    Args:
        config: the head's.
        scalers: the head's.
        x: (rows, columns) features of some training rows, as stored.
    """

    def __init__(self, config: HeadConfig, scalers: Scalers, x: np.ndarray) -> None:
        self._config, self._scalers, self._x = config, scalers, x

    def look(self, params: Params, losses: Sequence[float]) -> tuple[str, bool]:
        """Look after an epoch.

        What dropout leaves out may bring a head back, and so may Adam's momentum: a dead head is
        lost if it is dead with units dropped too and, where the output's relu is behind it, the
        training loss stands still.

        Args:
            params: after that epoch.
            losses: training losses of all epochs so far.

        Returns:
            What there is to say, "" for nothing, and whether the training is lost.
        """
        head = network.activity(params, self._scalers, self._x)
        if not network.is_dead(head, self._config):
            return "", False
        hidden = [bool((layer <= 0).all()) for layer in head.hidden]
        what = f"hidden layer {hidden.index(True) + 1}" if any(hidden) else "the output relu"
        says = (
            f"{what} is 0 for all of {len(self._x)} training rows: the output is one constant, and "
            "no gradient can change it"
        )
        random = np.random.default_rng(len(losses))
        rate = self._config.dropout
        for _ in range(DRAWS if rate else 0):
            dropped = network.activity(params, self._scalers, self._x, rate, random)
            if not network.is_dead(dropped, self._config):
                return says, False
        still = len(losses) > 1 and abs(losses[-1] - losses[-2]) <= SAME * abs(losses[-1])
        return says, any(hidden) or still
