"""`python -m jaxreg.train` and contract 2: the run directory."""

import contextlib
import csv
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

import jaxreg
from jaxreg import train
from jaxreg.errors import InputError, Stopped
from jaxreg.features.cache import Cache
from jaxreg.features.parts import list_parts
from jaxreg.features.recipe import Column, Recipe
from jaxreg.runs import checkpoint
from jaxreg.runs.identity import SAME
from jaxreg.runs.run import Run

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
    assert summary["baselines"].keys() == {"mean", "median", "ridge"}
    assert summary["seconds"].keys() == {"load", "compile", "train", "report", "total"}
    config = json.loads((run.path / "config.json").read_text())
    assert (config["format"], config["settings"]["hidden"]) == (1, [16, 8])


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
    run = run_quick(planted, epochs=60)
    assert run.summary["metrics"]["r2"] > 0.8
    assert run.summary["verdict"]["healthy"]
    assert run.summary["verdict"]["headline"].startswith("learning: MAE ")
    codes = [finding["code"] for finding in run.summary["verdict"]["findings"]]
    assert codes == ["random-weights"]


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
    features = Cache(planted).read(run.config["space"], run.columns, _digests(planted))
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
def test_sigkill_at_twenty_moments_gives_the_same_bits(planted: Path, after_an_epoch: bool) -> None:
    """Moments from the first epoch on, and from the start of the process on."""
    whole = run_quick(planted, run="whole", epochs=20_000, patience=20_000)
    rng, killed, runs = np.random.default_rng(), 0, 0
    while killed < 20:  # a run may end before its turn to be killed comes
        moments = rng.uniform(0, 1.5 if after_an_epoch else 6, 20 - killed)
        killed += _kill_until_done(planted, f"cut-{runs}", whole, moments, after_an_epoch)
        runs += 1


def _kill_until_done(
    planted: Path, name: str, whole: Run, moments: np.ndarray, after_an_epoch: bool = True
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


def test_a_damaged_latest_checkpoint_falls_back_to_the_one_before(planted: Path) -> None:
    whole = run_quick(planted, run="whole")
    for _ in range(3):  # each ends after one more epoch
        with pytest.raises(Stopped):
            run_quick(planted, run="cut", resume=True, should_stop=lambda: True)
    cut = planted.parent / "ckpts" / "cut"
    latest = max(path for path in (cut / "checkpoints").iterdir() if path.is_dir())
    block = max((p for p in latest.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)
    block.write_bytes(block.read_bytes()[:-1])
    lines: list[str] = []
    run_quick(planted, run="cut", resume=True, say=lines.append)
    assert any("is damaged; the one before it is used" in line for line in lines)
    assert _predictions(cut) == _predictions(whole.path)
    assert _history(cut) == _history(whole.path)


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
    cache.make_space(other, None)
    column = Column()
    cache.add(other.space, column, digests, cache.read(cache.spaces()[0], [column], digests))
    path = planted.parent / "ckpts" / "one" / "config.json"
    path.write_text(path.read_text().replace(cache.spaces()[0], other.space))
    with pytest.raises(InputError, match=rf"space {other.space} there, {cache.spaces()[0]} now"):
        run_quick(planted, run="one", resume=True)


def test_a_checkpoint_of_other_shapes_is_refused(tmp_path: Path) -> None:
    identity = {"settings": {"epochs": 1, "memory_limit": None}}
    identity |= dict.fromkeys(SAME)
    checkpoints = checkpoint.Checkpoints(tmp_path, identity)
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


def test_a_loss_that_is_not_finite_stops_with_5_and_is_named(planted: Path, capsys) -> None:
    options = ["--json", "--run", "diverged", "--no-scale-features", "--huber-delta", "1e38"]
    wild = [w if w != "0.01" else "1e30" for w in words(planted, *options)]
    assert train.main(wild) == train.NON_FINITE
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["verdict"]["findings"][0]["code"] == "non-finite"
    assert not told["verdict"]["healthy"]
    assert told["run"].endswith("diverged")


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
        ({"features": "vgg"}, "--features vgg fits no spaces"),
        ({"taps": ("mixed2",)}, r"has no identity\.mixed2\.avg features"),
        ({"pool": "grid:0x4"}, "no pool 'grid:0x4'"),
        ({"split": "blokcs"}, "blocks"),
        ({"split": "group:nope"}, "nope"),
        ({"validation": 1.5}, "--validation is 1.5"),
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
    space = Cache(planted).spaces()[0]
    part = list_parts(planted / "features" / space / "identity.mixed10.avg")[0]
    part.write_bytes(part.read_bytes()[:-1])
    with pytest.raises(InputError, match=rf"{part.name}[\s\S]*jaxreg\.extract planted\.csv"):
        run_quick(planted)


def test_a_part_of_another_recipe_is_refused(planted: Path) -> None:
    space = Cache(planted).spaces()[0]
    record = planted / "features" / space / "space.json"
    changed = json.loads(record.read_text())
    changed["recipe"]["preprocess"] = "unit"
    record.write_text(json.dumps(changed))
    with pytest.raises(InputError, match="is that of another space"):
        run_quick(planted)


def test_features_that_are_not_finite_are_named(planted: Path) -> None:
    cache = Cache(planted)
    space, column = cache.spaces()[0], cache.columns(cache.spaces()[0])[0]
    digests = _digests(planted)
    features = cache.read(space, [column], digests)
    features[5, 0] = np.nan
    for part in list_parts(cache.folder(space, column)):
        part.unlink()
    cache.add(space, column, digests, features)
    with pytest.raises(InputError, match="the features of 1 images are not finite, first row-5"):
        run_quick(planted)
