"""Targets of any offset and unit: the same head, scores and files; thresholds that follow."""

import statistics
from fractions import Fraction
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.model_selection import train_test_split

import jaxreg
from jaxreg.cache.chosen_features import Wanted
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.lazy_features import PartFeatures
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.estimator import HeadRegressor
from jaxreg.target_numbers import mean_and_std, number_text, number_type
from jaxreg.train_config import HeadConfig
from planted_runs import digests_of, edit_dataset, history_of, run_quick
from typed import fresh

rng = np.random.default_rng(0)
X = rng.normal(size=(300, 8)).astype(np.float32)
Y = X[:, 0] - 0.5 * X[:, 1] + 0.3 * np.abs(X[:, 2]) + 0.05 * rng.normal(size=300)
Y = Y.astype(np.float64)


def with_target(planted: Path, of_angle, kind: pa.DataType | None = None) -> np.ndarray:
    """Replace `angle` in the planted dataset by a function of it; returns its numbers."""
    table = read_dataset(Cache(planted), "planted").table
    values = of_angle(table["angle"].to_numpy())
    column = pa.array(values, kind)
    place = table.column_names.index("angle")
    edit_dataset(planted, table=table.set_column(place, "angle", column))
    return np.asarray(values)


def r2(true: np.ndarray, pred: np.ndarray) -> float:
    return 1 - np.square(true - pred).sum() / np.square(true - true.mean()).sum()


@pytest.mark.parametrize(
    ("offset", "spread"),
    [(0.0, 1.0), (5.4e6, 0.3), (1.7e9, 50.0), (3.0, 1e-9), (0.0, 1e-300), (-1e30, 1e21)],
)
def test_mean_and_std_are_exact_for_any_offset(offset: float, spread: float) -> None:
    y = offset + spread * rng.uniform(-1, 1, 500)
    mean, std = mean_and_std(y[:, None])
    exact = [Fraction(value) for value in y.tolist()]  # Python's own exact arithmetic
    assert float(abs(Fraction(mean[0]) - statistics.mean(exact))) <= 1e-12 * (spread + abs(offset))
    around = [float((value - statistics.mean(exact)) / Fraction(spread)) for value in exact]
    assert std[0] / spread == pytest.approx(statistics.pstdev(around), rel=1e-6)


@pytest.mark.parametrize("value", [0.0, 0.1, 5_400_000.305, -1e-310])
def test_only_equal_numbers_are_constant(value: float) -> None:
    y = np.full((100, 1), value)
    assert mean_and_std(y) == (value, 0.0)
    y[3] = np.nextafter(value, 1e9)
    assert mean_and_std(y)[1] > 0


def test_the_type_of_a_file_is_what_holds_the_target() -> None:
    # a step of float32 at 1,000 is 6e-5, half of it 3e-5
    assert number_type(1000.0, 0.5) is np.float32
    assert number_type(1000.0, 0.2) is np.float64
    assert number_type(1e-30, 0.0) is np.float32  # a constant
    assert number_text(5_400_000.3051, 0.29) == "5400000.305"
    assert [number_text(v, 1.0) for v in (0.123456, 12.3456, 0.0)] == ["0.1235", "12.35", "0"]


# --- the estimator

SCALED = [10.0**k for k in (-30, -9, -3, 5, 9)]
FAR = [10.0**k for k in (3, 6, 9)]
MODEL = HeadRegressor(
    hidden=(32, 16), epochs=60, learning_rate=3e-3, dropout=0.0, patience=20, random_state=0
)


def reached(y: np.ndarray, **settings) -> float:
    model = fresh(MODEL).set_params(**settings).fit(X[:200], y[:200])
    return r2(y[200:], model.predict(X[200:]))


@pytest.mark.parametrize("head", ["mlp", "blend"])
def test_the_unit_and_the_offset_of_y_change_nothing(head: str) -> None:
    base = reached(Y, head=head)
    assert base > 0.9
    for factor in SCALED:
        assert reached(Y * factor, head=head) == pytest.approx(base, abs=1e-3), factor
    for stds in FAR:
        assert reached(Y + stds * Y.std(), head=head) == pytest.approx(base, abs=1e-3), stds
    assert reached(3 + 1e-9 * Y, head=head) == pytest.approx(base, abs=1e-3)


def test_targets_of_different_units_are_learned_together() -> None:
    y = np.stack([Y, 5.4e6 + 1e-3 * Y, 1e9 * Y], axis=1)
    model = fresh(MODEL).fit(X[:200], y[:200])
    pred = model.predict(X[200:])
    each = [r2(y[200:, i], pred[:, i]) for i in range(3)]
    assert min(each) > 0.9
    assert max(each) - min(each) < 0.05


@pytest.mark.parametrize("scaled", [True, False])
def test_the_loss_of_several_targets_divides_each_by_its_std(scaled: bool) -> None:
    y = np.stack([Y, X[:, 3] + 0.2 * X[:, 4]], axis=1)
    model = fresh(MODEL).set_params(scale_target=scaled, huber_delta=(0.7, 0.3), epochs=20)
    base = fresh(model).fit(X[:200], y[:200])
    large = fresh(model).set_params(huber_delta=(0.7, 300.0))
    large.fit(X[:200], y[:200] * np.array([1.0, 1000.0]))
    for name in ("loss", "val_loss", "val_mae"):
        np.testing.assert_allclose(large.history_[name], base.history_[name], rtol=0.01)
    # the validation loss of the best epoch, by hand
    random = np.random.RandomState(0)
    random.randint(2**31)  # the estimator draws the seed of its head first
    rows, others = train_test_split(np.arange(200), test_size=0.2, random_state=random)
    std = y[rows].std(axis=0)
    error = np.abs(base.predict(X[others]) - y[others]) / std
    delta = np.array([0.7, 0.3]) / std
    huber = np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2).mean()
    assert huber == pytest.approx(base.history_["val_loss"][base.best_epoch_ - 1], rel=1e-3)


def test_the_history_is_in_the_unit_of_y() -> None:
    large, small = (fresh(MODEL).fit(X[:200], Y[:200] * factor).history_ for factor in (1.0, 1e-30))
    np.testing.assert_allclose(np.array(small["val_loss"]) * 1e60, large["val_loss"], rtol=1e-3)
    np.testing.assert_allclose(np.array(small["val_mae"]) * 1e30, large["val_mae"], rtol=1e-3)


@pytest.mark.parametrize("scale_target", [True, False])
def test_thresholds_of_one_unit_are_the_defaults_of_another(scale_target: bool) -> None:
    std = Y[:200].std()
    plain = {"scale_target": scale_target, "validation_fraction": 0.2}
    with_numbers = {"huber_delta": 0.5 * std, "min_delta": 3e-4 * std**2}
    # near enough: the estimator takes the std of the rows that it does not validate on
    assert reached(Y, **plain) == pytest.approx(reached(Y, **plain, **with_numbers), abs=0.02)


def test_the_defaults_of_the_estimator_are_none_and_a_list_is_one_each() -> None:
    model = HeadRegressor()
    assert (model.get_params()["huber_delta"], model.get_params()["min_delta"]) == (None, None)
    one = fresh(MODEL).set_params(huber_delta=[0.5, 0.2], epochs=2)
    assert fresh(one).fit(X, np.stack([Y, Y], axis=1)).n_iter_ == 2
    with pytest.raises(InputError, match=r"--huber-delta is 0\.5 0\.2\n  expected: 1 or 3 numbers"):
        one.fit(X, np.stack([Y, Y, Y], axis=1))


@pytest.mark.parametrize(
    ("of_y", "found"),
    [
        (lambda y: y * 1e-300, r"the std of the target y is 1.*e-300"),
        (lambda y: y * 1e-310, r"the std of the target y is"),
        (lambda y: y * 1e31, "the target y reaches"),
    ],
)
def test_y_that_float32_cannot_hold_is_refused(of_y, found: str) -> None:
    with pytest.raises(InputError, match=found):
        fresh(MODEL).fit(X, of_y(Y))


def test_y_that_is_not_scaled_is_refused_where_float32_rounds_it() -> None:
    with pytest.raises(InputError, match=r"float32 loses these differences\n  try: --scale-target"):
        fresh(MODEL).set_params(scale_target=False).fit(X, Y + 5.4e6)


# --- runs

KINDS = {
    "mlp": {},
    "folds": {"folds": 3, "seeds": 2, "epochs": 4},
    "blend": {"head": "blend"},
    "blend in folds": {"head": "blend", "folds": 2, "epochs": 4},
    "ridge": {"head": "ridge"},
    "components": {"components": 6},
    "host memory": {"memory_limit": "25kB", "batch_size": 4},
    "parts": {"memory_limit": "18kB", "batch_size": 2, "epochs": 4},
}


@pytest.mark.parametrize("options", KINDS.values(), ids=KINDS)
def test_a_run_on_far_and_small_targets_is_the_run_on_plain_ones(
    planted: Path, options: dict
) -> None:
    plain = run_quick(planted, run="plain", **options)
    y = with_target(planted, lambda angle: 1 + 1e-9 * angle)
    far = run_quick(planted, run="far", **options)
    assert far.summary["metrics"]["r2"] == pytest.approx(plain.summary["metrics"]["r2"], abs=1e-3)
    table = pq.read_table(far.path / "predictions.parquet")
    np.testing.assert_array_equal(table["target.angle"], y)
    held_out = np.array(table["split"]) == "validation"
    error = np.abs(table["prediction.angle"].to_numpy() - y)[held_out]
    assert far.summary["metrics"]["mae"] == pytest.approx(error.mean(), rel=1e-6)
    for name in ("median", "mean", "ridge"):
        if (was := plain.summary["baselines"][name]) is not None:
            now = far.summary["baselines"][name]["mae"]
            assert now == pytest.approx(1e-9 * was["mae"], rel=1e-3), name
    assert far.summary["epochs"] == plain.summary["epochs"]
    cache, columns = Cache(planted), [Column()]
    x = PartFeatures(cache, [Wanted(far.features.feature_set, columns, digests_of(planted))])
    rows = np.arange(240)
    told = far.predict_features(np.concatenate([some for _, some in x.pieces(rows)]))
    assert told.dtype == np.float64
    if "folds" not in options:  # each row has the head that did not see it
        order = np.concatenate([numbers for numbers, _ in x.pieces(rows)])
        apart = told[np.argsort(order), 0] - table["prediction.angle"].to_numpy()
        assert np.abs(apart).max() < 1e-5 * 1e-9


def test_a_table_is_float32_where_that_holds_the_targets(planted: Path) -> None:
    schema = pq.read_schema(run_quick(planted).path / "predictions.parquet")
    assert schema.field("target.angle").type == schema.field("prediction.angle").type == "float"


def test_a_far_run_goes_on_to_the_same_bits(planted: Path) -> None:
    with_target(planted, lambda angle: 1.7e9 + 50 * angle)
    whole = run_quick(planted, run="whole", epochs=8)
    run_quick(planted, run="cut", epochs=3)
    path = planted.parent / "ckpts" / "cut"
    resumed = jaxreg.train_head(cache=planted, run=path, resume=True, epochs=8)
    tables = [pq.read_table(run.path / "predictions.parquet") for run in (whole, resumed)]
    assert tables[0].equals(tables[1])
    assert history_of(whole.path) == history_of(resumed.path)
    with pytest.raises(InputError, match=r"--huber-delta .* there, 7\.0 now"):
        jaxreg.train_head(cache=planted, run=path, resume=True, epochs=8, huber_delta=7.0)


def test_the_settings_of_a_run_hold_the_numbers(planted: Path) -> None:
    run = run_quick(planted, epochs=1)
    table = pq.read_table(run.path / "predictions.parquet")
    trained = np.array(table["split"]) == "train"
    std = float(np.std(table["target.angle"].to_numpy()[trained], dtype=np.float64))
    settings = run.config["settings"]
    assert settings["huber_delta"] == pytest.approx(0.5 * std, rel=1e-6)
    assert settings["min_delta"] == pytest.approx(3e-4 * std**2, rel=1e-6)
    assert run.config["asked"].get("huber_delta") is None
    error = np.abs(table["prediction.angle"].to_numpy() - table["target.angle"].to_numpy())
    error = error[np.array(table["split"]) == "validation"].astype(float)
    delta = 0.5 * std
    by_hand = np.where(error <= delta, error**2 / 2, delta * error - delta**2 / 2).mean()
    assert run.summary["metrics"]["huber"] == pytest.approx(by_hand, rel=1e-5)

    both = run_quick(planted, epochs=1, target=("angle", "speed"), run="both")
    told = both.config["settings"]
    assert told["huber_delta"] == pytest.approx([0.5 * std, 0.5 * 5.0], rel=0.1)
    assert told["min_delta"] == 3e-4  # of the loss in std
    jaxreg.train_head(cache=planted, run=both.path, resume=True)  # finished: the same settings


def test_a_std_of_one_has_the_thresholds_of_the_original() -> None:
    one = HeadConfig().with_thresholds([1.0])
    assert one.thresholds == (0.5, 3e-4)
    assert HeadConfig().with_thresholds([0.0]).thresholds == (0.5, 3e-4)  # a constant
    given = HeadConfig(huber_delta=2.0, min_delta=0.0).with_thresholds([1e6])
    assert given.thresholds == (2.0, 0.0)
    several = HeadConfig(scale_target=False).with_thresholds([1.0, 3.0])
    assert several.thresholds == ((0.5, 1.5), 3e-4)
    with pytest.raises(ValueError, match="without numbers"):
        _ = HeadConfig().thresholds


def test_only_equal_targets_are_called_constant(planted: Path) -> None:
    with_target(planted, lambda angle: 3 + 1e-9 * angle)
    codes = [f["code"] for f in run_quick(planted, run="near").summary["verdict"]["findings"]]
    assert "target-constant" not in codes
    with_target(planted, lambda angle: np.full(240, 5_400_000.305))
    [finding] = [
        f
        for f in run_quick(planted, run="equal").summary["verdict"]["findings"]
        if f["code"] == "target-constant"
    ]
    assert "the target is 5400000.305 for all" in finding["evidence"]


@pytest.mark.parametrize(
    ("of_angle", "kind", "options", "found"),
    [
        (lambda a: a * 1e-300, None, {}, "the std of the target angle is"),
        (lambda a: a * 1e31, None, {}, "the target angle reaches"),
        (lambda a: a + 5.4e6, None, {"scale_target": False}, "float32 loses these differences"),
        (lambda a: a + 5.4e6, None, {"preset": "answer"}, r"try: --scale-target"),
        (
            lambda a: 2**60 + np.arange(240) % 7,
            pa.int64(),
            {},
            r"reaches 1\.153e\+18, and float64 rounds [\s\S]*try: subtract a constant",
        ),
        (
            lambda a: np.array([2**63 + i for i in range(240)], np.uint64),
            pa.uint64(),
            {},
            r"reaches 9\.223e\+18, and float64 rounds its differences\n",
        ),
    ],
)
def test_a_target_that_cannot_be_held_is_refused_in_words(
    planted: Path, of_angle, kind, options: dict, found: str
) -> None:
    with_target(planted, of_angle, kind)
    with pytest.raises(InputError, match=found):
        run_quick(planted, **options)


def test_large_whole_numbers_that_float64_tells_apart_are_trained_on(planted: Path) -> None:
    plain = run_quick(planted, run="plain")
    # a time in nanoseconds
    with_target(planted, lambda a: (1.7e18 + 1e12 * a).astype(np.int64), pa.int64())
    far = run_quick(planted, run="far")
    assert far.summary["metrics"]["r2"] == pytest.approx(plain.summary["metrics"]["r2"], abs=1e-3)


def test_the_mirror_of_a_target_far_from_zero_is_refused(planted: Path) -> None:
    cache, column = Cache(planted), Column(view="mirror")
    dataset = read_dataset(cache, "planted")
    features = cache.read(dataset.feature_set, [Column()], dataset.digests)
    cache.add(dataset.feature_set, column, dataset.digests, -features)
    with_target(planted, lambda angle: angle + 5.4e6)
    both = {"views": ("identity", "mirror"), "mirror_targets": ("angle",)}
    with pytest.raises(InputError, match=r"--mirror-targets angle, whose mean is 5\.4e\+06"):
        run_quick(planted, **both)
    assert run_quick(planted, views=both["views"]).summary["epochs"]


def test_a_fold_has_thresholds_by_its_own_rows(planted: Path) -> None:
    """What a fold holds out must not decide how its head is trained."""
    from jaxreg.experiment.arrays import load_experiment
    from jaxreg.experiment.resolve import resolve

    cache = Cache(planted)
    resolved = resolve(cache, read_dataset(cache, "planted"), {"folds": 3, "min_delta": 0.5})
    fold = load_experiment(resolved).fold(1)
    std = fold.y[fold.rows("train")].std()
    assert fold.config.huber_delta == pytest.approx(0.5 * std, rel=1e-8)
    assert fold.config.min_delta == 0.5  # it was asked for
    assert resolved.config.huber_delta == pytest.approx(0.5 * resolved.y.std(), rel=1e-8)
