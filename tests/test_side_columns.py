"""Side columns as numbers, and their scaling, beside scikit-learn's transformers."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from jaxreg.errors import InputError
from jaxreg.head import scaling
from jaxreg.head.side_scaling import scale_side
from jaxreg.side_columns import NO_SIDE, SideColumn, SideColumns, sentences
from jaxreg.side_table import side_table

NAN = np.nan
ALTITUDE = SideColumn("altitude", "number", True, 500.0, 100.0)
CAMERA = SideColumn("camera", "category", True, categories=("front", "left", "right"))
NIGHT = SideColumn("night", "boolean", False, categories=("false", "true"))
SIDE = SideColumns((ALTITUDE, CAMERA, NIGHT))


def table(**columns: Any) -> pa.Table:
    return pa.table({name: pa.array(values) for name, values in columns.items()})


def test_rows_as_numbers_by_hand() -> None:
    rows = table(
        camera=["left", "rear", None, " right ", ""],
        night=[True, False, True, True, False],
        altitude=[600, None, 450, 500, 500],
    )
    encoded = SIDE.encode(rows)
    assert encoded.values.tolist() == pytest.approx(np.array([
        # altitude, missing | front, left, right, missing | false, true
        [1.0, 0, 0, 1, 0, 0, 0, 1],
        [NAN, 1, 0, 0, 0, 0, 1, 0],
        [-0.5, 0, NAN, NAN, NAN, 1, 0, 1],
        [0.0, 0, 0, 0, 1, 0, 0, 1],
        [0.0, 0, NAN, NAN, NAN, 1, 1, 0],
    ]), nan_ok=True)  # fmt: skip
    assert encoded.unknown == {"camera": {"rear": 1}}
    assert encoded.missing == {"altitude": 1, "camera": 2}
    assert sentences(encoded, SIDE, "new rows") == [
        "1 new row has a value of camera that no training row has (rear): it counts as none of the "
        "known ones",
        "1 new row has no value of altitude: the mean of the training rows takes its place",
        "2 new rows have no value of camera: the most frequent value of the training rows takes "
        "its place",
    ]


@pytest.mark.parametrize("night", [[1, 0, None], ["TRUE", "false", " "], [1.0, 0.0, NAN]], ids=str)
def test_booleans_are_read_as_people_write_them(night: list[Any]) -> None:
    found = SideColumns((NIGHT,)).encode(pa.table({"night": pa.array(night, from_pandas=True)}))
    np.testing.assert_array_equal(found.values, [[0, 1], [1, 0], [NAN, NAN]])


def test_text_that_is_made_of_digits() -> None:
    """A CSV of digits alone has whole numbers, whose text a source keeps where they lose it."""
    side = SideColumns((SideColumn("code", "category", False, categories=("007", "7", "x1")),))
    new = table(code=[7, 7])
    np.testing.assert_array_equal(side.encode(new).values, [[0, 1, 0], [0, 1, 0]])
    written = {"code": pa.array(["007", "7"])}
    np.testing.assert_array_equal(side.encode(new, written).values, [[1, 0, 0], [0, 1, 0]])


def made(rows: int, seed: int, cameras: str) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({
        "altitude": rng.normal(500, 120, rows),
        "hour": rng.integers(0, 24, rows),
        "camera": rng.choice(list(cameras), rows),
    })  # fmt: skip
    frame.loc[rng.random(rows) < 0.2, "altitude"] = NAN
    frame["camera"] = frame["camera"].astype(object)
    frame.loc[rng.random(rows) < 0.2, "camera"] = NAN
    return frame


def sklearns(features: list[str]) -> ColumnTransformer:
    """The transformers that docs/side-columns.md names."""
    text = make_pipeline(
        SimpleImputer(strategy="most_frequent"),
        OneHotEncoder(handle_unknown="ignore", sparse_output=False),
    )
    numbers = make_pipeline(StandardScaler(), SimpleImputer(add_indicator=True))
    return ColumnTransformer([
        ("features", StandardScaler(), features),
        ("altitude", numbers, ["altitude"]),
        ("hour", StandardScaler(), ["hour"]),
        ("camera", text, ["camera"]),
        ("no camera", MissingIndicator(error_on_new=False), ["camera"]),
    ])  # fmt: skip


def test_numbers_are_those_of_scikit_learn() -> None:
    """Trained on some rows; the others have a camera that is new."""
    train, new = made(300, 0, "aabc"), made(100, 1, "abcd")
    rng = np.random.default_rng(2)
    for frame in (train, new):
        frame[["f0", "f1"]] = rng.uniform(-1, 1, (len(frame), 2))
    known = sklearns(["f0", "f1"]).fit(train)
    side = SideColumns((
        SideColumn("altitude", "number", True, 450.0, 90.0),  # any centre and scale
        SideColumn("hour", "number", False),
        SideColumn("camera", "category", True, categories=("a", "b", "c")),
    ))  # fmt: skip

    def stored(frame: pd.DataFrame) -> np.ndarray:
        rows = pa.Table.from_pandas(frame, preserve_index=False)
        return np.concatenate([frame[["f0", "f1"]], side.encode(rows).values], axis=1)

    scaler = scaling.feature_scaler(stored(train).astype(np.float32), side)
    assert scaler.features == 2
    for frame in (train, new):
        found = scaling.scale_rows(scaler, stored(frame).astype(np.float32))
        np.testing.assert_allclose(found, np.asarray(known.transform(frame)), atol=2e-6)


def test_a_fold_has_its_own_mean_and_most_frequent_value() -> None:
    """By NumPy: of rows whose array is the same in all folds."""
    rows = table(
        altitude=[500.0, 700.0, None, 100.0],
        camera=["left", "left", "front", None],
        night=[True] * 4,
    )
    x = SIDE.encode(rows).values
    first, second = scale_side(SIDE, x[:3]), scale_side(SIDE, x[2:])
    assert first.mean[0] == pytest.approx((500 + 700 - 1000) / 2 / 100)
    assert first.std[0] == pytest.approx(np.std([0.0, 2.0]))
    assert first.fill.tolist() == [0, 0, 0, 1, 0, 0, 0, 0]  # left
    assert second.fill.tolist() == [0, 0, 0, 0, 0, 0, 0, 0]  # front in every row that has a value
    # what does not vary among the training rows is no input: right, night
    assert np.isinf(first.std).tolist() == [False, False, False, False, True, True, True, True]


def test_a_category_that_no_training_row_of_a_fold_has_is_zero() -> None:
    side = SideColumns((SideColumn("camera", "category", False, categories=("a", "b", "c")),))
    x = side.encode(table(camera=["a", "b", "a", "c"])).values
    scaler = scaling.feature_scaler(x[:3], side)
    np.testing.assert_array_equal(scaling.scale_rows(scaler, x)[3], [0, 0, 0])


def test_features_keep_their_scale_and_their_floor() -> None:
    """Features of random weights have a std of 0.001; a side column must not raise it."""
    rng = np.random.default_rng(0)
    features = rng.normal(0.3, [1e-3, 2e-3, 1e-5], (200, 3)).astype(np.float32)
    side = SideColumns((SideColumn("altitude", "number", False),))
    altitude = rng.normal(500, 120, (200, 1)).astype(np.float32)
    x = np.concatenate([features, altitude], axis=1)
    alone, both = scaling.feature_scaler(features), scaling.feature_scaler(x, side)
    np.testing.assert_array_equal(both.mean[:3], alone.mean)
    np.testing.assert_array_equal(both.std[:3], alone.std)
    assert both.std[3] == pytest.approx(altitude.std(), rel=1e-6)
    pieces = scaling.feature_scaler(lambda: iter(np.split(x, 4)), side)
    np.testing.assert_allclose(pieces.std, both.std, rtol=1e-6)
    plain = scaling.feature_scaler(x, side, scale_features=False)
    np.testing.assert_array_equal(scaling.scale_rows(plain, x)[:, :3], features)
    assert scaling.scale_rows(plain, x)[:, 3].std() == pytest.approx(1, rel=1e-6)


def test_a_feature_that_is_no_number_stays_one() -> None:
    x = np.array([[1, 0], [2, 1], [3, NAN]], np.float32)
    side = SideColumns((SideColumn("altitude", "number", False),))
    scaler = scaling.feature_scaler(x, side)
    found = scaling.scale_rows(scaler, np.array([[NAN, NAN]], np.float32))
    np.testing.assert_array_equal(found, [[NAN, 0]])


def test_json_gives_the_same_columns() -> None:
    assert SideColumns.from_json(json.loads(json.dumps(SIDE.to_json()))) == SIDE
    assert json.loads(json.dumps(SIDE.to_json())) == SIDE.to_json()  # as a run on disk is compared
    assert SideColumns.from_json(None) == NO_SIDE
    assert (SIDE.width, SIDE.names) == (8, ("altitude", "camera", "night"))


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (pa.array(["500", "high"]), r"holds text, as 'high'[\s\S]*numbers, as in training"),
        (pa.array([1.0, np.inf]), r"is infinite in row 1"),
        (pa.array([0, 1], pa.timestamp("s")), r"holds timestamp"),
        (pa.array([[1], [2]]), r"holds list"),
    ],
    ids=["text", "infinite", "times", "lists"],
)
def test_what_is_no_number_is_refused(column: pa.Array, message: str) -> None:
    with pytest.raises(InputError, match=message):
        SideColumns((ALTITUDE,)).encode(pa.table({"altitude": column}))


def test_numbers_in_text_are_numbers() -> None:
    found = SideColumns((ALTITUDE,)).encode(table(altitude=[" 600", "", None]))
    np.testing.assert_array_equal(found.values, [[1, 0], [NAN, 1], [NAN, 1]])


def test_a_column_that_is_missing_is_named() -> None:
    with pytest.raises(InputError, match=r"no column 'altitude'[\s\S]*rename the column Altitud"):
        SIDE.encode(table(Altitud=[1.0], camera=["left"], night=[True]))
    with pytest.raises(InputError, match=r"no column 'camera'[\s\S]*add the column camera"):
        SIDE.encode(table(altitude=[1.0], night=[True]))


@pytest.mark.parametrize(
    "given",
    [
        {"altitude": [600.0, None], "camera": ["left", NAN], "night": [True, False]},
        pd.DataFrame({"night": [True, False], "camera": ["left", None], "altitude": [600.0, NAN]}),
        table(altitude=[600, None], camera=["left", None], night=["true", "False"]),
    ],
    ids=["dict", "pandas", "Arrow"],
)
def test_tables_of_python(given: object) -> None:
    found = SIDE.encode(side_table(given, SIDE, 2)).values
    expected = [[1, 0, 0, 1, 0, 0, 0, 1], [NAN, 1, NAN, NAN, NAN, 1, 1, 0]]
    np.testing.assert_array_equal(found, expected)


def test_tables_of_python_that_do_not_fit() -> None:
    assert side_table(None, NO_SIDE, 3).num_rows == 3
    one = side_table({"altitude": 600.0}, SIDE, 1)
    assert one["altitude"].to_pylist() == [600.0]
    with pytest.raises(InputError, match=r"needs its side columns[\s\S]*altitude, camera, night"):
        side_table(None, SIDE, 3)
    with pytest.raises(InputError, match="2 rows of side columns for 3 rows"):
        side_table({"altitude": [1, 2]}, SIDE, 3)
    with pytest.raises(InputError, match="for a run that has none"):
        side_table({"altitude": [1, 2]}, NO_SIDE, 2)
    with pytest.raises(InputError, match="cannot read the side columns"):
        side_table(5, SIDE, 1)
