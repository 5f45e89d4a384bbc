"""Legal files of NumPy and Arrow that few programs write: the right values, or one message."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fuzzing import use_source
from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source, table_files
from tables import csv, parquet, png, refusal

IMAGES = np.zeros((3, 4, 4, 3), np.uint8)
NAMES = ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("kind", [">f8", ">f4", ">i4", "longdouble", "float16"])
def test_targets_of_any_numbers_of_numpy(tmp_path: Path, kind: str) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES, targets=np.array([1.5, -2, 3]).astype(kind))
    examples = use_source(tmp_path / "x.npz", SourceOptions(), tmp_path)
    assert examples is not None
    expected = np.array([1.5, -2, 3]).astype(kind).tolist()
    assert examples.columns["target"].to_pylist() == [float(value) for value in expected]


def test_long_floats_that_float64_merges_are_refused(tmp_path: Path) -> None:
    one = np.longdouble(1)
    targets = np.array([one, one + np.finfo(np.longdouble).eps, 2 * one])
    np.savez(tmp_path / "x.npz", images=IMAGES, targets=targets)
    assert "float64 merges 1 of their values" in refusal(tmp_path / "x.npz")


def test_ids_of_half_characters_become_text(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", images=IMAGES, ids=np.array(["a", "\ud800", "c"]))
    examples = use_source(tmp_path / "x.npz", SourceOptions(), tmp_path)
    assert examples is not None
    assert examples.ids == ("a", "\\ud800", "c")


def test_times_of_an_unknown_zone_are_kept_as_utc(tmp_path: Path) -> None:
    moments = pa.array([0, 1, 2**40], pa.timestamp("us", "Nowhere/Atlantis"))
    file = parquet(tmp_path, {"image": NAMES, "y": [1.0, 2.0, 3.0], "when": moments})
    examples = use_source(file, SourceOptions(order_column="when"), tmp_path)
    assert examples is not None
    assert examples.columns["when"].type == pa.timestamp("us", "UTC")
    assert examples.columns["when"].cast(pa.int64()).to_pylist() == [0, 1, 2**40]
    assert any("'Nowhere/Atlantis', which is not known here" in note for note in examples.notes)


@pytest.mark.parametrize(
    "days", [pa.array([2**31 - 1, None, 0], pa.date32()), pa.array([7, 0, None], pa.duration("s"))]
)
def test_times_that_python_does_not_have(tmp_path: Path, days: pa.Array) -> None:
    file = parquet(tmp_path, {"image": NAMES, "time": days})
    assert use_source(file, SourceOptions(), tmp_path) is not None
    examples = open_source(file, SourceOptions(order_column="time"))
    assert len(examples) == 2
    assert examples.unusable[0][1] == "no value in column 'time'"


@pytest.mark.parametrize(
    "cell",
    [
        {"bytes": {"a": b"1"}, "path": "a.png"},
        {"bytes": {"bytes": b"1", "path": "a.png"}, "path": "a.png"},
        {"bytes": b"1", "path": 1},
        {"bytes": [b"1"], "path": ["a.png"]},
    ],
)
def test_a_struct_that_is_no_image_is_no_image_column(tmp_path: Path, cell: dict) -> None:
    file = parquet(tmp_path, {"image": [cell] * 3, "file": NAMES})
    examples = open_source(file)
    assert examples.description["image_column"] == "file"
    assert examples.description["dropped_columns"] == ["image"]


def test_a_column_with_the_name_of_a_part_of_another(tmp_path: Path) -> None:
    images = pa.array([{"bytes": png(value), "path": None} for value in (1, 2, 3)])
    file = parquet(tmp_path, {"image.bytes": [7, 8, 9], "image": images})
    examples = open_source(file)
    assert [examples.images[row] for row in range(3)] == [png(1), png(2), png(3)]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    table = pa.table(
        [pa.array(NAMES), pa.array([1, 2, 3]), pa.array([4, 5, 6])], ["image", "y", "y"]
    )
    pq.write_table(table, tmp_path / "x.parquet")
    assert "two columns named 'y'" in refusal(tmp_path / "x.parquet")


def test_a_cell_of_10_mb_is_read(tmp_path: Path) -> None:
    file = csv(tmp_path, "image,note\na.png," + "x" * 10_000_000 + "\nb.png,y\n")
    assert open_source(file).columns["note"].to_pylist() == ["x" * 10_000_000, "y"]


def test_what_a_reader_did_not_expect_is_one_message(tmp_path: Path, monkeypatch) -> None:
    def read(*_: object, **_more: object) -> None:
        raise RuntimeError("something\nodd")

    monkeypatch.setattr(table_files, "open_csv", read)
    file = csv(tmp_path, "image,y\na.png,1\n")
    with pytest.raises(InputError, match=r"labels.csv: RuntimeError: something odd") as caught:
        open_source(file)
    assert isinstance(caught.value.__cause__, RuntimeError)
