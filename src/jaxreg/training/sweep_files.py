"""The files that a run has beside those of any other where a sweep chose its head."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jaxreg.common.json_files import load_json, read_json, write_json
from jaxreg.config_io import command_line
from jaxreg.errors import InputError

TRIALS, SWEEP = "trials.csv", "sweep.json"
SWEEP_KIND = "sweep"
"""The `kind` of sweep.json."""

OF_THE_END = ("metrics", "baselines", "optimism")
"""What sweep.json has of a sweep that is finished."""

_CONTENT = {"dataset": str, "finished": bool}


@dataclass(frozen=True)
class SweepRecord:
    """What a sweep says of its run."""

    content: Mapping[str, Any]  # of sweep.json: docs/sweeps.md
    command: str  # that makes the sweep again

    def resume_command(self, run: Path) -> str:
        """The command that goes on with it."""
        return command_line("jaxreg sweep", (self.content["dataset"], "--run", run, "--resume"))

    def finished_with(
        self, scores: Mapping[str, Mapping[str, float | None] | None]
    ) -> "SweepRecord":
        """The record of the sweep at its end.

        Args:
            scores: of the outer predictions, under "run", and of the baselines on the same rows.
        """
        metrics = scores["run"] or {}
        outer, inner = outer_error(metrics), self.content.get("best_inner_mae")
        content = {
            **self.content,
            "metrics": metrics,
            "baselines": {name: its for name, its in scores.items() if name != "run"},
            "optimism": None if outer is None or inner is None else outer - inner,
            "finished": True,
        }
        return replace(self, content=content)

    def write(self, run: Path) -> None:
        """Write sweep.json."""
        write_json(run / SWEEP, dict(self.content))


def outer_error(metrics: Mapping[str, float | None]) -> float | None:
    """The error that a sweep makes small: the MAE, or of several targets the scaled huber."""
    mae = metrics.get("mae")
    return metrics.get("huber") if mae is None else mae


def has_ended(run: Path) -> bool:
    """Whether a sweep is in the folder of a run, and its end is written down."""
    try:
        content = load_json(run / SWEEP)
    except (OSError, ValueError):
        return False
    return isinstance(content, dict) and content.get("finished") is True


def read_sweep(run: Path) -> dict[str, Any] | None:
    """The content of sweep.json; None if there is none. Raises InputError if it is damaged.

    A sweep that a kill stopped while it wrote its last files has not finished, and has no scores.
    """
    if not (run / SWEEP).exists():
        return None
    again = f"jaxreg sweep DATASET --run {run}-again"
    content = read_json(run / SWEEP, _CONTENT, expected="the run of a sweep", again=again)
    if content["finished"] and not (run / "summary.json").exists():
        content |= {"finished": False, **dict.fromkeys(OF_THE_END)}
    return content


def resume_command(run: Path) -> str:
    """The command that goes on with what is in the folder of a run."""
    with suppress(InputError):
        if (content := read_sweep(run)) is not None:
            return command_line("jaxreg sweep", (content["dataset"], "--run", run, "--resume"))
    return f"jaxreg train --run {run} --resume"


def no_head_yet(run: Path) -> InputError:
    """The error that a sweep was stopped before it had chosen a head."""
    return InputError(f"the sweep in {run} has no head yet", remedy=resume_command(run))


def refuse_sweep(run: Path) -> None:
    """Raise InputError where the folder is a sweep's, which `train` cannot go on with."""
    if (content := read_sweep(run)) is None:
        return
    config = command_line("jaxreg train", (content["dataset"], "--config", run / "config.json"))
    raise InputError(
        f"{run} is the run of a sweep, and train cannot go on with it",
        expected="a run of jaxreg train",
        remedy=config if content["finished"] else resume_command(run),
    )
