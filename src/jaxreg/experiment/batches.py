"""The rows of an experiment as blocks of batches, from host memory or from the cache's parts."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

import jax
import numpy as np
from jaxtyping import Array

from jaxreg.cache.lazy_features import PartFeatures, Piece, read_pieces
from jaxreg.entry_weights import relative
from jaxreg.experiment.arrays import Experiment
from jaxreg.head.apply import ROWS
from jaxreg.head.fit import order_of
from jaxreg.head.fit_blocks import Block
from jaxreg.head.row_batches import rows_of_batch
from jaxreg.head.scaling import TargetScaler
from jaxreg.head.state import Rows
from jaxreg.head.target_outputs import prepared

T = TypeVar("T")


class ExperimentBlocks:
    """What `jaxreg.head.fit_blocks` trains on; the next block is made while one is used."""

    def __init__(self, experiment: Experiment, target: TargetScaler) -> None:
        """Blocks of the experiment's rows, with targets in std of the scaler."""
        self._x = experiment.x
        self._views = experiment.views
        # numbered on from view to view, as `order_of` draws them
        y = np.concatenate([experiment.y, *(view.y for view in self._views)])
        weights = relative(experiment.weights, experiment.rows("train"))
        weights = np.tile(weights, (1 + len(self._views), 1))
        self._y, self._weights = prepared(experiment.config, target, y, weights)
        self._behind = np.arange(1 + len(self._views), dtype=np.int32) * len(experiment.y)
        self._train, self._validation = experiment.rows("train"), experiment.rows("validation")
        self._rows = len(self._train)
        self._window = experiment.placement.window
        batch = rows_of_batch(experiment.config.batch_size, self._rows)
        self._shape = experiment.placement.block, batch
        # one batch a block: where parts are read, a block of validation rows is seldom full
        self._validation_shape = 1, rows_of_batch(ROWS, len(self._validation))

    def empty(self) -> tuple[Block, Block]:
        nothing = np.empty(0, np.int64), np.empty((0, self._x.shape[1]), self._x.dtype)
        return self._block(self._shape, nothing), self._block(self._validation_shape, nothing)

    def training(self, key: Array, epoch: Array) -> Iterator[Block]:
        size = self._shape[0] * self._shape[1]
        if isinstance(self._x, PartFeatures):
            random = np.random.default_rng([*np.asarray(key).tolist(), int(epoch)])
            pieces = self._x.pieces(self._train, random)
            shuffled = shuffle(pieces, self._window or self._rows, size, random)
        else:
            order = np.asarray(_order(key, epoch, Rows.of(self._train), self._behind).numbers)
            shuffled = ((some, self._shown(some)) for some in _runs(order, size))
        return ahead(map(partial(self._block, self._shape), shuffled))

    def _shown(self, rows: np.ndarray) -> np.ndarray:
        """The features of rows of any view."""
        assert isinstance(self._x, np.ndarray)
        if not self._views:
            return self._x[rows]
        view, row = np.divmod(rows, len(self._x))
        found = self._x[row]
        for number, other in enumerate(self._views, start=1):
            found[view == number] = other.x[row[view == number]]
        return found

    def validation(self) -> Iterator[Block]:
        size = self._validation_shape[1]
        pieces = read_pieces(self._x, self._validation)
        cut = ((rows[at], x[at]) for rows, x in pieces for at in _runs(np.arange(len(rows)), size))
        return ahead(map(partial(self._block, self._validation_shape), cut))

    def _block(self, shape: tuple[int, int], piece: Piece) -> Block:
        rows, x = piece
        size = shape[0] * shape[1]
        fill = ((0, size - len(rows)), (0, 0))
        if len(rows) < size:
            x = np.pad(x, fill)
        block = Block(
            x.reshape(*shape, -1),
            np.pad(self._y[rows], fill).reshape(*shape, -1),
            np.pad(self._weights[rows], fill).reshape(*shape, -1),
            (np.arange(size) < len(rows)).reshape(shape),
        )
        return jax.device_put(block)


_order = jax.jit(order_of)


def shuffle(
    pieces: Iterable[Piece], window: int, size: int, random: np.random.Generator
) -> Iterator[Piece]:
    """All rows of `pieces`, `size` at a time, drawn from a window of them.

    The next rows take the places of those that were drawn. A row can be drawn only once it is
    in the window: the order of the pieces and the window decide how far rows are shuffled.
    """
    stream = _Stream(pieces)
    rows, x = stream.fill(window)
    held = np.arange(len(rows))
    while len(held):
        drawn = random.permutation(held)[:size]
        yield rows[drawn], x[drawn]
        replaced = stream.replace(rows, x, drawn)
        if replaced < len(drawn):  # nothing comes any more: what is held is all that is left
            held = random.permutation(np.setdiff1d(held, drawn[replaced:]))
            yield from ((rows[some], x[some]) for some in _runs(held, size))
            return


class _Stream:
    """Pieces as one stream of rows, taken in any number."""

    def __init__(self, pieces: Iterable[Piece]) -> None:
        self._pieces = iter(pieces)
        self._rows, self._x = next(self._pieces)

    def fill(self, count: int) -> Piece:
        """New arrays of the first rows, `count` or as many as there are."""
        rows = np.empty(count, np.int64)
        x = np.empty((count, self._x.shape[1]), self._x.dtype)
        filled = self.replace(rows, x, np.arange(count))
        return rows[:filled], x[:filled]

    def replace(self, rows: np.ndarray, x: np.ndarray, places: np.ndarray) -> int:
        """Put the next rows into `places`; returns how many of them there were."""
        done = 0
        while done < len(places):
            if not len(self._rows):
                self._x = self._x[:0].copy()  # let go of the piece before the next is read
                if (piece := next(self._pieces, None)) is None:
                    break
                self._rows, self._x = piece
            some = places[done : done + len(self._rows)]
            rows[some], x[some] = self._rows[: len(some)], self._x[: len(some)]
            self._rows, self._x = self._rows[len(some) :], self._x[len(some) :]
            done += len(some)
        return done


def ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items; while one is used, the next is made in a thread."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
            del item  # before the next one is waited for


def _runs(rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (rows[start : start + size] for start in range(0, len(rows), size))
