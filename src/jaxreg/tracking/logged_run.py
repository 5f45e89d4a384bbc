"""What there is to log of a finished run: parameters, curves, scores, tags, files, trials."""

import csv
import hashlib
import html
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxreg.errors import InputError, reading
from jaxreg.tracking.flat_values import Plain, flat_numbers, flat_settings, number_or_text
from jaxreg.training.interval_file import INTERVALS
from jaxreg.training.replace_run import is_run
from jaxreg.training.run_directory import RunDirectory, runs_in
from jaxreg.training.sweep_files import TRIALS, read_sweep, resume_command

MEMBER = ("fold", "finalist", "seed")
"""What says which of several trainings a line of history.csv is of."""

_CURVES = ("loss", "val_loss", "val_mae", "learning_rate", "seconds")


@dataclass(frozen=True)
class Epoch:
    """One line of history.csv."""

    number: int  # counted from 1
    time: float  # seconds since 1970, at its end
    values: Mapping[str, float]  # loss, val_loss, val_mae, learning_rate, seconds


@dataclass(frozen=True)
class Training:
    """One training of a run."""

    name: str  # as fold-0-seed-1; "" if the run has only one
    epochs: Sequence[Epoch]
    scores: Mapping[str, float] = field(default_factory=dict)  # its own; empty if it is the only


@dataclass(frozen=True)
class Trial:
    """One line of trials.csv."""

    number: int
    stage: str
    fold: str  # the outer fold whose rows it did not see; "" if it saw all rows
    status: str  # done, stopped, failed
    settings: Mapping[str, Plain]
    scores: Mapping[str, float]
    seconds: float

    @property
    def name(self) -> str:
        return f"trial-{self.number:04d}"

    @property
    def described(self) -> dict[str, Plain]:
        """Its settings, its stage and its fold."""
        return {**self.settings, "stage": self.stage, **({"fold": self.fold} if self.fold else {})}


@dataclass(frozen=True)
class LoggedRun:
    """A finished run, as trackers show runs."""

    path: Path
    digest: str  # SHA-256 of its summary.json: the same for a copy, another for another training
    dataset: str
    dataset_sha256: str
    started: float  # seconds since 1970
    ended: float
    parameters: Mapping[str, Plain]
    scores: Mapping[str, float]
    tags: Mapping[str, str]
    note: str  # the verdict, as Markdown
    trainings: Sequence[Training]
    files: Sequence[Path]
    trials: Sequence[Trial] = ()

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name


def read_logged_run(path: Path) -> LoggedRun:
    """Read a finished run.

    Raises:
        InputError: no run, or one that is not finished, damaged or of another format; a sweep that
            is not finished.
    """
    with reading(str(path), expected="a run that jaxreg wrote"):
        return _read(RunDirectory(path))


def _read(directory: RunDirectory) -> LoggedRun:
    config, summary = directory.read_config(), directory.read_finished()
    path = directory.path
    sweep = read_sweep(path)
    if sweep is not None and not sweep["finished"]:
        raise InputError(f"the sweep in {path} is not finished", remedy=resume_command(path))
    names = [n for n in summary["files"] if n != INTERVALS and not n.startswith("checkpoints/")]
    contents = {name: directory.read_checked(name, summary) for name in names}
    record = path / "summary.json"
    seconds = summary["seconds"]
    before = sum(seconds.get(part, 0.0) for part in ("load", "ridge", "compile", "search"))
    rows = list(csv.DictReader(io.StringIO(contents["history.csv"].decode())))
    total = max(seconds.get("total", 0.0), before + _longest(rows))
    ended = record.stat().st_mtime
    started = ended - total
    return LoggedRun(
        path=path,
        digest=hashlib.sha256(record.read_bytes()).hexdigest(),
        dataset=config["dataset"],
        dataset_sha256=str(summary["provenance"]["dataset"]),
        started=started,
        ended=ended,
        parameters=_parameters(config),
        scores=_scores(summary, sweep, config["settings"]["target"]),
        tags=_tags(path, config, summary),
        note=_note(summary["verdict"]),
        trainings=_trainings(rows, summary["members"], started + before),
        files=[*(path / name for name in names), record],
        trials=_trials(contents.get(TRIALS, b"")),
    )


def _parameters(config: Mapping[str, Any]) -> dict[str, Plain]:
    """The resolved settings, and what else decides a feature's value."""
    own = {name: config[name] for name in ("dataset", "features", "dtype")}
    recipe = flat_settings(config["recipe"], "recipe")
    return {**flat_settings(config["settings"]), **own, **recipe}


def _scores(
    summary: Mapping[str, Any], sweep: Mapping[str, Any] | None, targets: Sequence[str]
) -> dict[str, float]:
    found = flat_numbers(summary["metrics"])
    for part in ("test", "weighted", "members_mean", "members_std", "rows", "seconds"):
        found |= flat_numbers(summary.get(part), part)
    found |= flat_numbers(summary["baselines"], "baseline")
    found |= flat_numbers(summary.get("intervals"), "interval")
    found |= flat_numbers(summary.get("slope"), "slope")
    if len(targets) > 1:
        for target, own in summary["by_target"].items():
            found |= flat_numbers(own, f"target/{target}")
    counts = ("epochs", "best_epoch", "stopping_epoch_best")
    found |= flat_numbers({name: summary.get(name) for name in counts})
    shares = zip(targets, summary.get("blend_share") or [], strict=False)
    found |= flat_numbers(dict(shares), "blend_share")
    if sweep is not None:
        parts = ("optimism", "best_inner_mae", "choices", "seconds")
        found |= flat_numbers({name: sweep.get(name) for name in parts}, "sweep")
    return found


def _tags(path: Path, config: Mapping[str, Any], summary: Mapping[str, Any]) -> dict[str, str]:
    verdict, made = summary["verdict"], summary["provenance"]
    codes = dict.fromkeys(finding["code"] for finding in verdict["findings"])
    command = " ".join(map(str, made.get("command_line") or ()))
    found = {
        "healthy": str(verdict["healthy"]).lower(),
        "headline": verdict["headline"],
        "findings": " ".join(codes),
        "dataset": config["dataset"],
        "dataset_sha256": made["dataset"],
        "feature_set": config["settings"]["feature_set"],
        "weights": made.get("weights"),
        "run": path,
        "device": made.get("device"),
        "git_commit": made.get("git_commit"),
        "command_line": command,
        "dead": summary.get("dead"),
        **{f"version.{name}": text for name, text in made.get("versions", {}).items()},
    }
    texts = {name: "" if value is None else str(value) for name, value in found.items()}
    return {name: encodable(text) for name, text in texts.items() if text}


def _note(verdict: Mapping[str, Any]) -> str:
    """The headline and the findings as Markdown, in which nothing is HTML."""
    lines = [f"**{verdict['headline']}**"]
    lines += [str(verdict["text"])] if verdict.get("text") else []
    for finding in verdict["findings"]:
        line = f"- {finding['severity']} `{finding['code']}`: {finding['evidence']}"
        lines.append(line + (f" — try: `{finding['remedy']}`" if finding.get("remedy") else ""))
    return encodable("\n\n".join(html.escape(line, quote=False) for line in lines))


def encodable(text: str) -> str:
    """The text without what UTF-8 does not have, as parts of names of files may be."""
    return text.encode(errors="replace").decode()


def _trainings(
    rows: Sequence[Mapping[str, str]], members: Sequence[Mapping[str, Any]] | None, start: float
) -> list[Training]:
    by_member: dict[tuple[str, ...], list[Epoch]] = {}
    for row in rows:
        own = by_member.setdefault(tuple(row.get(name) or "" for name in MEMBER), [])
        values = {name: float(row[name]) for name in _CURVES if row.get(name)}
        time = (own[-1].time if own else start) + values.get("seconds", 0.0)
        own.append(Epoch(int(row["epoch"]), time, values))
    if members is None:
        return [Training("", epochs) for epochs in by_member.values()]
    several = [n for n in MEMBER if len({member.get(n) for member in members}) > 1]
    found = []
    for member in members:
        key = tuple("" if (own := member.get(n)) is None else str(own) for n in MEMBER)
        name = "-".join(f"{n}-{member[n]}" for n in several) or "member"
        found.append(Training(name, by_member.get(key, []), flat_numbers(member["metrics"])))
    return found


def _longest(rows: Sequence[Mapping[str, str]]) -> float:
    """The seconds of the longest training."""
    total: dict[tuple[str, ...], float] = {}
    for row in rows:
        key = tuple(row.get(name) or "" for name in MEMBER)
        total[key] = total.get(key, 0.0) + float(row.get("seconds") or 0.0)
    return max(total.values(), default=0.0)


def _trials(content: bytes) -> list[Trial]:
    known = ("trial", "stage", "fold", "status", "mae", "r2", "huber", "rows", "epochs", "seconds")
    found = []
    for row in csv.DictReader(io.StringIO(content.decode())):
        numbers = {"mae": "mae", "r2": "r2", "huber": "huber", "epochs": "epochs"}
        numbers |= {"rows": "rows/scored", "seconds": "seconds/total"}
        found.append(
            Trial(
                number=int(row["trial"]),
                stage=row["stage"],
                fold=row["fold"],
                status=row["status"],
                settings={
                    n: number_or_text(text) for n, text in row.items() if n not in known and text
                },
                scores={name: float(row[own]) for own, name in numbers.items() if row.get(own)},
                seconds=float(row["seconds"] or 0),
            )
        )
    return found


def read_logged_runs(paths: Sequence[Path], say: Callable[[str], None]) -> list[LoggedRun]:
    """Read the runs, and the finished runs of each folder of runs; each run once.

    Args:
        paths: of runs, or of folders of runs.
        say: gets a line for each run of a folder that is left out, and for each copy.

    Raises:
        InputError: as `read_logged_run` for a run; a folder without a run that can be logged.
    """
    found: dict[str, LoggedRun] = {}
    for path in paths:
        inside = runs_in(path) if path.is_dir() and not is_run(path) else []
        read = []
        for each in inside or [path]:
            try:
                read.append(read_logged_run(each))
            except InputError as error:
                if not inside:
                    raise
                say(f"{each} is left out: {error.found}")
        if not read:
            raise InputError(f"no finished run in {path}", expected="a run, or a folder of runs")
        for run in read:
            first = found.setdefault(run.digest, run)
            if first.path.resolve() != run.path.resolve():
                say(f"{run.path} is left out: it is a copy of {first.path}")
    return list(found.values())
