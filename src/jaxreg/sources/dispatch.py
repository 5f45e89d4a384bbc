"""Anything a user has → `Examples`. Docs: docs/sources.md."""

import glob
import os
import re
from pathlib import Path

from jaxreg.errors import InputError, nearest
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.csvfile import CsvFile
from jaxreg.sources.examples import Examples
from jaxreg.sources.images import open_directory, open_glob, open_image
from jaxreg.sources.mnist import open_mnist
from jaxreg.sources.naming import is_image_name, neighbour
from jaxreg.sources.npz import open_npz
from jaxreg.sources.tables import open_csv_table, open_parquet_table
from jaxreg.sources.tub import is_tub, open_tub
from jaxreg.sources.udacity import LOG, is_driving_log, open_driving_log

ROAD_FRAMES = 2000  # of `road` without a number

KINDS = (
    "road[:N], mnist, a .csv or .parquet table, a .npz, a DonkeyCar tub (directory), "
    "a Udacity driving_log.csv, a directory of images, a glob, one image"
)

NO_OPTIONS = SourceOptions()


def open_source(spec: str | os.PathLike[str], options: SourceOptions = NO_OPTIONS) -> Examples:
    """The examples of a source. Images are read only when needed, and nothing is decoded.

    `spec` is `road[:N]`, `mnist` or a path; `./road` is a file or folder of that name.

    Raises:
        InputError: no such source, or one that cannot be used, or options of another kind.
        UnavailableError: mnist cannot be downloaded.
    """
    location = os.fspath(spec)
    if location == "mnist":
        return open_mnist(options)
    if re.fullmatch(r"road(:.*)?", location):
        return _open_road(location, options)
    try:
        return _open_path(location, options)
    except OSError as error:
        raise InputError(
            f"cannot read {error.filename or location}: {error.strerror or error}"
        ) from error


def _open_road(location: str, options: SourceOptions) -> Examples:
    options.refuse_all_but("road")
    count = location.removeprefix("road").removeprefix(":") or str(ROAD_FRAMES)
    if location == "road:" or not re.fullmatch(r"0*[1-9][0-9]{0,6}", count):
        raise InputError(
            f"{location!r} is no number of frames",
            expected="road:N with N from 1 to 9,999,999",
            remedy=f"road:{ROAD_FRAMES}",
        )
    from jaxreg.sources.road import open_road

    return open_road(int(count))


def _open_path(location: str, options: SourceOptions) -> Examples:
    path = Path(location).expanduser()
    if location and path.is_dir():
        if is_tub(path):
            return open_tub(path, location, options)
        if (path / LOG).is_file():
            return _open_csv(path / LOG, location, options)
        return open_directory(path, location, options)
    if location and path.exists():
        return _open_file(path, location, options)
    if glob.has_magic(location):
        return open_glob(str(path), location, options)
    head, colon, count = location.partition(":")
    if kind := nearest(head, ("road", "mnist")):
        meant = kind + colon + count if kind == "road" else kind
    else:
        meant = neighbour(path)
    raise InputError(f"no such source: {location!r}", expected=f"SOURCE: {KINDS}", remedy=meant)


def _open_file(path: Path, location: str, options: SourceOptions) -> Examples:
    kind = path.suffix.lower()
    if kind == ".csv":
        return _open_csv(path, location, options)
    if kind == ".parquet":
        return open_parquet_table(path, location, options)
    if kind == ".npz":
        return open_npz(path, location, options)
    if is_image_name(path.name):
        return open_image(path, location, options)
    raise InputError(
        f"{location} is of a kind that jaxreg does not read",
        expected=f"SOURCE: {KINDS}",
        remedy="unpack it first" if kind in (".zip", ".tar", ".gz", ".tgz", ".bz2", ".7z") else "",
    )


def _open_csv(path: Path, location: str, options: SourceOptions) -> Examples:
    file = CsvFile.read(path)
    open_csv = open_driving_log if is_driving_log(file) else open_csv_table
    return open_csv(file, location, options)
