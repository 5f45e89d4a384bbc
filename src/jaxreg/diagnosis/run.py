"""The whole diagnosis: look, try, and write it down."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from jaxreg.diagnosis import trials
from jaxreg.diagnosis.gather import Say, Subject, of_dataset, of_run
from jaxreg.diagnosis.page import Page, write_page
from jaxreg.diagnosis.steps import Bench
from jaxreg.diagnosis.trials import Trial
from jaxreg.errors import InputError, nearest
from jaxreg.features.cache import Cache
from jaxreg.features.datasets import dataset_names
from jaxreg.runs.device import prepare_jax
from jaxreg.runs.directory import RunDirectory, run_path
from jaxreg.verdict import judge


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
    verdict = judge(subject.seen)
    told = []
    for question, ask in _tests(subject):
        started = time.perf_counter()
        if (trial := ask()) is not None:
            told.append(trial)
            say(f"{question} ({time.perf_counter() - started:.1f} s): {trial.answer}")
    if images is not None:
        from jaxreg.diagnosis.images import preprocessing

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
    seen = subject.seen
    bench = Bench.of(seen)
    yield "overfit", lambda: trials.overfit(bench)
    yield "rates", lambda: trials.range_test(bench)
    yield "gradients", lambda: trials.gradients(bench)
    yield "learning curve", lambda: trials.learning_curve(bench, len(seen.train))
    yield "seeds", lambda: trials.seeds(bench)
    yield "columns", lambda: trials.columns(seen, subject.columns, subject.read)
    yield "noise", lambda: trials.noise(seen)


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
    from jaxreg.diagnosis import pictures, plots

    seen, experiment = subject.seen, subject.experiment
    drawn = {f["code"]: pictures.of_finding(f["code"], seen) for f in verdict["findings"]}
    names = ", ".join(column.name for column in experiment.columns)
    return Page(
        name=subject.name,
        what=f"{experiment.dataset.name}: {len(seen.train)} training and {len(seen.watched)} "
        f"validation rows, split {seen.split}; target {', '.join(experiment.targets)}; features "
        f"{names} of {experiment.recipe.space}; {seen.epochs} epochs",
        verdict=verdict,
        pictures={code: picture for code, picture in drawn.items() if picture is not None},
        trials=[(trial, plots.of_trial(trial)) for trial in told],
        seconds=seconds,
    )
