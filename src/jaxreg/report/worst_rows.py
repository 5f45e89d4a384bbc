"""The rows with the largest errors, and their pictures."""

from dataclasses import dataclass

import numpy as np

from jaxreg.experiment.arrays import Experiment
from jaxreg.report.row_pictures import RowPictures
from jaxreg.report.run_content import HELD_OUT, each_target
from jaxreg.target_types import difference

WORST = 12  # images shown for each target and side


@dataclass(frozen=True)
class WorstRow:
    """A row with a large error."""

    id: str
    true: float
    predicted: float
    picture: bytes | None  # a JPEG
    lost: str = ""  # why the picture is the thumbnail of the cache and not the original
    row: int | None = None  # of the dataset


class WorstRows:
    """The rows with the largest errors.

    Args:
        experiment: the data of the run.
        predictions: (rows, targets), in target units.
    """

    def __init__(self, experiment: Experiment, predictions: np.ndarray) -> None:
        self.experiment, self.predictions = experiment, predictions
        error = np.abs(difference(experiment.types, predictions, experiment.y))
        self.found: list[tuple[str, int, list[int]]] = []
        for number, start in each_target(experiment):
            for side in HELD_OUT:
                rows = experiment.rows(side)
                rows = rows[~np.isnan(experiment.y[rows, number])]
                size = np.nan_to_num(error[rows, number], nan=np.inf)
                largest = rows[np.argsort(-size, kind="stable")[:WORST]].tolist()
                if largest:
                    self.found.append((f"{start}{side} rows", number, largest))

    @property
    def rows(self) -> list[list[int]]:
        """The rows by target and side, the largest error first."""
        return [rows for _, _, rows in self.found]

    def lists(self, pictures: RowPictures) -> list[tuple[str, str, list[WorstRow]]]:
        """By target and side: a caption, the target, and the rows."""
        return [
            (caption, self.experiment.targets[n], [self._row(row, n, pictures) for row in rows])
            for caption, n, rows in self.found
        ]

    def _row(self, row: int, target: int, pictures: RowPictures) -> WorstRow:
        true, predicted = self.experiment.y[row, target], self.predictions[row, target]
        name = self.experiment.dataset.ids[row]
        return WorstRow(name, float(true), float(predicted), *pictures.large(row), row=row)
