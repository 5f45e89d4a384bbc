"""HDF5 of others: every object is checked before a number is read, and plain arrays are copied.

HDF5 lets an array lie in another file, be a view of other arrays, or need a plugin, which is code.
"""

import math
import os
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from h5py import h5l, h5o  # pyright: ignore[reportAttributeAccessIssue] (compiled)

_MOST_OBJECTS = 200_000  # groups and arrays

_MOST_DEEP = 100  # groups within each other
_SHUFFLE, _GZIP, _SUM = h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE, h5py.h5z.FILTER_FLETCHER32
_NUMBERS = (h5py.h5t.INTEGER, h5py.h5t.FLOAT, h5py.h5t.ENUM)
_NAME_LISTS = ("layer_names", "weight_names")  # a long one has a number at the end of each part


class UnusableFile(Exception):
    """The reason why a weights file is not read."""


def copy_plain(file: Any, target: Path, room: int) -> str | None:
    """Check all objects of an open HDF5 file, then copy them, and return its `model_config`.

    Groups and arrays are copied, and the attributes that name layers and arrays.

    Args:
        file: open for reading.
        target: where the copy is made.
        room: the bytes that its packed arrays may come to.

    Raises:
        UnusableFile: an object is no plain array whose numbers all lie in the file.
    """
    size = file.seek(0, os.SEEK_END)
    with h5py.File(file, "r") as source, h5py.File(target, "w") as copy:
        if source.userblock_size:
            raise UnusableFile("other bytes lie before its HDF5")
        for name, item in list(_plain_objects(source, size, room)):
            if isinstance(item, h5py.Group):
                made = copy.require_group(name)
            else:
                made = copy.create_dataset(name, data=item[()])
            for attribute, value in _kept_attributes(item):
                made.attrs[attribute] = value
        if "model_config" not in source.attrs:
            return None
        config = _text_attribute(source, "model_config")
        return config.decode() if isinstance(config, bytes) else str(config)


def _plain_objects(
    file: h5py.File, size: int, room: int
) -> Iterator[tuple[str, h5py.Group | h5py.Dataset]]:
    """Every group and array, by path, checked; parents come before what is in them.

    `size` is that of the file in bytes.
    """
    seen: set[int] = set()
    declared = {False: 0, True: 0}  # bytes, by whether they are packed in the file
    waiting: list[tuple[str, Any]] = [("/", h5o.open(file.id, b"/"))]
    while waiting:
        path, opened = waiting.pop()
        address = h5o.get_info(opened).addr
        if address in seen:
            raise UnusableFile(f"{path} is the same object as another name in it")
        seen.add(address)
        if isinstance(opened, h5py.h5g.GroupID):
            if len(opened) + len(waiting) + len(seen) > _MOST_OBJECTS:
                raise UnusableFile(f"it holds more than {_MOST_OBJECTS:,} groups and arrays")
            if path.count("/") > _MOST_DEEP:
                raise UnusableFile(f"it holds more than {_MOST_DEEP} groups within each other")
            yield path, h5py.Group(opened)
            for key in opened:
                child = f"{path.rstrip('/')}/{key.decode()}"
                if opened.links.get_info(key).type != h5l.TYPE_HARD:
                    raise UnusableFile(f"{child} is a link to another place")
                waiting.append((child, h5o.open(opened, key)))
        elif isinstance(opened, h5py.h5d.DatasetID):
            packed, count = _checked_bytes(path, opened, size, room)
            declared[packed] += count
            if declared[False] > size or declared[True] > room:
                raise UnusableFile(f"its arrays declare more bytes than it has ({size:,})")
            yield path, h5py.Dataset(opened)
        else:
            raise UnusableFile(f"{path} is neither a group nor an array")


def _checked_bytes(
    name: str, dataset: h5py.h5d.DatasetID, size: int, room: int
) -> tuple[bool, int]:
    """Whether an array whose numbers all lie in the file is packed there, and its bytes.

    The layout comes first: to ask for the shape of a view opens what it is a view of.
    """
    layout = dataset.get_create_plist()
    kind = layout.get_layout()
    if kind == h5py.h5d.VIRTUAL:
        raise UnusableFile(f"{name} is a view of other arrays (a virtual dataset)")
    if layout.get_external_count():
        raise UnusableFile(f"{name} keeps its numbers in another file (external storage)")
    filters = [layout.get_filter(place)[0] for place in range(layout.get_nfilters())]
    if filters != [each for each in (_SHUFFLE, _GZIP, _SUM) if each in filters]:
        raise UnusableFile(f"{name} is packed by the filters {filters} of HDF5, not by gzip")
    numbers = dataset.get_type()
    if numbers.get_class() not in _NUMBERS or not _is_standard(numbers):
        raise UnusableFile(f"{name} does not hold plain numbers")
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5py.h5s.NULL:
        raise UnusableFile(f"{name} is an array without a shape")
    shape = space.get_simple_extent_dims()
    declared = math.prod(shape) * numbers.get_size()
    most = room if _GZIP in filters else size
    if declared > most:
        raise UnusableFile(f"{name} declares {declared:,} bytes, and the file has {size:,}")
    whole = True
    if kind == h5py.h5d.CHUNKED:
        whole = _chunks_are_whole(dataset, shape, layout.get_chunk(), filters, most)
    elif kind == h5py.h5d.CONTIGUOUS and declared:
        offset = dataset.get_offset()
        whole = offset is not None and offset + declared <= size
        whole = whole and dataset.get_storage_size() == declared
    if not whole:
        raise UnusableFile(f"{name} does not have all its numbers in the file")
    return _GZIP in filters, declared


def _chunks_are_whole(
    dataset: h5py.h5d.DatasetID,
    shape: tuple[int, ...],
    chunk: tuple[int, ...],
    filters: Sequence[int],
    most: int,
) -> bool:
    """Whether every chunk is in the file, and comes to as many bytes as it should.

    If one comes to less, HDF5 gives whatever was in memory for the rest.
    """
    wanted = math.prod(-(-side // part) for side, part in zip(shape, chunk, strict=True))
    bytes_each = math.prod(chunk) * dataset.get_type().get_size()
    if dataset.get_num_chunks() != wanted or bytes_each > most:
        return False
    stored: list[Any] = []
    dataset.chunk_iter(stored.append)
    for place in stored:
        if place.filter_mask:
            return False
        count = place.size - 4 * (_SUM in filters)
        if _GZIP in filters:
            unpacked = zlib.decompressobj()
            packed = dataset.read_direct_chunk(place.chunk_offset)[1][:count]
            count = len(unpacked.decompress(packed, bytes_each + 1))
        if count != bytes_each:
            return False
    return len(stored) == wanted


def _is_standard(numbers: h5py.h5t.TypeID) -> bool:
    """Whether floats are those of NumPy. HDF5 converts others, with any exponent, in silence."""
    if numbers.get_class() != h5py.h5t.FLOAT:
        return True
    return numbers.equal(h5py.h5t.py_create(numbers.dtype))


def _kept_attributes(item: h5py.Group | h5py.Dataset) -> Iterator[tuple[str, Any]]:
    """Those that name layers and arrays, and Keras' own marks; the others are not read."""
    for name in item.attrs:
        plain = name.rstrip("0123456789")
        if plain in _NAME_LISTS:
            if item.attrs.get_id(name).shape == (0,):  # Keras gives an empty list another type
                yield name, np.array([], "S1")
                continue
            names = _text_attribute(item, name)
            if np.ndim(names) != 1:
                raise UnusableFile(f"its attribute {name} is no list of names")
            yield name, names
        elif plain in ("keras_version", "backend", "dtype"):
            yield name, _text_attribute(item, name)


def _text_attribute(item: h5py.Group | h5py.Dataset, name: str) -> Any:
    if item.attrs.get_id(name).get_type().get_class() != h5py.h5t.STRING:
        raise UnusableFile(f"its attribute {name} is no text")
    return item.attrs[name]
