"""One trial of a choice while it trains: settings, and what is known of its score."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxreg.search.column_sets import Columns
from jaxreg.search.space import text_of
from jaxreg.search.trial_draws import architecture_of
from jaxreg.search.trial_scores import Score
from jaxreg.search.trials_file import TrialRow


@dataclass
class Trial:
    """A setting of stage two."""

    start: TrialRow  # its line as far as it is known before: number, stage, fold
    columns: Columns  # none: those that stay fixed
    settings: Mapping[str, Any]  # without columns
    head: str  # mlp, ridge or blend
    row: TrialRow | None = None  # its line in the file, once it has ended
    score: Score | None = None  # by its best weights so far
    failed: bool = False
    epochs: int = 0  # that it was given
    seconds: float = 0.0
    predictions: np.ndarray | None = field(default=None, repr=False)  # of all scored rows

    @property
    def number(self) -> int:
        return self.start.trial

    @property
    def architecture(self) -> tuple[tuple[str, Any], ...]:
        """What trials of one compiled program have in common."""
        return (("columns", self.columns), *architecture_of(self.settings))

    @property
    def error(self) -> float | None:
        """What the sweep makes small; None where nothing is known, or it failed."""
        if self.row is not None:
            return self.row.error
        return None if self.score is None else self.score.error

    def ended(self, status: str) -> TrialRow:
        """Its line with this status."""
        seconds = round(self.seconds, 3)
        given = {"epochs": self.epochs, "seconds": seconds, "settings": self._texts()}
        self.row = self.start.scored(self.score, status, **given)
        return self.row

    def _texts(self) -> dict[str, str]:
        texts = {name: text_of(value) for name, value in self.settings.items()}
        return {**texts, "columns": text_of(self.columns)} if self.columns else texts

    def take(self, row: TrialRow) -> None:
        """What the file says of it; ValueError if that is a trial with other settings."""
        said = {name: text for name, text in row.settings.items() if text}
        if said != self._texts() or (row.stage, row.fold) != (self.start.stage, self.start.fold):
            raise ValueError(f"trial {row.trial} has the settings {said}, and not {self._texts()}")
        self.row = row
        self.failed = row.status == "failed"


def best_first(trials: Iterable[Trial]) -> list[Trial]:
    """Trials with a score, the lowest error first; of equal ones the first."""
    known = [(error, one.number, one) for one in trials if (error := one.error) is not None]
    return [one for *_, one in sorted(known, key=lambda each: each[:2])]
