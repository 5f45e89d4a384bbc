"""A run on disk: its names, its settings, its history. docs/runs.md describes the files."""

import csv
import hashlib
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from jaxreg.common.files import (
    TEMPORARY,
    file_sha256,
    make_folder,
    named_path,
    open_regular,
    safe_name,
    write_whole,
)
from jaxreg.common.json_files import load_json, read_json, write_json
from jaxreg.config_io import command_line, from_json
from jaxreg.errors import InputError, nearest
from jaxreg.train_config import TrainConfig
from jaxreg.training.interval_file import INTERVALS
from jaxreg.training.replace_run import BESIDE, check_replaceable, is_run, replace_run
from jaxreg.training.run_cache import find_cache
from jaxreg.training.sweep_files import SWEEP, TRIALS, has_ended, no_head_yet, resume_command

HISTORY: tuple[str, ...] = ("epoch", "loss", "val_loss", "val_mae", "learning_rate", "seconds")

Row = dict[str, Any]
"""One line of history.csv; losses are NumPy float32, whose text is the shortest that is exact."""


_CONFIG = {
    "asked": Row,
    "settings": Row,
    "recipe": Row,
    "dataset": str,
    "features": int,
    "dtype": str,
    "cache": str,
    "weights_tag": str,
    "weights_path": str | None,
}
_SUMMARY = {
    "metrics": dict[str, float | None],
    "files": dict[str, str],
    "members": list[Row] | None,
    "by_target": dict[str, Row],
    "baselines": Row,
    "rows": dict[str, int],
    "seconds": dict[str, float],
    "verdict": Row,
}
"""What the records of a run have at least."""


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
        """Raise InputError if more is there than a kill leaves, and may not be overwritten."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"{self.path} is a file", expected="a folder for the run")
        if self.path.exists() and not all(TEMPORARY.fullmatch(p.name) for p in self.path.iterdir()):
            if not overwrite:
                raise InputError(
                    f"{self.path} exists",
                    expected="the name of a new run; --overwrite would replace this one",
                    remedy="use another --run, or add --resume to go on with this one",
                )
            check_replaceable(self.path)

    def create(self, record: dict[str, Any], *, overwrite: bool) -> None:
        """Make the directory with only its config.json. Raises InputError as `check_free`."""
        self.check_free(overwrite=overwrite)
        if self.path.exists() and any(self.path.iterdir()):
            replace_run(self.path, lambda folder: RunDirectory(folder).write_config(record))
        else:
            make_folder(self.path)
            self.write_config(record)

    def release(self) -> None:
        """Remove the directory if it is empty: the name that was claimed for a new run."""
        if self.path.is_dir() and not self.path.is_symlink() and not any(self.path.iterdir()):
            self.path.rmdir()

    def write_config(self, record: dict[str, Any]) -> None:
        write_json(self.path / "config.json", record)

    def read_config(self) -> dict[str, Any]:
        """The content of config.json. Raises InputError if it is absent or not jaxreg's."""
        return self._read_json("config.json", _CONFIG)

    def settings(self) -> TrainConfig:
        """The resolved settings of the run."""
        return from_json(TrainConfig, self.read_config()["settings"])

    def cache(self) -> Path | str:
        """The folder or URL of the run's cache. Raises InputError if it is not to be found."""
        return find_cache(self.path, self.read_config())

    def write_summary(self, summary: dict[str, Any]) -> None:
        write_json(self.path / "summary.json", summary)

    def forget_summary(self) -> None:
        """Remove it, if there is one."""
        (self.path / "summary.json").unlink(missing_ok=True)

    def read_summary(self) -> dict[str, Any] | None:
        """None if the run is not finished. Raises InputError if it is damaged, or another run's."""
        if not os.path.lexists(self.path / "summary.json"):
            return None
        summary = self._read_json("summary.json", _SUMMARY)
        with suppress(OSError):
            if summary["files"].get("config.json") == file_sha256(self.path / "config.json"):
                return summary
        raise InputError(
            f"{self.path / 'summary.json'} is not of the run in config.json", remedy=self.again()
        )

    def read_finished(self) -> dict[str, Any]:
        """The content of summary.json. Raises InputError as the readers, or if there is none."""
        self.read_config()  # a bundle, or a folder without a run, has no summary either
        summary = self.read_summary()
        if summary is None:
            raise InputError(f"{self.path} is not finished", remedy=resume_command(self.path))
        return summary

    def write_history(self, rows: Sequence[Row], labels: Sequence[str] = ()) -> None:
        """Write history.csv, for people: a run that goes on reads the lines in its checkpoint."""
        write_whole(self.path / "history.csv", history_text(rows, labels).encode())

    def digests(self, *, sweep: bool | None = None) -> dict[str, str]:
        """The SHA-256 of every file of a finished run, by name, but of its summary.json.

        Of a checkpoint it is that of the JSON file beside it, which has those of its files.
        `sweep` says whether those of a sweep are wanted; None: if it has ended, for until then it
        goes on to write them.
        """
        names = ["config.json", "history.csv", "predictions.parquet", INTERVALS, "report.html"]
        names += [SWEEP, TRIALS] if (has_ended(self.path) if sweep is None else sweep) else []
        paths = [self.path / name for name in names]
        paths += [*self.checkpoints.glob("*.json"), *(self.path / "plots").glob("*.png")]
        return {
            path.relative_to(self.path).as_posix(): file_sha256(path)
            for path in sorted(paths)
            if path.is_file()
        }

    def read_predictions(self, summary: Mapping[str, Any]) -> pa.Table:
        """predictions.parquet. Raises InputError if it is not the file that `summary` names."""
        content = self.read_checked("predictions.parquet", summary)
        return pq.ParquetFile(pa.BufferReader(content)).read()

    def read_checked(self, name: str, summary: Mapping[str, Any]) -> bytes:
        """The content of a file of a finished run. Raises InputError as `read_predictions`."""
        path, content = self.path / name, b""
        with suppress(OSError), open_regular(path) as file:
            content = file.read()
        if hashlib.sha256(content).hexdigest() != summary["files"].get(name):
            raise InputError(f"{path} is {'damaged' if content else 'absent'}", remedy=self.again())
        return content

    def faults(self) -> list[str]:
        """A sentence for each file that is not what was written. Raises InputError as the readers.

        The files within checkpoints are not looked at. A run that is not finished has no record of
        its other files.
        """
        self.read_config()
        summary = self.read_summary()
        if summary is None:
            return []
        there = self.digests(sweep=True)
        return [
            f"{self.path / name} is {'damaged' if name in there else 'absent'}"
            for name, digest in summary["files"].items()
            if there.get(name) != digest
        ]

    def _read_json(self, name: str, shape: Mapping[str, Any]) -> dict[str, Any]:
        expected = "the directory of a run"
        if self.path.is_file():
            is_bundle = self.path.suffix == ".zip"
            what = "a bundle, which only predict and load_run take" if is_bundle else "a file"
            raise InputError(f"{self.path} is {what}", expected=expected)
        if not self.exists:
            raise self.missing()
        return read_json(self.path / name, shape, expected=expected, again=self.again)

    def missing(self) -> InputError:
        """The error that no run is there. It names the run that is meant, or where runs are."""
        if is_run(self.path):
            return no_head_yet(self.path)
        here, runs = Path(self.path.name), {run.name: run for run in runs_in(self.path.parent)}
        near = f"./{here}" if is_run(here) else runs.get(nearest(here.name, runs) or "")
        listed = command_line("jaxreg runs", [self.path.parent]) if runs else ""
        return InputError(
            f"no run {self.path}",
            expected="the directory of a run, which has a config.json",
            remedy=f"use the run {near}" if near else listed,
            instead=(here.name, str(near)) if near else None,
        )

    def again(self) -> str:
        """The command that makes the run again, beside this one, of which nothing is lost."""
        dataset = "DATASET"
        with suppress(OSError, ValueError, KeyError, TypeError):
            dataset = load_json(self.path / "config.json")["dataset"]
        return f"jaxreg train {dataset} --run {self.path}-again"


def history_text(rows: Sequence[Row], labels: Sequence[str] = ()) -> str:
    """The lines as CSV; `labels` are the columns that say which of several trainings a line is of.

    `read_history` reads all values as text, so writing them again changes nothing.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, (*labels, *HISTORY), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def read_history(text: str) -> list[Row]:
    """The inverse of `history_text`."""
    return list(csv.DictReader(io.StringIO(text)))


def run_path(run: str | os.PathLike[str], ckpts: Path) -> Path:
    """A bare name is a run in `ckpts`; a path, as `./here`, and a bundle are where they say.

    `./here` becomes an absolute path: a message that prints it would else name a run in `ckpts`.

    Raises:
        InputError: no folder can have that name.
    """
    named_path(ckpts, "--ckpts")
    path = named_path(run, "the name of a run", spare=BESIDE)
    if os.fspath(run).endswith(".zip"):
        return path
    is_path = os.path.dirname(run) or os.fspath(run) in (os.curdir, os.pardir)
    if not is_path:
        return ckpts / path
    return path if len(path.parts) > 1 else Path(os.path.abspath(path))


def runs_in(ckpts: Path) -> list[Path]:
    """The runs of a folder, without what a killed replacement left beside them."""
    return sorted(file.parent for file in ckpts.glob("[!.]*/config.json"))


def new_run(dataset: str, ckpts: Path) -> Path:
    """Claim the next free `<dataset>-<number>`; two processes never get the same one."""
    make_folder(named_path(ckpts, "--ckpts"))
    number = 1
    while True:
        path = ckpts / f"{safe_name(dataset)}-{number}"
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path
