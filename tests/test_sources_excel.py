"""Excel workbooks: what becomes of the cells, and what is refused."""

import datetime
import sys
import zipfile
from pathlib import Path

import openpyxl
import pytest

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, excel, open_source
from tables import refusal
from typed import given


def book(folder: Path, *rows: list, name: str = "labels.xlsx") -> Path:
    workbook = openpyxl.Workbook()
    for row in rows:
        given(workbook.active).append(row)
    workbook.save(folder / name)
    return folder / name


def changed(file: Path, member: str, old: bytes, new: bytes) -> Path:
    """The workbook with other bytes in one of its members."""
    parts = {}
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            parts[info.filename] = archive.read(info)
    assert old in parts[member]
    parts[member] = parts[member].replace(old, new)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return file


def said(file: Path) -> list[str]:
    """The notes, but for the one that no image file is there."""
    return [note for note in open_source(file).notes if "is not there" not in note]


SHEET = "xl/worksheets/sheet1.xml"


def test_cells_get_the_types_of_their_values(tmp_path):
    day, noon = datetime.datetime(2024, 12, 31), datetime.datetime(2024, 12, 31, 12, 30)
    clock, span = datetime.time(9, 30), datetime.timedelta(hours=26)
    file = book(
        tmp_path,
        ["image", "y", "n", "ok", "day", "at", "clock", "span", "code", None, "note"],
        ["a.png", 0.5, 3, True, day, day, clock, span, "007", None, None],
        ["b.png", 1, None, False, day, noon, clock, span, "7", None, "late"],
    )
    examples = open_source(file)
    assert examples.ids == ("a.png", "b.png")
    assert list(examples.images) == [tmp_path / "a.png", tmp_path / "b.png"]
    assert examples.columns.drop_columns("image").to_pydict() == {
        "y": [0.5, 1.0],
        "n": [3, None],
        "ok": [True, False],
        "day": [day.date(), day.date()],
        "at": [day, noon],
        "clock": [clock, clock],
        "span": [span, span],
        "code": ["007", "7"],
        "note": [None, "late"],
    }
    types = [str(kind) for kind in examples.columns.schema.types]
    assert types == [
        "string", "double", "int64", "bool", "date32[day]", "timestamp[us]", "time64[us]",
        "duration[us]", "string", "string",
    ]  # fmt: skip
    assert examples.description == {
        "kind": "xlsx",
        "location": str(file),
        "image_column": "image",
    }
    assert [Path(file.path).name for file in examples.files] == ["labels.xlsx"]
    assert said(file) == []


def test_the_roles_of_columns_are_those_of_a_csv(tmp_path):
    rows = [["picture", "name", "drive", "frame", "y"], [1, "x", "007", 2, 3], [2, "z", "7", 1, 4]]
    file = book(tmp_path, *rows)
    text = "\n".join(",".join(map(str, row)) for row in rows)
    (tmp_path / "labels.csv").write_text(text)
    options = SourceOptions(
        image_column="picture", id_column="name", group_column="drive", order_column="frame",
        image_suffix=".png",
    )  # fmt: skip
    sheet, csv = open_source(file, options), open_source(tmp_path / "labels.csv", options)
    assert list(sheet.images) == list(csv.images) == [tmp_path / "1.png", tmp_path / "2.png"]
    assert (sheet.ids, sheet.group) == (csv.ids, csv.group) == (("x", "z"), ("007", "7"))
    assert list(given(sheet.order)) == list(given(csv.order))


def test_empty_rows_are_left_out_wherever_they_are(tmp_path):
    file = book(
        tmp_path,
        [None, None],
        ["image", "y"],
        ["a.png", 1],
        [None, "  "],
        ["b.png", 2],
        *[[None, None]] * 5,
    )
    assert open_source(file).columns.to_pydict() == {"image": ["a.png", "b.png"], "y": [1, 2]}


def test_a_column_of_several_kinds_is_text_and_says_why(tmp_path):
    day = datetime.datetime(2024, 12, 31)
    values = [3.0, 0.1, True, "oops", day, day + datetime.timedelta(hours=1)]
    file = book(tmp_path, ["image", "y"], *[[f"{i}.png", v] for i, v in enumerate(values)])
    examples = open_source(file)
    assert examples.columns["y"].to_pylist() == [
        "3", "0.1", "true", "oops", "2024-12-31", "2024-12-31 01:00:00",
    ]  # fmt: skip
    [note] = said(file)
    assert "column 'y' is text, because its cells are of several kinds" in note
    assert "numbers (first in B2)" in note
    assert "text (first in B5)" in note


def test_words_for_no_value_among_numbers_are_those_of_a_csv(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1], ["b.png", "n/a"], ["c.png", 2.5])
    examples = open_source(file)
    assert examples.columns["y"].to_pylist() == [1, None, 2.5]
    assert said(file) == []


def test_numbers_that_no_int64_holds(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 77], ["b.png", 1])
    changed(file, SHEET, b"<v>77</v>", b"<v>9007199254740993</v>")  # 2**53 + 1
    assert open_source(file).columns["y"].to_pylist() == [2**53 + 1, 1]
    file = book(tmp_path, ["image", "y"], ["a.png", 10**20], ["b.png", 1])
    assert open_source(file).columns["y"].to_pylist() == [1e20, 1.0]


def test_a_number_that_is_shown_as_007_is_that_name(tmp_path):
    workbook = openpyxl.Workbook()
    for row in (["image", "y"], [7, 1], [12, 2]):
        given(workbook.active).append(row)
    sheet = given(workbook.active)
    sheet["A2"].number_format = sheet["A3"].number_format = "000"
    workbook.save(tmp_path / "labels.xlsx")
    options = SourceOptions(image_column="image", image_suffix=".png")
    examples = open_source(tmp_path / "labels.xlsx", options)
    assert list(examples.images) == [tmp_path / "007.png", tmp_path / "012.png"]
    assert examples.columns["image"].to_pylist() == [7, 12]


def test_formulas_have_their_stored_results(tmp_path):
    rows = ["image", "y"], ["a.png", "=1+1"], ["b.png", "=2+2"], ["c.png", 3]
    file = changed(book(tmp_path, *rows), SHEET, b"<f>1+1</f><v />", b"<f>1+1</f><v>2</v>")
    examples = open_source(file)
    assert examples.columns["y"].to_pylist() == [2, None, 3]
    lacking, unsure = said(file)
    assert "1 formulas" in lacking
    assert "no stored result" in lacking
    assert "B3" in lacking
    assert "says that its 1 formulas have to be computed" in unsure  # as XlsxWriter's zeros
    changed(file, "xl/workbook.xml", b'fullCalcOnLoad="1"', b"")
    assert len(said(file)) == 1


def test_cells_with_an_error_have_no_value(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1.5], ["b.png", "#DIV/0!"], ["c.png", 2])
    examples = open_source(file)
    assert examples.columns["y"].to_pylist() == [1.5, None, 2]
    assert "hold an error and have no value: B3 (#DIV/0!)" in said(file)[0]


def test_the_first_sheet_that_is_visible_is_read(tmp_path):
    workbook = openpyxl.Workbook()
    given(workbook.active).append(["lists", "for", "menus"])
    given(workbook.active).sheet_state = "hidden"
    for title in ("first", "second"):
        sheet = workbook.create_sheet(title)
        sheet.append(["image", "y"])
        sheet.append([f"{title}.png", 1])
    workbook.active = 1
    workbook.save(tmp_path / "labels.xlsx")
    file = tmp_path / "labels.xlsx"
    examples = open_source(file)
    assert examples.ids == ("first.png",)
    assert "3 sheets" in said(file)[0]
    assert said(file)[0].endswith("the sheet 'first' is read")


def test_a_wrong_dimension_loses_no_rows(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1], ["b.png", 2])
    changed(file, SHEET, b'<dimension ref="A1:B3" />', b'<dimension ref="A1:A2" />')
    assert open_source(file).columns["y"].to_pylist() == [1, 2]


def test_cells_without_a_name_above_them_are_kept(tmp_path):
    file = book(tmp_path, ["image", "y", None], ["a.png", 1, "x"], ["b.png", 2, None])
    examples = open_source(file)
    assert examples.columns["unnamed_2"].to_pylist() == ["x", None]
    assert examples.bookkeeping == ("unnamed_2",)


def test_ids_and_headers_are_checked_as_in_a_csv(tmp_path):
    assert "has columns and no rows" in refusal(book(tmp_path, ["image", "y"]))
    assert "the sheet 'Sheet' of" in refusal(book(tmp_path, [None]))
    assert "has no header line" in refusal(book(tmp_path, ["a.png", 1], ["b.png", 2]))
    assert "two columns named 'y'" in refusal(book(tmp_path, ["image", "y", " y"], ["a.png", 1, 2]))
    file = book(tmp_path, ["image", "n", "y"], ["a.png", 1, 2], ["b.png", 1, 2])
    assert "holds '1' in rows 0 and 1" in refusal(file, id_column="n")


# what is refused


def test_without_openpyxl_the_extra_is_named(tmp_path, monkeypatch):
    file = book(tmp_path, ["image", "y"], ["a.png", 1])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "try: pip install 'jaxreg[excel]'" in refusal(file)


@pytest.mark.parametrize("suffix", [".xls", ".ods", ".XLSB"])
def test_other_spreadsheets_are_named_with_what_to_do(tmp_path, suffix):
    (tmp_path / f"labels{suffix}").write_bytes(b"\xd0\xcf\x11\xe0")
    assert refusal(tmp_path / f"labels{suffix}").endswith("try: save it as .xlsx or .csv")


def test_an_encrypted_workbook_is_called_so(tmp_path):
    (tmp_path / "labels.xlsx").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    assert "is encrypted, or is an .xls file" in refusal(tmp_path / "labels.xlsx")


def test_damage_is_one_message(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1], ["b.png", 2])
    sound = file.read_bytes()
    cut = [sound[:size] for size in (0, 10, len(sound) // 2, len(sound) - 1)]
    for damaged in [*cut, b"image,y\na.png,1\n"]:
        file.write_bytes(damaged)
        text = refusal(file)
        assert "expected: a whole .xlsx file" in text
        assert "save it as .xlsx or .csv" in text


def test_damage_is_never_another_table(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1], ["b.png", 2])
    sound, table = file.read_bytes(), open_source(file).columns
    for place in range(0, len(sound), 97):
        file.write_bytes(sound[:place] + bytes([sound[place] ^ 4]) + sound[place + 1 :])
        try:
            read = open_source(file).columns
        except InputError:  # anything else fails the test
            continue
        assert read == table


@pytest.mark.parametrize("member", [SHEET, "xl/more.xml", "xl/media/image1.png"])
def test_a_zip_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, member):
    file = book(tmp_path, ["image", "y"], ["a.png", 1])
    if member == SHEET:
        changed(file, member, b"<sheetData>", bytes(2 * excel.SMALL))
    else:
        with zipfile.ZipFile(file, "a", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(member, bytes(2 * excel.SMALL))
    monkeypatch.setattr("openpyxl.load_workbook", None)
    assert f"{member} unpacks from" in refusal(file)
    monkeypatch.setattr(excel, "MOST_UNPACKED", excel.SMALL)
    text = refusal(file)
    assert "are refused" in text
    assert text.endswith("try: save the sheet as .csv")


def test_rows_and_entities_without_end_are_refused(tmp_path):
    file = book(tmp_path, ["image", "y"], ["a.png", 1], ["b.png", 2])
    changed(file, SHEET, b'<row r="3">', b'<row r="999999999999">')
    assert "has too many cells" in refusal(file)
    file = book(tmp_path, ["image", "y"], ["a.png", 1])
    entity = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><worksheet '
    changed(file, SHEET, b"<worksheet ", entity)
    assert "a DOCTYPE" in refusal(file)


def test_a_folder_of_that_name_is_a_folder(tmp_path):
    (tmp_path / "labels.xlsx").mkdir()
    assert "holds no image file" in refusal(tmp_path / "labels.xlsx")


def test_a_workbook_beside_images_is_named_but_not_its_lock_file(tmp_path):
    from PIL import Image

    book(tmp_path, ["image", "y"], ["a.png", 1])
    (tmp_path / "~$labels.xlsx").write_bytes(b"lock")
    assert refusal(tmp_path).endswith(f"name the file itself: {tmp_path / 'labels.xlsx'}")
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    notes = " ".join(open_source(tmp_path).notes)
    assert f"jaxreg extract {tmp_path / 'labels.xlsx'}" in notes
    assert "~$" not in notes
