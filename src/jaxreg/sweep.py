"""`jaxreg sweep`: search the settings and columns of a head, and score the search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jaxreg import cli
from jaxreg.arguments import parse
from jaxreg.common import progress_line
from jaxreg.common.steps import step
from jaxreg.config_io import command_line
from jaxreg.setting_field import setting
from jaxreg.shared_arguments import NewRunArguments
from jaxreg.train_config import Preset, TrainConfig

if TYPE_CHECKING:
    from jaxreg.sweep_api import FinishedSweep


@dataclass(frozen=True)
class SweepArguments(NewRunArguments):
    """Search the settings and columns of a head for the dataset NAME, and train the best one.

    Settings that --search names are searched. All other options of train stay as you give them.
    Without --search, a sweep searches head, learning_rate, dropout, weight_decay, hidden and
    columns, but for those that you give. The settings are chosen on inner folds. The score is of
    --folds (5) parts of the rows, and the head that predicts a part was chosen without it.

    Example: jaxreg sweep track --search learning_rate=1e-4..1e-2 head=blend,ridge columns=all
    """

    search: tuple[str, ...] = setting(
        (), "Search", "KEY=VALUES: A..B is a range, commas are choices, columns=all is every "
        "cached column; by default the space of docs/sweeps.md",
    )  # fmt: skip
    trials: int | None = setting(
        None, "Search", "number of settings that each choice tries; by default 16"
    )
    minutes: float | None = setting(
        None, "Search", "time for the whole sweep, in place of --trials"
    )
    preset: Preset | None = setting(
        None, "Run", "settings of train under one name; those that are searched do not count"
    )
    resume: bool = setting(False, "Run", "go on with a sweep that was stopped")
    quiet: bool = setting(False, "Output", "show no progress")
    json: bool = setting(False, "Output", "print sweep.json and the run as one JSON object")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, search, print; returns the exit code."""
    own, settings = parse("sweep", SweepArguments, [TrainConfig], argv)
    if own.quiet:
        progress_line.hide()
    with step("importing"):
        from jaxreg.sweep_api import sweep_heads

    words = ("name", "trials", "minutes", "cache", "run", "ckpts", "preset", "config", "resume",
             "overwrite")  # fmt: skip
    with cli.stop_signal() as stop:
        sweep = sweep_heads(
            **{word: getattr(own, word) for word in words},
            search=own.search or None,
            say=cli.say,
            should_stop=stop,
            **settings,
        )
    for line in _lines(sweep):
        cli.say(line)
    path = sweep.run.path
    cli.say(f"report: {path / 'report.html'}")
    words = [path if len(path.parts) > 1 else f"./{path}", "SOURCE", "--out", "predictions.csv"]
    words += sweep.run.features.embeddings_words
    cli.say_next(command_line("jaxreg predict", words), quiet=own.quiet or own.json)
    if own.json:
        cli.print_json({**sweep.record, "run": str(path)})
    return 0


def _lines(sweep: "FinishedSweep") -> list[str]:
    """What the sweep found, and what choosing cost."""
    record = sweep.record
    chosen = record["chosen"]
    lines = [f"chosen: {_settings_text(chosen)}"]
    outer = record["metrics"] or {}
    scores = cli.scores_text(outer) or _huber_text(outer) or "not scored"
    lines.append(f"on rows that no choice has seen: {scores}")
    if (optimism := record["optimism"]) is not None:
        lines[-1] += (
            f"; the error is {abs(optimism):.2g} {'above' if optimism > 0 else 'below'} the lowest "
            f"one on inner folds, {record['best_inner_mae']:.3g}"
        )
    for name, its in (record["baselines"] or {}).items():
        if its and (text := cli.scores_text(its) or _huber_text(its)):
            lines.append(f"  {name}: {text}")
    lines.append(sweep.run.summary["verdict"]["headline"])
    if (intervals := sweep.run.summary["intervals"]) is not None:
        from jaxreg.new_intervals import stored_text

        lines.append(stored_text(intervals))
    return lines


def _huber_text(scores: Mapping[str, float | None]) -> str:
    value = scores.get("huber")
    return "" if value is None else f"loss {value:.3g}"


def _settings_text(chosen: Mapping[str, Any]) -> str:
    parts = []
    for name, value in chosen.items():
        if name == "finalists":
            parts.append(f"the mean of {len(value)} heads")
        else:
            shown = " ".join(map(str, value)) if isinstance(value, list) else value
            parts.append(f"{name} {shown}")
    return ", ".join(parts) or "the settings given"


if __name__ == "__main__":
    cli.run_command(main)
