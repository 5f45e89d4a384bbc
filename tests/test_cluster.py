"""The parts of `extract --ray` that need no Ray: claims, units, shares, options, messages."""

import pickle
import threading
from importlib.util import find_spec
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import jaxreg
from jaxreg.cache.recipe import Column
from jaxreg.cluster.claims import ClaimTable, OwnClaims
from jaxreg.cluster.deaths import Death
from jaxreg.cluster.gathered import Gathered
from jaxreg.cluster.session import _begin, import_ray
from jaxreg.cluster.share import Share, choose_share, node_names
from jaxreg.cluster.units import SentImages, SomeImages, Unit, make_units, pickled_whole
from jaxreg.cluster.worker import Refusal
from jaxreg.errors import InputError, JaxregError, UnavailableError
from jaxreg.extract_config import WHOLE, RayOptions
from jaxreg.extraction.outcome import Found
from jaxreg.extraction.reader import Known
from jaxreg.extraction.row_results import Digests, Failures
from jaxreg.sources import open_source, pixels
from jaxreg.sources.road.frames import RoadImages
from onnx_files import convolutions
from test_commands import loaded_after

needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra ray")
A, B, C = (letter * 64 for letter in "abc")


def test_of_equal_images_one_is_computed_and_a_dead_worker_frees_its_own() -> None:
    table = ClaimTable()
    assert table.ask(1, [A, B]) == [True, True]
    assert table.ask(2, [B, C]) == [False, True]
    table.written(1, 7, [A])
    assert table.release(1, 7) == [A]  # it had written A of its unit; B is free again
    assert table.ask(2, [A, B]) == [False, True]
    assert table.ask(1, ["d" * 64]) == [False]  # it is dead, or at least not heard of any more
    own = OwnClaims(lambda digests: table.ask(3, digests), lambda digests: None)
    assert own.ask([A, "e" * 64]) == {"e" * 64}


def test_what_a_worker_wrote_of_units_that_it_finished_is_not_counted_again() -> None:
    table = ClaimTable()
    table.ask(1, [A, B, C])
    table.written(1, 0, [A])
    table.written(1, 1, [B])
    table.written(1, 1, [C])
    assert table.release(1, 1) == [B, C]
    table.ask(2, ["d" * 64])
    table.written(2, 4, ["d" * 64])
    assert table.release(2, 5) == []


@pytest.mark.parametrize(
    ("rows", "workers", "sizes"),
    [(10, 2, {10: 1}), (6400, 3, {267: 23, 259: 1}), (10**6, 1, {8192: 122, 576: 1}), (0, 2, {})],
)
def test_units_hold_each_row_once(rows: int, workers: int, sizes: dict[int, int]) -> None:
    units = list(make_units(range(rows), workers, 64))
    assert [row for unit in units for row in unit.rows] == list(range(rows))
    lengths = [len(unit.rows) for unit in units]
    assert {length: lengths.count(length) for length in lengths} == sizes
    assert [unit.number for unit in units] == list(range(len(units)))


@needs_ray
def test_a_drawn_source_goes_to_workers_whole_and_a_list_in_slices() -> None:
    road = RoadImages(20)
    whole = pickled_whole(road)
    assert whole is not None
    some = SomeImages(pickle.loads(whole), range(5, 9))
    np.testing.assert_array_equal(some[2], road[7])
    assert len(some[1:]) == 3
    assert pickled_whole([b"one", b"two"]) is None
    shown: Any = [threading.Lock()]
    assert pickled_whole(SomeImages(shown, [0])) is None


@needs_ray
def test_images_inside_a_table_are_opened_by_workers(tmp_path) -> None:
    content = [pixels.thumbnail(RoadImages(3)[row]) for row in range(3)]
    pq.write_table(pa.table({"image": content, "y": [0.0, 1.0, 2.0]}), tmp_path / "t.parquet")
    images = open_source(tmp_path / "t.parquet").images
    whole = pickled_whole(images)
    assert whole is not None
    assert len(whole) < sum(map(len, content))  # the bytes stay in the file
    there = pickle.loads(whole)
    assert [there[row] for row in range(3)] == content


def test_an_image_that_the_driver_cannot_read_fails_on_the_worker() -> None:
    class Broken(list):
        def __getitem__(self, row: Any) -> Any:
            if row == 1:
                raise pixels.UnusableImage("no bytes")
            return b"bytes"

    sent = pickle.loads(pickle.dumps(SentImages.read(Broken([0, 0]), [0, 1])))
    assert sent[0] == b"bytes"
    with pytest.raises(pixels.UnusableImage, match="no bytes"):
        sent[1]


def test_results_come_in_any_order_and_copies_of_broken_images_fail_alike() -> None:
    gathered = Gathered(5)
    gathered.take(Unit(1, range(2, 5)), Found(Digests([B, A, C]), computed=[C]))
    broken = Found(Digests([A, B]), Failures([(1, "cut")]), {B: "cut"}, [A])
    gathered.take(Unit(0, range(2)), broken)
    outcome = gathered.found.outcome(WHOLE, None)
    assert outcome.digests == [A, None, None, A, C]
    assert outcome.failed == [(1, "cut"), (2, "cut")]
    assert (outcome.computed, outcome.reused) == (2, 0)


def test_images_that_a_lost_unit_had_taken_are_found() -> None:
    gathered = Gathered(6)
    gathered.take(Unit(0, range(3)), Found(Digests([A, B, C]), computed=[A]))
    gathered.fail(Unit(1, range(3, 6)), "three workers died")
    assert list(gathered.lacking(Known({Column(): {C}}, set()))) == [1]


def test_copies_of_an_image_that_nobody_could_compute_fail_once_each() -> None:
    gathered = Gathered(3)
    gathered.take(Unit(0, range(3)), Found(Digests([A, A, B]), computed=[B]))
    known = Known({Column(): set()}, set())
    assert list(gathered.lacking(known)) == [0]
    gathered.fail(Unit(1, [0]), "died")
    assert list(gathered.lacking(known)) == []
    outcome = gathered.found.outcome(WHOLE, None)
    assert outcome.digests == [None, None, B]
    assert outcome.failed == [(0, "died"), (1, "died")]


def test_shares_of_nodes() -> None:
    eight, large = {"CPU": 8.0}, {"CPU": 64.0}
    assert choose_share(RayOptions("auto"), [eight, large], gpu=True) == Share(8, 0)
    assert choose_share(RayOptions("auto"), [{"CPU": 2.0}], gpu=False) == Share(2, 0)
    gpus = {"CPU": 64.0, "GPU": 8.0}
    assert choose_share(RayOptions("auto"), [{"CPU": 4.0}, gpus], gpu=True) == Share(8, 1)
    assert choose_share(RayOptions("auto"), [gpus], gpu=False) == Share(8, 0)
    half = choose_share(RayOptions("auto", ray_gpus=0.5, ray_cpus=3), [gpus], gpu=True)
    assert (str(half), half.room(gpus)) == ("3 CPUs and 0.5 GPU", 16)
    assert Share(3, 0).room(large) == 21
    nodes = [{"NodeID": f"{i}" * 8, "NodeManagerHostname": "ab"[i > 1]} for i in range(3)]
    assert list(node_names(nodes).values()) == ["a-000000", "a-111111", "b"]


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"ray_workers": 2}, "--ray-workers without --ray"),
        ({"ray": "local", "ray_workers": 0}, "ray_workers is 0"),
        ({"ray": "local", "ray_cpus": 0}, "ray_cpus is 0"),
        ({"ray": "local", "ray_gpus": 1.5}, "ray_gpus is 1.5"),
        ({"ray": "local", "ray_gpus": float("nan")}, "ray_gpus is nan"),
        ({"ray": "local", "ray_gpus": float("inf")}, "ray_gpus is inf"),
    ],
)
def test_options_of_a_cluster(settings: dict[str, Any], found: str) -> None:
    with pytest.raises(InputError) as caught:
        RayOptions(**settings)
    assert found.replace("_", "-").lstrip("-") in str(caught.value).replace("_", "-")


def test_what_a_cluster_cannot_do_is_refused(tmp_path) -> None:
    with pytest.raises(InputError, match="--shard 0/2 with --ray"):
        jaxreg.extract_features("road:2", cache=tmp_path, shard="0/2", ray="local")
    with pytest.raises(InputError, match="--ray with --embeddings"):
        jaxreg.extract_features(
            "road:2", cache=tmp_path, embeddings="x.npy", embeddings_name="x", ray="local"
        )


def test_without_ray_the_message_says_what_to_install(monkeypatch) -> None:
    monkeypatch.setattr("jaxreg.cluster.session.find_spec", lambda name: None)
    with pytest.raises(InputError) as caught:
        import_ray()
    assert caught.value.remedy == "pip install 'jaxreg[ray]'"


def test_without_ray_nothing_is_opened_or_fetched(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("jaxreg.cluster.session.find_spec", lambda name: None)
    with pytest.raises(InputError, match="ray is not installed"):
        jaxreg.extract_features(tmp_path / "absent.csv", ray="local")


def test_a_start_of_ray_that_takes_too_long_is_tried_once_more() -> None:
    class Ray:
        starts, ends = 0, 0

        def __init__(self, why: str, failing: int) -> None:
            self.why, self.failing = why, failing

        def init(self, **given: Any) -> None:
            self.starts += 1
            if self.starts <= self.failing:
                raise RuntimeError(self.why)

        def shutdown(self) -> None:
            self.ends += 1

    slow = "The current node timed out during startup."
    once = Ray(slow, 1)
    _begin(once, {}, "local")
    assert (once.starts, once.ends) == (2, 1)
    for ray, starts in ((Ray(slow, 9), 2), (Ray("no room on the disk", 9), 1)):
        with pytest.raises(UnavailableError, match=f"Ray does not start here: {ray.why}"):
            _begin(ray, {}, "local")
        assert ray.starts == starts


def test_what_a_worker_refuses_keeps_its_message() -> None:
    class Odd(InputError):
        def __init__(self, a: int, b: int) -> None:
            super().__init__(f"{a} of {b}", expected="more", remedy="do it")

    for error in (Odd(1, 2), UnavailableError("no weights", remedy="--weights FILE")):
        there = pickle.loads(pickle.dumps(Refusal(error, weights=True))).error
        assert isinstance(there, JaxregError)
        assert (str(there), there.exit_code) == (str(error), error.exit_code)


@pytest.mark.parametrize(
    ("text", "reason", "of_node"),
    [
        ("The actor died because its node has died. Node Id: 1", "its node has gone", True),
        (
            "End of file. Perhaps the OOM killer, SIGSEGV",
            "its process was killed, or crashed",
            False,
        ),
        ("error raised in its creation task\n  File x\nImportError: no", "ImportError: no", False),
    ],
)
def test_deaths_in_words(text: str, reason: str, of_node: bool) -> None:
    death = Death.of(RuntimeError(text))
    assert (death.reason, death.of_node) == (reason, of_node)


def test_an_extraction_without_ray_does_not_import_it(tmp_path) -> None:
    onnx.save(convolutions(), tmp_path / "tiny.onnx")
    asked = "'road:2', backbone='onnx:tiny.onnx', preprocess='unit', size=(24, 80)"
    program = f"import jaxreg\njaxreg.extract_features({asked})"
    assert not loaded_after(program, cwd=tmp_path).intersection({"ray", "fsspec"})
