"""Udacity's driving simulator: `driving_log.csv` and the folder `IMG` beside it."""

import math
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from jaxreg.common.remote_file import AnyFile, located, without_secrets
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.as_written import Columns, is_number_text
from jaxreg.sources.columns import bookkeeping, missing, scalar_columns, take, without_reserved
from jaxreg.sources.csvfile import CsvFile
from jaxreg.sources.examples import RESERVED, Examples
from jaxreg.sources.found_files import find_files
from jaxreg.sources.naming import is_image_name, unique

LOG = "driving_log.csv"
COLUMNS = ("center", "left", "right", "steering", "throttle", "brake", "speed")
CAMERAS = {"center": 0, "left": 1, "right": -1}  # in units of the correction
CORRECTION = 0.2  # steering units, as most solutions of the course add


def is_driving_log(file: CsvFile) -> bool:
    """Whether the columns are Udacity's, by their header or, without one, by the first row."""
    return set(COLUMNS[:4]) <= set(file.first) or _is_row(file.first)


def _is_row(cells: Sequence[str]) -> bool:
    """Whether the cells are a row of a log without a header: three images, then numbers.

    With a decimal comma they are more cells.
    """
    if len(cells) < len(COLUMNS) or not all(map(is_image_name, cells[:3])):
        return False
    numbers = [cell.replace(",", ".") for cell in cells[3:]]
    return all(is_number_text(cell) and math.isfinite(float(cell)) for cell in numbers)


def open_driving_log(file: CsvFile, location: str, options: SourceOptions) -> Examples:
    """Three examples a row (center, left, right), with `steering` corrected for the camera.

    The target is the row's steering, plus the correction for the left camera, minus it for the
    right one, not clipped to the car's -1..1. All three have the row's number as their order, so
    that a split into blocks keeps them together.

    Raises:
        InputError: no rows, a steering that is no number, a correction that is not finite.
    """
    options.refuse_all_but(
        "a Udacity driving log", "steering_correction", "image_root", "image_suffix"
    )
    correction = options.steering_correction
    correction = CORRECTION if correction is None else correction
    if not math.isfinite(correction):
        raise InputError(f"--steering-correction is {correction}", expected="a finite number")
    headerless = _is_row(file.first)
    names = list(COLUMNS) if headerless else file.header()
    read = file.table(names, header=not headerless)
    steering = _steering(file.path, read.values)

    # a log without the side cameras has blanks in their columns
    absent = {camera: missing(read.text[camera]) for camera in CAMERAS}
    cameras = [camera for camera in CAMERAS if not all(absent[camera])]
    written = {camera: read.text[camera].to_pylist() for camera in cameras}
    unusable, rows, used, names = [], [], [], []
    for row in range(read.values.num_rows):
        for camera in cameras:
            if absent[camera][row]:
                unusable.append((f"row-{row:06d}.{camera}", f"no value in column {camera!r}"))
                continue
            rows.append(row)
            used.append(camera)
            names.append(written[camera][row].replace("\\", "/"))
    if not rows:
        raise InputError(f"{file.path} names no image", expected="paths in center, left and right")
    root = options.image_root
    folder = file.path.parent if root is None else located(os.path.expanduser(root))
    recorded = _recorded(names, folder) if isinstance(folder, Path) else {}
    paths = [recorded.get(name, name) for name in names]
    found = find_files(file.path, paths, root, options.image_suffix)

    left = read.values.drop_columns([*CAMERAS, "steering"])
    others, dropped = scalar_columns(Columns(left, read.text, read.notes))
    signs = np.array([CAMERAS[camera] for camera in used])
    columns = take(without_reserved(others.values, names=(*RESERVED, "camera")), rows)
    columns = columns.append_column("steering", pa.array(steering[rows] + correction * signs))
    columns = columns.append_column("camera", pa.array(used))
    left = set(columns.column_names)
    return Examples(
        ids=tuple(unique([name.rpartition("/")[2] for name in names])),
        images=found.files,
        columns=columns,
        description={
            "kind": "udacity",
            "location": location,
            **{
                name: value
                for name, value in vars(without_secrets(options)).items()
                if value is not None
            },
            "steering_correction": correction,
            "cameras": cameras,
            **({"dropped_columns": dropped} if dropped else {}),
        },
        order=np.array(rows, np.int64),
        paths=tuple(map(str, found.files)),
        targets=("steering",),
        bookkeeping=bookkeeping(columns),
        sequential=True,
        unusable=tuple(unusable),
        written={name: text.take(rows) for name, text in others.written.items() if name in left},
        notes=(*filter(None, [found.note]), *read.notes, *others.notes_on_names(())),
    )


def _steering(path: AnyFile, table: pa.Table) -> np.ndarray:
    """(rows,) float64, NaN where there is none."""
    if not table.num_rows:
        raise InputError(
            f"{path} has a header and no rows",
            expected="one row per moment",
            remedy="name the folder of another recording",
        )
    column = table["steering"]
    if pa.types.is_temporal(column.type):
        raise InputError(
            f"steering in {path} holds {column.type}", expected="a number in every row"
        )
    if pa.types.is_string(column.type):
        values = column.to_pylist()
        row = next((row for row, value in enumerate(values) if not is_number_text(value)), 0)
        raise InputError(
            f"steering in {path} is {values[row]!r} in row {row} (from 0)",
            expected="a number in every row",
        )
    return column.cast(pa.float64()).to_numpy()


def _recorded(names: Sequence[str], folder: str | Path) -> dict[str, str]:
    """The paths of the recording machine that are not here → the file of that name in IMG.

    Paths of one file name are left out: IMG has one file for them.
    """
    gone = [name for name in dict.fromkeys(names) if not os.path.isfile(os.path.join(folder, name))]
    in_img = {name: f"IMG/{name.rpartition('/')[2]}" for name in gone}
    count = Counter(in_img.values())
    return {name: path for name, path in in_img.items() if count[path] == 1}
