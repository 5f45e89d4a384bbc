"""CSV files: UTF-8 text, commas, one header line."""

import codecs
import csv
import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from pyarrow import csv as arrow_csv

from jaxreg.errors import InputError
from jaxreg.sources.naming import is_image_name


@dataclass(frozen=True)
class CsvFile:
    """A CSV file in memory, of which only the first row is parsed."""

    path: Path
    data: bytes  # UTF-8 without a byte order mark or blank first lines
    first: tuple[str, ...]  # the cells of the first row, without blanks around them
    first_lines: int  # lines that the first row takes

    @classmethod
    def read(cls, path: Path) -> "CsvFile":
        """Raises InputError for an empty file, another encoding or another separator."""
        data = path.read_bytes().removeprefix(codecs.BOM_UTF8).lstrip(b"\r\n")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise InputError(
                f"{path} is not UTF-8 text: byte 0x{data[error.start]:02x} on line {line}",
                remedy="save it as UTF-8 (as by `iconv -f LATIN1 -t UTF-8`)",
            ) from None
        if not text.strip():
            raise InputError(f"{path} is empty", expected="a header line, then one line per image")
        rows = csv.reader(io.StringIO(text))
        try:
            first = tuple(cell.strip() for cell in next(rows))
        except csv.Error as error:
            raise InputError(f"{path} is not a CSV file: {error}") from None
        if len(first) == 1 and (found := next((c for c in ";\t|" if c in first[0]), None)):
            raise InputError(
                f"{path} seems to be separated by {found!r}: its first line is {first[0]!r}",
                expected="commas between the columns, a point in decimal numbers",
            )
        return cls(path, data, first, rows.line_num)

    def header(self) -> list[str]:
        """The columns' names; one without a name (as pandas writes its index) is `unnamed_<place>`.

        Raises:
            InputError: a name stands there twice, or the first line looks like data.
        """
        if any(is_image_name(cell) for cell in self.first):
            raise InputError(
                f"{self.path} has no header line: it begins with {','.join(self.first)!r}",
                expected="the columns' names in the first line, as image,target",
            )
        names = [name or f"unnamed_{place}" for place, name in enumerate(self.first)]
        if repeated := next((name for name in names if names.count(name) > 1), None):
            raise InputError(
                f"{self.path} has two columns named {repeated!r}", expected="names that differ"
            )
        return names

    def table(
        self, names: Sequence[str], *, header: bool = True, as_text: Collection[str | None] = ()
    ) -> pa.Table:
        """All rows, with types by their values; a column with any text holds strings.

        Columns in `as_text` are never read as numbers: an id 007 stays 007.

        Raises:
            InputError: a row has more or fewer cells than there are names.
        """
        try:
            return arrow_csv.read_csv(
                pa.BufferReader(self.data),
                read_options=arrow_csv.ReadOptions(
                    column_names=list(names), skip_rows=self.first_lines if header else 0
                ),
                parse_options=arrow_csv.ParseOptions(newlines_in_values=True),
                convert_options=arrow_csv.ConvertOptions(
                    column_types={name: pa.string() for name in names if name in as_text}
                ),
            )
        except pa.ArrowInvalid as error:
            raise InputError(
                f"{self.path}: {error}", expected=f"{len(names)} columns in every row: {names}"
            ) from None
