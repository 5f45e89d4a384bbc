"""`jaxreg train`: train a head on cached features, in seconds, again and again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jaxreg import cli
from jaxreg.arguments import parse
from jaxreg.common import progress_line
from jaxreg.common.steps import step
from jaxreg.config_io import command_line
from jaxreg.extract_config import FEATURES_PRESETS
from jaxreg.setting_field import setting
from jaxreg.shared_arguments import NewRunArguments
from jaxreg.train_config import Preset, TrainConfig

if TYPE_CHECKING:
    from jaxreg.report.summary import Summary
    from jaxreg.trained_run import TrainedRun

DEAD = 5  # the exit code of a training that cannot recover


@dataclass(frozen=True)
class TrainArguments(NewRunArguments):
    """Train a head on the cached features of the dataset NAME.

    If the cache has one dataset only, NAME may be left out.

    Example: jaxreg train track --target user/angle
    """

    preset: Preset | None = setting(
        None, "Run", "settings under one name: original (the defaults), best (docs/best-head.md), "
        "question or answer (docs/keras-parity.md)",
    )  # fmt: skip
    resume: bool = setting(False, "Run", "go on with a run that was stopped")
    quiet: bool = setting(False, "Output", "show no progress: no steps and no epochs")
    json: bool = setting(False, "Output", "print the summary as one JSON object")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, train, print; returns the exit code."""
    own, settings = parse("train", TrainArguments, [TrainConfig], argv)
    if own.quiet:
        progress_line.hide()
    with step("importing"):
        from jaxreg.api import train_head

    before = None
    if own.resume:
        from jaxreg.training.run_directory import RunDirectory, run_path

        before = RunDirectory(run_path(own.run or "", Path(own.ckpts))).read_summary()
    words = ("name", "cache", "run", "ckpts", "resume", "overwrite", "preset", "config")
    with cli.stop_signal() as stop:
        run = train_head(
            **{word: getattr(own, word) for word in words},
            say=cli.say,
            on_epoch=lambda row: _say_epoch(row, quiet=own.quiet),
            should_stop=stop,
            **settings,
        )
    from jaxreg.report.summary import Summary, head_text

    summary = Summary.from_json(run.summary)
    if text := _members_text(summary):
        cli.say(text)
    if summary.blend_share:
        cli.say(head_text(run.settings, summary, run.targets))
    if own.preset == "best" and (note := _other_features(run.settings.columns)):
        cli.say(note)
    remedy = summary.verdict.get("remedy", "")
    told = {remedy}  # in the last line
    for finding in summary.verdict["findings"]:
        cli.say(_finding_text(finding, told))
    cli.say(_scores_text("validation", summary, run.targets))
    if summary.test is not None:
        cli.say(_scores_text("test", summary, run.targets))
    cli.say(summary.verdict["headline"])
    for line in _slices_lines(summary):
        cli.say(line)
    if summary.intervals is not None:
        from jaxreg.new_intervals import stored_text

        cli.say(stored_text(summary.intervals))
    for suggestion in summary.suggestions:
        cli.say(f"suggestion: {suggestion['text']}")
    cli.say(f"report: {run.path / 'report.html'}")
    if remedy:
        cli.say(f"try: {remedy}")
    else:
        cli.say_next(_next_command(run, summary), quiet=own.quiet or own.json)
    if own.json:
        cli.print_json({**run.summary, "run": str(run.path)})
    codes = [finding["code"] for finding in summary.verdict["findings"]]
    dead = summary.dead or "non-finite" in codes
    return DEAD if dead and run.summary != before else 0  # the same again: nothing was trained


def _next_command(run: "TrainedRun", summary: "Summary") -> str:
    """What to do with a run for which the verdict has no remedy."""
    path = run.path if len(run.path.parts) > 1 else f"./{run.path}"  # else it would be in ckpts
    if not summary.verdict["healthy"]:
        return command_line("jaxreg diagnose", [path])
    words = [path, "SOURCE", "--out", "predictions.csv", *run.features.embeddings_words]
    return command_line("jaxreg predict", words)


def _finding_text(finding: Mapping[str, str], told: set[str]) -> str:
    """A finding with its remedy, unless that is `told` already."""
    text, remedy = f"{finding['severity']}: {finding['evidence']}", finding["remedy"]
    if not remedy or remedy in told:
        return text
    told.add(remedy)
    return f"{text} (try: {remedy})"


def _other_features(columns: Sequence[str]) -> str | None:
    """A sentence, if a run of the preset `best` has other features than the preset of extract."""
    from jaxreg.cache.recipe import Column

    its = FEATURES_PRESETS["best"]
    best = {Column(layer=layer, pool=its["pool"]).name for layer in its["layers"]}
    if set(columns) == best:
        return None
    return (
        f"note: trained on {', '.join(columns)}; extract --preset best computes the "
        "features that go with this head (docs/best-head.md)"
    )


def _members_text(summary: "Summary") -> str:
    """How many trainings the run has, and the std of each score; empty for a single training."""
    from jaxreg.report.summary import trainings_text

    text = trainings_text(summary)
    if not text:
        return ""
    each = {f"{name} ": its.get("members_std") for name, its in summary.by_target.items()}
    if len(each) == 1:
        each = {"": summary.members_std}
    known = [
        name + ", ".join(f"{score} {std:.2g}" for score, std in its.items() if std is not None)
        for name, its in each.items()
        if its
    ]
    return f"{text}; std of their scores: {'; '.join(known)}"


def _scores_text(side: str, summary: "Summary", targets: Sequence[str]) -> str:
    """The scores of each target on the validation rows, or on the test rows."""
    each = {"": summary.metrics if side == "validation" else summary.test or {}}
    if len(targets) > 1:
        of = {name: summary.by_target[name] for name in targets}
        each = {f"{n} ": its if side == "validation" else its["test"] for n, its in of.items()}
    lines = []
    for name, scores in each.items():
        text = cli.scores_text(scores) or "not scored"
        its: Any = scores.get("weighted") if name else summary.weighted
        if side == "validation" and its and (weighted := cli.scores_text(its)):
            text += f" (weighted: {weighted})"
        lines.append(name + text)
    return f"{side} ({summary.rows[side]} rows): {'; '.join(lines)}"


def _slices_lines(summary: "Summary") -> list[str]:
    """The worst slice of each target, and targets whose predictions lie near their mean."""
    from jaxreg.report.slice_tables import near_mean_lines, worst_lines

    several = len(summary.by_target) > 1
    near = near_mean_lines(summary.slope, summary.by_target)
    return worst_lines(summary.worst_slices, len(summary.by_target)) + [
        f"{name}: {line}" if several else line for name, line in near.items()
    ]


def _say_epoch(row: dict[str, Any], *, quiet: bool) -> None:
    """A line for an epoch, where no line on a terminal counts the epochs."""
    if not (quiet or progress_line.is_live()):
        cli.say(_epoch_text(row))


def _epoch_text(row: dict[str, Any]) -> str:
    """One epoch; of several members it says which of them still train."""
    import humanize  # late: `--help` is quick without it

    labels = [f"{name} {row[name]}" for name in ("fold", "finalist", "seed") if name in row]
    of = f" (only {' '.join(labels)})" if labels else ""
    if "members" in row:
        of = f" (mean of {row['members']})"
    epoch = f"epoch {row['epoch']}/{row['epochs']}{of}"
    seconds = row["seconds"]
    time = f"{seconds:.2f} s" if seconds >= 1 else humanize.metric(seconds, "s", precision=2)
    return (
        f"{epoch}: loss {row['loss']:.4g}, val_loss {row['val_loss']:.4g}, "
        f"val_mae {row['val_mae']:.4g}, {time}"
    )


if __name__ == "__main__":
    cli.run_command(main)
