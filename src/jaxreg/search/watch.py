"""What the stages of a sweep ask and report: whether to go on, and how far it is."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from jaxreg.common.steps import Step

Say = Callable[[str], None]
clock: Callable[[], float] = time.monotonic


@dataclass
class Watch:
    """The progress of a sweep, a request to stop it, and the time of the choice at work."""

    say: Say
    should_stop: Callable[[], bool]
    step: Step
    minutes: float | None = None
    began: float = field(default_factory=lambda: clock())
    done: int = 0  # trials
    best: float | None = None  # the lowest error of the stage at work
    until: float | None = None  # when the time of this choice is over
    of_choice: Step | None = None  # counts its trials
    _own: int = 0
    _where: str = ""

    def goes_on(self) -> bool:
        """Whether nobody has asked to stop, and the choice has time left."""
        return not self.should_stop() and not self.late()

    def ended(self) -> bool:
        """Whether somebody has asked to stop, or the time of the choice is over."""
        self.show()
        return not self.goes_on()

    def late(self) -> bool:
        return self.until is not None and clock() >= self.until

    def now(self) -> float:
        return clock()

    def left(self) -> float:
        """Seconds that this choice has left."""
        return math.inf if self.until is None else self.until - clock()

    def begin_choice(self, until: float | None, counting: Step | None) -> None:
        """Another choice begins, which has time until then; its own step counts its trials."""
        self.until, self.best, self.of_choice, self._own = until, None, counting, 0
        self._where = counting.name if counting else ""

    def begin_stage(self) -> None:
        """Another stage of the choice begins, whose errors are of other folds."""
        self.best = None

    def count(self, trials: int, error: float | None) -> None:
        """So many trials more have ended; the best of them has this error."""
        self.done += trials
        self._own += trials
        if error is not None and (self.best is None or error < self.best):
            self.best = error
        self.show()

    def show(self) -> None:
        """Bring the line of the terminal up to date."""
        best = "" if self.best is None else f"best {self.best:.4g}"
        if self.of_choice is not None and self.minutes is None:
            self.of_choice.reach(self._own, best)
        elif self.of_choice is not None:  # nobody knows how many there will be
            trials = f"{self._own} trial{'s' * (self._own != 1)}"
            parts = [self._where, trials, *([best] if best else [])]
            self.of_choice.name = ", ".join(parts)
        done = self.done if self.minutes is None else int(clock() - self.began)
        self.step.reach(min(done, self.step.total or 0))
