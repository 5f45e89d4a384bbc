"""The page and the files of a run that a sweep chose."""

import dataclasses
import re
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from matplotlib.figure import Figure

import jaxreg
from browser import Browser, started
from jaxreg import remove, verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.resolve import ResolvedRun, resolve
from jaxreg.report import sweep_plots
from jaxreg.report.sweep_content import read_trials
from jaxreg.runner import execute, rewrite
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.sweep_files import SweepRecord, read_sweep
from made_sweeps import CHOSEN, SEARCHED, sweep_content, trials_text, write_trials
from planted_runs import QUICK

COMMAND = "jaxreg sweep planted --run sweep"
ATTACK = "</script><script>document.title = 'hacked'</script>"


@dataclasses.dataclass
class Swept:
    """A sweep's run: its folder, and the outer predictions that it ended with."""

    directory: RunDirectory
    resolved: ResolvedRun
    held_out: np.ndarray
    first_page: str  # before the outer folds
    first: dict[str, Any]  # its summary


def swept(planted: Path, target: tuple[str, ...] = ("angle",), **changes: Any) -> Swept:
    store = Cache(planted)
    asked = {**QUICK, "folds": 2, "split": "hash", "target": target}
    resolved = resolve(store, read_dataset(store, "planted"), asked)
    resolved = dataclasses.replace(resolved, finalists=tuple(CHOSEN["finalists"]))
    directory = RunDirectory(planted.parent / "ckpts" / "sweep")
    write_trials(directory.path)
    record = SweepRecord(sweep_content(**changes), COMMAND)
    common: dict[str, Any] = {"say": lambda text: None, "begin": time.perf_counter()}
    execute(
        directory,
        resolved,
        resume=False,
        overwrite=False,
        on_epoch=lambda row: None,
        should_stop=lambda: False,
        sweep=record,
        **common,
    )
    page, first = (directory.path / "report.html").read_text(), directory.read_finished()
    noise = np.random.default_rng(3).normal(0, 0.3, resolved.y.shape)
    held_out = resolved.y + noise
    rewrite(directory, resolved, held_out, record, **common)
    return Swept(directory, resolved, held_out, page, first)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory: pytest.TempPathFactory) -> Swept:
    from conftest import make_planted

    return swept(make_planted(tmp_path_factory.mktemp("sweep")))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory):
    with started(tmp_path_factory.mktemp("profile")) as found:
        yield found


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page.split("<main>")[1]).split())


def test_the_scores_are_those_of_the_outer_predictions(sweep: Swept) -> None:
    run = jaxreg.load_run(sweep.directory.path)
    told, y = run.predictions["prediction.angle"].to_numpy(), sweep.resolved.y[:, 0]
    np.testing.assert_allclose(told, sweep.held_out[:, 0], rtol=1e-6)  # float32
    mae = np.abs(told.astype(np.float64) - y.astype(np.float32)).mean()  # NumPy's
    content = read_sweep(sweep.directory.path)
    assert content is not None
    assert run.metrics["mae"] == pytest.approx(mae, rel=1e-6)
    assert content["metrics"] == run.metrics
    assert content["finished"] is True
    assert content["optimism"] == (run.metrics["mae"] or 0.0) - 0.1
    assert content["baselines"] == run.summary["baselines"]
    # the heads and their own scores stay
    assert run.summary["members"] == sweep.first["members"]
    assert run.summary["metrics"] != sweep.first["metrics"]
    assert f"MAE {mae:.3g}, " in run.verdict["headline"]
    seconds = run.summary["seconds"]
    assert sum(v for n, v in seconds.items() if n != "total") == pytest.approx(
        seconds["total"], abs=0.01
    )


def test_a_sweep_that_has_not_ended_says_so_and_its_files_may_change(sweep: Swept) -> None:
    assert "This sweep has not finished." in text_of(sweep.first_page)
    assert "without fold 0" in text_of(sweep.first_page)
    assert "trials.csv" not in sweep.first["files"]
    assert {"trials.csv", "sweep.json"} <= set(sweep.directory.read_finished()["files"])
    assert sweep.directory.faults() == []
    assert verify.main([str(sweep.directory.path)]) == 0


def test_the_page_has_the_trials_and_what_choosing_cost(sweep: Swept) -> None:
    page = (sweep.directory.path / "report.html").read_text()
    text, mae = text_of(page), sweep.directory.read_finished()["metrics"]["mae"]
    optimism = mae - 0.1
    for part in [
        f"Their MAE is {mae:.4g}: the score of the run",
        f"look {optimism:.2g} smaller than it is ({optimism / mae:.0%}).",
        "lowest inner error of the choice on all rows 0.1 ",
        "on all rows 0.1 \N{EN DASH} 2 0.01, 0.02 0.1, 0.3 blend 64 mixed10.avg",
        "the 18 trials of the choice on all rows trial MAE R² stage status learning_rate",
        "3 0.1 0.8 heads done",  # the best first; the first head follows the ridge of two columns
        "5 \N{EN DASH} \N{EN DASH} heads failed",
        "All rows took part in the choice",
        "compared. The stage ridge compares columns.",
        "fold 1, finalist 1, seed 0",
        "learning_rate 0.01 0.02",
        COMMAND,
    ]:
        assert part in text, part
    assert "The stage mean" not in text  # there is no such trial
    assert page.count('alt="Error of the trials by ') == 4  # `hidden` has one value
    # the error of each fold's rows: NumPy's, from the table
    table = pq.read_table(sweep.directory.path / "predictions.parquet")
    for fold in (0, 1):
        rows = table["fold"].to_numpy() == fold
        error = np.abs(table["prediction.angle"].to_numpy() - table["target.angle"].to_numpy())
        assert f" {error[rows].mean():.4g} " in text.split(f"without fold {fold}")[1][:40]


def test_train_does_not_go_on_with_a_sweep(sweep: Swept) -> None:
    path = sweep.directory.path
    with pytest.raises(InputError, match="is the run of a sweep, and train cannot") as caught:
        jaxreg.train_head(run=path, resume=True)
    assert caught.value.remedy == f"jaxreg train planted --config {path / 'config.json'}"


def test_a_sweep_without_a_head_is_known_as_jaxregs(planted: Path) -> None:
    path = planted.parent / "ckpts" / "young"
    write_trials(path)
    SweepRecord(sweep_content(chosen=None), COMMAND).write(path)
    with pytest.raises(InputError, match="a training wrote to it in the last 60 seconds"):
        remove.main([str(path), "--cache", str(planted), "--ckpts", str(path.parent), "--yes"])
    with pytest.raises(InputError) as caught:
        jaxreg.train_head(cache=planted, run=path, resume=True)
    assert caught.value.remedy == f"jaxreg sweep planted --run {path} --resume"
    with pytest.raises(InputError, match="has no head yet"):
        jaxreg.load_run(path)
    run = jaxreg.train_head("planted", cache=planted, run=path, overwrite=True, **QUICK)
    assert sorted(one.name for one in run.path.glob("*.csv")) == ["history.csv"]


def test_trials_that_cannot_be_read_are_no_error(tmp_path: Path) -> None:
    text = trials_text() + "99,heads,,done,x\n100,heads,,done,1e-3,,,,,nan,inf,-,1,2,3,4,5\n"
    (tmp_path / "trials.csv").write_text(text)
    *_, torn, odd = read_trials(tmp_path / "trials.csv", sweep_content())
    assert (torn.error, torn.settings["head"]) == (None, "")
    assert (odd.error, odd.r2) == (None, None)


def test_a_picture_for_each_setting_that_varies(tmp_path: Path) -> None:
    write_trials(tmp_path)
    own = [t for t in read_trials(tmp_path / "trials.csv", sweep_content()) if not t.fold]
    names = [name for name, _ in sweep_plots.effects(own, SEARCHED, "MAE")]
    assert names == ["learning_rate", "dropout", "head", "columns"]
    assert sweep_plots.effects(own, SEARCHED, "MAE") == sweep_plots.effects(own, SEARCHED, "MAE")
    failed = [one for one in own if one.error is None]
    assert sweep_plots.effects(failed, SEARCHED, "MAE") == []
    assert sweep_plots.error_over_time(failed, "MAE") is None


def test_the_labels_of_a_logarithmic_axis_are_few() -> None:
    axes = Figure().subplots()
    sweep_plots._log_axis(axes)
    axes.set_xlim(1e-4 / 1.2, 1e-2 * 1.2)
    low, high = axes.get_xlim()
    shown = [
        label.get_text()
        for label, place in zip(axes.get_xticklabels(), axes.get_xticks(), strict=True)
        if low <= place <= high
    ]
    assert shown == ["0.0001", "0.0003", "0.001", "0.003", "0.01"]
    assert {label.get_text() for label in axes.get_xticklabels(minor=True)} <= {""}


def test_the_page_fits_and_its_trials_sort(sweep: Swept, browser: Browser) -> None:
    for width in (1100, 400):
        browser.open(sweep.directory.path / "report.html", width=width)
        assert browser.run("document.documentElement.scrollWidth") <= width
    assert not refused(browser)
    table = "[...document.querySelectorAll('table')].find((t) => t.rows[0].cells.length > 9)"
    browser.run(f"{table}.tHead.rows[0].cells[1].querySelector('button').click()")
    cells = f"[...{table}.tBodies[0].rows].map((row) => row.cells[1].textContent)"
    shown = browser.run(cells)
    numbers = [float(one) for one in shown if one != "\N{EN DASH}"]
    assert numbers == sorted(numbers)
    assert shown[-1] == "\N{EN DASH}"


def refused(browser: Browser) -> list[Any]:
    names = ("Log.entryAdded", "Runtime.exceptionThrown")
    return [event["params"] for event in browser.events if event["method"] in names]


def test_a_kill_among_the_last_files_leaves_a_sweep_to_resume(sweep: Swept, tmp_path: Path) -> None:
    path = tmp_path / "killed"
    shutil.copytree(sweep.directory.path, path)
    (path / "summary.json").unlink()
    content = read_sweep(path)
    assert content is not None
    assert content["finished"] is False
    with pytest.raises(InputError, match="is not finished") as caught:
        jaxreg.load_run(path)
    assert caught.value.remedy == f"jaxreg sweep planted --run {path} --resume"


def test_several_targets_have_the_scaled_loss_and_hostile_names_are_text(
    planted: Path, browser: Browser
) -> None:
    read = {**SEARCHED, "head": {"choices": [ATTACK]}, ATTACK: {"choices": [1]}}
    found = swept(
        planted,
        ("angle", "speed"),
        search={"asked": [ATTACK], "read": read},
        chosen={"head": ATTACK, ATTACK: [ATTACK]},
        chosen_by_fold=[{}, {"head": ATTACK}],
    )
    browser.open(found.directory.path / "report.html")
    assert browser.run("document.title") == "sweep · jaxreg"
    assert not refused(browser)
    huber = found.directory.read_finished()["metrics"]["huber"]
    page = text_of((found.directory.path / "report.html").read_text())
    assert f"Their Huber loss is {huber:.4g}" in page
    places = ["--cache", str(planted), "--ckpts", str(planted.parent / "ckpts"), "--yes"]
    assert remove.main([str(found.directory.path), *places]) == 0
    assert not found.directory.path.exists()
