"""Run the diagnosis of a run or a dataset, and write diagnosis.html."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from jaxreg.cache.datasets import dataset_names
from jaxreg.cache.store import Cache
from jaxreg.common.device import prepare_jax
from jaxreg.common.steps import counted, step
from jaxreg.config_io import command_line
from jaxreg.diagnosis import trials
from jaxreg.diagnosis.learning_curve import learning_curve
from jaxreg.diagnosis.subject import Say, Subject, of_dataset, of_run
from jaxreg.diagnosis.trials import Trial
from jaxreg.errors import InputError, nearest
from jaxreg.experiment.finalists import number_of_members
from jaxreg.report.html_file import others, write_page
from jaxreg.training.run_directory import RunDirectory, run_path, runs_in
from jaxreg.verdict.finding import ORDER
from jaxreg.verdict.judge import judge

CKPTS = Path("ckpts")  # the default folder of runs


def diagnose(
    name: str,
    *,
    cache: str | Path | None,
    ckpts: Path,
    images: str | None,
    say: Say,
    target: tuple[str, ...] = (),
) -> dict[str, Any]:
    """Diagnose a run or a dataset and write `diagnosis.html`.

    Args:
        name: the name of a run in `ckpts`, the path of a run, or a dataset of the cache.
        cache: the folder of the features. None means the cache of the run, or `cache` for a
            dataset.
        ckpts: the folder of runs.
        images: a source of images. The diagnosis compares their preprocessing with the weights.
        say: receives each message for the user.
        target: the target columns of a dataset; empty for those that its source names.

    Returns:
        The object that `--json` prints: name, verdict, tests, page, seconds.

    Raises:
        InputError: no run or dataset has this name, or it cannot be diagnosed.
    """
    begin = time.perf_counter()
    asked = {"--cache": (cache,), "--images": (images,), "--target": target}
    if ckpts != CKPTS:
        asked["--ckpts"] = (ckpts,)
    words = [word for flag, values in asked.items() if any(values) for word in (flag, *values)]
    command = command_line("jaxreg diagnose", (name, *words))
    prepare_jax()
    subject = _subject(name, cache, ckpts, target, say)
    if images is not None:
        from jaxreg.diagnosis.preprocess_match import refuse_embeddings

        refuse_embeddings(subject)
    for note in subject.experiment.notes:
        say(f"note: {note}")
    with step("looking for causes"):
        verdict = judge(subject.obs)
    done: list[Trial] = []
    for name, test in counted("testing", _tests(subject), "tests"):
        started = time.perf_counter()
        with step(name):
            trial = test()
        if trial is not None:
            done.append(trial)
            say(f"{name} ({time.perf_counter() - started:.1f} s): {trial.answer}")
            if trial.remedy:
                say(f"try: {trial.remedy}")
    if images is not None:
        from jaxreg.diagnosis.preprocess_match import preprocessing

        with step("comparing the preprocessing with the weights"):
            compared = list(preprocessing(subject, images, say))
        for finding, trial in compared:
            done.append(trial)
            say(f"{trial.name}: {trial.answer}")
            if finding is not None:
                verdict = _with(verdict, finding)
    page = subject.folder / "diagnosis.html"
    with step("drawing the page"):
        write_diagnosis(page, subject, verdict, done, command=command, begin=begin)
    return {
        "name": subject.name,
        "verdict": verdict,
        "tests": {
            t.name: {"answer": t.answer, "remedy": t.remedy, "numbers": dict(t.numbers)}
            for t in done
        },
        "page": str(page),
        "seconds": round(time.perf_counter() - begin, 3),
    }


def _subject(
    name: str, cache: str | Path | None, ckpts: Path, target: tuple[str, ...], say: Say
) -> Subject:
    path = run_path(name, ckpts)
    if RunDirectory(path).exists:
        if target:
            raise InputError("--target with a run: a run has targets", remedy="leave --target out")
        return of_run(path, cache, say)
    root = cache or "cache"
    names = dataset_names(Cache(root))
    if name in names:
        return of_dataset(name, root, target, say)
    runs = [path.name for path in runs_in(ckpts)]
    near = nearest(name, [*runs, *names])
    raise InputError(
        f"no run {name!r} in {ckpts} and no dataset of that name in {root}",
        expected=f"a run ({', '.join(runs) or 'none is there'}) or a dataset "
        f"({', '.join(names) or 'none is there'})",
        remedy=f"jaxreg diagnose {near}" if near else "",
        instead=(name, near) if near else None,
    )


def _tests(subject: Subject) -> Iterator[tuple[str, Callable[[], Trial | None]]]:
    obs = subject.obs
    if obs.config.head != "ridge":  # it has no steps, rates, gradients or seeds
        bench = trials.bench_of(obs)
        yield "overfit", lambda: trials.overfit(bench)
        yield "rates", lambda: trials.range_test(bench)
        yield "gradients", lambda: trials.gradients(bench)
        yield "learning curve", lambda: learning_curve(bench, obs)
        yield "seeds", lambda: trials.seeds(bench)
    yield "columns", lambda: trials.columns(obs, [*subject.columns], subject.read, subject.more)
    yield "noise", lambda: trials.noise(obs)


def _with(verdict: dict[str, Any], finding: dict[str, Any]) -> dict[str, Any]:
    """The verdict with one more finding. An error makes it unhealthy."""
    findings = [finding, *verdict["findings"]]
    findings.sort(key=lambda one: ORDER.index(one["severity"]))
    if finding["severity"] != "error":
        return {**verdict, "findings": findings}
    words = "not to be believed"
    head = {"headline": words, "title": words, "text": finding["evidence"]}
    head["remedy"] = finding["remedy"]
    return {"healthy": False, **head, "findings": findings}


def write_diagnosis(
    path: Path,
    subject: Subject,
    verdict: dict[str, Any],
    done: Sequence[Trial],
    *,
    command: str,
    begin: float,
) -> None:
    """Write the page of a diagnosis, which `command` makes and which began at `begin`."""
    from jaxreg.diagnosis import pictures

    drawn = [pictures.of_finding(one, subject.obs) for one in verdict["findings"]]
    rest = others(verdict)
    write_page(
        path,
        "diagnosis/diagnosis.html.jinja",
        title=subject.name,
        subtitle=f"diagnosis of {subject.experiment.dataset.name}",
        verdict=verdict,
        lead_picture=drawn[0] if len(rest) < len(drawn) else None,
        run_facts=_facts(subject),
        report=(subject.folder / "report.html").exists(),
        findings=[
            (*pair, picture)
            for pair, picture in zip(rest, drawn[len(drawn) - len(rest) :], strict=True)
        ],
        trials=[(trial, pictures.of_trial(trial)) for trial in done],
        columns=_columns_table(done),
        command=command,
        seconds=time.perf_counter() - begin,
    )


def _facts(subject: Subject) -> dict[str, str]:
    """What was tested, by name."""
    obs, experiment = subject.obs, subject.experiment
    trainings = number_of_members(experiment.config, experiment.finalists)
    first = {"training": f"the first of {trainings}"} if trainings > 1 else {}
    return {
        "dataset": experiment.dataset.name,
        "rows": f"{len(obs.train):,} train, {len(obs.validation):,} validation",
        "split": obs.split,
        **first,
        "target": ", ".join(experiment.targets),
        "columns": ", ".join(column.name for _, column in experiment.features.columns),
        "feature set": ", ".join(experiment.features.feature_sets),
        "epochs": f"{obs.epochs:,}",
    }


def _columns_table(done: Sequence[Trial]) -> dict[str, Any] | None:
    """The MAE of each target on each column, if columns were compared."""
    numbers = next((trial.numbers for trial in done if trial.name == "columns"), {"mae": {}})
    if len(numbers["mae"]) < 2:
        return None
    each = numbers.get("by_target", {"MAE": numbers["mae"]})
    lines = [(name, [maes[name] for maes in each.values()]) for name in numbers["mae"]]
    return {"heads": list(each), "lines": lines}
