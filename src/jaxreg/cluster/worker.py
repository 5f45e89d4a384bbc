"""The process that has one engine: an actor of Ray, which computes one unit at a time."""

import os
import pickle
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jaxreg
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.cluster.cache_mark import Mark
from jaxreg.cluster.claims import OwnClaims
from jaxreg.cluster.units import SentImages, SomeImages
from jaxreg.common.files import write_whole
from jaxreg.common.threads import use_cores
from jaxreg.common.user_cache import user_cache
from jaxreg.errors import InputError, JaxregError, UnavailableError
from jaxreg.extraction.feature_set import find_weights
from jaxreg.extraction.network_choice import NetworkChoice
from jaxreg.extraction.outcome import Found, Progress
from jaxreg.extraction.pipeline import extract_rows
from jaxreg.extraction.read_files import ReadFiles
from jaxreg.extraction.reader import Known
from jaxreg.extraction.task import Task
from jaxreg.sources.depth import Range
from jaxreg.sources.examples import Image


@dataclass(frozen=True)
class Order:
    """What all workers do; Ray hands it to each of them once."""

    folder: str  # where the driver was started: relative paths mean files below it
    cache: str
    mark: Mark  # which only this cache has
    network: NetworkChoice
    feature_set: str
    columns: tuple[Column, ...]
    dtype: str
    batch_size: int
    smallest: int
    limits: Range | None
    present: dict[Column, set[str]]
    thumbnails: set[str]
    images: bytes | None  # pickled; None: each unit brings its own
    cores: int
    gpus: float


@dataclass(frozen=True)
class Refusal:
    """What a worker cannot do, as a message for the user."""

    error: JaxregError
    weights: bool = False  # the weights are not on its node

    def __reduce__(self) -> Any:
        """An error of several arguments is not pickled well, so its texts are."""
        error = self.error
        kind = UnavailableError if isinstance(error, UnavailableError) else InputError
        return _refusal, (kind, error.found, error.expected, error.remedy, self.weights)


def _refusal(kind: Any, found: str, expected: str, remedy: str, weights: bool) -> Refusal:
    return Refusal(kind(found, expected=expected, remedy=remedy), weights)


@dataclass(frozen=True)
class Started:
    """A worker that is ready."""

    node: str  # Ray's id
    host: str
    pid: int


@dataclass(frozen=True)
class UnitResult:
    """What a worker found of a unit; rows count within it."""

    found: Found
    said: tuple[str, ...]  # lines for the user
    engine: str  # its name, "" while it has none
    seconds: float


class Worker:
    """One engine, for one unit after the other; `counts` and `stop` are called meanwhile."""

    def __init__(self, number: int, claims: Any) -> None:
        self.number, self.claims = number, claims
        self._stop = threading.Event()
        self._engine: Any = None
        self._said: list[str] = []
        self._before = self._current = (0, 0)  # examples seen, images computed

    def start(self, version: str, order: Order, weights: bytes | None = None) -> Started | Refusal:
        """Check what the node has; with `weights` for a node that lacks the file."""
        import ray

        context = ray.get_runtime_context()
        host = os.uname().nodename if hasattr(os, "uname") else ""
        if version != jaxreg.__version__:
            found = f"jaxreg {jaxreg.__version__} is on the node {host}, and here is {version}"
            return Refusal(InputError(found, remedy=f"pip install jaxreg=={version} on each node"))
        if not order.gpus:  # before anything imports JAX, which would take the node's GPU
            os.environ["JAX_PLATFORMS"] = "cpu"
        elif order.gpus < 1:
            os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", f"{0.9 * order.gpus:.2f}")
        use_cores(order.cores)
        if os.path.isdir(order.folder):
            os.chdir(order.folder)
        try:
            cache = Cache(order.cache)
            self._check_cache(cache, order, host)
            network = self._network(order.network, weights)
        except JaxregError as error:
            return Refusal(error, weights=isinstance(error, UnavailableError))
        self._load = partial(self._loaded, network, cache)
        self._task = Task(
            (),
            cache,
            order.feature_set,
            order.columns,
            dtype=order.dtype,
            batch_size=order.batch_size,
            smallest=order.smallest,
            limits=order.limits,
        )
        self._known = Known(order.present, order.thumbnails)
        try:
            self._images: Any = None if order.images is None else pickle.loads(order.images)
        except Exception as error:  # of code that the user wrote, and this node may not have
            reason = f"{type(error).__name__}: {error}"
            found = f"the images of this source cannot be opened on the node {host}: {reason}"
            return Refusal(InputError(found, remedy="give the images as a list"))
        return Started(context.get_node_id(), host, os.getpid())

    @staticmethod
    def _check_cache(cache: Cache, order: Order, host: str) -> None:
        if not order.mark.is_in(cache):
            raise InputError(
                f"the node {host} does not see the cache {cache.root} of this machine",
                expected="a folder that all nodes share under one path, or a bucket",
                remedy="--cache with a shared folder or s3://BUCKET/PREFIX",
            )

    def _network(self, network: NetworkChoice, weights: bytes | None) -> NetworkChoice:
        """The network with its weights as this node has them."""
        recipe = network.recipe
        if recipe.quantized is not None or network.weights.seed is not None:
            return network
        known = network.weights.path
        name = "weights" if known is None else known.name
        sent = user_cache() / "weights" / network.weights.identity[:16] / name
        if weights is not None:
            write_whole(sent, weights)
        places = [str(path) for path in (known, sent) if path is not None]
        return replace(network, weights=find_weights(recipe, None, places))

    def work(
        self, number: int, rows: Sequence[int], images: Sequence[Image] | None, again: bool
    ) -> UnitResult | Refusal:
        """Read a unit's images, compute those that are missing and free, and write them.

        Args:
            number: of the unit.
            rows: of all examples.
            images: of these rows; None: this worker has opened them all.
            again: images that were another worker's may be ours now.
        """
        begin = time.perf_counter()
        if images is None:
            images = SomeImages(self._images, rows)
        known = self._known
        if again:
            known = replace(known, claimed=set(), files=ReadFiles())
        task = replace(self._task, images=images, known=known, claims=self._claims(number))
        try:
            found = extract_rows(
                task,
                self._load,
                should_stop=self._stop.is_set,
                on_progress=self._on_progress,
            )
        except JaxregError as error:
            return Refusal(error)
        except OSError as error:
            if error.filename is None:
                raise
            name = os.fsdecode(error.filename)
            return Refusal(InputError(f"{name}: {error.strerror or error}"))
        seen, computed = self._before
        self._before = seen + len(found.digests), computed + len(found.computed)
        self._current = (0, 0)
        said, self._said = tuple(self._said), []
        engine = "" if self._engine is None else self._engine.name
        return UnitResult(found, said, engine, time.perf_counter() - begin)

    def counts(self) -> tuple[int, int]:
        """Examples seen and images computed until now."""
        (seen, computed), (now, more) = self._before, self._current
        return seen + now, computed + more

    def stop(self) -> None:
        """End the unit soon, with all that is computed written."""
        self._stop.set()

    def _on_progress(self, progress: Progress) -> None:
        self._current = progress.seen, progress.computed

    def _claims(self, unit: int) -> OwnClaims:
        import ray

        table, own = self.claims, self.number
        return OwnClaims(
            lambda digests: ray.get(table.ask.remote(own, digests)),
            lambda digests: ray.get(table.written.remote(own, unit, digests)),
        )

    def _loaded(self, network: NetworkChoice, cache: Cache) -> Any:
        if self._engine is None:
            self._engine = _CompiledOnce(network.load(cache, self._said.append))
        return self._engine


class _CompiledOnce:
    """An engine whose first unit has compiled it for all."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._compiled = engine, False
        self.name, self.parallel, self.features = engine.name, engine.parallel, engine.features

    def compile(self, image: Any, batch: int) -> None:
        if not self._compiled:
            self._engine.compile(image, batch)
        self._compiled = True


def sent_images(images: Sequence[Image], rows: Sequence[int]) -> Sequence[Image]:
    """The images of a unit, read by the driver where they are not in a list."""
    if isinstance(images, (list, tuple)):
        return [images[row] for row in rows]
    return SentImages.read(images, rows)
