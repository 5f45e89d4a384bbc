"""diagnosis.html: the verdict on top, each finding with its picture and its command, each test."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jaxreg.cache.datasets import dataset_names
from jaxreg.cache.store import Cache
from jaxreg.common.device import prepare_jax
from jaxreg.common.files import write_whole
from jaxreg.diagnosis import trials
from jaxreg.diagnosis.subject import Say, Subject, of_dataset, of_run
from jaxreg.diagnosis.trials import Trial
from jaxreg.errors import InputError, nearest
from jaxreg.report.page import data_uri
from jaxreg.training.run_directory import RunDirectory, run_path
from jaxreg.verdict.judge import judge


@dataclass(frozen=True)
class Page:
    """All that the page says."""

    name: str  # of the run or dataset
    what: str  # a sentence about it
    verdict: Mapping[str, Any]  # as in summary.json
    pictures: Mapping[str, bytes]  # finding's code → PNG
    trials: Sequence[tuple[Trial, bytes | None]]
    seconds: float


def write_page(path: Path, page: Page) -> None:
    """Write the page to `path`, over what is there: one file that needs nothing beside it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["is_command"] = is_command
    source = files("jaxreg.diagnosis").joinpath("diagnosis.html.jinja")
    text = environment.from_string(source.read_text(encoding="utf-8")).render(page=page)
    write_whole(path, text.encode(errors="replace"))


def is_command(remedy: str) -> bool:
    """Whether a remedy is a command as it stands."""
    return remedy.startswith("jaxreg ")


def diagnose(
    name: str,
    *,
    cache: Path | None,
    ckpts: Path,
    images: str | None,
    say: Say,
    target: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Diagnose a run, or else a dataset, and write `diagnosis.html`.

    Args:
        name: a run's name in `ckpts` or its path; or a dataset of the cache.
        cache: the folder of features; None: the run's own, or `cache` for a dataset.
        ckpts: the folder of runs.
        images: a source whose preprocessing is compared with the weights, None for none.
        say: gets each line meant for people.
        target: columns of a dataset to predict, none for the source's own.

    Returns:
        What `--json` prints: name, verdict, tests, images, page, seconds.

    Raises:
        InputError: there is no such run or dataset, or it cannot be diagnosed.
    """
    begin = time.perf_counter()
    prepare_jax()
    subject = _subject(name, cache, ckpts, target, say)
    say("looking for causes")
    verdict = judge(subject.obs)
    told = []
    for question, ask in _tests(subject):
        started = time.perf_counter()
        if (trial := ask()) is not None:
            told.append(trial)
            say(f"{question} ({time.perf_counter() - started:.1f} s): {trial.answer}")
    if images is not None:
        from jaxreg.diagnosis.preprocess_match import preprocessing

        say("comparing preprocessing with the weights")
        finding, trial = preprocessing(subject, images)
        told.append(trial)
        say(f"images: {trial.answer}")
        if finding is not None:
            verdict = _with(verdict, finding)
    place = subject.folder / "diagnosis.html"
    seconds = time.perf_counter() - begin
    write_page(place, _page(subject, verdict, told, seconds))
    return {
        "name": subject.name,
        "verdict": verdict,
        "tests": {t.name: {"answer": t.answer, "numbers": dict(t.numbers)} for t in told},
        "page": str(place),
        "seconds": round(time.perf_counter() - begin, 3),
    }


def _subject(
    name: str, cache: Path | None, ckpts: Path, target: tuple[str, ...], say: Say
) -> Subject:
    place = run_path(name, ckpts)
    if RunDirectory(place).exists:
        if target:
            raise InputError("--target with a run, which has its own", remedy="leave --target out")
        return of_run(place, cache, say)
    root = cache or Path("cache")
    names = dataset_names(Cache(root))
    if name in names:
        return of_dataset(name, root, target, say)
    runs = [path.parent.name for path in sorted(ckpts.glob("*/config.json"))]
    raise InputError(
        f"no run {name!r} in {ckpts} and no dataset of that name in {root}",
        expected=f"a run ({', '.join(runs) or 'none is there'}) or a dataset "
        f"({', '.join(names) or 'none is there'})",
        remedy=nearest(name, [*runs, *names]) or "",
    )


def _tests(subject: Subject) -> Iterator[tuple[str, Callable[[], Trial | None]]]:
    obs = subject.obs
    bench = trials.bench_of(obs)
    yield "overfit", lambda: trials.overfit(bench)
    yield "rates", lambda: trials.range_test(bench)
    yield "gradients", lambda: trials.gradients(bench)
    yield "learning curve", lambda: trials.learning_curve(bench, len(obs.train))
    yield "seeds", lambda: trials.seeds(bench)
    yield "columns", lambda: trials.columns(obs, subject.columns, subject.read)
    yield "noise", lambda: trials.noise(obs)


def _with(verdict: dict[str, Any], finding: dict[str, Any]) -> dict[str, Any]:
    """The verdict with one more finding, an error first."""
    rank = ("error", "warning", "note")
    findings = sorted(
        [finding, *verdict["findings"]], key=lambda told: rank.index(told["severity"])
    )
    if finding["severity"] != "error":
        return {**verdict, "findings": findings}
    line = f"not to be believed: {finding['evidence']}. Try {finding['remedy']}"
    return {"healthy": False, "headline": line, "findings": findings}


def _page(subject: Subject, verdict: dict[str, Any], told: list[Trial], seconds: float) -> Page:
    from jaxreg.diagnosis import pictures

    obs, experiment = subject.obs, subject.experiment
    drawn = {f["code"]: pictures.of_finding(f["code"], obs) for f in verdict["findings"]}
    names = ", ".join(column.name for column in experiment.columns)
    return Page(
        name=subject.name,
        what=f"{experiment.dataset.name}: {len(obs.train)} training and {len(obs.validation)} "
        f"validation rows, split {obs.split}; target {', '.join(experiment.targets)}; features "
        f"{names} of {experiment.recipe.feature_set}; {obs.epochs} epochs",
        verdict=verdict,
        pictures={code: picture for code, picture in drawn.items() if picture is not None},
        trials=[(trial, pictures.of_trial(trial)) for trial in told],
        seconds=seconds,
    )
