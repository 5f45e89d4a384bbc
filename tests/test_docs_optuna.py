"""The study that docs/optuna.md shows, run as it stands on a small dataset."""

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error

import jaxreg

PAGE = Path(__file__).parent.parent / "docs" / "optuna.md"
TRIALS = 3


def test_the_study_of_the_page(planted: Path, monkeypatch, capsys) -> None:
    pytest.importorskip("optuna")
    monkeypatch.chdir(planted.parent)
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    small = code.replace('"track"', '"planted"').replace("n_trials=20", f"n_trials={TRIALS}")
    assert small.count('"planted"') == 1
    names: dict = {}
    exec(compile(small, str(PAGE), "exec"), names)
    study = names["study"]
    trials = [trial.number for trial in study.trials if trial.value is not None]
    runs = {number: jaxreg.load_run(f"ckpts/study-{number}") for number in trials}
    errors = {number: run.metrics["mae"] or 0.0 for number, run in runs.items()}
    assert len(study.trials) == TRIALS
    assert study.best_value == min(errors.values())
    best = runs[study.best_trial.number]
    assert best.settings.learning_rate == study.best_params["learning_rate"]
    # the printed test score is that of scikit-learn on the table of the run
    table = pq.read_table(best.path / "predictions.parquet").to_pandas()
    own = table[table["split"] == "test"]
    expected = mean_absolute_error(own["target.angle"], own["prediction.angle"])
    printed = capsys.readouterr().out
    assert float(printed.split("test ")[1]) == pytest.approx(expected, rel=1e-5)
    assert f"validation {study.best_value}" in printed
