"""`jaxreg train` and contract 2: the run directory."""

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

import jaxreg
from jaxreg import train
from jaxreg.arguments import parse as parse_words
from jaxreg.cache.parts import list_parts
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import write_json
from jaxreg.config_io import from_json, merge, preset_settings, read_settings
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment import members
from jaxreg.train_config import TrainConfig
from jaxreg.trained_run import TrainedRun
from jaxreg.training import checkpoint, loop

# the same for all tests where nothing else is asked: each other one has to be compiled
QUICK = {"hidden": (16, 8), "epochs": 12, "learning_rate": 0.01}


def run_quick(planted: Path, **options):
    options = {"cache": planted, "ckpts": planted.parent / "ckpts", **QUICK, **options}
    return jaxreg.train_head("planted", **options)


def words(planted: Path, *more: str) -> list[str]:
    ckpts = str(planted.parent / "ckpts")
    quick = ["--hidden", "16", "8", "--epochs", "12", "--learning-rate", "0.01"]
    return ["planted", "--cache", str(planted), "--ckpts", ckpts, *quick, *more]


def test_a_run_holds_all_that_it_promises(planted: Path) -> None:
    run = run_quick(planted, test=0.1)
    assert run.path.name == "planted-1"
    names = {path.name for path in run.path.iterdir()}
    assert names == {
        "config.json", "summary.json", "history.csv", "predictions.parquet", "report.html",
        "plots", "checkpoints",
    }  # fmt: skip
    assert {p.name for p in (run.path / "plots").iterdir()} == {
        "curves.png", "predicted-angle.png", "residuals-angle.png",
    }  # fmt: skip
    summary = json.loads((run.path / "summary.json").read_text())
    assert summary.keys() >= {
        "format", "metrics", "test", "by_target", "baselines", "epochs", "best_epoch",
        "stopping_epoch_best", "stopped_early", "seconds", "verdict", "provenance",
    }  # fmt: skip
    assert [summary[name] for name in ("members", "members_std", "combined")] == [None] * 3
    assert summary["baselines"].keys() == {"mean", "median", "ridge"}
    assert summary["seconds"].keys() == {
        "load", "ridge", "compile", "train", "report", "total",
    }  # fmt: skip
    config = json.loads((run.path / "config.json").read_text())
    assert (config["format"], config["settings"]["hidden"]) == (2, [16, 8])


def test_the_scores_are_those_of_the_predictions(planted: Path) -> None:
    run = run_quick(planted, test=0.1)
    table = pq.read_table(run.path / "predictions.parquet")
    assert table.column_names == ["id", "split", "target.angle", "prediction.angle"]
    for side, scores in [("validation", "metrics"), ("test", "test")]:
        true, told = _column(table, "target.angle", side), _column(table, "prediction.angle", side)
        assert run.summary[scores]["mae"] == pytest.approx(mean_absolute_error(true, told))
        assert run.summary[scores]["r2"] == pytest.approx(r2_score(true, told))
    median = np.median(_column(table, "target.angle", "train"))
    expected = np.abs(_column(table, "target.angle", "validation") - median).mean()  # by hand
    assert run.summary["baselines"]["median"]["mae"] == pytest.approx(expected, rel=1e-6)


def _column(table, name: str, side: str) -> np.ndarray:
    return table[name].to_numpy()[np.array(table["split"]) == side]


def test_it_learns_what_is_there_to_be_learned(planted: Path) -> None:
    run = run_quick(planted, test=0.1, epochs=60)
    assert run.summary["metrics"]["r2"] > 0.8
    assert run.summary["verdict"]["healthy"]
    assert run.summary["verdict"]["headline"].startswith("learning: MAE ")
    codes = [finding["code"] for finding in run.summary["verdict"]["findings"]]
    assert codes == ["random-weights"]


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
    assert "Training and validation loss" not in report
    again = jaxreg.train_head(cache=planted, run=run.path, resume=True)
    assert again.summary == summary


def test_a_preset_named_again_goes_on_with_its_own_run(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpts = str(planted.parent / "ckpts")
    best = ["--cache", str(planted), "--ckpts", ckpts, "--run", "one", "--preset", "best"]
    assert train.main([*best, "planted", "--hidden", "8", "--split", "tail", "--epochs", "2"]) == 0
    # planted's column is mixed10.avg, and the preset of features another
    note = "note: trained on identity.mixed10.avg; extract --preset best computes the features"
    assert note in capsys.readouterr().err
    assert train.main([*best, "--resume"]) == 0
    with pytest.raises(InputError, match="--head blend there, mlp now"):
        train.main([*best, "--resume", "--head", "mlp"])


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
    assert _predictions(resumed.path) == _predictions(run.path)
    assert _history(resumed.path) == _history(run.path)
    assert jaxreg.load_run(run.path).summary == run.summary


def test_components_are_part_of_the_run(planted: Path) -> None:
    whole = run_quick(planted, run="whole", components=10, epochs=40)
    assert whole.params[0]["hidden"]["layer_0"]["kernel"].shape == (10, 16)
    assert whole.summary["metrics"]["r2"] > 0.5
    _assert_predictions_are_of_raw_features(planted, whole)
    # the validation loss was taken on projected rows, the score on raw ones
    losses = [float(line[2]) for line in _history(whole.path)[1:]]
    assert whole.summary["metrics"]["huber"] == pytest.approx(min(losses), rel=1e-4)
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", components=10, epochs=40, should_stop=lambda: True)
    cut = jaxreg.train_head(cache=planted, run=planted.parent / "ckpts" / "cut", resume=True)
    assert _predictions(cut.path) == _predictions(whole.path)
    assert _history(cut.path) == _history(whole.path)


def _assert_predictions_are_of_raw_features(planted: Path, run) -> None:
    features = Cache(planted).read(run.recipe.feature_set, run.columns, _digests(planted))
    told = run.predict_features(features)
    np.testing.assert_array_equal(told[:, 0], _predictions(run.path))


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
    assert (run.path / "plots" / "residuals-speed.png").exists()
    features = Cache(planted).read(run.recipe.feature_set, run.columns, _digests(planted))
    told = run.predict_features(features)
    table = pq.read_table(run.path / "predictions.parquet")
    np.testing.assert_array_equal(told[:, 1], table["prediction.speed"].to_numpy())


def _digests(planted: Path) -> list[str]:
    return pq.read_table(planted / "datasets" / "planted.parquet")["digest"].to_pylist()


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
    assert _predictions(first.path) == _predictions(second.path)
    assert _predictions(first.path) != _predictions(other.path)


def _predictions(path: Path) -> list[float]:
    return pq.read_table(path / "predictions.parquet")["prediction.angle"].to_pylist()


def _history(path: Path) -> list[list[str]]:
    """Every line but for its seconds."""
    return [line.split(",")[:-1] for line in (path / "history.csv").read_text().splitlines()]


def test_a_stopped_run_resumes_to_the_same_bits(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    lines: list[str] = []
    with pytest.raises(Stopped, match="stopped after epoch 1"):
        run_quick(planted, run="cut", should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    assert not (cut / "summary.json").exists()
    resumed = jaxreg.train_head(cache=planted, run=cut, resume=True, say=lines.append)
    assert "resumed at epoch 1" in lines
    assert _predictions(resumed.path) == _predictions(whole.path)
    assert _history(resumed.path) == _history(whole.path)


def test_sigkill_and_resume_give_the_same_bits(planted: Path) -> None:
    whole = run_quick(planted, run="whole", epochs=400, patience=400)
    _kill_until_done(planted, "cut", whole, np.random.default_rng().uniform(0, 1, 3))


@pytest.mark.slow
@pytest.mark.parametrize("after_an_epoch", [True, False])
def test_sigkill_at_eight_moments_gives_the_same_bits(planted: Path, after_an_epoch: bool) -> None:
    """Moments from the first epoch on, and from the start of the process on."""
    whole = run_quick(planted, run="whole", epochs=20_000, patience=20_000)
    rng, killed, runs = np.random.default_rng(), 0, 0
    while killed < 8:  # a run may end before its turn to be killed comes
        # one in each part of the time, so that eight are early, late and between in every run
        parts = rng.permutation(np.linspace(0, 1, 9)[:-1] + rng.uniform(0, 1 / 8, 8))
        moments = parts[killed:] * (1.5 if after_an_epoch else 6)
        killed += _kill_until_done(planted, f"cut-{runs}", whole, moments, after_an_epoch)
        runs += 1


def _kill_until_done(
    planted: Path, name: str, whole: TrainedRun, moments: np.ndarray, after_an_epoch: bool = True
) -> int:
    """Kill the same command again and again, `moments` seconds after its first epoch or its start,
    let it end at last, and compare it with a run that nobody killed. Returns how often it was."""
    epochs = str(whole.settings.epochs)
    command = [
        sys.executable, "-m", "jaxreg.train",
        *words(planted, "--run", name, "--patience", epochs, "--resume"),
    ]  # fmt: skip
    command[command.index("--epochs") + 1] = epochs
    killed = 0
    for seconds in moments:
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert child.stderr is not None
        if after_an_epoch:
            for line in child.stderr:
                if line.startswith("epoch"):
                    break
        with contextlib.suppress(subprocess.TimeoutExpired):  # what it says must not fill the pipe
            child.communicate(timeout=seconds)
        child.kill()
        child.communicate()
        if child.returncode != -signal.SIGKILL:
            break
        killed += 1
    subprocess.run(command, check=True, capture_output=True)
    cut = jaxreg.load_run(planted.parent / "ckpts" / name)
    assert _predictions(cut.path) == _predictions(whole.path)
    assert _history(cut.path) == _history(whole.path)
    jax.tree.map(np.testing.assert_array_equal, cut.params, whole.params)
    return killed


def test_sigterm_saves_and_exits_with_143(planted: Path) -> None:
    command = [sys.executable, "-m", "jaxreg.train", *words(planted, "--run", "cut")]
    command[command.index("--epochs") + 1] = "100000"
    child = subprocess.Popen([*command, "--patience", "100000"], stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    for line in child.stderr:
        if line.startswith("epoch"):
            break
    child.send_signal(signal.SIGTERM)
    _, text = child.communicate()
    assert child.returncode == 143
    assert "stopped after epoch" in text
    assert "--resume" in text
    assert list((planted.parent / "ckpts" / "cut" / "checkpoints").glob("*.json"))


def _damage_the_latest(run: Path) -> None:
    latest = max(path for path in (run / "checkpoints").iterdir() if path.is_dir())
    block = max((p for p in latest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    block.write_bytes(block.read_bytes()[:-1])


def test_a_damaged_latest_checkpoint_falls_back_to_the_one_before(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    for _ in range(3):  # each ends after one more epoch
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    _damage_the_latest(cut)
    lines: list[str] = []
    run_quick(planted, run="cut", resume=True, say=lines.append)
    assert any("is damaged; the one before it is used" in line for line in lines)
    assert _predictions(cut) == _predictions(whole.path)
    assert _history(cut) == _history(whole.path)


def test_the_only_checkpoint_damaged_begins_again_and_says_so(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    assert len(list((cut / "checkpoints").glob("*.json"))) == 1
    _damage_the_latest(cut)
    lines: list[str] = []
    run_quick(planted, run="cut", resume=True, say=lines.append)
    assert any("is damaged; training starts again" in line for line in lines)
    assert _predictions(cut) == _predictions(whole.path)


def test_a_checkpoint_of_another_format_is_refused(planted: Path, monkeypatch) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    monkeypatch.setattr(checkpoint, "STATE_FORMAT", 99)
    with pytest.raises(InputError, match=r"of format \d+, by jaxreg 0[\s\S]*format 99, as jaxreg"):
        run_quick(planted, run="one", resume=True)


def test_a_checkpoint_of_another_run_is_refused(planted: Path) -> None:
    ckpts = planted.parent / "ckpts"
    for name, seed in [("one", 1), ("two", 2)]:
        with pytest.raises(Stopped):
            run_quick(planted, run=name, seed=seed, should_stop=lambda: True)
    shutil.rmtree(ckpts / "two" / "checkpoints")
    shutil.copytree(ckpts / "one" / "checkpoints", ckpts / "two" / "checkpoints")
    with pytest.raises(InputError, match=r"checkpoint .*000001 .*: --seed 1 there, 2 now"):
        run_quick(planted, run="two", seed=2, resume=True)


def test_a_run_on_another_recipe_is_refused(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="one", should_stop=lambda: True)
    cache, digests = Cache(planted), _digests(planted)
    other = Recipe(weights="random:1:v1", weights_tag="random1")
    cache.make_feature_set(other, None)
    column = Column()
    cache.add(
        other.feature_set, column, digests, cache.read(cache.feature_sets()[0], [column], digests)
    )
    first = next(name for name in cache.feature_sets() if name != other.feature_set)
    with pytest.raises(InputError, match=rf"--feature-set {first} there, {other.feature_set} now"):
        run_quick(planted, run="one", resume=True, feature_set=other.feature_set)


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path: Path) -> None:
    record = {"settings": {"epochs": 1, "memory_limit": None}}
    checkpoints = checkpoint.Checkpoints(tmp_path, record)
    checkpoints.save(1, {"kernel": np.zeros((3, 2), np.float32)})
    checkpoints.wait()
    for other, message in [
        (np.zeros((3, 4), np.float32), r"\['kernel'\] of shape \(3, 2\)[\s\S]*shape \(3, 4\)"),
        (np.zeros((3, 2), np.float16), r"float32\n  expected: shape \(3, 2\) and float16"),
    ]:
        with pytest.raises(InputError, match=message):
            checkpoints.load({"kernel": other}, print)
    with pytest.raises(InputError, match="differ in which arrays there are"):
        checkpoints.load({"bias": np.zeros(2)}, print)


def test_resume_refuses_every_difference_by_name_but_more_epochs(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=3)
    for name, value in [("seed", 1), ("hidden", (8,)), ("epochs", 2), ("target", ("speed",))]:
        flag = "--" + name.replace("_", "-")
        with pytest.raises(InputError, match=flag):
            jaxreg.train_head(cache=planted, run=run.path, resume=True, **{name: value})
    longer = jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=12)
    assert longer.summary["epochs"] == 12
    assert _predictions(longer.path) == _predictions(run_quick(planted, run="two").path)


def test_resuming_a_finished_run_changes_nothing(planted: Path) -> None:
    run = run_quick(planted, run="one")
    before = {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()}
    assert jaxreg.train_head(cache=planted, run=run.path, resume=True).summary == run.summary
    assert {p: p.read_bytes() for p in run.path.rglob("*") if p.is_file()} == before


def test_a_run_is_never_overwritten_unasked(planted: Path) -> None:
    run = run_quick(planted, run="one")
    before = _predictions(run.path)
    with pytest.raises(InputError, match="one exists\n  try: another --run, --resume"):
        run_quick(planted, run="one", seed=1)
    assert _predictions(run.path) == before
    assert _predictions(run_quick(planted, run="one", seed=1, overwrite=True).path) != before


def test_a_config_file_repeats_a_run_and_flags_go_before_it(planted: Path) -> None:
    run = run_quick(planted, seed=3)
    again = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    again += ["--config", str(run.path / "config.json")]
    assert train.main([*again, "--run", "again"]) == 0
    assert _predictions(run.path.parent / "again") == _predictions(run.path)
    assert train.main([*again, "--run", "other", "--seed", "4"]) == 0
    settings = jaxreg.load_run(run.path.parent / "other").settings
    assert (settings.seed, settings.hidden) == (4, (16, 8))


def parse(*words: str) -> TrainConfig:
    """The settings that a command line comes to, by the one merge."""
    own, given = parse_words("train", train.TrainArguments, [TrainConfig], words)
    file = None if own.config is None else read_settings(Path(own.config))
    asked = merge(preset=preset_settings(own.preset), file=file, given=given)
    return from_json(TrainConfig, asked)


def test_the_presets_are_the_programs_of_the_discussion() -> None:
    both = {
        "hidden": (512, 256, 128, 64), "dropout": 0.25, "huber_delta": 0.5, "batch_size": 32,
        "decay_steps": 100_000, "decay_rate": 0.95, "epochs": 100, "patience": 10,
        "min_delta": 0.0003, "validation": 0.2, "split": "tail", "scale_features": False,
        "scale_target": False,
    }  # fmt: skip
    question = vars(parse("--preset", "question"))
    assert question.items() >= {**both, "output_activation": "relu", "learning_rate": 0.1}.items()
    answer = vars(parse("--preset", "answer"))
    assert answer.items() >= {**both, "output_activation": "linear", "learning_rate": 1e-4}.items()
    best = vars(parse("--preset", "best"))
    assert best.items() >= {"head": "blend", "learning_rate": 1e-3, "min_delta": 0.0}.items()
    original = parse("--preset", "original")
    assert original == parse() == TrainConfig()


def test_a_flag_goes_before_config_before_preset_before_default(tmp_path: Path) -> None:
    file = tmp_path / "some.json"
    settings = {"learning_rate": 0.2, "scale_target": True, "patience": 3}
    file.write_text(json.dumps({"format": 2, "settings": settings}))
    got = parse("--preset", "question", "--config", str(file), "--patience", "5", "--no-keep-going")
    assert (got.patience, got.keep_going) == (5, False)  # flags
    assert (got.learning_rate, got.scale_target) == (0.2, True)  # the file
    assert (got.output_activation, got.split) == ("relu", "tail")  # the preset
    assert got.epochs == 100  # the default
    with pytest.raises(InputError, match="no preset 'questoin'\n  expected: original or question"):
        preset_settings("questoin")


def test_the_question_does_not_learn_and_keep_going_shows_all_of_it(planted: Path) -> None:
    quick = {"cache": planted, "ckpts": planted.parent / "ckpts", "epochs": 30, "patience": 2}
    stopped = jaxreg.train_head("planted", preset="question", **quick)
    assert stopped.summary["dead"]
    assert stopped.summary["epochs"] < 30
    whole = jaxreg.train_head("planted", preset="question", keep_going=True, run="whole", **quick)
    assert (whole.summary["epochs"], whole.summary["stopped_early"]) == (30, False)
    assert whole.summary["dead"] is None
    history = _history(whole.path)
    assert history[: len(_history(stopped.path))] == _history(stopped.path)
    assert len({line[2] for line in history[-10:]}) == 1  # val_loss does not move
    assert not whole.summary["verdict"]["healthy"]
    with pytest.raises(InputError, match=r"--output-activation relu there, linear now"):
        jaxreg.train_head(
            "planted", preset="answer", keep_going=True, run=whole.path, resume=True, **quick
        )


def test_a_dead_output_is_said_and_ends_it_with_5(planted: Path, capsys) -> None:
    options = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    options += ["--preset", "question", "--run", "dead", "--json"]
    assert train.main(options) == train.DEAD
    told = capsys.readouterr()
    summary = json.loads(told.out.splitlines()[-1])
    last = len(_history(planted.parent / "ckpts" / "dead")) - 1  # the first line is names
    assert f"warning: epoch {last}: " in told.err
    assert "the output is one constant, and no gradient can change it; it is over" in told.err
    codes = [finding["code"] for finding in summary["verdict"]["findings"]]
    assert "dead-output" in codes
    assert not summary["verdict"]["healthy"]
    assert train.main([*options, "--resume"]) == 0  # it is finished: nothing is trained again


def test_how_epochs_are_cut_does_not_change_where_a_dead_training_ends(
    planted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick = {"cache": planted, "ckpts": planted.parent / "ckpts", "patience": 50}
    ends = []
    for seconds in (1e-9, 1e9):  # one epoch at a time; as many as there may be
        monkeypatch.setattr(loop, "CHUNK_SECONDS", seconds)
        run = jaxreg.train_head("planted", preset="question", **quick)
        ends.append((run.summary["epochs"], run.summary["dead"], _history(run.path)))
    assert ends[0] == ends[1]


@pytest.mark.parametrize("more", [[], ["--keep-going"]])
def test_a_loss_that_is_not_finite_stops_with_5_and_is_named(
    planted: Path, capsys, more: list[str]
) -> None:
    options = ["--json", "--run", "diverged", "--no-scale-features", "--huber-delta", "1e38", *more]
    wild = [w if w != "0.01" else "1e30" for w in words(planted, *options)]
    assert train.main(wild) == train.DEAD
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdict"]["findings"][0]["code"] == "non-finite"
    assert not told["verdict"]["healthy"]
    assert told["run"].endswith("diverged")
    assert told["epochs"] < 12


def test_a_relu_output_over_negative_targets_is_named(planted: Path) -> None:
    run = run_quick(planted, output_activation="relu")
    findings = run.summary["verdict"]["findings"]
    assert (findings[0]["code"], findings[0]["severity"]) == ("output-bounded", "error")
    assert "cannot go below 0" in run.summary["verdict"]["headline"]
    assert not run.summary["verdict"]["healthy"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"target": ("angel",)},
            r"no column 'angel' in planted\n  expected: a numeric column: angle",
        ),
        ({"target": ("planted",)}, "'planted' is a dataset, not a column"),
        ({"target": ("mixed",)}, "the target mixed holds string, not numbers: 'fast' in row-17"),
        ({"target": ("nothing",)}, "no row of planted has a number for nothing"),
        ({"target": ("angle", "angle")}, "expected: each column once"),
        ({"feature_set": "vgg"}, "--feature-set vgg fits no feature sets"),
        (
            {"layers": ("mixed2",)},
            r"has no identity\.mixed2\.avg .*\n.*\n  try: .*planted.csv .* --layers mixed2",
        ),
        ({"layers": ("mixd10",)}, r"has no identity\.mixd10\.avg .*\n.*\n  try: --layers mixed10$"),
        ({"layers": ("last",)}, r"has no identity\.last\.avg .*\n.*\n  try: --layers mixed10$"),
        ({"pool": "grid:0x4"}, "no pool 'grid:0x4'"),
        ({"split": "blokcs"}, "blocks"),
        ({"split": "group:nope"}, "nope"),
        ({"validation": 1.5}, "--validation is 1.5"),
        ({"components": 13}, "--components 13, but there are [0-9]+ training rows of 12 columns"),
        ({"components": 0}, "--components is 0\n  expected: at least 1"),
        ({"head": "tree"}, "--head is tree\n  expected: mlp or ridge"),
        ({"head": "ridge", "scale_features": False}, "--head ridge with --no-scale-features"),
        ({"components": 3, "scale_features": False}, "--components with --no-scale-features"),
        ({"batch_size": 0}, "--batch-size is 0\n  expected: at least 1"),
        ({"decay_rate": 0.0}, "--decay-rate is 0.0"),
        ({"learning_rte": 0.1}, r"no setting 'learning_rte'[\s\S]*try: learning_rate"),
    ],
)
def test_what_cannot_be_trained_says_why(planted: Path, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_quick(planted, **options)
    assert not list((planted.parent / "ckpts").glob("*"))


def test_an_unknown_dataset_and_none_named(planted: Path) -> None:
    with pytest.raises(InputError, match=r"no dataset 'plnted'[\s\S]*try: planted"):
        jaxreg.train_head("plnted", cache=planted)
    table = planted / "datasets" / "planted.parquet"
    (planted / "datasets" / "other.parquet").write_bytes(table.read_bytes())
    with pytest.raises(InputError, match=r"which dataset of .*\?\n    other: 240 rows\n"):
        jaxreg.train_head(cache=planted)
    with pytest.raises(InputError, match="no dataset in"):
        jaxreg.train_head(cache=planted / "none")


def test_one_row_cannot_be_split(planted: Path) -> None:
    path = planted / "datasets" / "planted.parquet"
    pq.write_table(pq.read_table(path).slice(0, 1), path)
    with pytest.raises(InputError, match="the dataset has 1 usable row"):
        run_quick(planted)


def test_a_damaged_part_names_the_file_and_the_command_that_mends_it(planted: Path) -> None:
    feature_set = Cache(planted).feature_sets()[0]
    part = list_parts(planted / "features" / feature_set / "identity.mixed10.avg")[0]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{part.name}[\s\S]*jaxreg extract planted\.csv"):
        run_quick(planted)


def test_a_part_of_another_recipe_is_refused(planted: Path) -> None:
    feature_set = Cache(planted).feature_sets()[0]
    record = planted / "features" / feature_set / "feature_set.json"
    changed = json.loads(record.read_text())
    changed["recipe"]["preprocess"] = "unit"
    write_json(record, changed)
    with pytest.raises(InputError, match="is that of another feature set"):
        run_quick(planted)


def test_features_that_are_not_finite_are_named(planted: Path) -> None:
    cache = Cache(planted)
    feature_set, column = cache.feature_sets()[0], cache.columns(cache.feature_sets()[0])[0]
    digests = _digests(planted)
    features = cache.read(feature_set, [column], digests)
    features[5, 0] = np.nan
    for part in list_parts(cache.folder(feature_set, column)):
        part.unlink()
    cache.add(feature_set, column, digests, features)
    with pytest.raises(InputError, match="the features of 1 images are not finite, first row-5"):
        run_quick(planted)


def test_resume_needs_a_run_and_a_finished_one_ends_with_0(planted: Path) -> None:
    with pytest.raises(InputError, match="--resume without --run"):
        run_quick(planted, resume=True)
    options = ["--run", "diverged", "--no-scale-features", "--huber-delta", "1e38"]
    wild = [w if w != "0.01" else "1e30" for w in words(planted, *options)]
    assert train.main(wild) == train.DEAD
    assert train.main([*wild, "--resume"]) == 0


def test_resume_goes_on_with_the_features_it_began_with(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    path = planted / "datasets" / "planted.parquet"
    table = pq.read_table(path)
    metadata = json.loads(table.schema.metadata[b"jaxreg"])
    metadata |= {"feature_set": "another-feature set", "columns": ["identity.mixed2.avg"]}
    pq.write_table(table.replace_schema_metadata({"jaxreg": json.dumps(metadata)}), path)
    run = jaxreg.train_head(cache=planted, run=planted.parent / "ckpts" / "cut", resume=True)
    assert run.summary["epochs"] == 12


def test_damaged_checkpoints_never_push_out_good_ones(planted: Path) -> None:
    cut = planted.parent / "ckpts" / "cut"
    for _ in range(3):
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    for record in (cut / "checkpoints").glob("*.json"):
        record.write_text("{}")
    with pytest.raises(Stopped):  # begins anew, and what it saves must stay
        run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    assert sorted(path.name for path in (cut / "checkpoints").iterdir()) == [
        "000001",
        "000001.json",
    ]


def test_a_damaged_last_checkpoint_never_predicts_in_silence(planted: Path) -> None:
    for _ in range(2):
        with pytest.raises(Stopped):
            run_quick(planted, run="one", resume=True, should_stop=lambda: True)
    run = run_quick(planted, run="one", resume=True)
    assert run.summary["best_epoch"] > 2
    latest = max((run.path / "checkpoints").glob("*.json"))
    latest.write_text("{}")
    with pytest.raises(InputError, match="is damaged, and the one before"):
        jaxreg.load_run(run.path)


@pytest.mark.parametrize(
    "settings", [{"epochs": "3"}, {"hidden": 8}, {"dropout": True}, {"epochs": 3_000_000_000}]
)
def test_a_config_file_with_wrong_values_names_the_setting(
    planted: Path, tmp_path: Path, settings: dict
) -> None:
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"format": 2, "settings": settings}))
    with pytest.raises(InputError, match=f"--{next(iter(settings))} is"):
        train.main(["planted", "--cache", str(planted), "--config", str(file)])


def test_files_where_folders_are_expected(planted: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot make the folder"):
        run_quick(planted, ckpts=tmp_path / "file")
    with pytest.raises(InputError, match="is a file"):
        run_quick(planted, run=tmp_path / "file")


def test_the_second_signal_exits_at_once() -> None:
    program = (
        "import os, signal, time\nfrom jaxreg import cli\n"
        "with cli.stop_signal() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGINT); assert stop()\n"
        "    os.kill(os.getpid(), signal.SIGINT); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 130


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


def test_targets_beyond_float32_are_refused(planted: Path) -> None:
    path = planted / "datasets" / "planted.parquet"
    table = pq.read_table(path)
    place = table.column_names.index("angle")
    huge = pa.array(np.linspace(-1e300, 1e300, table.num_rows))
    pq.write_table(table.set_column(place, "angle", huge), path)
    with pytest.raises(InputError, match=r"the target angle reaches 1e\+300"):
        run_quick(planted)


def test_a_config_file_that_is_not_settings_says_what_it_should_be(
    planted: Path, tmp_path: Path
) -> None:
    words = ["planted", "--cache", str(planted), "--config", str(tmp_path / "file.json")]
    with pytest.raises(InputError, match=r"no .*file.json\n  expected: a JSON file"):
        train.main(words)
    (tmp_path / "file.json").write_text('{"format": 1, "settings": [1]}')
    with pytest.raises(InputError, match=r"the settings in .* are \[1\]"):
        train.main(words)


def test_one_target_may_be_a_plain_string(planted: Path) -> None:
    assert run_quick(planted, target="speed").targets == ("speed",)


def test_a_new_run_with_resume_says_so(planted: Path) -> None:
    lines: list[str] = []
    run_quick(planted, run="typo", resume=True, say=lines.append)
    assert any(line.startswith("nothing to resume in") for line in lines)
