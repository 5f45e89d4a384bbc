"""One run from its dataset to its report: files, scores, heads, history."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

import jaxreg
from jaxreg import train
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment import members
from jaxreg.training import loop
from planted_runs import column_of, digests_of, history_of, predictions_of, run_quick, words


def test_a_run_holds_all_that_it_promises(planted: Path) -> None:
    run = run_quick(planted, test=0.1)
    assert run.path.name == "planted-1"
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json", "summary.json", "history.csv", "predictions.parquet", "report.html",
        "plots", "checkpoints",
    }  # fmt: skip
    assert {p.name for p in (run.path / "plots").iterdir()} == {
        "curves.png", "predicted-angle.png", "residuals-angle.png", "over-time-angle-1.png",
        "over-time-angle-2.png",
    }  # fmt: skip
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() >= {
        "format", "metrics", "test", "by_target", "baselines", "epochs", "best_epoch",
        "stopping_epoch_best", "stopped_early", "seconds", "verdict", "provenance",
    }  # fmt: skip
    assert [summary[name] for name in ("members", "members_std", "combined")] == [None] * 3
    assert summary["baselines"].keys() == {"mean", "median", "ridge"}
    assert summary["seconds"].keys() == {
        "load", "ridge", "compile", "train", "verdict", "report", "suggestions", "total",
    }  # fmt: skip
    config = json.loads((run.path / "config.json").read_text())
    assert (config["format"], config["settings"]["hidden"]) == (2, [16, 8])


def test_the_scores_are_those_of_the_predictions(planted: Path) -> None:
    run = run_quick(planted, test=0.1)
    table = pq.read_table(run.path / "predictions.parquet")
    assert table.column_names == [
        "id", "split", "unit", "target.angle", "prediction.angle", "label_score.angle",
    ]  # fmt: skip
    for side, scores in [("validation", "metrics"), ("test", "test")]:
        true, told = (
            column_of(table, "target.angle", side),
            column_of(table, "prediction.angle", side),
        )
        assert run.summary[scores]["mae"] == pytest.approx(mean_absolute_error(true, told))
        assert run.summary[scores]["r2"] == pytest.approx(r2_score(true, told))
    median = np.median(column_of(table, "target.angle", "train"))
    expected = np.abs(column_of(table, "target.angle", "validation") - median).mean()  # by hand
    assert run.summary["baselines"]["median"]["mae"] == pytest.approx(expected, rel=1e-6)


def test_it_learns_what_is_there_to_be_learned(planted: Path) -> None:
    run = run_quick(planted, test=0.1, epochs=60)
    assert run.summary["metrics"]["r2"] > 0.8
    assert run.summary["verdict"]["healthy"]
    assert run.summary["verdict"]["headline"].startswith("learning: MAE ")
    codes = [finding["code"] for finding in run.summary["verdict"]["findings"]]
    assert codes == ["linear-is-better", "random-weights"]  # the planted target is linear


def test_the_ridge_comes_first_as_the_bar_to_beat(planted: Path) -> None:
    lines: list[str] = []
    run = run_quick(planted, test=0.1, epochs=60, say=lines.append)
    members = run.summary["baselines"]["ridge"]
    assert any(
        re.fullmatch(rf"ridge: MAE {members['mae']:.3g} \(validation\), alpha \d\S*, \S+ s", line)
        for line in lines
    )
    assert members.keys() == run.summary["metrics"].keys()
    assert members["r2"] > 0.98  # the planted relation is linear, with little noise
    assert run.summary["verdict"]["headline"].endswith(f", ridge reaches {members['mae']:.3g}")
    report = (run.path / "report.html").read_text()
    # among the predictors of both the validation and the test rows
    assert report.count('<th scope="row">ridge</th>') == 2


@pytest.mark.parametrize("components", [None, 5])
def test_a_ridge_is_a_run_like_any_other(planted: Path, components: int | None) -> None:
    run = run_quick(planted, run="one", head="ridge", components=components, test=0.1)
    summary = run.summary
    assert (summary["epochs"], summary["best_epoch"]) == (0, None)
    assert (run.path / "history.csv").read_text().splitlines() == [
        "epoch,loss,val_loss,val_mae,learning_rate,seconds"
    ]
    if components is None:
        members = summary["baselines"]["ridge"]
        assert summary["metrics"] == pytest.approx(members, rel=1e-4)
        assert summary["verdict"]["healthy"]
        assert "ridge reaches" not in summary["verdict"]["headline"]
    _assert_predictions_are_of_raw_features(planted, run)
    report = (run.path / "report.html").read_text()
    assert "Training loss and validation loss" not in report
    again = jaxreg.train_head(cache=planted, run=run.path, resume=True)
    assert again.summary == summary


def test_the_best_preset_is_a_run_like_any_other(planted: Path) -> None:
    # the blend of docs/best-head.md: through checkpoints, resume, predictions and the verdict
    preset = {"preset": "best", "hidden": (16, 8)}
    options = {"cache": planted, "ckpts": planted.parent / "ckpts", "epochs": 6, **preset}
    run = jaxreg.train_head("planted", run="whole", **options)
    assert run.summary["blend_share"] is not None
    assert 0 <= run.summary["blend_share"][0] <= 1
    assert run.summary["verdict"]["healthy"]
    assert run.config["settings"]["head"] == "blend"
    components = run.config["settings"]["components"]
    share = f"{run.summary['blend_share'][0]:.0%}"
    told = f"blend: {share} ridge, the rest MLP 16-8 on {components} components"
    assert told in (run.path / "report.html").read_text()
    _assert_predictions_are_of_raw_features(planted, run)
    with pytest.raises(Stopped, match="stopped after epoch 1"):
        jaxreg.train_head("planted", run="cut", should_stop=lambda: True, **options)
    resumed = jaxreg.train_head(
        cache=planted, run=planted.parent / "ckpts" / "cut", resume=True, say=lambda _: None
    )
    assert predictions_of(resumed.path) == predictions_of(run.path)
    assert history_of(resumed.path) == history_of(run.path)
    assert jaxreg.load_run(run.path).summary == run.summary


def test_components_are_part_of_the_run(planted: Path) -> None:
    whole = run_quick(planted, run="whole", components=10, epochs=40)
    assert whole.params[0]["hidden"]["layer_0"]["kernel"].shape == (10, 16)
    assert whole.summary["metrics"]["r2"] > 0.5
    _assert_predictions_are_of_raw_features(planted, whole)
    # the validation loss was taken on projected rows, the score on raw ones
    losses = [float(line[2]) for line in history_of(whole.path)[1:]]
    assert whole.summary["metrics"]["huber"] == pytest.approx(min(losses), rel=1e-4)
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", components=10, epochs=40, should_stop=lambda: True)
    cut = jaxreg.train_head(cache=planted, run=planted.parent / "ckpts" / "cut", resume=True)
    assert predictions_of(cut.path) == predictions_of(whole.path)
    assert history_of(cut.path) == history_of(whole.path)


def _assert_predictions_are_of_raw_features(planted: Path, run) -> None:
    name = run.features.feature_set
    features = Cache(planted).read(name, run.features.columns_of(name), digests_of(planted))
    told = run.predict_features(features)
    np.testing.assert_array_equal(told[:, 0], predictions_of(run.path))


def test_a_ridge_too_wide_to_wait_for_is_left_out(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(members, "WIDEST", 11)
    lines: list[str] = []
    run = run_quick(planted, say=lines.append)
    assert "ridge: left out, slow or large here (--head ridge solves it)" in lines
    assert run.summary["baselines"]["ridge"] is None
    assert run_quick(planted, head="ridge").summary["baselines"]["ridge"] is not None


def test_history_and_the_best_epoch(planted: Path) -> None:
    run = run_quick(planted)
    with open(run.path / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert list(history[0]) == [
        "epoch", "loss", "val_loss", "val_mae", "learning_rate", "seconds",
    ]  # fmt: skip
    assert [int(row["epoch"]) for row in history] == list(range(1, run.summary["epochs"] + 1))
    losses = [float(row["val_loss"]) for row in history]
    assert run.summary["best_epoch"] == int(np.argmin(losses)) + 1
    # the weights kept are those of that epoch: the Huber loss on the rows it watched says so
    assert run.summary["metrics"]["huber"] == pytest.approx(min(losses), rel=1e-5)


def test_several_targets_each_get_scores_and_pictures(planted: Path) -> None:
    run = run_quick(planted, target=("angle", "speed"), epochs=40)
    assert run.summary["by_target"].keys() == {"angle", "speed"}
    assert run.summary["by_target"]["speed"]["r2"] > 0.5
    assert run.summary["metrics"]["mae"] is None
    # the scaled loss is the one that training watched
    losses = [float(line[2]) for line in history_of(run.path)[1:]]
    assert run.summary["metrics"]["huber"] == pytest.approx(min(losses), rel=1e-4)
    assert (run.path / "plots" / "residuals-speed.png").exists()
    name = run.features.feature_set
    features = Cache(planted).read(name, run.features.columns_of(name), digests_of(planted))
    told = run.predict_features(features)
    table = pq.read_table(run.path / "predictions.parquet")
    np.testing.assert_array_equal(told[:, 1], table["prediction.speed"].to_numpy())


def test_summary_report_and_terminal_have_the_scores_of_each_target(planted: Path, capsys) -> None:
    options = ["--target", "angle", "speed", "--head", "ridge", "--test", "0.2", "--run", "both"]
    assert train.main([*words(planted), *options, "--json"]) == 0
    told = capsys.readouterr()
    summary = json.loads(told.out.splitlines()[-1])
    folder = planted.parent / "ckpts" / "both"
    table = pq.read_table(folder / "predictions.parquet")
    shown_before, shown = [], []
    page = (folder / "report.html").read_text()
    for name, scores in summary["by_target"].items():
        for side, found in [("validation", scores), ("test", scores["test"])]:
            true, predicted = (
                column_of(table, f"{k}.{name}", side) for k in ("target", "prediction")
            )
            # the table holds float32, and the errors of speed are 20,000 times smaller than it
            assert found["mae"] == pytest.approx(mean_absolute_error(true, predicted), rel=1e-3)
            assert found["r2"] == pytest.approx(r2_score(true, predicted), rel=1e-5)
            assert f"<figcaption>{name}, {side} rows ({len(true)})</figcaption>" in page
        median = np.median(column_of(table, f"target.{name}", "train"))
        usual = np.abs(column_of(table, f"target.{name}", "validation") - median).mean()
        assert scores["baselines"]["median"]["mae"] == pytest.approx(usual, rel=1e-5)
        assert scores["healthy"]
        assert f"{name} MAE {scores['mae']:.3g}, " in summary["verdict"]["headline"]
        shown.append(f"{name} MAE {scores['test']['mae']:.3g}, R² {scores['test']['r2']:.3g}")
        shown_before.append(f"{name} MAE {scores['mae']:.3g}, R² {scores['r2']:.3g}")
    rows = summary["rows"]
    assert f"validation ({rows['validation']} rows): {'; '.join(shown_before)}" in told.err
    assert f"test ({rows['test']} rows): {'; '.join(shown)}" in told.err
    assert [summary["metrics"][name] for name in ("mae", "rmse", "spearman")] == [None] * 3
    assert summary["baselines"]["median"]["mae"] is None


def test_rows_without_a_target_are_left_out_counted_and_listed(planted: Path) -> None:
    run = run_quick(planted, target=("gaps",), split="tail")
    table = pq.read_table(run.path / "predictions.parquet")
    left_out = table.filter(np.array(table["split"]) == "left-out")
    assert left_out["id"].to_pylist() == ["row-0", "row-60", "row-120", "row-180"]
    assert left_out["target.gaps"].null_count == 4
    assert left_out["prediction.gaps"].null_count == 0
    assert run.summary["rows"]["left-out"] == 4
    assert any("4 rows have no number" in note for note in run.summary["notes"])
    # row 0 has none, and the last batch is not a whole one: what fills it up must not count
    assert run.summary["rows"]["train"] % run.settings.batch_size > 0
    assert run.summary["metrics"]["mae"] < run.summary["baselines"]["median"]["mae"]


def test_tail_is_keras_validation_split(planted: Path) -> None:
    run = run_quick(planted, split="tail", validation=0.33)
    labels = pq.read_table(run.path / "predictions.parquet")["split"].to_pylist()
    cut = int(
        np.floor(240 * (1 - 0.33))
    )  # keras/src/trainers/data_adapters, train_validation_split
    assert labels == ["train"] * cut + ["validation"] * (240 - cut)


def test_the_same_seed_gives_the_same_bits_and_another_does_not(planted: Path) -> None:
    first, second, other = run_quick(planted), run_quick(planted), run_quick(planted, seed=1)
    assert (first.path.name, second.path.name) == ("planted-1", "planted-2")
    assert predictions_of(first.path) == predictions_of(second.path)
    assert predictions_of(first.path) != predictions_of(other.path)


def test_resuming_a_finished_run_changes_nothing(planted: Path) -> None:
    run = run_quick(planted, run="one")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert jaxreg.train_head(cache=planted, run=run.path, resume=True).summary == run.summary
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_a_run_is_never_overwritten_unasked(planted: Path) -> None:
    run = run_quick(planted, run="one")
    before = predictions_of(run.path)
    with pytest.raises(
        InputError, match=r"one exists\n[^$]*  try: use another --run, or add --resume"
    ):
        run_quick(planted, run="one", seed=1)
    assert predictions_of(run.path) == before
    assert predictions_of(run_quick(planted, run="one", seed=1, overwrite=True).path) != before


def test_the_question_does_not_learn_and_keep_going_shows_all_of_it(planted: Path) -> None:
    quick = {"cache": planted, "ckpts": planted.parent / "ckpts", "epochs": 30, "patience": 2}
    stopped = jaxreg.train_head("planted", preset="question", **quick)
    assert stopped.summary["dead"]
    assert stopped.summary["epochs"] < 30
    whole = jaxreg.train_head("planted", preset="question", keep_going=True, run="whole", **quick)
    assert (whole.summary["epochs"], whole.summary["stopped_early"]) == (30, False)
    assert whole.summary["dead"] is None
    history = history_of(whole.path)
    assert history[: len(history_of(stopped.path))] == history_of(stopped.path)
    assert len({line[2] for line in history[-10:]}) == 1  # val_loss does not move
    assert not whole.summary["verdict"]["healthy"]
    with pytest.raises(InputError, match=r"--output-activation relu there, linear now"):
        jaxreg.train_head(
            "planted", preset="answer", keep_going=True, run=whole.path, resume=True, **quick
        )


def test_how_epochs_are_cut_does_not_change_where_a_dead_training_ends(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"cache": planted, "ckpts": planted.parent / "ckpts", "patience": 50}
    ends = []
    for seconds in (1e-9, 1e9):  # one epoch at a time; as many as there may be
        monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
        run = jaxreg.train_head("planted", preset="question", **quick)
        ends.append((run.summary["epochs"], run.summary["dead"], history_of(run.path)))
    assert ends[0] == ends[1]


def test_a_relu_output_over_negative_targets_is_named(planted: Path) -> None:
    run = run_quick(planted, output_activation="relu")
    findings = run.summary["verdict"]["findings"]
    assert (findings[0]["code"], findings[0]["severity"]) == ("output-bounded", "error")
    assert "cannot go below 0" in run.summary["verdict"]["text"]
    assert not run.summary["verdict"]["healthy"]


def test_a_read_only_compilation_cache_does_not_fail(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()  # a file where the folder would be: root may write anywhere else
    done = subprocess.run(
        [sys.executable, "-m", "jaxreg.train", *words(planted, "--quiet")],
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""


def test_a_gpu_that_jax_does_not_see_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from jaxreg.common import device

    monkeypatch.setattr(device.shutil, "which", lambda name: f"/bin/{name}")
    assert "jaxreg[cuda]" in str(device.device_warning("cpu: 2 cores"))
    assert device.device_warning("gpu: 1 x H100") is None
