"""Excel workbooks (.xlsx): the first sheet that is visible, read by openpyxl."""

import re
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from jaxreg.common.memory import bytes_text
from jaxreg.common.remote_file import AnyFile
from jaxreg.errors import InputError, reading
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import Columns
from jaxreg.sources.cell_values import CellColumn, as_text, together
from jaxreg.sources.columns import scalar_columns
from jaxreg.sources.csvfile import LARGEST
from jaxreg.sources.examples import Examples
from jaxreg.sources.image_column import Table
from jaxreg.sources.naming import column_names, listed
from jaxreg.sources.remote_read import open_file
from jaxreg.sources.tables import table_examples

MOST_UNPACKED = 10**9  # bytes of all members; some bytes of XML become many in memory
MOST_PACKED = 200  # times; sheets of zeros are packed fewer than 100 times
SMALL = 10**7  # bytes of a member that may be packed more
MOST_ROWS = 2**20  # of a sheet, by its format
MOST_CELLS = 50 * 10**6
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"  # how encrypted workbooks and .xls files begin
_SAVE = "open it in a spreadsheet program and save it as .xlsx or .csv"


def open_excel_table(
    path: AnyFile, location: str, options: SourceOptions, *, images: bool = True
) -> Examples:
    """The first visible sheet of a workbook; paths in it are relative to the workbook's folder.

    The first row that is not empty has the columns' names. Formulas have their stored results.

    Raises:
        InputError: as `open_csv_table`; openpyxl is not installed; the file is damaged, encrypted
            or unpacks to too much.
        OSError: no regular file, or more than LARGEST bytes.
    """
    try:
        import openpyxl  # noqa: F401
    except ImportError:
        raise InputError(
            f"{path} needs openpyxl, which is not installed", remedy="pip install 'jaxreg[excel]'"
        ) from None
    with open_file(path, LARGEST) as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # openpyxl warns of styles and of what it does not keep
        if file.read(len(_OLE)) == _OLE:
            raise InputError(
                f"{path} is encrypted, or is an .xls file under another name",
                remedy="save it without a password as .xlsx or .csv",
            )
        with reading(str(path), expected="a whole .xlsx file", remedy=_SAVE):
            _refuse_too_large(path, file)
            read = _read(path, file)
    return table_examples(Table(path, scalar_columns(read)[0]), location, options, images=images)


def _refuse_too_large(path: AnyFile, file: BinaryIO) -> None:
    """Raise InputError for a workbook that would fill the memory; nothing is unpacked for it.

    zipfile never unpacks more bytes than a member declares.
    """
    with zipfile.ZipFile(file) as archive:
        members = archive.infolist()
        total = sum(member.file_size for member in members)
        if total > MOST_UNPACKED:
            what = f"unpacks to {bytes_text(total)}; more than {bytes_text(MOST_UNPACKED)} are"
            raise InputError(f"{path} {what} refused", remedy="save the sheet as .csv")
        for member in members:
            size = member.file_size
            if size > max(SMALL, MOST_PACKED * member.compress_size):
                raise InputError(
                    f"{path} is not a usual workbook: {member.filename} unpacks from "
                    f"{bytes_text(member.compress_size)} to {bytes_text(size)}",
                    remedy=_SAVE,
                )
            if member.flag_bits & 1:
                raise InputError(
                    f"{path} is encrypted", remedy="save it without a password as .xlsx or .csv"
                )
            with archive.open(member) as opened:
                if b"<!DOCTYPE" in opened.read(1000):  # its entities would grow without bounds
                    raise InputError(
                        f"{path} is not a usual workbook: it holds a DOCTYPE", remedy=_SAVE
                    )


@dataclass
class _Read:
    """The cells of a sheet, row after row."""

    header: dict[int, str] = field(default_factory=dict)  # column (from 1) → its name as written
    columns: dict[int, CellColumn] = field(default_factory=dict)
    rows: int = 0  # that are not empty, without the header
    errors: list[str] = field(default_factory=list)  # cells such as #DIV/0!

    def add(self, row: tuple[Any, ...]) -> None:
        """One row; one without any value is left out."""
        filled = [cell for cell in row if _has_value(cell)]
        if not filled:
            return
        if not self.header:
            self.header = {cell.column: as_text(cell.value).strip() for cell in filled}
            return
        for cell in filled:
            if cell.data_type == "e":
                self.errors.append(f"{cell.coordinate} ({cell.value})")
                continue
            self.columns.setdefault(cell.column, CellColumn()).add(self.rows, cell)
        self.rows += 1


def _has_value(cell: Any) -> bool:
    value = cell.value
    return value is not None and not (isinstance(value, str) and not value.strip())


def _read(path: AnyFile, file: BinaryIO) -> Columns:
    import openpyxl

    book = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)
    shown = [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"]
    sheets = shown or book.worksheets
    if not sheets:
        raise InputError(f"{path} has no sheet that can be read", remedy=_SAVE)
    sheet, read = sheets[0], _Read()
    for row in _rows(path, sheet):
        read.add(row)
    if not read.header:
        raise InputError(
            f"the sheet {sheet.title!r} of {path} is empty",
            expected="a row of columns' names, then one row per image",
            remedy="write these rows into it, or name another table",
        )
    notes = []
    if len(book.sheetnames) > 1:
        notes.append(
            f"{path} has {len(book.sheetnames)} sheets: {listed(book.sheetnames, 5)}; "
            f"the sheet {sheet.title!r} is read"
        )
    if read.errors:
        notes.append(
            f"{len(read.errors)} cells of {path} hold an error and have no value: "
            f"{listed(read.errors, 3)}"
        )
    last = max([*read.header, *read.columns])
    cells = [read.header.get(place, "") for place in range(1, last + 1)]
    names = dict(enumerate(column_names(path, cells), 1))
    kept = {
        name: read.columns.get(place, CellColumn())
        for place, name in names.items()
        if place in read.header or place in read.columns
    }
    gaps = any(len(column) < read.rows for column in kept.values())
    computed_anew = _computed_anew(file)
    if gaps or computed_anew:
        notes += _on_formulas(path, file, sheet.title, computed_anew)
    return together(path, kept, read.rows, notes)


def _rows(path: AnyFile, sheet: Any) -> Iterator[tuple[Any, ...]]:
    sheet.reset_dimensions()  # a program may have written wrong ones, and rows would be lost
    looked_at = 0
    for count, row in enumerate(sheet.rows, 1):
        looked_at += len(row)
        if count > MOST_ROWS or looked_at > MOST_CELLS:
            raise InputError(
                f"the sheet {sheet.title!r} of {path} has too many cells",
                expected=f"at most {MOST_ROWS:,} rows and {MOST_CELLS:,} cells",
                remedy="save the sheet as .csv",
            )
        yield row


def _computed_anew(file: BinaryIO) -> bool:
    """Whether the workbook asks for its formulas to be computed when it is opened.

    A program that cannot compute writes this, with zeros or nothing as results. openpyxl has True
    for workbooks that do not ask.
    """
    with zipfile.ZipFile(file) as archive:
        names = [name for name in archive.namelist() if name.endswith("/workbook.xml")]
        asks = rb"<(\w+:)?calcPr\b[^>]*\bfullCalcOnLoad=.(1|true)\b"
        return any(re.search(asks, archive.read(name)) for name in names)


def _on_formulas(path: AnyFile, file: BinaryIO, title: str, computed_anew: bool) -> list[str]:
    """A sentence on formulas without a result, or with results that are not sure."""
    import openpyxl

    results = openpyxl.load_workbook(file, read_only=True, data_only=True, keep_links=False)[title]
    formulas = openpyxl.load_workbook(file, read_only=True, keep_links=False)[title]
    lacking, unsure = [], []
    for written, stored in zip(_rows(path, formulas), _rows(path, results), strict=True):
        for cell, result in zip(written, stored, strict=False):
            if cell.data_type == "f":
                (unsure if result.value is not None else lacking).append(cell.coordinate)
    save = "open the file in a spreadsheet program and save it"
    notes = []
    if lacking:
        notes.append(
            f"{len(lacking)} formulas of {path} have no stored result, so their cells have no "
            f"value: {listed(lacking, 3)}; {save}"
        )
    if unsure and computed_anew:
        notes.append(
            f"{path} says that its {len(unsure)} formulas have to be computed; jaxreg reads the "
            f"stored results: {listed(unsure, 3)}; {save}"
        )
    return notes
