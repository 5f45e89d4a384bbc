"""Small tables on disk, for the tests of sources."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from jaxreg.errors import InputError
from jaxreg.sources import SourceOptions, open_source


def csv(folder: Path, text: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def parquet(folder: Path, columns: dict | pa.Table, **options) -> Path:
    file = folder / "labels.parquet"
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    pq.write_table(table, file, **options)
    return file


def refusal(file: Path, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_source(file, SourceOptions(**options))
    return str(caught.value)


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 2), value, np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()
