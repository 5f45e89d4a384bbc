"""The files of a finished run, as a loaded run shows them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import csv

from jaxreg.errors import InputError
from jaxreg.training.run_directory import RunDirectory


@dataclass(frozen=True)
class RunFiles:
    """A run on disk."""

    path: Path
    summary: dict[str, Any]

    @property
    def metrics(self) -> dict[str, float | None]:
        """The scores of the held-out rows: mae, rmse, r2, spearman, huber."""
        return self.summary["metrics"]

    @property
    def verdict(self) -> dict[str, Any]:
        """Whether the head learns: healthy, headline, findings (code, severity, remedy, ...)."""
        return self.summary["verdict"]

    @property
    def predictions(self) -> pa.Table:
        """predictions.parquet. Raises InputError if it is damaged, or the run is a bundle."""
        return self._directory("predictions.parquet").read_predictions(self.summary)

    @property
    def history(self) -> pa.Table:
        """history.csv, one row per epoch and member. Raises InputError as `predictions`."""
        content = self._directory("history.csv").read_checked("history.csv", self.summary)
        return csv.read_csv(pa.BufferReader(content))

    @property
    def report(self) -> Path:
        """report.html. Raises InputError if the run is a bundle."""
        return self._directory("report.html").path / "report.html"

    def _directory(self, name: str) -> RunDirectory:
        if self.path.is_dir():
            return RunDirectory(self.path)
        raise InputError(
            f"{self.path} is a bundle, and only the folder of a run has {name} as a file",
            expected="the directory of the run",
            remedy=f"unzip {self.path} report.html" if name == "report.html" else "",
        )
