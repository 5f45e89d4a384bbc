"""A worker of `extract --ray` in this process: what it checks, computes and refuses."""

import os
import pickle
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest

import jaxreg
from jaxreg.cache.store import Cache
from jaxreg.cluster import worker
from jaxreg.cluster.cache_mark import Mark, marked
from jaxreg.cluster.claims import ClaimTable
from jaxreg.cluster.worker import Order, Refusal, Started, UnitResult, Worker
from jaxreg.common.files import TEMPORARY
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.feature_set import choose_columns, choose_feature_set
from jaxreg.extraction.network_choice import NetworkChoice
from jaxreg.sources import pixels
from jaxreg.sources.road.frames import RoadImages
from onnx_files import convolutions


class Remote:
    """An actor's method whose result is there at once."""

    def __init__(self, method: Any) -> None:
        self.remote = method


@pytest.fixture(autouse=True)
def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a worker asks of Ray, and what it sets for its whole process."""
    context = SimpleNamespace(get_node_id=lambda: "node")
    ray = SimpleNamespace(get_runtime_context=lambda: context, get=lambda result: result)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(worker, "use_cores", lambda count: None)
    monkeypatch.setenv("JAX_PLATFORMS", os.environ.get("JAX_PLATFORMS", "cpu"))


@pytest.fixture
def order(tmp_path: Path) -> Any:
    """An order for ten drawn frames and a small network; the cache has the mark."""
    onnx.save(convolutions(), tmp_path / "tiny.onnx")
    settings = ExtractConfig(
        backbone=f"onnx:{tmp_path / 'tiny.onnx'}", preprocess="unit", size=(24, 80)
    )
    cache, columns = Cache(tmp_path / "cache"), choose_columns(settings)
    recipe, weights = choose_feature_set(settings, cache)
    cache.make_feature_set(recipe, None)
    with marked(cache, recipe.feature_set) as mark:
        yield Order(
            folder=os.getcwd(),
            cache=str(tmp_path / "cache"),
            mark=mark,
            network=NetworkChoice("auto", recipe, columns, weights),
            feature_set=recipe.feature_set,
            columns=columns,
            dtype="float16",
            batch_size=4,
            smallest=1,
            limits=None,
            present={column: set() for column in columns},
            thumbnails=set(),
            images=pickle.dumps(RoadImages(10)),
            cores=1,
            gpus=0.0,
        )


def made(claims: ClaimTable | None = None) -> Worker:
    table = claims or ClaimTable()
    return Worker(3, SimpleNamespace(ask=Remote(table.ask), written=Remote(table.written)))


def with_fields(order: Order, **changes: Any) -> Order:
    return Order(**{**vars(order), **changes})


def test_a_worker_computes_what_is_free_and_tells_what_it_has_written(order: Order) -> None:
    table = ClaimTable()
    one = made(table)
    assert one.start(jaxreg.__version__, order) == Started("node", os.uname().nodename, os.getpid())
    first = one.work(0, range(2, 6), None, False)
    assert isinstance(first, UnitResult)
    assert first.found.computed == list(first.found.digests)
    assert (first.engine, one.counts()) == ("openvino", (4, 4))
    assert [text for text in first.said if text.startswith("engine: openvino")]
    road = RoadImages(10)
    again = one.work(1, range(3), [road[2], road[9], b"no image"], False)
    assert isinstance(again, UnitResult)
    assert again.found.computed == [again.found.digests[1]]  # row 2 was computed before
    assert [row for row, _ in again.found.failed] == [2]
    assert again.said == ()
    # all that it has computed is in the cache, and none of it is open any more
    cache, column = Cache(order.cache), order.columns[0]
    assert cache.digests(order.feature_set, column) == {
        *first.found.computed,
        *again.found.computed,
    }
    assert cache.dtype(order.feature_set, column) == "float16"
    assert table.release(3, 1) == again.found.computed
    assert table.ask(4, again.found.computed) == [False]


def test_an_image_of_a_dead_worker_is_computed_when_it_comes_again(order: Order) -> None:
    table = ClaimTable()
    one = made(table)
    one.start(jaxreg.__version__, order)
    images = [np.full((24, 80, 3), shade, np.uint8) for shade in range(3)]
    theirs = pixels.digest(images[1])
    table.ask(8, [theirs])
    found = one.work(0, range(3), images, False)
    assert isinstance(found, UnitResult)
    assert len(found.found.computed) == 2
    table.release(8, 5)
    found = one.work(5, range(1, 2), images[1:2], True)
    assert isinstance(found, UnitResult)
    assert found.found.computed == [theirs]


def test_another_version_or_another_cache_is_refused(order: Order) -> None:
    refused = made().start("0.0.1", order)
    assert isinstance(refused, Refusal)
    assert "here is 0.0.1" in refused.error.found
    assert refused.error.remedy == "pip install jaxreg==0.0.1 on each node"
    other = with_fields(order, mark=Mark(order.mark.key, b"another"))
    assert TEMPORARY.fullmatch(order.mark.key.rpartition("/")[2])  # verify --repair deletes it
    refused = made().start(jaxreg.__version__, with_fields(order, images=b"no pickle"))
    assert isinstance(refused, Refusal)
    assert "cannot be opened on the node" in refused.error.found
    refused = made().start(jaxreg.__version__, other)
    assert isinstance(refused, Refusal)
    assert f"does not see the cache {order.cache}" in refused.error.found


def test_weights_that_a_node_lacks_are_sent(order: Order, tmp_path: Path) -> None:
    content = (tmp_path / "tiny.onnx").read_bytes()
    (tmp_path / "tiny.onnx").unlink()  # as on a node that does not share the folder
    one = made()
    refused = one.start(jaxreg.__version__, order)
    assert isinstance(refused, Refusal)
    assert refused.weights
    assert isinstance(refused.error, UnavailableError)
    assert isinstance(one.start(jaxreg.__version__, order, content), Started)
    assert isinstance(made().start(jaxreg.__version__, order), Started)  # the node keeps the file
    found = one.work(0, range(3), None, False)
    assert isinstance(found, UnitResult)
    assert len(found.found.computed) == 3
    other = onnx.load_from_string(content)
    other.producer_name = "another file"
    refused = made().start(jaxreg.__version__, order, other.SerializeToString())
    assert isinstance(refused, Refusal)


def test_what_is_wrong_while_it_computes_is_one_message(order: Order) -> None:
    one = made()
    lacking = NetworkChoice("jax", order.network.recipe, order.columns, order.network.weights)
    one.start(jaxreg.__version__, with_fields(order, network=lacking))
    refused = one.work(0, range(3), None, False)
    assert isinstance(refused, Refusal)
    assert isinstance(refused.error, InputError)
    assert refused.error.found == "--engine jax with --backbone onnx:FILE"


def test_a_worker_that_is_told_to_stop_returns_what_it_has(order: Order) -> None:
    one = made()
    one.start(jaxreg.__version__, order)
    one.stop()
    found = one.work(0, range(10), None, False)
    assert isinstance(found, UnitResult)
    assert found.found.stopped
    assert len(found.found.digests) < 10
