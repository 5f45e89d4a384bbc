"""NumPy archives: `images`, `targets`, `ids`."""

import lzma
import math
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Sequence
from typing import IO, BinaryIO

import numpy as np
import pyarrow as pa

from jaxreg.common.memory import bytes_text, free_memory
from jaxreg.common.remote_file import AnyFile
from jaxreg.errors import InputError, nearest
from jaxreg.extract_config import SourceOptions
from jaxreg.sources.columns import no_columns
from jaxreg.sources.depth import as_uint8
from jaxreg.sources.examples import Examples
from jaxreg.sources.in_memory import split_array
from jaxreg.sources.naming import listed, row_id
from jaxreg.sources.remote_read import open_file

KNOWN = ("images", "targets", "ids")
MOST_PACKED = 2000  # times; deflate packs up to 1032 times, a larger size is a false one
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    RuntimeError,
    OverflowError,
    NotImplementedError,
    MemoryError,
    KeyError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
)
"""What damaged members raise in zipfile, its decompressors and NumPy's reader of headers."""


def open_npz(
    path: AnyFile, location: str, options: SourceOptions, *, ranged: bool = False
) -> Examples:
    """`images` (N, H, W[, C]) uint8 or uint16, `targets` (N,) or (N, T) numbers, `ids` (N,).

    An archive of images alone has no targets. Nothing is ever unpickled. `ranged` allows images of
    other numbers.

    Raises:
        InputError: not an npz, an array missing, of another length, shape or type.
    """
    options.refuse_all_but("an npz")
    arrays, others = _load(path)
    images = _images(path, arrays, ranged)
    columns = _targets(path, arrays, len(images))
    return Examples(
        ids=_ids(path, arrays, len(images)),
        images=images,
        columns=pa.table(columns) if columns else no_columns(len(images)),
        description={
            "kind": "npz",
            "location": location,
            **({"dropped_columns": others} if others else {}),
        },
        targets=tuple(columns),
    )


def read_archive(path: AnyFile, wanted: Sequence[str]) -> tuple[dict[str, np.ndarray], list[str]]:
    """The wanted arrays that the archive has, and the names of all its arrays.

    Raises:
        ValueError: the file is no archive, is damaged, or would have to be unpickled.
    """
    try:
        with open_file(path) as file:  # np.load itself leaves a broken file open
            if file.read(2) not in (b"PK", b"\x93N"):  # NumPy's message would be about pickles
                raise ValueError("it does not begin as an archive does")
            file.seek(0)
            archive = np.load(file, allow_pickle=False)
            if isinstance(archive, np.ndarray):
                raise ValueError("it holds one array without a name")
            _refuse_too_large(file, [name for name in wanted if name in archive])
            found = {name: archive[name] for name in wanted if name in archive}
            # a member that is no array comes as its bytes
            return {n: a for n, a in found.items() if isinstance(a, np.ndarray)}, archive.files
    except ValueError as error:
        if "allow_pickle" in str(error):  # NumPy's message explains how to unpickle the file
            raise ValueError("it holds Python objects") from None
        raise
    except _DAMAGE as error:
        raise ValueError(str(error) or "it is damaged") from error


def _refuse_too_large(file: BinaryIO, names: Sequence[str]) -> None:
    """Raise ValueError for arrays that their members cannot hold, or the memory cannot."""
    total, free = 0, free_memory()
    with zipfile.ZipFile(file) as archive:
        for name in names:
            member = archive.getinfo(name if name in archive.namelist() else f"{name}.npy")
            if member.file_size > MOST_PACKED * max(member.compress_size, 1):
                raise ValueError(f"{name} declares {bytes_text(member.file_size)}, which its bytes "
                                 "cannot hold")  # fmt: skip
            total += member.file_size
            with archive.open(member) as array:
                if (size := _declared(array)) is not None and size > member.file_size:
                    raise ValueError(
                        f"{name} declares {bytes_text(size)} and has {bytes_text(member.file_size)}"
                    )
    if total > free:
        raise ValueError(f"its arrays have {bytes_text(total)}; {bytes_text(free)} are free")


def _declared(array: IO[bytes]) -> int | None:
    """The bytes that a member's header declares; None for one that is no array."""
    if array.read(6) != b"\x93NUMPY":
        return None
    version, _ = array.read(2)
    readers = {
        1: np.lib.format.read_array_header_1_0,
        2: np.lib.format.read_array_header_2_0,
    }
    if version not in readers:  # version 3 is for names of fields, which no array here has
        raise ValueError(f"an array has the format {version}")
    shape, _, dtype = readers[version](array)
    return math.prod(shape) * dtype.itemsize


def _load(path: AnyFile) -> tuple[dict[str, np.ndarray], list[str]]:
    """The arrays of KNOWN, and the names of all others."""
    try:
        found, names = read_archive(path, KNOWN)
    except ValueError as error:
        raise InputError(
            f"{path} is not an npz that can be read: {error}",
            expected="an archive by numpy.savez; arrays of Python objects are never unpickled",
        ) from None
    others = [name for name in names if name not in KNOWN]
    for name in ("images", "targets"):
        if name not in found and (name == "images" or others):
            close = nearest(name, others)
            raise InputError(
                f"{path} has no array {name!r}; it has: {listed(names)}",
                expected="images (N, H, W[, C]) and targets (N,) or (N, T)",
                remedy=f"save {close!r} as {name!r}"
                if close
                else f"save it with numpy.savez(FILE, {name}=ARRAY)",
            )
    return found, others


def _images(path: AnyFile, arrays: dict[str, np.ndarray], ranged: bool) -> list[np.ndarray]:
    images = arrays["images"]
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise InputError(
            f"images in {path} have shape {images.shape}",
            expected="(N, height, width) or (N, height, width, channels), with pixels",
        )
    numbers = images.dtype.kind in "uif"
    if images.dtype not in (np.uint8, np.uint16) and not (ranged and numbers):
        others = "; other numbers with jaxreg extract --range LO HI" if numbers else ""
        if numbers and images.ndim < 3:
            raise InputError(
                f"images in {path} are {images.dtype} of shape {images.shape}: rows of numbers",
                expected="pictures: (count, height, width[, 3]) uint8 or uint16",
                remedy="give embeddings to jaxreg.HeadRegressor",
            )
        raise InputError(
            f"images in {path} are {images.dtype}",
            expected=f"uint8 (0..255) or uint16 (0..65535){others}",
            remedy=f"save {as_uint8(images)}" if numbers else "",
        )
    others = [len(arrays[name]) for name in ("targets", "ids") if np.ndim(arrays.get(name, 0))]
    return split_array(images, f"images in {path} have shape", others[0] if others else None)


def _targets(path: AnyFile, arrays: dict[str, np.ndarray], count: int) -> dict[str, np.ndarray]:
    if "targets" not in arrays:
        return {}
    targets = arrays["targets"]
    if targets.dtype.kind not in "biuf":
        raise InputError(f"targets in {path} are {targets.dtype}", expected="numbers")
    if targets.ndim not in (1, 2) or len(targets) != count or 0 in targets.shape:
        raise InputError(
            f"targets in {path} have shape {targets.shape} for {count} images",
            expected=f"({count},) or ({count}, T)",
        )
    if targets.dtype == np.float16:
        targets = targets.astype(np.float32)
    elif targets.dtype.kind == "f" and targets.dtype.itemsize > 8:
        targets = _as_float64(path, targets)
    targets = targets.astype(targets.dtype.newbyteorder("="))
    if targets.ndim == 1:
        return {"target": targets}
    return {f"target_{number}": column for number, column in enumerate(targets.T)}


def _as_float64(path: AnyFile, targets: np.ndarray) -> np.ndarray:
    """Long floats as float64. Raises InputError for values that it would merge."""
    with np.errstate(over="ignore"):
        values = targets.astype(np.float64)
    lost = len(np.unique(targets)) - len(np.unique(values))
    if lost:
        raise InputError(
            f"targets in {path} are {targets.dtype}, and float64 merges {lost} of their values",
            expected="numbers that stay different in float64",
            remedy="subtract a constant from the numbers before you save them",
        )
    return values


def _ids(path: AnyFile, arrays: dict[str, np.ndarray], count: int) -> tuple[str, ...]:
    if "ids" not in arrays:
        return tuple(map(row_id, range(count)))
    array = arrays["ids"]
    if array.shape != (count,) or array.dtype.kind not in "Uiu":
        raise InputError(
            f"ids in {path} have shape {array.shape} and type {array.dtype} for {count} images",
            expected=f"({count},) strings or whole numbers",
        )
    ids = tuple(map(str, array.tolist()))
    if len(set(ids)) != count:
        repeated = Counter(ids).most_common(1)[0][0]
        raise InputError(f"ids in {path} hold {repeated!r} more than once", expected="unique ids")
    return ids
