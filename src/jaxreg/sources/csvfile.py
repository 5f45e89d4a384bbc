"""CSV files: text with one header line, separated by commas, semicolons, tabs or bars."""

import codecs
import csv
import errno
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import pyarrow as pa
from pyarrow import csv as arrow_csv

from jaxreg.common import arrow_compute as pc
from jaxreg.common.remote_file import AnyFile
from jaxreg.errors import InputError
from jaxreg.sources.as_written import Columns, numbers_with_comma
from jaxreg.sources.naming import column_names
from jaxreg.sources.remote_read import open_file

LARGEST = 2 * 10**9  # bytes of a CSV file; its text, rows and columns are in memory together
SEPARATORS = ",;\t|"
LOOKED_AT = 20  # rows that decide what separates the columns
csv.field_size_limit(LARGEST)  # of Python's reader, which looks at the first rows

_BYTE_ORDER_MARKS = (  # UTF-32 first: its mark begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


@dataclass(frozen=True)
class CsvFile:
    """A CSV file in memory, of which only the first row is parsed."""

    path: AnyFile
    data: bytes  # UTF-8 without a byte order mark or blank first lines
    first: tuple[str, ...]  # the cells of the first row, without blanks around them
    first_lines: int  # lines that the first row takes
    separator: str
    notes: tuple[str, ...] = ()  # sentences for the user

    @classmethod
    def read(cls, path: AnyFile) -> "CsvFile":
        """UTF-8, or UTF-16 and UTF-32 as spreadsheets write them.

        Raises:
            InputError: an empty file, more than LARGEST bytes, or another encoding.
            OSError: no regular file.
        """
        try:
            with open_file(path, LARGEST) as file:
                text = _decoded(path, file.read()).lstrip("\r\n")
        except OSError as error:
            if error.errno != errno.EFBIG:
                raise
            raise InputError(
                f"{path} is too large for a CSV file: {error.strerror}",
                expected="a Parquet file, which is read slice by slice however large it is",
                remedy="write the table as .parquet",
            ) from None
        if "\n" not in text:  # lines end with a carriage return, as old spreadsheets write them
            text = text.replace("\r", "\n")
        if not text.strip():
            raise InputError(
                f"{path} is empty",
                expected="a header line, then one line per image",
                remedy="write these lines into it, or name another table",
            )
        try:
            separator = _separator(text)
            rows = csv.reader(io.StringIO(text), delimiter=separator)
            first = tuple(cell.strip() for cell in next(rows))
            first_lines = rows.line_num
            text = _without_empty_end(text, separator)
            text, notes = _without_cut_line(path, text, separator, len(first))
        except csv.Error as error:
            raise InputError(f"{path} is not a CSV file: {error}") from None
        return cls(path, text.encode(), first, first_lines, separator, notes)

    def header(self) -> list[str]:
        """The columns' names; one without a name (as pandas writes its index) is `unnamed_<place>`.

        Raises:
            InputError: a name stands there twice, or the first line looks like data.
        """
        return column_names(self.path, self.first, self.separator)

    def table(self, names: Sequence[str], *, header: bool = True) -> Columns:
        """All rows but empty ones, with types by their values and the text as written.

        A column with any text holds strings. Decimal commas are read where no other reading is
        possible.

        Raises:
            InputError: a row has more or fewer cells than there are names.
        """
        text = self._read(names, header, {name: pa.string() for name in names})
        values = self._read(names, header, {})
        cells = list(map(pc.utf8_trim_whitespace, text.columns))
        filled = pc.not_equal(cells[0], "")
        for column in cells[1:]:
            filled = pc.or_(filled, pc.not_equal(column, ""))
        values = values.filter(filled)
        texts = {n: column.filter(filled) for n, column in zip(names, cells, strict=True)}
        quoted = self.separator == ","  # there a comma in a number may part thousands
        numbers, notes = numbers_with_comma(values, texts, careful=quoted)
        return Columns(numbers, texts, (*self.notes, *notes))

    def _read(self, names: Sequence[str], header: bool, types: dict[str, pa.DataType]) -> pa.Table:
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(self.data),
                read_options=arrow_csv.ReadOptions(
                    column_names=list(names),
                    skip_rows=self.first_lines if header else 0,
                    block_size=len(self.data) + 1,  # a cell may be of any length
                ),
                parse_options=arrow_csv.ParseOptions(
                    delimiter=self.separator, newlines_in_values=True
                ),
                convert_options=arrow_csv.ConvertOptions(column_types=types),
            )
        except pa.ArrowInvalid as error:
            counts = re.search(r"Expected (\d+) columns, got (\d+)", str(error))
            more = counts is not None and int(counts[2]) > int(counts[1])
            comma = self.separator == "," and more
            raise InputError(
                f"{self.path}: {error}",
                expected=f"{len(names)} columns in every row: {list(names)}"
                + ". The numbers may have a decimal comma, which ends a cell here" * comma,
                remedy="write a decimal point, or semicolons between the columns" * comma,
            ) from None


def _decoded(path: AnyFile, data: bytes) -> str:
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and 4 * data[:64].count(0) > len(data[:64]):  # UTF-16 without its mark
        encoding = "utf-16-be" if data[:1] == b"\0" else "utf-16-le"
    try:
        # a character that is cut off at the end is left out
        return codecs.getincrementaldecoder(encoding)().decode(data)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path} is not {encoding[:6].upper()} text: byte 0x{data[error.start]:02x} "
            f"on line {line}",
            remedy="save it as UTF-8 in the program that wrote it",
        ) from None


def _separator(text: str) -> str:
    """What gives the first rows the same number of cells, and the most of them; else a comma."""

    def width(separator: str) -> int:
        rows = csv.reader(io.StringIO(text), delimiter=separator)
        widths = [len(row) for row in islice(rows, LOOKED_AT) if row]
        if len(widths) > 2 and len(widths) < LOOKED_AT:
            widths.pop()  # the last line may be cut off
        return widths[0] if len(set(widths)) == 1 else 1

    head = text[:100_000]
    first = head.splitlines()[0]
    possible = [separator for separator in SEPARATORS if separator in first]
    best = max(possible, key=width, default=",")
    if possible and width(best) == 1:  # no one fits: then it is what the header has most of
        best = max(possible, key=first.count)
    return best


def _without_empty_end(text: str, separator: str) -> str:
    """The text without the empty rows that spreadsheets write at the end."""
    end = text.find("\n", len(text.rstrip(separator + " \t\r\n")))
    return text if end < 0 else text[: end + 1]


def _without_cut_line(
    path: AnyFile, text: str, separator: str, width: int
) -> tuple[str, tuple[str, ...]]:
    """The text without a last line that ends in the middle, and the note on it."""
    place = max(text.rfind("\n"), text.rfind("\r")) + 1
    last = text[place:]
    if not place or not last.strip():
        return text, ()
    if len(next(csv.reader([last], delimiter=separator))) >= width:
        return text, ()
    if len(next(csv.reader([text[:place].splitlines()[-1]], delimiter=separator))) != width:
        return text, ()  # other lines are short too, or the last row has several lines
    note = f"the last line of {path} is cut off and was left out: {last[:80]!r}"
    return text[:place], (note,)
