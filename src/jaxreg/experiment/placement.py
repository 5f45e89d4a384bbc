"""Where a training keeps its features: on the device, in host memory, or in the cache's parts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from jaxreg.cache.chosen_features import Wanted
from jaxreg.cache.parts import part_entries
from jaxreg.cache.store import Cache
from jaxreg.common.memory import bytes_text, free_memory, parse_bytes
from jaxreg.errors import InputError
from jaxreg.train_config import TrainConfig

AHEAD_SHARE = 1 / 8  # of what features may take that parts of a bucket take which are read ahead
SHARE = 0.8  # of what is free that features may take: programs and tables need some too
BLOCK_ROWS, BLOCK_BYTES = 2048, 2**24  # of a block, at most: enough that its own cost is nothing
BLOCKS_AT_LEAST = 16  # in memory that the blocks share with all rows or with a window of them

# How often the rows of each kind are in memory at the same time, at the worst moment.
_ON_DEVICE = 3  # as read, as JAX's own, and once more for the ridge or to join views
_BLOCKS = 5  # two on the host, the same two on the device, and one being made
_PARTS = 4  # the file, its columns, its rows in the order of the dataset, and what is left of it

_BESIDE = 256  # bytes of a row beside its features (name, digest, place, target), as measured


class Size(NamedTuple):
    """The size of the features of an experiment."""

    rows: int
    width: int  # numbers of one row
    dtype: str  # float32 or float16
    row: int  # bytes of one row, in all its views
    part: int  # bytes of the largest part, summed over the columns
    ahead: int = 0  # bytes that the cache reads ahead, if there is room

    @property
    def all(self) -> int:
        return self.rows * self.row

    def beside(self, side: int) -> "Size":
        """The size with so many side columns in each row, which are float32."""
        if not side:
            return self
        numbers = self.row // np.dtype(self.dtype).itemsize // self.width
        row = numbers * 4 * (self.width + side)
        return self._replace(width=self.width + side, dtype="float32", row=row)


@dataclass(frozen=True)
class Placement:
    """Where the features are kept, and how many rows are handled at a time."""

    kind: Literal["device", "host", "parts"]
    block: int  # batches sent to the device at a time
    window: int | None  # rows shuffled together; None: all
    size: Size
    ahead: int = 0  # bytes of the parts that are read ahead

    def __str__(self) -> str:
        amount = bytes_text(self.size.all)
        if self.kind == "device":
            return f"on the device ({amount})"
        if self.kind == "host":
            return f"in host memory ({amount}), {self.block} batches at a time to the device"
        return f"in the cache's parts ({amount}), shuffled in a window of {self.window:,} rows"


def measure(cache: Cache, wanted: Sequence[Wanted], views: int) -> Size:
    """The size of the wanted features; InputError or DamagedPart as `Cache.layout`."""
    layouts = [cache.layout(w.feature_set, c, w.digests) for w in wanted for c in w.columns]
    dtype = np.result_type(*(layout.dtype for layout in layouts))
    width = sum(layout.size for layout in layouts)
    folders = [cache.folder(w.feature_set, c) for w in wanted for c in w.columns]
    return Size(
        rows=len(wanted[0].digests),
        width=width,
        dtype=str(dtype),
        row=views * dtype.itemsize * width,
        part=sum(max(e.size for e in part_entries(cache.store, folder)) for folder in folders),
        ahead=cache.store.ahead,
    )


def place(config: TrainConfig, size: Size, *, resumed: bool, window: int | None) -> Placement:
    """The first of device, host memory and parts that the features fit.

    Args:
        config: `memory_limit` is what they may take; without it, most of what is free.
        size: of the features.
        resumed: whether a run goes on, whose order of rows must stay what it was.
        window: of that run; None if it shuffles all rows together.

    Raises:
        InputError: not even a window fits, or not what the resumed run had.
    """
    asked, batch = config.memory_limit, min(config.batch_size, size.rows)
    limit = SHARE * free_memory() if asked is None else parse_bytes(asked)
    if window is None:
        block = _block(size, size.rows, batch)
        in_host_memory = size.all + _BLOCKS * block * batch * size.row
        if _ON_DEVICE * size.all <= limit and size.all <= limit_of_device():
            return Placement("device", block, None, size)
        if in_host_memory <= limit:
            return Placement("host", block, None, size)
        if resumed:
            raise _resumed_needs_more(f"all rows, {bytes_text(in_host_memory)}", limit)
    ahead = int(min(size.ahead, max(AHEAD_SHARE * limit, size.part)))
    fits = _largest_window(size, batch, limit - ahead)
    if window is not None:
        if window > fits and asked is not None:
            raise _resumed_needs_more(f"a window of {window:,} rows", limit)
    elif fits < 2 * batch:
        needed = _beside_the_window(size) + (_BLOCKS + 2) * batch * size.row
        needed += min(size.ahead, max(needed * AHEAD_SHARE / (1 - AHEAD_SHARE), size.part))
        raise InputError(
            f"features may take {bytes_text(limit)}, and the smallest window of rows, the batches "
            "on their way and a part of the cache take more",
            expected=f"--memory-limit of at least {bytes_text(1.01 * needed)}",  # as it is rounded
        )
    window = window or fits
    return Placement("parts", _block(size, window, batch), window, size, ahead)


def limit_of_device() -> float:
    """The bytes that an accelerator has left; a CPU has no memory of its own."""
    import jax

    stats = jax.local_devices()[0].memory_stats() or {}
    if "bytes_limit" not in stats:
        return float("inf")
    return SHARE * (stats["bytes_limit"] - stats.get("bytes_in_use", 0))


def _block(size: Size, rows: int, batch: int) -> int:
    """Batches of a block, beside `rows` rows in memory. In parts it decides, with the window, the
    order of rows: nothing that may change before a run is resumed has a say in it."""
    return max(1, min(rows // BLOCKS_AT_LEAST, BLOCK_ROWS, BLOCK_BYTES // size.row) // batch)


def _largest_window(size: Size, batch: int, limit: float) -> int:
    """Rows that may be shuffled together when their blocks and parts must fit beside them."""
    rows = int(limit - _beside_the_window(size)) // size.row
    largest_block = _block(size, size.rows, batch) * batch
    sharing = rows * BLOCKS_AT_LEAST // (BLOCKS_AT_LEAST + _BLOCKS)
    window = min(max(sharing, rows - _BLOCKS * largest_block), rows - _BLOCKS * batch)
    return min(window, size.rows)


def _beside_the_window(size: Size) -> int:
    return _PARTS * size.part + _BESIDE * size.rows


def _resumed_needs_more(what: str, limit: float) -> InputError:
    return InputError(
        f"the run shuffles {what}, and features may take {bytes_text(limit)} now",
        remedy="use a larger --memory-limit, or another --run",
    )
