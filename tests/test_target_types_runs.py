"""Runs of bounded and circular targets, from the dataset to predictions and files."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import stats

import jaxreg
from jaxreg import bundle as bundle_command
from jaxreg import train as train_command
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import load_json, write_json
from jaxreg.config_io import from_json, to_json
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import load_experiment
from jaxreg.experiment.resolve import resolve
from jaxreg.target_types import TargetType, difference
from jaxreg.train_config import TrainConfig
from jaxreg.training.run_directory import RunDirectory
from planted_runs import column_of, edit_dataset, history_of, run_quick, words

DEGREES = TargetType.parse("circular:360")
CIRCULAR = {"target": "heading", "target_type": "circular:360"}
THREE = {
    "target": ("heading", "speed", "share"),
    "target_type": ("circular:360", "plain", "bounded:0:1"),
}


def features() -> np.ndarray:
    """Those of `planted`."""
    return np.random.default_rng(7).normal(size=(240, 12)).astype(np.float32)


@pytest.fixture
def typed(planted: Path) -> Path:
    """`planted` with an angle and a share that its features decide."""
    x = features().astype(np.float64)
    heading = np.degrees(np.arctan2(x[:, 1], x[:, 0])) % 360
    share = np.clip(0.5 + 0.6 * x[:, 2], 0, 1)

    def wider(dataset) -> pa.Table:
        columns = {"heading": heading, "share": share, "turned": heading - 180}
        table = dataset.table
        for name, values in columns.items():
            table = table.append_column(name, pa.array(values))
        return table

    edit_dataset(planted, table=wider)
    return planted


def held_out(run, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Targets and predictions of the rows that the score is of."""
    table = run.predictions
    return tuple(column_of(table, f"{of}.{name}", "validation") for of in ("target", "prediction"))  # type: ignore[return-value]


def distance(pred: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Degrees between two directions, by complex numbers."""
    apart = np.exp(1j * np.radians(pred.astype(float))) / np.exp(1j * np.radians(y.astype(float)))
    return np.abs(np.degrees(np.angle(apart)))


def test_an_angle_that_wraps_is_learned_and_a_plain_one_gets_the_suggestion(typed: Path) -> None:
    circular = run_quick(typed, run="circular", epochs=40, **CIRCULAR)
    plain = run_quick(typed, run="plain", epochs=40, target="heading")
    y, pred = held_out(circular, "heading")
    d = distance(pred, y)
    metrics = circular.metrics
    assert metrics["mae"] == pytest.approx(d.mean(), rel=1e-5)
    c = distance(np.full(len(y), stats.circmean(y, high=360)), y)
    assert metrics["r2"] == pytest.approx(1 - (d**2).mean() / (c**2).mean(), rel=1e-5)
    assert metrics["spearman"] is None
    near = np.minimum(y, 360 - y) < 20
    of_plain = distance(held_out(plain, "heading")[1], y)
    assert d[near].mean() < 20 < of_plain[near].mean()
    assert d.mean() < 0.6 * of_plain.mean()
    for side in ("train", "validation"):
        told = column_of(circular.predictions, "prediction.heading", side)
        assert ((told >= 0) & (told < 360)).all()
    trained = column_of(circular.predictions, "target.heading", "train").astype(float)
    usual = np.full(len(y), stats.circmean(trained, high=360))
    for name in ("mean", "median"):
        baseline = circular.summary["baselines"][name]["mae"]
        assert baseline == pytest.approx(distance(usual, y).mean(), rel=1e-4)
    assert circular.verdict["healthy"]
    last = circular.history["val_mae"].to_pylist()[circular.summary["best_epoch"] - 1]
    assert last == pytest.approx(metrics["mae"], rel=1e-3)
    assert (circular.path / "plots" / "residuals-heading.png").exists()
    assert "shorter way around the circle" in circular.report.read_text()
    # the features as the cache holds them give the same
    everywhere = circular.predictions["prediction.heading"].to_numpy()
    again = circular.predict_features(features())[:, 0]
    np.testing.assert_allclose(distance(again, everywhere), 0, atol=1e-3)


def test_targets_outside_the_circle_are_the_same_run_and_are_counted(typed: Path, capsys) -> None:
    asked = ["--target-type", "circular:360", "--head", "ridge", "--quiet", "--json"]
    for name in ("heading", "turned"):
        more = ["--target", name, "--run", name, *asked]
        assert train_command.main(words(typed, *more)) == 0
    told = capsys.readouterr()
    beyond = int((np.degrees(np.arctan2(*features()[:, [1, 0]].T.astype(float))) % 360 < 180).sum())
    note = f"{beyond} rows were not from 0 to below 360 in the target turned"
    assert note in told.err
    one, other = map(json.loads, told.out.splitlines())
    assert note in " ".join(other["notes"])
    assert "modulo" not in " ".join(one["notes"])
    # the zero of an angle is anywhere
    assert other["metrics"]["mae"] == pytest.approx(one["metrics"]["mae"], rel=1e-3)
    table = pq.read_table(typed.parent / "ckpts" / "turned" / "predictions.parquet")
    target = table["target.turned"].to_numpy()
    assert ((target >= 0) & (target < 360)).all()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"head": "blend", "folds": 2, "epochs": 6},
        pytest.param({"head": "ridge"}, marks=pytest.mark.slow),
        pytest.param({"folds": 3, "seeds": 2, "epochs": 6}, marks=pytest.mark.slow),
        {"memory_limit": "18kB", "batch_size": 2, "epochs": 4},
    ],
    ids=["mlp", "blend in folds", "ridge", "folds and seeds", "parts"],
)
def test_three_targets_of_three_types_in_one_head(typed: Path, options: dict) -> None:
    run = run_quick(typed, **THREE, **options)
    by_target = run.summary["by_target"]
    for name, word in zip(THREE["target"], THREE["target_type"], strict=True):
        y, pred = held_out(run, name)
        kind = TargetType.parse(word)
        apart = np.abs(difference([kind], pred[:, None], y[:, None]))
        assert by_target[name]["mae"] == pytest.approx(apart.mean(), rel=1e-5)
        assert by_target[name]["r2"] > 0, name
        if kind.bounded:
            assert 0 <= pred.min() < pred.max() <= 1
        elif kind.circular:
            assert 0 <= pred.min() < pred.max() < 360
    assert run.settings.target_type == THREE["target_type"]
    assert by_target["heading"]["spearman"] is None
    if options.get("head") == "blend":
        assert len(run.summary["blend_share"]) == 3
    told = run.predict_features(features())
    assert told.shape == (240, 3)
    if "folds" not in options:
        for place, name in enumerate(THREE["target"]):
            table = run.predictions[f"prediction.{name}"].to_numpy()
            np.testing.assert_allclose(told[:, place], table, rtol=1e-3, atol=1e-4)


def test_the_prediction_of_several_heads_is_their_circular_mean(typed: Path) -> None:
    run = run_quick(typed, seeds=3, epochs=4, **CIRCULAR)
    each = [
        dataclasses.replace(run, params=(params,), scalers=(scalers,)).predict_features(features())
        for params, scalers in zip(run.params, run.scalers, strict=True)
    ]
    expected = stats.circmean(np.stack(each).astype(float), high=360, axis=0)
    found = run.predict_features(features())
    np.testing.assert_allclose(distance(found, expected), 0, atol=1e-3)
    table = run.predictions["prediction.heading"].to_numpy()
    np.testing.assert_allclose(distance(table, expected[:, 0]), 0, atol=1e-3)


def test_a_stopped_run_goes_on_to_the_same_bits_and_its_bundle_predicts(typed: Path) -> None:
    whole = run_quick(typed, run="whole", epochs=8, **THREE)
    run_quick(typed, run="cut", epochs=3, **THREE)
    path = typed.parent / "ckpts" / "cut"
    resumed = jaxreg.train_head(cache=typed, run=path, resume=True, epochs=8)
    assert whole.predictions.equals(resumed.predictions)
    assert history_of(whole.path) == history_of(resumed.path)
    with pytest.raises(InputError, match="--target-type"):
        jaxreg.train_head(
            cache=typed, run=path, resume=True, epochs=8,
            target_type=("circular:400", "plain", "bounded:0:1"),
        )  # fmt: skip
    bundle = typed.parent / "whole.zip"
    assert bundle_command.main([str(whole.path), "--out", str(bundle)]) == 0
    loaded = jaxreg.load_run(bundle)
    assert loaded.types == tuple(map(TargetType.parse, THREE["target_type"]))
    told = loaded.predict_features(features())
    np.testing.assert_array_equal(told, whole.predict_features(features()))


def test_a_run_from_before_the_types_is_plain_and_goes_on(planted: Path) -> None:
    run = run_quick(planted, run="old", epochs=3)
    directory = RunDirectory(run.path)
    record = directory.read_config()
    assert record["settings"].pop("target_type") == ["plain"]
    directory.write_config(record)
    for proof in (run.path / "checkpoints").glob("*.json"):
        write_json(proof, {**load_json(proof), "run": record})
    summary = load_json(run.path / "summary.json")
    directory.write_summary({**summary, "files": directory.digests()})
    old = jaxreg.load_run(run.path)
    assert old.settings.target_type == ("plain",)
    np.testing.assert_array_equal(
        old.predict_features(features()), run.predict_features(features())
    )
    again = jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=5)
    assert again.summary["epochs"] == 5


def test_a_target_out_of_its_bounds_is_named(typed: Path) -> None:
    asked = {"target": ("speed",), "target_type": ("bounded:0:30",)}
    cache, dataset = Cache(typed), read_dataset(Cache(typed), "planted")
    with pytest.raises(InputError) as error:
        resolve(cache, dataset, asked)
    speed = read_dataset(Cache(typed), "planted").table["speed"].to_numpy()
    rows = np.flatnonzero((speed < 0) | (speed > 30))
    said = f"target speed is {speed[rows[0]]:.4g} in row row-{rows[0]}, out of --target-type"
    assert error.value.found == f"{said} bounded:0:30 ({len(rows)} rows in all)"
    wider = error.value.remedy.split("wider bounds, as ")[1]
    resolve(cache, dataset, {**asked, "target_type": (wider,)})


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"target_type": "bounded:1:0"}, "--target-type bounded:1:0"),
        ({"target_type": ("plain", "plain")}, "--target-type has 2 types"),
        ({"target_type": "bounded:-9:9", "scale_target": False}, "--no-scale-target with"),
        ({"target_type": "circular:9", "output_activation": "relu"}, "--output-activation relu"),
    ],
)
def test_types_that_cannot_be_are_refused(planted: Path, options: dict, found: str) -> None:
    with pytest.raises(InputError, match=found):
        run_quick(planted, **options)
    assert not (planted.parent / "ckpts").exists()


def test_a_mirrored_angle_is_its_negative_around_the_circle(typed: Path) -> None:
    cache, dataset = Cache(typed), read_dataset(Cache(typed), "planted")
    cache.add(dataset.feature_set, Column(view="mirror"), dataset.digests, features())
    views = {"views": ("identity", "mirror"), "mirror_targets": ("heading", "share")}
    asked = {**views, "target": ("heading", "share")}
    asked |= {"target_type": ("circular:360", "bounded:-1:1")}
    experiment = load_experiment(resolve(cache, dataset, asked))
    heading = dataset.table["heading"].to_numpy()
    [view] = experiment.views
    np.testing.assert_allclose(view.y[:, 0], (-heading) % 360)
    np.testing.assert_allclose(view.y[:, 1], -dataset.table["share"].to_numpy())
    with pytest.raises(InputError, match="mirrored target share is -"):
        resolve(cache, dataset, {**asked, "target_type": ("circular:360", "bounded:0:1")})


def test_thresholds_and_std_of_an_angle_are_circular(typed: Path) -> None:
    resolved = resolve(Cache(typed), read_dataset(Cache(typed), "planted"), dict(CIRCULAR))
    y = resolved.y[resolved.rows("train"), 0]
    std = np.sqrt((distance(np.full(len(y), stats.circmean(y, high=360)), y) ** 2).mean())
    assert resolved.config.huber_delta == pytest.approx(0.5 * std)
    assert resolved.config.min_delta == pytest.approx(3e-4 * std**2)
    assert resolved.loss.std[0] == pytest.approx(std)
    words_again = from_json(TrainConfig, to_json(resolved.config)).target_type
    assert words_again == ("circular:360",)


def test_pooled_folds_are_judged_around_the_circle(typed: Path) -> None:
    run = run_quick(typed, folds=3, head="ridge", **CIRCULAR)
    y, pred = held_out(run, "heading")
    assert run.metrics["mae"] == pytest.approx(distance(pred, y).mean(), rel=1e-5)
    assert f"MAE {run.metrics['mae']:.3g}" in run.verdict["headline"]
    usual = run.summary["baselines"]["median"]["mae"]
    assert f"the median predictor ({usual:.3g})" in run.verdict["headline"]
    assert run.metrics["mae"] == pytest.approx(13, abs=7)


def test_diagnose_tests_an_angle(typed: Path) -> None:
    from jaxreg.diagnosis.run_diagnosis import diagnose

    run = run_quick(typed, run="angle", head="ridge", **CIRCULAR)
    found = diagnose(
        "angle", cache=typed, ckpts=run.path.parent, images=None, say=lambda text: None
    )
    [mae] = found["tests"]["columns"]["numbers"]["mae"].values()
    assert mae < 25  # half of it would be chance at 90
    assert found["verdict"]["healthy"]
