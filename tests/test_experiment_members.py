"""`--folds`, `--seeds` and `--views`: several trainings, and several views, in one run."""

import csv
import dataclasses
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import Ridge

import jaxreg
from cache_files import column_folder
from jaxreg import train
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.head.ridge import ALPHAS
from jaxreg.trained_run import TrainedRun

# the same for all tests where nothing else is asked: each other one has to be compiled
QUICK = {"hidden": (16, 8), "epochs": 8, "learning_rate": 0.01}


def run_quick(planted: Path, **options) -> TrainedRun:
    options = {"cache": planted, "ckpts": planted.parent / "ckpts", **QUICK, **options}
    return jaxreg.train_head("planted", **options)


def table(run: TrainedRun) -> dict[str, np.ndarray]:
    told = pq.read_table(run.path / "predictions.parquet")
    return {name: np.array(told[name].to_pylist()) for name in told.column_names}


def history(run: TrainedRun) -> list[dict[str, str]]:
    with open(run.path / "history.csv", newline="") as file:
        return list(csv.DictReader(file))


def features(planted: Path, view: str = "identity") -> np.ndarray:
    cache = Cache(planted)
    dataset = read_dataset(cache, "planted")
    return cache.read(dataset.feature_set, [Column(view=view)], dataset.digests)


@pytest.mark.parametrize(
    "split",
    ["blocks", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("hash", "group:frame"))],
)
def test_folds_predict_every_row_by_a_head_that_did_not_see_it(planted: Path, split: str) -> None:
    run = run_quick(planted, folds=3, split=split)
    told = table(run)
    assert sorted(set(told["fold"])) == [0, 1, 2]
    assert set(told["split"]) == {"validation"}
    each = []
    for fold in range(3):
        rows = told["fold"] == fold
        error = np.abs(told["prediction.angle"] - told["target.angle"])[rows]
        each.append(error.mean())
        one = run.summary["members"][fold]
        assert (one["fold"], one["seed"]) == (fold, 0)
        assert one["metrics"]["mae"] == pytest.approx(error.mean(), rel=1e-5)
    # mean and sample std by NumPy
    assert run.summary["members_mean"]["mae"] == pytest.approx(np.mean(each), rel=1e-5)
    assert run.summary["members_std"]["mae"] == pytest.approx(np.std(each, ddof=1), rel=1e-4)
    pooled = np.abs(told["prediction.angle"] - told["target.angle"]).mean()
    assert run.summary["metrics"]["mae"] == pytest.approx(pooled, rel=1e-5)
    assert run.summary["combined"] == run.summary["metrics"]
    # each row is compared with the baselines of its own fold
    sizes = [(told["fold"] == fold).sum() for fold in range(3)]
    for name, scores in run.summary["baselines"].items():
        of_folds = [one["baselines"][name]["mae"] for one in run.summary["members"]]
        assert scores["mae"] == pytest.approx(np.average(of_folds, weights=sizes), rel=1e-5)
    assert run.summary["verdict"]["healthy"]


@pytest.mark.parametrize("head", ["ridge", "blend"])
def test_in_a_fold_the_ridge_trains_on_what_is_validation_and_not_on_the_fold(
    planted: Path, head: str
) -> None:
    run = run_quick(planted, folds=3, split="hash", head=head)
    before = table(run)
    told, y = before["prediction.angle"], before["target.angle"]
    # scikit-learn's ridge on all rows outside the fold, behind the head's scaler
    x = features(planted)
    for fold in range(3):
        rest, scaler = before["fold"] != fold, run.scalers[fold].features
        z = np.clip((x - scaler.mean) / scaler.std, -scaler.limit, scaler.limit)
        models = [Ridge(a).fit(z[rest], y[rest]).predict(z) for a in ALPHAS]
        if head == "ridge":
            lines = told
        else:
            blend = run.params[fold]["blend"]
            lines = (z @ blend["kernel"] + blend["bias"])[:, 0]
            lines = lines * run.scalers[fold].target.std + run.scalers[fold].target.mean
        apart = [np.abs(model - lines)[~rest].max() for model in models]
        assert min(apart) < 1e-3 * y.std()


def test_the_targets_of_a_fold_do_not_reach_its_predictions(planted: Path) -> None:
    before = table(run_quick(planted, folds=3, split="hash", run="before"))
    held_out = before["fold"] == 1
    dataset = read_dataset(Cache(planted), "planted")
    rows = dataset.table
    angle = rows["angle"].to_numpy().copy()
    angle[held_out] += 1000
    changed = rows.set_column(rows.column_names.index("angle"), "angle", [angle])
    write_dataset(Cache(planted), dataclasses.replace(dataset, table=changed))
    after = table(run_quick(planted, folds=3, split="hash", run="after"))
    same = before["prediction.angle"] == after["prediction.angle"]
    np.testing.assert_array_equal(same, held_out)


def test_seeds_are_the_runs_of_those_seeds_over_one_split(planted: Path) -> None:
    run = run_quick(planted, seeds=2, seed=3)
    # the split stays that of the first seed, so the second is another run only by its draws
    alone = run_quick(planted, seed=3, run="alone")
    own = run.summary["members"][0]["metrics"]["mae"]
    assert own == pytest.approx(alone.summary["metrics"]["mae"], rel=1e-5)
    assert [one["seed"] for one in run.summary["members"]] == [3, 4]
    lines = [line for line in history(run) if line["seed"] == "3"]
    for ours, theirs in zip(lines, history(alone), strict=True):
        for name in ("epoch", "loss", "val_loss", "val_mae", "learning_rate"):
            assert ours[name] == theirs[name]
    assert own != run.summary["members"][1]["metrics"]["mae"]
    told = table(run)
    assert "fold" not in told
    assert set(told["split"]) == {"train", "validation", "left-out"}


def test_the_heads_of_a_run_predict_their_mean(planted: Path) -> None:
    run = run_quick(planted, folds=2, seeds=2)
    assert len(run.params) == 4
    x = features(planted)
    told = [
        TrainedRun(**{**vars(run), "params": (params,), "scalers": (scalers,)}).predict_features(x)
        for params, scalers in zip(run.params, run.scalers, strict=True)
    ]
    np.testing.assert_allclose(run.predict_features(x), np.mean(told, axis=0), rtol=1e-5)
    # and a row of the table is the mean of the two that held it out
    rows = table(run)
    for fold in (0, 1):
        chosen = rows["fold"] == fold
        mean = np.mean(told[2 * fold : 2 * fold + 2], axis=0)[chosen, 0]
        np.testing.assert_allclose(rows["prediction.angle"][chosen], mean, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("head", ["mlp", "blend"])
def test_a_resumed_run_of_several_ends_with_the_same_bits(
    planted: Path, monkeypatch, head: str
) -> None:
    from jaxreg.training import loop

    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)  # one epoch at a time
    options = {"folds": 2, "seeds": 2, "patience": 3, "min_delta": 0.02, "head": head}
    options |= {"min_delta": 0.0} if head == "blend" else {}
    whole = run_quick(planted, run="whole", **options)
    asked = iter([False, False, True])
    with pytest.raises(Stopped, match=r"stopped after epoch \d"):
        run_quick(planted, run="cut", **options, should_stop=lambda: next(asked, False))
    resumed = jaxreg.train_head(cache=planted, run=planted.parent / "ckpts" / "cut", resume=True)
    assert resumed.summary["members"] == whole.summary["members"]
    for name, column in table(whole).items():
        np.testing.assert_array_equal(table(resumed)[name], column)
    drop = [{k: v for k, v in line.items() if k != "seconds"} for line in history(whole)]
    assert [{k: v for k, v in line.items() if k != "seconds"} for line in history(resumed)] == drop


@pytest.mark.parametrize("options", [{"components": 5}, {"head": "ridge"}])
def test_folds_with_components_and_as_a_ridge(planted: Path, options: dict) -> None:
    run = run_quick(planted, folds=3, **options)
    assert run.summary["metrics"]["r2"] > (0.9 if "head" in options else 0.2)
    epochs = [member["epochs"] for member in run.summary["members"]]
    assert (max(epochs) == 0) == ("head" in options)
    if "head" in options:
        assert run.summary["metrics"] == pytest.approx(run.summary["baselines"]["ridge"], rel=1e-3)


def test_features_in_parts_are_folded_as_in_memory(planted: Path, monkeypatch) -> None:
    from jaxreg.experiment import placement

    memory = run_quick(planted, folds=3, split="hash", run="memory")
    monkeypatch.setattr(placement, "_ON_DEVICE", 10**6)
    host = run_quick(planted, folds=3, split="hash", run="host")
    for one, other in zip(memory.summary["members"], host.summary["members"], strict=True):
        assert one["metrics"] == pytest.approx(other["metrics"], rel=1e-4)


def test_the_command_tells_the_spread_and_the_report_every_training(planted: Path, capsys) -> None:
    words = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    words += ["--folds", "3", "--hidden", "16", "8", "--epochs", "8", "--run", "folds", "--json"]
    assert train.main(words) == 0
    out, err = capsys.readouterr()
    summary = json.loads(out.splitlines()[-1])
    assert "3 trainings of 8 epochs; std of their scores: mae " in err
    assert f": mae {summary['members_std']['mae']:.2g}, rmse " in err
    # the run has one MAE, that of its predictions; the mean over the trainings is another
    assert f"MAE {summary['metrics']['mae']:.3g}, " in summary["verdict"]["headline"]
    assert f"{summary['members_mean']['mae']:.3g}" not in err
    assert summary["epochs"] is None
    assert "epoch 1/8 (mean of 3): loss" in err
    assert "It is scored on the rows of its own fold." in err
    page = (planted.parent / "ckpts" / "folds" / "report.html").read_text()
    texts = ("Folds and seeds", "fold 2, seed 0", "pool the predictions", "mean of these",
             "3 trainings of 8 epochs")  # fmt: skip
    for text in texts:
        assert text in page


def test_each_target_has_the_scores_of_every_training(planted: Path, capsys) -> None:
    words = ["planted", "--cache", str(planted), "--ckpts", str(planted.parent / "ckpts")]
    words += ["--target", "angle", "speed", "--folds", "3", "--head", "ridge", "--run", "folds"]
    assert train.main(words) == 0
    assert "3 trainings; std of their scores: angle mae " in capsys.readouterr().err
    run = jaxreg.load_run(planted.parent / "ckpts" / "folds")
    told = table(run)
    for name, its in run.summary["by_target"].items():
        error = np.abs(told[f"prediction.{name}"] - told[f"target.{name}"])
        own = [error[told["fold"] == fold].mean() for fold in range(3)]  # by hand
        # the table holds float32, and the errors are a hundred-thousandth of the targets
        assert [one["mae"] for one in its["members"]] == pytest.approx(own, rel=1e-4)
        assert its["members_mean"]["mae"] == pytest.approx(np.mean(own), rel=1e-4)
        assert its["members_std"]["mae"] == pytest.approx(np.std(own, ddof=1), rel=1e-3)
        assert its["mae"] == pytest.approx(error.mean(), rel=1e-4)
    assert run.summary["members"][0]["metrics"]["mae"] is None
    assert run.summary["combined"] == run.summary["metrics"]
    text = (run.path / "report.html").read_text()
    assert "speed, each training, scored on rows that it did not see" in text


def test_lone_runs_say_that_there_are_no_others(planted: Path) -> None:
    summary = run_quick(planted).summary
    names = ("members", "members_mean", "members_std", "combined")
    assert [summary[name] for name in names] == [None] * 4
    assert "fold" not in history(run_quick(planted, run="again"))[0]


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"folds": 1}, "--folds is 1"),
        ({"seeds": 0}, "--seeds is 0"),
        ({"folds": 3, "test": 0.1}, "--folds with --test"),
        ({"folds": 3, "split": "tail"}, "--folds 3 with --split tail"),
        ({"seeds": 2, "head": "ridge"}, "--seeds with --head ridge"),
        ({"views": ("mirror",)}, "--views is"),
        ({"views": ("identity", "mirror")}, "has no mirror.mixed10.avg features"),
        ({"mirror_targets": ("angle",)}, "--mirror-targets without the mirror view"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_run(
    planted: Path, options: dict, found: str
) -> None:
    with pytest.raises(InputError, match=found):
        run_quick(planted, **options)
    ckpts = planted.parent / "ckpts"
    assert not ckpts.exists() or not os.listdir(ckpts)


# --- views


@pytest.fixture
def mirrored(planted: Path) -> Path:
    """`planted` whose mirror view has every feature with the other sign: so has `angle`, then."""
    cache, dataset = Cache(planted), read_dataset(Cache(planted), "planted")
    cache.add(dataset.feature_set, Column(view="mirror"), dataset.digests, -features(planted))
    return planted


BOTH = {"views": ("identity", "mirror"), "epochs": 40, "split": "hash"}


def test_the_mirror_view_helps_only_with_its_targets_negated(mirrored: Path) -> None:
    right = run_quick(mirrored, **BOTH, mirror_targets=("angle",))
    wrong = run_quick(mirrored, **BOTH)
    assert right.summary["metrics"]["r2"] > 0.95
    assert wrong.summary["metrics"]["r2"] < 0.5  # half of the rows say the opposite
    assert right.settings.views == ("identity", "mirror")


def test_validation_and_prediction_use_identity_alone(mirrored: Path) -> None:
    run = run_quick(mirrored, **BOTH, mirror_targets=("angle",))
    told = table(run)["prediction.angle"]
    np.testing.assert_allclose(run.predict_features(features(mirrored))[:, 0], told, rtol=1e-6)
    plain = run_quick(mirrored, split="hash")
    assert plain.summary["rows"] == run.summary["rows"]
    # without --views nothing of the mirror is read
    shutil.rmtree(column_folder(Cache(mirrored), run.features.feature_set, Column(view="mirror")))
    again = run_quick(mirrored, split="hash")
    assert again.summary["metrics"] == plain.summary["metrics"]


def test_views_from_host_memory_draw_as_on_the_device(mirrored: Path, monkeypatch) -> None:
    from jaxreg.experiment import placement

    device = run_quick(mirrored, **BOTH, mirror_targets=("angle",))
    monkeypatch.setattr(placement, "_ON_DEVICE", 10**6)
    host = run_quick(mirrored, **BOTH, mirror_targets=("angle",))
    assert [line["val_loss"] for line in history(host)] == [
        line["val_loss"] for line in history(device)
    ]


def test_mirror_targets_have_to_be_targets(mirrored: Path) -> None:
    with pytest.raises(InputError, match=r"--mirror-targets speed\n.*some of the targets: angle"):
        run_quick(mirrored, **BOTH, mirror_targets=("speed",))


# --- runs that go on


def test_what_cannot_be_leaves_the_run_that_is_to_be_overwritten(planted: Path) -> None:
    kept = run_quick(planted, run="kept")
    with pytest.raises(InputError, match="--components 13, but there are"):
        run_quick(planted, run="kept", overwrite=True, components=13)
    assert jaxreg.load_run(kept.path).summary == kept.summary


def test_a_run_that_is_given_more_epochs_is_unfinished_until_they_are_done(planted: Path) -> None:
    first = run_quick(planted, run="more", keep_going=True)
    resume = {"cache": planted, "run": first.path, "resume": True, "epochs": 12}
    with pytest.raises(Stopped):
        jaxreg.train_head(**resume, should_stop=lambda: True)
    with pytest.raises(InputError, match=r"is not finished\n.*--resume"):
        jaxreg.load_run(first.path)
    assert jaxreg.train_head(**resume).summary["epochs"] == 12


def test_a_run_goes_on_with_its_own_features_after_another_extract(planted: Path) -> None:
    from jaxreg.experiment.resolve import resolve

    run = run_quick(planted, run="layers")  # which layer it is, the last extract decided
    cache = Cache(planted)
    dataset = dataclasses.replace(
        read_dataset(cache, "planted"), columns=(Column(layer="mixed3"),), targets=("speed",)
    )
    again = resolve(cache, dataset, {"patience": 4}, run.config)
    assert again.config == dataclasses.replace(run.settings, patience=4)
    assert again.config.columns == ("identity.mixed10.avg",)
    assert again.asked == {**run.config["asked"], "patience": 4}


def test_a_training_that_is_not_finite_is_judged_among_many() -> None:
    from types import SimpleNamespace

    from jaxreg.report.run_verdict import judged_members

    states: Any = [SimpleNamespace(finite=number != 3) for number in range(8)]
    assert judged_members(states) == [0, 2, 3, 4, 6]
