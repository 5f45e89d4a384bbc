"""A run on disk: its names, its settings, its history. docs/runs.md describes the files."""

import csv
import io
import json
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from jaxreg.common.files import make_folder, safe_name, write_whole
from jaxreg.common.json_files import read_json, write_json
from jaxreg.config_io import from_json
from jaxreg.errors import InputError
from jaxreg.train_config import TrainConfig

HISTORY: tuple[str, ...] = ("epoch", "loss", "val_loss", "val_mae", "learning_rate", "seconds")

Row = dict[str, Any]
"""One line of history.csv; losses are NumPy float32, whose text is the shortest that is exact."""


class RunDirectory:
    """The paths and small files of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def exists(self) -> bool:
        return (self.path / "config.json").exists()

    def check_free(self, *, overwrite: bool) -> None:
        """Raise InputError if something is there and `overwrite` is off, or it is not a run."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file", expected="a folder for the run")
        if self.path.exists() and any(self.path.iterdir()):
            if not overwrite:
                remedy = "another --run, --resume or --overwrite"
                raise InputError(f"{self.path} exists", remedy=remedy)
            if not self.exists:
                raise InputError(f"{self.path} is not a run, so it is not overwritten")

    def create(self, *, overwrite: bool) -> None:
        """Make the directory, empty. Raises InputError as `check_free`."""
        self.check_free(overwrite=overwrite)
        if self.path.exists() and any(self.path.iterdir()):
            shutil.rmtree(self.path)
        make_folder(self.path)

    def release(self) -> None:
        """Remove the directory if it is empty: the name that was claimed for a new run."""
        if self.path.is_dir() and not self.path.is_symlink() and not any(self.path.iterdir()):
            self.path.rmdir()

    def write_config(self, record: dict[str, Any]) -> None:
        write_json(self.path / "config.json", record)

    def read_config(self) -> dict[str, Any]:
        """The content of config.json. Raises InputError if it is absent or not jaxreg's."""
        return self._read_json("config.json", ("asked", "settings", "recipe"))

    def settings(self) -> TrainConfig:
        """The resolved settings of the run."""
        return from_json(TrainConfig, self.read_config()["settings"])

    def cache(self) -> Path:
        """The folder of datasets and features, which config.json names relative to the run."""
        return self.path / self.read_config()["cache"]

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def forget_summary(self) -> None:
        """Remove it, if there is one."""
        (self.path / "summary.json").unlink(missing_ok=True)

    def read_summary(self) -> dict[str, Any] | None:
        """None if the run is not finished."""
        if not (self.path / "summary.json").exists():
            return None
        return self._read_json("summary.json", ("metrics",))

    def write_history(self, rows: Sequence[Row], labels: Sequence[str] = ()) -> None:
        """`labels` are the columns that say which of several trainings a line is of."""
        text = io.StringIO()
        writer = csv.DictWriter(text, (*labels, *HISTORY), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        write_whole(self.path / "history.csv", text.getvalue().encode())

    def read_history(self) -> list[dict[str, str]]:
        """The lines as text, so that writing them again changes nothing."""
        path = self.path / "history.csv"
        if not path.exists():
            return []
        with open(path, newline="") as file:
            return list(csv.DictReader(file))

    def _read_json(self, name: str, keys: Sequence[str]) -> dict[str, Any]:
        dataset = "DATASET"
        with suppress(OSError, ValueError, KeyError, TypeError):  # of another format, perhaps
            dataset = json.loads((self.path / "config.json").read_bytes())["dataset"]
        again = f"jaxreg train {dataset} --run {self.path} --overwrite"
        return read_json(self.path / name, keys, expected="the directory of a run", again=again)


def run_path(run: str | Path, ckpts: Path) -> Path:
    """A bare name is a run in `ckpts`; anything with a folder in it is a path."""
    run = Path(run)
    return run if run.is_absolute() or len(run.parts) > 1 else ckpts / run


def new_run(dataset: str, ckpts: Path) -> Path:
    """Claim the next free `<dataset>-<number>`; two processes never get the same one."""
    make_folder(ckpts)
    number = 1
    while True:
        path = ckpts / f"{safe_name(dataset)}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
