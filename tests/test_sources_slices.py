"""A large Parquet table in slices gives what the whole table gives, which other tests check."""

import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jaxreg.errors import InputError
from jaxreg.sources import (
    Examples,
    SourceOptions,
    csvfile,
    large_table,
    open_source,
    parquet_slices,
    pixels,
    table_files,
)
from jaxreg.sources import sliced_examples as sliced
from tables import png

KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
PLAIN = SourceOptions()
ROWS = 60


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every Parquet table is a large one, and comes seven rows at a time."""
    monkeypatch.setattr(large_table, "MOST_WHOLE", 0)
    monkeypatch.setattr(parquet_slices, "SLICE_ROWS", 7)


def write(path: Path, group_rows: int = 20, **columns) -> Path:
    pq.write_table(pa.table(columns), path, row_group_size=group_rows)
    return path


def pictures(folder: Path, count: int = 5) -> list[str]:
    for value in range(count):
        (folder / f"{value}.png").write_bytes(png(value))
    return [f"{row % count}.png" for row in range(ROWS)]


def opened(source: Path, options: SourceOptions) -> sliced.SlicedExamples:
    examples = open_source(source, options, in_slices=True)
    assert isinstance(examples, sliced.SlicedExamples)
    return examples


def refused(source: Path, options: SourceOptions) -> str:
    """The error, which is that of the whole table."""
    with pytest.raises(InputError) as found:
        opened(source, options)
    with pytest.raises(InputError) as expected:
        open_source(source, options)
    assert str(found.value) == str(expected.value)
    return str(found.value)


def same(source: Path, options: SourceOptions = PLAIN) -> sliced.SlicedExamples:
    """The examples in slices, which are those of the whole table."""
    whole, examples = open_source(source, options), opened(source, options)
    parts = list(examples.slices())
    assert max(map(len, parts)) <= 7
    assert list(joined(parts, "ids")) == list(whole.ids)
    assert list(joined(parts, "unusable")) == list(whole.unusable)
    assert (len(examples), examples.left_out) == (len(whole), len(whole.unusable))
    columns = pa.concat_tables([part.columns for part in parts])
    assert columns.schema == whole.columns.schema
    assert columns.to_pydict() == whole.columns.to_pydict()
    for name in ("group", "paths"):
        found = None if getattr(parts[0], name) is None else tuple(joined(parts, name))
        assert found == getattr(whole, name)
    order = np.arange(len(whole)) if whole.order is None else whole.order
    assert list(joined(parts, "order")) == order.tolist()
    assert list(joined(parts, "rows")) == list(whole.rows if whole.rows is not None else [])
    assert {n for part in parts for n in part.written} == set(whole.written)
    for name, text in whole.written.items():
        assert [t for part in parts for t in part.written[name].to_pylist()] == text.to_pylist()
    for name in ("description", "bookkeeping", "sequential", "targets", "notes", "files"):
        assert getattr(examples, name) == getattr(whole, name), name
    assert list(examples.images) == list(whole.images)
    assert [image for part in parts for image in part.images] == list(whole.images)
    return examples


def joined(parts: list[Examples], name: str) -> Iterator:
    return (value for part in parts for value in getattr(part, name))


def test_paths_that_repeat_beside_numbers_and_texts(tmp_path):
    names: list[str | None] = [*pictures(tmp_path)]
    names[3] = names[40] = None
    names[14:21] = [None] * 7  # a slice without a usable row
    names[10], names[11], names[12] = "  ", "0.png#2", "absent.png"
    table = write(
        tmp_path / "t.parquet",
        image=names,
        y=[None if row == 8 else row / 3 for row in range(ROWS)],
        z=pa.array([row % 4 for row in range(ROWS)], pa.int16()),
        empty=pa.nulls(ROWS),
        half=np.arange(ROWS).astype(np.float16),
        word=["1" if row != 33 else "two" for row in range(ROWS)],
        id=["same"] * ROWS,
        kind=pa.array(["a", "b", "c"] * 20).dictionary_encode(),
        list=[[1]] * ROWS,
        on=pa.array(range(ROWS), pa.timestamp("s", "UTC")),
    )
    examples = same(table, SourceOptions(image_column="image"))
    assert "0.png#3" in [
        name for part in examples.slices() for name in part.ids
    ]  # 0.png#2 is there
    assert any("column 'word' is text: 'two' in row 33" in note for note in examples.notes)


@pytest.mark.parametrize(
    "order",
    [
        list(range(ROWS, 0, -1)),
        [row / 7 % 3 for row in range(ROWS)],
        [f"f{row * 7 % 20}" for row in range(ROWS)],
        [f"{row % 12}:30" for row in range(ROWS - 1)] + ["late"],
        pa.array([row * 10**9 % 77 for row in range(ROWS)], pa.timestamp("ns")),
        pa.array([row % 9 for row in range(ROWS)], pa.date32()),
        [row % 2 == 0 for row in range(ROWS)],
    ],
    ids=["whole", "float", "text", "clock", "time", "date", "bool"],
)
def test_order_and_group_columns(tmp_path, order):
    group: list[str | None] = [f"g{row % 3}" for row in range(ROWS)]
    group[20] = None
    table = write(tmp_path / "t.parquet", image=pictures(tmp_path), y=range(ROWS), o=order, g=group)
    same(table, SourceOptions(order_column="o", group_column="g"))


@pytest.mark.parametrize("group", [None, "g"])
def test_rows_that_are_not_in_the_order_of_their_frames(tmp_path, group):
    frame = [*range(21), *range(39)]  # a slice ends where the numbers begin anew
    names = pictures(tmp_path)
    g = ["a"] * 21 + ["b"] * 39
    table = write(tmp_path / "t.parquet", image=names, y=range(ROWS), frame=frame, g=g)
    examples = same(table, SourceOptions(group_column=group))
    assert any("order of column 'frame'" in note for note in examples.notes) == (group is None)


def test_ids_of_a_column(tmp_path):
    names = pictures(tmp_path)
    table = write(tmp_path / "t.parquet", image=names, y=range(ROWS), id=range(100, 100 + ROWS))
    assert same(table).id_column == "id"
    key = [f"k{row}" for row in range(ROWS)]
    table = write(tmp_path / "t.parquet", image=names, y=range(ROWS), key=key, order=range(ROWS))
    same(table, SourceOptions(id_column="key", order_column="order"))


@pytest.mark.parametrize("files", [1, 3])
def test_an_id_that_repeats_far_away_is_named_with_both_rows(tmp_path, files):
    names = pictures(tmp_path)
    key: list[int | None] = [*range(ROWS)]
    key[58] = 2
    for part in range(files):
        some = slice(part * ROWS // files, (part + 1) * ROWS // files)
        write(tmp_path / f"{part}.parquet", image=names[some], key=key[some])
    source, options = tmp_path / "*.parquet", SourceOptions(id_column="key")
    found = refused(source, options)
    assert "holds '2' in row" in found
    assert "58" in found or "row 18 of 2.parquet" in found
    key[30:32] = [None, None]
    write(tmp_path / "0.parquet", image=names, key=key)
    assert "has no value in row 30" in refused(tmp_path / "0.parquet", options)


def test_several_files_with_small_row_groups(tmp_path):
    names = pictures(tmp_path)
    for part, rows in enumerate((9, 0, 51)):
        start = part * 9 // 2
        write(tmp_path / f"{part}.parquet", 2, image=names[start : start + rows],
              y=np.arange(start, start + rows, dtype=np.float64))  # fmt: skip
    same(tmp_path / "*.parquet")


@pytest.mark.parametrize("kind", [KIND, pa.binary(), pa.large_binary()])
def test_embedded_images(tmp_path, kind):
    names = pictures(tmp_path)
    cells: list = [{"bytes": png(row % 5), "path": f"{row % 9}.jpg"} for row in range(ROWS)]
    cells[13], cells[14] = None, {"bytes": png(1), "path": None}
    if kind == KIND:
        cells[15] = {"bytes": None, "path": names[3]}
        cells[16] = {"bytes": None, "path": None}
    else:
        cells = [cell and cell["bytes"] for cell in cells]
    frame = [None if row == 50 else row for row in range(ROWS)]
    table = write(tmp_path / "t.parquet", image=pa.array(cells, kind), y=range(ROWS), frame=frame)
    same(table)
    same(table, SourceOptions(order_column="frame"))
    only = write(tmp_path / "only.parquet", image=pa.array(cells, kind))
    same(only)


@pytest.mark.parametrize("texts", [["1.50", "1.5"], ["12345678901234567", "7"], ["0.10", "2.25"]])
def test_decimals_keep_their_text_where_numbers_do_not(tmp_path, texts):
    from decimal import Decimal

    kind = pa.decimal128(20, 2)
    values = pa.array([Decimal(texts[row == 50]) for row in range(ROWS)], kind)
    same(write(tmp_path / "t.parquet", image=pictures(tmp_path), y=values))


def test_paths_that_mean_files_elsewhere(tmp_path):
    (tmp_path / "pics").mkdir()
    names = [f"C:\\\\data\\\\{name}" for name in pictures(tmp_path / "pics")]
    examples = same(write(tmp_path / "t.parquet", image=names, y=range(ROWS)))
    assert any("which is no file; jaxreg uses" in note for note in examples.notes)
    stems = [name.removesuffix(".png") for name in pictures(tmp_path / "pics")]
    options = SourceOptions(image_column="n", image_suffix="png", image_root=str(tmp_path / "pics"))
    same(write(tmp_path / "t.parquet", n=stems, y=range(ROWS)), options)


def test_many_paths_are_taken_as_they_are(tmp_path, monkeypatch):
    from jaxreg.sources import table_survey

    monkeypatch.setattr(table_survey, "MOST_NAMES", 3)
    monkeypatch.setattr(large_table, "MOST_NAMES", 3)
    names = pictures(tmp_path)
    same(write(tmp_path / "t.parquet", image=names, y=range(ROWS)))
    (tmp_path / "pics").mkdir()
    for file in tmp_path.glob("*.png"):
        file.rename(tmp_path / "pics" / file.name)
    with pytest.raises(InputError, match=r"most paths of .* are no files in .*, as '0\.png'"):
        opened(tmp_path / "t.parquet", PLAIN)
    root = str(tmp_path / "pics")
    opened(tmp_path / "t.parquet", SourceOptions(image_root=root))
    table = write(tmp_path / "o.parquet", image=names, o=[f"o{row}" for row in range(ROWS)])
    with pytest.raises(InputError, match=r"--order-column o of .* has more than 3 texts"):
        opened(table, SourceOptions(order_column="o", image_root=root))


@pytest.mark.parametrize(
    "options",
    [{"image_column": "nothing"}, {"order_column": "nothing"}, {"group_column": "nothing"},
     {"image_root": "/nowhere/at/all"}, {"steering_correction": 0.1}, {"order_column": "empty"}],
)  # fmt: skip
def test_the_same_is_refused(tmp_path, options):
    names = pictures(tmp_path)
    empty = pa.nulls(ROWS, pa.float64())
    table = write(tmp_path / "t.parquet", image=names, y=range(ROWS), empty=empty)
    refused(table, SourceOptions(**options))


def test_first_rows_without_a_path_do_not_choose_the_column(tmp_path):
    """A short first file tells nothing of the paths: the rows behind it do."""
    names = pictures(tmp_path, 3)
    write(tmp_path / "0.parquet", image=pa.nulls(1, pa.string()), n=[2])
    write(tmp_path / "1.parquet", image=names, n=[*range(ROWS)])
    assert same(tmp_path / "*.parquet").plan.image_column == "image"


def test_a_pickle_of_the_images_opens_the_table_itself(tmp_path):
    cells = [png(row % 5) for row in range(ROWS)]
    examples = opened(write(tmp_path / "t.parquet", image=cells, y=range(ROWS)), PLAIN)
    some = pickle.loads(pickle.dumps(examples.images[10:30]))
    assert list(some) == cells[10:30]
    assert len(pickle.dumps(examples.images[10:30])) < 5000
    assert [examples.images[row] for row in (59, 0, 30, 8)] == [cells[r] for r in (59, 0, 30, 8)]


def test_a_table_that_changes_is_noticed(tmp_path):
    names = pictures(tmp_path)
    table = write(tmp_path / "t.parquet", image=names, y=range(ROWS))
    examples = opened(table, PLAIN)
    write(table, image=names[::-1], y=range(ROWS), z=range(ROWS))
    with pytest.raises(InputError, match="has changed while it was read"):
        next(examples.slices())


def test_urls_in_a_large_table(tmp_path, web, bucket):
    names = pictures(tmp_path)
    for name in set(names):
        web.put(f"/{name}", (tmp_path / name).read_bytes())
        bucket.write(f"d/{name}", (tmp_path / name).read_bytes())
    cells = [f"{web.url}/{name}?token={row}" for row, name in enumerate(names)]
    cells[3::7] = names[3::7]
    source = write(tmp_path / "t.parquet", image=cells, y=list(range(ROWS)))
    examples = same(source)
    said = [part.columns.to_pydict() | {"id": part.ids} for part in examples.slices()]
    assert "token" not in repr(said)
    wanted = [(tmp_path / name).read_bytes() for name in names]
    assert [pixels.read(image) for image in examples.images] == wanted
    source = write(tmp_path / "u.parquet", image=names, y=list(range(ROWS)))
    bucket.write("d/u.parquet", source.read_bytes())
    there = open_source(f"{bucket.url}/d/u.parquet", in_slices=True)
    assert isinstance(there, sliced.SlicedExamples)
    assert [pixels.read(image) for image in there.images] == wanted
    assert [part.ids for part in there.slices()] == [
        part.ids for part in opened(source, PLAIN).slices()
    ]


def test_a_large_csv_file_is_told_of_parquet(tmp_path, monkeypatch):
    table = tmp_path / "t.csv"
    table.write_text("image,y\n" + "".join(f"{name},1\n" for name in pictures(tmp_path)))
    assert open_source(table).notes == ()
    monkeypatch.setattr(table_files, "MOST_WHOLE", ROWS - 1)
    [note] = open_source(table).notes
    assert note == f"all 60 rows of {table} are in memory; as .parquet they come slice by slice"
    monkeypatch.setattr(csvfile, "LARGEST", 100)
    with pytest.raises(InputError, match=r"t\.csv is too large for a CSV file: .* are refused"):
        open_source(table)
