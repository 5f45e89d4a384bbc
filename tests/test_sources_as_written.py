"""Names made of digits stay names; CSV files as other tools write them."""

import codecs

import numpy as np
import openpyxl
import pyarrow as pa
import pytest

from jaxreg.cache.dataset_table import make_dataset
from jaxreg.extract_config import ExtractConfig
from jaxreg.sources import SourceOptions, open_source
from jaxreg.splits.group_column import group_values
from tables import csv, parquet, refusal
from typed import given

NAMES = [
    ["007", "7", "07"],
    ["1E2", "10E1", "100"],
    ["1.1", "1.10", "1.2"],
    ["20240131123045000001", "20240131123045000002", "20240131123045000003"],
    ["True", "true", "false"],
    ["2024-01-01 00:00:00", "2024-01-01T00:00:00", "2024-01-02 00:00:00"],
    ["NA", "1", "2"],
]


def table_of(names: list[str], column: str = "plot") -> str:
    return f"image,y,{column}\n" + "".join(
        f"{n}.png,{n / 2},{name}\n" for n, name in enumerate(names)
    )


@pytest.mark.parametrize("names", NAMES)
def test_groups_are_text_as_written(tmp_path, names):
    file = csv(tmp_path, table_of(names))
    assert open_source(file, SourceOptions(group_column="plot")).group == tuple(names)
    assert open_source(file, SourceOptions(id_column="plot")).ids == tuple(names)


@pytest.mark.parametrize("names", NAMES[:-1])
@pytest.mark.parametrize("column", ["plot", "group"])
def test_a_split_by_any_column_finds_the_text(tmp_path, names, column):
    examples = open_source(csv(tmp_path, table_of(names, column)))
    dataset = make_dataset(
        "t", examples, ["0" * 64] * 3, feature_set="f", columns=(), opened="t.csv",
        options=SourceOptions(), settings=ExtractConfig(),
    )  # fmt: skip
    kept = "source.group" if column == "group" else column
    assert len(set(group_values(kept, dataset.table, None).tolist())) == 3
    assert [n for n in dataset.source_columns if n.startswith("written.")] == []


def test_a_column_of_names_is_still_a_target_and_a_note_says_both(tmp_path):
    examples = open_source(csv(tmp_path, "image,plot\na.png,007\nb.png,8\n"))
    assert examples.columns["plot"].to_pylist() == [7, 8]
    assert examples.written["plot"].to_pylist() == ["007", "8"]
    assert examples.notes[-1] == (
        "column 'plot' has text that is a name or a number, as '007': "
        "--target plot uses the number, --split group:plot the text"
    )


def test_plain_numbers_need_no_text(tmp_path):
    examples = open_source(csv(tmp_path, "image,y,n\na.png,0.50,0\nb.png,1e-3,10\nc.png,,-3\n"))
    assert examples.written == {}


def test_decimals_of_parquet_keep_their_digits(tmp_path):
    numbers = ["12345678901234567.01", "12345678901234567.02"]
    column = pa.array(numbers).cast(pa.decimal128(20, 2))
    file = parquet(tmp_path, {"image": ["a.png", "b.png"], "plot": column})
    assert open_source(file, SourceOptions(group_column="plot")).group == tuple(numbers)
    assert open_source(file).written["plot"].to_pylist() == numbers


def test_a_column_of_the_datasets_own_prefix_is_renamed(tmp_path):
    examples = open_source(csv(tmp_path, "image,written.y\na.png,1\n"))
    assert examples.columns.column_names == ["image", "source.written.y"]


# as other tools write them


@pytest.mark.parametrize(
    "content",
    [
        "image;y;n\na.png;0,5;1\nb.png;1,25;2\n",
        "image\ty\tn\na.png\t0.5\t1\nb.png\t1.25\t2\n",
        "image|y|n\na.png|0.5|1\nb.png|1.25|2\n",
        'image,y,n\na.png,"0,5",1\nb.png,"1,25",2\n',
        "image,y,n\na.png,0.5,1\nb.png,1.25,2\n,,\n , ,\n",
        "image,y,n\na.png,0.5,1\nb.png,1.25,2\nc.pn",
        "image,y,n\ra.png,0.5,1\rb.png,1.25,2\r",
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
def test_separators_encodings_and_ends(tmp_path, content, encoding):
    examples = open_source(csv(tmp_path, content.encode(encoding)))
    assert examples.ids == ("a.png", "b.png")
    assert examples.columns["y"].to_pylist() == [0.5, 1.25]
    assert examples.columns["n"].to_pylist() == [1, 2]
    assert any("cut off" in note for note in examples.notes) == content.endswith("c.pn")


def test_utf_16_of_the_other_byte_order(tmp_path):
    content = codecs.BOM_UTF16_BE + "image,name\na.png,é\n".encode("utf-16-be")
    assert open_source(csv(tmp_path, content)).columns["name"].to_pylist() == ["é"]


def test_thousands_are_not_read_as_fractions(tmp_path):
    examples = open_source(csv(tmp_path, 'image,y\na.png,"1,234"\nb.png,"2,500"\n'))
    assert examples.columns["y"].to_pylist() == ["1,234", "2,500"]
    assert "the comma in '1,234' may mean a fraction or thousands" in examples.notes[-1]
    examples = open_source(csv(tmp_path, "image;y;z\na.png;0,5;1.234\nb.png;1,5;2.500\n"))
    assert examples.columns["z"].to_pylist() == ["1.234", "2.500"]


def test_semicolons_alone_do_not_make_a_comma_a_decimal_one(tmp_path):
    text = "image;y;z\na.png;888;{}\nb.png;1,036;2\nc.png;1,073;3\n"
    examples = open_source(csv(tmp_path, text.format("7")))
    assert examples.columns["y"].to_pylist() == ["888", "1,036", "1,073"]
    assert (
        "column 'y' stays text: the comma in '1,036' may mean a fraction or thousands"
        in examples.notes
    )
    examples = open_source(csv(tmp_path, text.format("7,5")))  # z shows which
    assert examples.columns["y"].to_pylist() == [888.0, 1.036, 1.073]


def test_a_decimal_comma_that_ends_a_cell_is_named(tmp_path):
    assert "decimal comma" in refusal(csv(tmp_path, "image,y\na.png,0,5\nb.png,1,5\n"))


def test_ten_thousand_columns(tmp_path):
    names = [f"c{number}" for number in range(10_000)]
    file = csv(tmp_path, f"image,{','.join(names)}\na.png{',1' * 10_000}\n")
    assert open_source(file).columns.num_columns == 10_001


def test_an_array_that_declares_more_than_it_has_is_refused(tmp_path):
    import io
    import zipfile

    header = io.BytesIO()
    shape = {"descr": "|u1", "fortran_order": False, "shape": (4, 100_000, 100_000, 3)}
    np.lib.format.write_array_header_1_0(header, shape)
    file = tmp_path / "x.npz"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("images.npy", header.getvalue() + b"0" * 100)
    assert "images declares 120 GB" in refusal(file)


@pytest.mark.parametrize(
    "in_order",
    [
        ["frame_2", "frame_10", "frame_100"],
        ["9:30", "10:30", "21:05"],
        ["9:30 AM", "10:00 AM", "1:00 PM"],
        ["31/01/2024", "01/02/2024", "15/01/2025"],
        ["01/31/2024", "02/01/2024", "01/15/2025"],
        ["31.01.2024 9:30", "31.01.2024 10:30", "01.02.2024 8:00"],
        ["99999999999999999998", "99999999999999999999", "100000000000000000000"],
    ],
)
def test_order_is_natural_or_by_time(tmp_path, in_order):
    names = in_order[::-1]
    examples = open_source(csv(tmp_path, table_of(names)), SourceOptions(order_column="plot"))
    assert examples.order is not None
    assert examples.order.tolist() == [2, 1, 0]


def test_a_tsv_file(tmp_path):
    (tmp_path / "x.tsv").write_text("image\ty\na.png\t0.5\n")
    assert open_source(tmp_path / "x.tsv").columns["y"].to_pylist() == [0.5]


CELLS = ["1", "2.5", "-3e2", "NA", "oops", "4"]
WHY = "column 'y' is text: 'oops' in {} is no number; 4 cells are numbers"


def test_the_cell_that_makes_numbers_text_is_named(tmp_path):
    rows = list(enumerate(CELLS))
    file = csv(tmp_path, "image,y\n" + "".join(f"{n}.png,{cell}\n" for n, cell in rows))
    assert WHY.format("row 4 (from 0)") in open_source(file).notes
    file = file.rename(tmp_path / "labels.tsv")
    file.write_text("image\ty\n" + "".join(f"{n}.png\t{cell}\n" for n, cell in rows))
    assert WHY.format("row 4 (from 0)") in open_source(file).notes
    images = [f"{n}.png" for n, _ in rows]
    assert (
        WHY.format("row 4 (from 0)")
        in open_source(parquet(tmp_path, {"image": images, "y": CELLS})).notes
    )


def test_the_cell_is_named_in_its_shard(tmp_path):
    for part in range(2):
        images = [f"{part}-{n}.png" for n in range(len(CELLS))]
        cells = CELLS if part else [cell.replace("oops", "7") for cell in CELLS]
        table = {"image": images, "y": cells}
        parquet(tmp_path, table).rename(tmp_path / f"t-0000{part}-of-00002.parquet")
    [why] = [note for note in open_source(tmp_path / "*.parquet").notes if "is text" in note]
    assert "'oops' in row 4 of t-00001-of-00002.parquet (from 0) is no number; 9 cells" in why


def test_the_cell_is_named_as_a_spreadsheet_does(tmp_path):
    book = openpyxl.Workbook()
    for row in [
        ["image", "y"],
        *([f"{n}.png", cell] for n, cell in enumerate([1, "NA", "x", 2, 3])),
    ]:
        given(book.active).append(row)
    book.save(tmp_path / "labels.xlsx")
    notes = [note for note in open_source(tmp_path / "labels.xlsx").notes if "is text" in note]
    said = "column 'y' is text: 'x' in B4 is no number; 3 cells are numbers"
    assert notes == [f"{tmp_path / 'labels.xlsx'}: {said}"]


def test_names_with_few_numbers_and_ids_need_no_word(tmp_path):
    file = csv(tmp_path, "id,image,kind\n1,a.png,left\n2,b.png,3\nx,c.png,right\n")
    assert not [note for note in open_source(file).notes if "is text" in note]
    file = csv(tmp_path, "image,y\na.png,1\nb.png,x\nc.png,y\nd.png,2\ne.png,2\n")
    [why] = [note for note in open_source(file).notes if "is text" in note]
    assert "'x' in row 1 (from 0) and 1 more cell are no number; 3 cells" in why
