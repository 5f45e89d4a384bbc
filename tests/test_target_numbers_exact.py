"""Numbers that no float may round: targets, features, and the scores of what is written."""

import decimal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.estimator import HeadRegressor
from jaxreg.sources.as_written import Columns
from jaxreg.sources.columns import scalar_columns
from jaxreg.sources.examples import WRITTEN
from planted_runs import edit_dataset, run_quick, with_column
from typed import fresh

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 6))
Y = X[:, 0] - 0.5 * X[:, 1] + 0.05 * rng.normal(size=200)
MODEL = HeadRegressor(hidden=(16,), epochs=20, learning_rate=0.01, random_state=0)


@pytest.mark.parametrize(
    ("y", "found"),
    [
        # a step of float64 at 1.7e18 is 256
        (1_700_000_000_000_000_000 + (100 * Y).astype(np.int64), "their std is"),
        (2**62 + np.arange(200) % 7, "float64 rounds its differences\n"),
        (np.uint64(2**63) + np.arange(200).astype(np.uint64), "try: subtract a constant"),
    ],
)
def test_the_estimator_refuses_y_that_float64_rounds(y: np.ndarray, found: str) -> None:
    with pytest.raises(InputError, match=found):
        fresh(MODEL).fit(X, y)


def test_the_estimator_takes_whole_numbers_whose_differences_float64_holds() -> None:
    score = fresh(MODEL).fit(X, Y).score(X, Y)
    nanoseconds = 1_700_000_000_000_000_000 + (1e9 * Y).astype(np.int64)
    pred = fresh(MODEL).fit(X, nanoseconds).predict(X)
    assert r2_score(Y, (pred - 1.7e18) / 1e9) == pytest.approx(score, abs=1e-3)
    assert fresh(MODEL).fit(X, np.full(200, 2**62)).n_iter_  # a constant is no difference


@pytest.mark.parametrize("settings", [{}, {"components": 4}, {"head": "blend"}])
@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_the_offset_of_x_changes_nothing(settings: dict, offset: float) -> None:
    plain, far = (fresh(MODEL).set_params(**settings).fit(x, Y) for x in (X, X + offset))
    np.testing.assert_allclose(far.predict(X + offset), plain.predict(X), atol=1e-3)
    np.testing.assert_allclose(far.scalers_.features.mean, X.mean(0) + offset, atol=0.3)


def test_x_beyond_float32_is_refused() -> None:
    with pytest.raises(InputError, match="beyond float32"):
        fresh(MODEL).fit(X * 1e60, Y)


def _decimals(of_angle: Callable[[np.ndarray], list[str]]) -> Callable[[Dataset], pa.Table]:
    """The table with `angle` as a source of decimals brings it: float64, and the text."""

    def made(dataset: Dataset) -> pa.Table:
        texts = of_angle(dataset.table["angle"].to_numpy())
        column = pa.array([decimal.Decimal(text) for text in texts], pa.decimal128(38, 6))
        read, _ = scalar_columns(Columns(pa.table({"angle": column}), {}, ()))
        table = with_column(dataset.table, "angle", read.values["angle"])
        return table.append_column(WRITTEN + "angle", read.text["angle"])

    return made


@pytest.mark.parametrize(
    "texts",
    [
        lambda angle: [f"5400000000000000.{int(5e4 * (a + 9)):06d}" for a in angle],
        lambda angle: [f"9100000000000000000000.{n:06d}" for n in range(240)],  # one float64
    ],
)
def test_decimals_that_float64_rounds_are_refused(planted: Path, texts: Callable) -> None:
    edit_dataset(planted, table=_decimals(texts))
    with pytest.raises(InputError, match="float64 rounds its differences"):
        run_quick(planted)


def test_one_decimal_written_in_two_ways_is_a_constant(planted: Path) -> None:
    edit_dataset(planted, table=_decimals(lambda angle: ["0.1", "0.10"] * 120))
    verdict = run_quick(planted).summary["verdict"]
    codes = {finding["code"] for finding in verdict["findings"]}
    assert "target-constant" in codes
    # the std of 240 times 0.1 is 0, and NumPy's is 3e-17
    assert not codes & {"validation-shift", "predictions-out-of-range", "linear-is-better"}


SIDES = [{}, {"folds": 3}, {"test": 0.2}, {"seeds": 2}, {"head": "ridge"}]


@pytest.mark.parametrize("options", SIDES, ids=str)
def test_the_scores_are_those_of_what_is_written(planted: Path, options: dict) -> None:
    """An error of 2e-5 std, which float32 rounds by a hundredth of it; scikit-learn's scores."""

    def far_and_linear(dataset: Dataset) -> pa.Table:
        x = Cache(planted).read(dataset.feature_set, dataset.columns, dataset.digests)
        return with_column(dataset.table, "angle", pa.array(300 + x[:, 0].astype(float)))

    edit_dataset(planted, table=far_and_linear)
    run = run_quick(planted, target=("angle", "speed"), **options)
    table = pq.read_table(run.path / "predictions.parquet").to_pandas()
    assert table["target.angle"].dtype == np.float32
    if options.get("head") == "ridge":  # it is its own baseline, to the last bit
        for scores in run.summary["by_target"].values():
            assert scores["mae"] == scores["baselines"]["ridge"]["mae"]
    for side, place in (("validation", None), ("test", "test")):
        rows = table[table["split"] == side]
        if not len(rows):
            continue
        for name, scores in run.summary["by_target"].items():
            told = scores if place is None else scores["test"]
            pair = [rows[f"{kind}.{name}"].to_numpy(float) for kind in ("target", "prediction")]
            assert told["mae"] == pytest.approx(mean_absolute_error(*pair), rel=1e-9)
            assert told["rmse"] == pytest.approx(mean_squared_error(*pair) ** 0.5, rel=1e-9)
            assert told["r2"] == pytest.approx(r2_score(*pair), abs=1e-12)


def test_a_constant_is_written_as_it_is(planted: Path) -> None:
    constant = pa.array(np.full(240, 5_400_000.305))
    edit_dataset(planted, table=lambda dataset: with_column(dataset.table, "angle", constant))
    run = run_quick(planted, epochs=1)
    written = pq.read_table(run.path / "predictions.parquet")["target.angle"].to_numpy()
    assert set(written) == {5_400_000.305}
    assert read_dataset(Cache(planted), "planted").table["angle"][0].as_py() == 5_400_000.305
