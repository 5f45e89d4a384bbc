"""Runs with side columns, from training to predictions of new rows."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

import jaxreg
from jaxreg import bundle, diagnose
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.json_files import load_json, write_json
from jaxreg.errors import InputError, Stopped
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.members import make_members
from jaxreg.experiment.resolve import resolve
from jaxreg.sources.examples import Examples
from jaxreg.trained_run import TrainedRun
from planted_runs import QUICK, edit_dataset, history_of, predictions_of, run_quick
from typed import given

ROWS = 240
NAMES = ("altitude", "camera", "night")


def side_frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    altitude = rng.normal(500, 120, rows)
    altitude[rng.random(rows) < 0.15] = np.nan
    camera = rng.choice(["front", "left", "right"], rows).astype(object)
    camera[rng.random(rows) < 0.1] = None
    frame = {"altitude": altitude, "camera": camera, "night": rng.random(rows) < 0.5}
    return pd.DataFrame(frame)


@pytest.fixture
def side(planted: Path) -> Path:
    """The planted dataset whose angle also depends on an altitude, a camera and the night."""
    frame = side_frame(ROWS, 3)

    def table(dataset) -> pa.Table:
        more = dataset.table
        for name, values in pa.Table.from_pandas(frame).to_pydict().items():
            more = more.append_column(name, pa.array(values))
        turn = frame["altitude"].fillna(500) / 200 + (frame["camera"] == "left") + frame["night"]
        angle = pa.array(more["angle"].to_numpy() + turn.to_numpy())
        return more.set_column(more.column_names.index("angle"), "angle", angle)

    edit_dataset(planted, table=table)
    return planted


def run_side(root: Path, **options: Any) -> TrainedRun:
    return run_quick(root, **{"side_columns": NAMES, "split": "hash", **options})


def experiment_of(root: Path, **asked: Any) -> Experiment:
    cache = Cache(root)
    asked = {**QUICK, "side_columns": NAMES, "split": "hash", **asked}
    return load_experiment(resolve(cache, read_dataset(cache, "planted"), asked))


def x_of(experiment: Experiment) -> np.ndarray:
    """Its features and side columns, which are in memory."""
    assert isinstance(experiment.x, np.ndarray)
    return experiment.x


def sklearns(frame: pd.DataFrame) -> ColumnTransformer:
    """Of features, whose columns are numbers, and the side columns."""
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    features = [name for name in frame if name not in NAMES]
    return ColumnTransformer([
        ("features", StandardScaler(), features),
        ("altitude", make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True)), NAMES[:1]),
        ("camera", text, ["camera"]),
        ("no camera", MissingIndicator(error_on_new=False), ["camera"]),
        ("night", OneHotEncoder(sparse_output=False), ["night"]),
    ])  # fmt: skip


@pytest.mark.parametrize("folds", [None, 3])
def test_the_ridge_is_that_of_scikit_learn(side: Path, folds: int | None) -> None:
    """ColumnTransformer and Ridge, at the alpha that the run chose."""
    experiment = experiment_of(side, folds=folds)
    frame = side_frame(ROWS, 3)
    frame[[f"f{i}" for i in range(12)]] = x_of(experiment)[:, :12]
    for member in make_members(experiment):
        assert member.baseline is not None
        train, rows = member.experiment.rows("train"), member.baseline.rows
        inputs = np.asarray(sklearns(frame).fit(frame.loc[train]).transform(frame))
        assert np.abs(inputs).max() < 4  # else the run would clip
        (alpha,) = member.baseline.solved.alphas
        expected = Ridge(alpha).fit(inputs[rows], experiment.y[rows]).predict(inputs)
        found = member.baseline.predictions
        np.testing.assert_allclose(found[:, 0], expected.ravel(), atol=2e-5)


def test_a_ridge_on_components_keeps_the_side_columns_whole(side: Path) -> None:
    """By NumPy's SVD of the features alone, and scikit-learn's Ridge."""
    run = run_side(side, head="ridge", components=4)
    experiment = experiment_of(side, head="ridge", components=4)
    scaled = np.asarray(jaxreg_scaled(experiment, run))
    train = experiment.rows("train")
    features = scaled[:, :12] - scaled[train, :12].mean(axis=0)
    directions = np.linalg.svd(features[train], full_matrices=False)[2][:4].T
    inputs = np.concatenate([features @ directions, scaled[:, 12:]], axis=1)
    found = np.array(predictions_of(run.path))
    errors = [
        np.abs(Ridge(a).fit(inputs[train], experiment.y[train, 0]).predict(inputs) - found).max()
        for a in np.logspace(-2, 7, 28)  # the alphas of jaxreg.head.ridge
    ]
    assert min(errors) < 1e-4


def jaxreg_scaled(experiment: Experiment, run: TrainedRun) -> np.ndarray:
    """The columns that the ridge gets, by the run's own scaler: others test its values."""
    scaler = run.scalers[0].features
    x = (x_of(experiment) - np.asarray(scaler.mean)) / np.asarray(scaler.std)
    return np.where(np.isnan(x), np.asarray(scaler.fill), np.clip(x, -4, 4))


@pytest.mark.parametrize(
    "options",
    [
        {"head": "ridge"},
        {"head": "mlp"},
        {"head": "blend", "components": 4, "epochs": 3},
        pytest.param({"head": "blend", "folds": 3, "epochs": 3}, marks=pytest.mark.slow),
        pytest.param({"components": 5, "seeds": 2, "epochs": 3}, marks=pytest.mark.slow),
        pytest.param({"scale_features": False, "epochs": 3}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_a_loaded_run_predicts_what_it_predicted(side: Path, options: dict[str, Any]) -> None:
    run = run_side(side, **options)
    experiment = experiment_of(side, **options)
    frame = side_frame(ROWS, 3)
    found = run.predict_features(x_of(experiment)[:, :12], frame)[:, 0]
    expected = run.predictions["prediction.angle"].to_numpy()
    if "folds" in options:  # a row's prediction is that of the head that held it out
        assert np.corrcoef(found, expected)[0, 1] > 0.9
    else:
        np.testing.assert_allclose(found, expected, atol=1e-5)
    components = run.settings.components
    assert run.scalers[0].features.outputs == (12 if components is None else components) + 8
    # the head uses them
    frame["altitude"] += 300
    assert np.abs(run.predict_features(x_of(experiment)[:, :12], frame)[:, 0] - found).max() > 0.01


def test_the_unit_of_a_side_column_does_not_matter(side: Path) -> None:
    metres = run_side(side, run="m", head="ridge")

    def table(dataset) -> pa.Table:
        place = dataset.table.column_names.index("altitude")
        values = pa.array(dataset.table["altitude"].to_numpy() / 1000, from_pandas=True)
        return dataset.table.set_column(place, "altitude", values)

    edit_dataset(side, table=table)
    kilometres = run_side(side, run="km", head="ridge")
    np.testing.assert_allclose(
        predictions_of(kilometres.path), predictions_of(metres.path), rtol=0, atol=1e-6
    )


def test_they_help_and_the_run_says_so(side: Path) -> None:
    before = digests(side)
    plain = run_side(side, run="plain", head="ridge", side_columns=())
    run = run_side(side, run="side", head="ridge")
    assert digests(side) == before  # nothing of the cache changes
    baselines = run.summary["baselines"]
    assert set(baselines) == {"mean", "median", "ridge", "features", "side", "side_tree"}
    assert set(plain.summary["baselines"]) == {"mean", "median", "ridge"}
    assert baselines["features"]["mae"] == pytest.approx(plain.metrics["mae"], rel=1e-4)
    assert given(run.metrics["mae"]) < 0.6 * given(plain.metrics["mae"])
    (gain,) = [one for one in run.verdict["findings"] if one["code"] == "side-columns-gain"]
    assert gain["severity"] == "note"
    assert gain["numbers"]["features"] == pytest.approx(baselines["features"]["mae"], rel=1e-4)
    assert gain["numbers"]["both"] == pytest.approx(run.metrics["mae"], rel=1e-4)
    assert "side" not in plain.config
    assert [one["name"] for one in run.config["side"]] == [*NAMES]
    report = run.report.read_text()
    for words in ("altitude, camera, night", "ridge on the side columns alone"):
        assert words in report


def digests(root: Path) -> dict[str, str]:
    files = (path for path in root.rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_new_rows_with_an_unknown_category_and_without_a_value(side: Path) -> None:
    run = run_side(side, head="ridge")
    experiment = experiment_of(side)
    assert isinstance(experiment.x, np.ndarray)
    features = experiment.x[:3, :12]
    columns = {
        "altitude": [700.0, None, 500.0], "camera": ["rear", "left", None],
        "night": [True, False, True], "angle": [1.0, 2.0, None],
    }  # fmt: skip
    examples = Examples(
        ids=("a", "b", "c"),
        images=[row.tobytes() for row in features],  # whose digests the planted cache has
        columns=pa.table(columns),
        description={"kind": "test"},
    )
    lines: list[str] = []
    table = run.predict_table(examples, say=lines.append)
    # by hand: scaled columns times the ridge's weights
    scaler, (head,) = run.scalers[0].features, run.params
    own = (np.array([700.0, np.nan, 500.0]) - run.side.columns[0].center) / run.side.columns[
        0
    ].scale
    altitude = (own - np.asarray(scaler.mean)[12]) / np.asarray(scaler.std)[12]
    frequent = np.asarray(scaler.fill)[14:17]
    one_hot = [[0, 0, 0], [0, 1, 0], frequent]
    inputs = np.concatenate([
        np.clip((features - np.asarray(scaler.mean)[:12]) / np.asarray(scaler.std)[:12], -4, 4),
        np.nan_to_num(altitude)[:, None], [[0], [1], [0]], one_hot, [[0], [0], [1]],
        [[0, 1], [1, 0], [0, 1]],
    ], axis=1)  # fmt: skip
    scaled = inputs @ np.asarray(head["output"]["kernel"]) + np.asarray(head["output"]["bias"])
    target = run.scalers[0].target
    expected = scaled * np.asarray(target.std) + np.asarray(target.mean) + np.asarray(target.rest)
    np.testing.assert_allclose(table["prediction.angle"].to_numpy(), expected[:, 0], atol=1e-5)
    assert table["target.angle"].to_pylist() == [1.0, 2.0, None]
    assert "note: 1 row has a value of camera that no training row has (rear): it counts as none " \
        "of the known ones" in lines  # fmt: skip
    assert sum("has no value of" in line for line in lines) == 2
    with pytest.raises(InputError, match="no column 'camera', which the run needs"):
        run.predict_table(Examples(("a",), [b""], pa.table({"altitude": [1.0]}), {"kind": "test"}))
    with pytest.raises(InputError, match="needs its side columns beside the features"):
        run.predict([b""])
    with pytest.raises(InputError, match=r"features of shape \(3, 20\)[\s\S]*\(rows, 12\)"):
        run.predict_features(experiment.x[:3], columns)


@pytest.mark.parametrize(
    "options",
    [
        {},
        pytest.param(
            {"head": "blend", "components": 4, "folds": 2, "epochs": 3}, marks=pytest.mark.slow
        ),
    ],
    ids=str,
)
def test_a_stopped_run_resumes_to_the_same_bits(side: Path, options: dict[str, Any]) -> None:
    whole = run_side(side, run="whole", **options)
    with pytest.raises(Stopped):
        run_side(side, run="cut", should_stop=lambda: True, **options)
    cut = side.parent / "ckpts" / "cut"
    for other in (("altitude",), ("camera", "altitude", "night")):
        with pytest.raises(InputError, match=r"cannot be resumed[\s\S]*--side-columns"):
            jaxreg.train_head(cache=side, run=cut, resume=True, side_columns=other)
    jaxreg.train_head(cache=side, run=cut, resume=True)
    assert predictions_of(cut) == predictions_of(whole.path)
    assert history_of(cut) == history_of(whole.path)


def test_a_run_from_before_there_were_side_columns_goes_on(side: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(side, run="old", should_stop=lambda: True)
    run = side.parent / "ckpts" / "old"
    for path in (run / "config.json", *run.glob("checkpoints/*.json")):
        content = load_json(path)
        record = content["run"] if path.parent != run else content
        del record["settings"]["side_columns"]
        write_json(path, content)
    again = jaxreg.train_head(cache=side, run=run, resume=True)
    assert again.settings.side_columns == ()


def test_a_bundle_predicts_what_its_run_does(side: Path, tmp_path: Path) -> None:
    run = run_side(side, epochs=2)
    out = tmp_path / "one.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    features = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    expected = run.predict_features(features, side_frame(5, 1))
    shutil.rmtree(run.path)
    found = jaxreg.load_run(out).predict_features(features, side_frame(5, 1))
    np.testing.assert_array_equal(found, expected)


def test_mirrored_views_keep_the_side_columns(side: Path) -> None:
    """The same features as a second view: a row is itself in both, and the epoch draws either."""
    cache, column = Cache(side), read_dataset(Cache(side), "planted").columns[0]
    dataset = read_dataset(cache, "planted")
    x = cache.read(dataset.feature_set, [column], dataset.digests)
    mirrored = column.__class__(view="mirror", layer=column.layer, pool=column.pool)
    cache.add(dataset.feature_set, mirrored, dataset.digests, x[:, ::-1].copy())
    experiment = experiment_of(side, views=("identity", "mirror"))
    (view,) = experiment.views
    np.testing.assert_array_equal(view.x[:, :12], x[:, ::-1])
    np.testing.assert_array_equal(view.x[:, 12:], x_of(experiment)[:, 12:])


def test_half_floats_keep_the_side_columns_exact(side: Path) -> None:
    """float16 would keep three digits of a number, and 1.7e9 seconds are not in it at all."""
    dataset = read_dataset(Cache(side), "planted")
    for path in (side / "features").rglob("*.parquet"):
        path.unlink()
    x = np.random.default_rng(0).normal(size=(ROWS, 12)).astype(np.float16)
    Cache(side).add(dataset.feature_set, dataset.columns[0], dataset.digests, x)
    seconds = 1.7e9 + np.arange(ROWS)
    edit_dataset(side, table=lambda one: one.table.append_column("seconds", pa.array(seconds)))
    experiment = experiment_of(side, side_columns=("seconds",))
    assert isinstance(experiment.x, np.ndarray)
    assert experiment.x.dtype == np.float32
    (column,) = experiment.side.columns
    own = experiment.x[:, 12].astype(np.float64) * column.scale + column.center
    np.testing.assert_allclose(own, seconds, atol=1e-4)
    run = run_side(side, side_columns=("seconds",), head="ridge")
    assert run.config["dtype"] == "float16"  # of the features, as predict computes them


@pytest.mark.slow
def test_diagnose_reads_a_run_with_side_columns(side: Path, capsys) -> None:
    run = run_side(side, epochs=2)
    assert diagnose.main([str(run.path), "--cache", str(side)]) == 0
    assert "diagnosis: " in capsys.readouterr().err
