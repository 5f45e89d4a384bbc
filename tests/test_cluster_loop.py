"""The driver of `extract --ray` without Ray: a crew whose workers do what a test says."""

from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from jaxreg.cache.recipe import Column
from jaxreg.cluster import unit_loop
from jaxreg.cluster.claims import ClaimTable
from jaxreg.cluster.crew import Event, Member
from jaxreg.cluster.deaths import Death
from jaxreg.cluster.share import Share
from jaxreg.cluster.unit_loop import UnitLoop, rates_text
from jaxreg.cluster.units import Unit
from jaxreg.cluster.worker import Refusal, Started, UnitResult
from jaxreg.common.steps import step
from jaxreg.errors import InputError, UnavailableError
from jaxreg.extract_config import WHOLE
from jaxreg.extraction.outcome import Found, Progress
from jaxreg.extraction.reader import Known
from jaxreg.extraction.row_results import Digests

KILLED = Death("its process was killed, or crashed", of_node=False)
GONE = Death("its node has gone", of_node=True)

Act = Callable[["FakeCrew", Member, Unit], Any]


def digest(row: int) -> str:
    """Rows 0 and 90 hold equal images, as do 1 and 91 and so on."""
    return f"{row % 90:064x}"


def compute(crew: "FakeCrew", member: Member, unit: Unit) -> UnitResult:
    """What a worker does: it asks for its images, and writes those that it gets."""
    digests = [digest(row) for row in unit.rows]
    ours = crew.claims.ask(member.number, list(dict.fromkeys(digests)))
    fresh = [d for d, free in zip(dict.fromkeys(digests), ours, strict=True) if free]
    crew.claims.written(member.number, unit.number, fresh)
    crew.written += fresh
    return UnitResult(Found(Digests(digests), computed=fresh), ("said once",), "openvino", 1.0)


class FakeCrew:
    """Workers in this process; `acts` are what they do with the units that they get."""

    def __init__(self, *acts: Act, room: int = 1) -> None:
        self.acts = list(acts)
        self.claims = ClaimTable()
        self.members: list[Member] = []
        self.everyone: list[Member] = []
        self.returned: list[Event] = []
        self.written: list[str] = []
        self.stopped = False
        nodes = [{"Alive": True, "Resources": {"CPU": float(room)}}]
        self.ray = SimpleNamespace(nodes=lambda: nodes)
        self.on_start: Any = Started("id", "host", 1)

    @property
    def idle(self) -> list[Member]:
        return [member for member in self.members if member.ready and member.unit is None]

    @property
    def at_work(self) -> list[Member]:
        return [member for member in self.members if member.unit is not None]

    def fill(self, wanted: int) -> None:
        while len(self.members) < wanted:
            member = Member(len(self.everyone), None)
            self.members.append(member)
            self.everyone.append(member)
            if self.on_start is not None:
                self.returned.append(Event(member, self.on_start))

    def welcome(self, member: Member, node_id: str) -> None:
        member.ready, member.node = True, node_id

    def give(self, member: Member, unit: Unit, images: Any) -> None:
        member.unit = unit
        act = self.acts.pop(0) if self.acts else compute
        self.returned.append(Event(member, act(self, member, unit)))

    def lose(self, member: Member) -> list[str]:
        self.members.remove(member)
        number = None if member.unit is None else member.unit.number
        member.unit = None
        return self.claims.release(member.number, number)

    def events(self, timeout: float) -> list[Event]:
        found, self.returned = self.returned, []
        return found

    def follow(self) -> None:
        pass

    def stop(self) -> None:
        self.stopped = True


def run(
    crew: FakeCrew, images: int = 100, stop: Sequence[bool] = (), workers: int = 2
) -> tuple[UnitLoop, list[str]]:
    said: list[str] = []
    task: Any = SimpleNamespace(images=[b""] * images, batch_size=1, shard=WHOLE, limits=None)
    order: Any = SimpleNamespace(
        images=None, network=SimpleNamespace(weights=SimpleNamespace(path=None))
    )
    known = Known({Column(): set()}, set())
    asked = iter(stop)
    any_crew: Any = crew
    loop = UnitLoop(any_crew, order, task, known, Share(1, 0), workers, said.append)
    seen: list[Progress] = []
    with step("a test") as counting:
        loop.run(counting, lambda: next(asked, False), seen.append)
    return loop, said


def outcome(loop: UnitLoop) -> Any:
    return loop.gathered.found.outcome(WHOLE, None)


def test_all_units_are_computed_once() -> None:
    crew = FakeCrew()
    loop, said = run(crew)
    done = outcome(loop)
    assert list(done.digests) == [digest(row) for row in range(100)]
    assert sorted(done.computed_digests) == sorted({digest(row) for row in range(90)})
    assert (done.computed, done.reused, len(done.failed)) == (90, 0, 0)
    assert said == ["said once"]
    assert (sum(member.done for member in crew.everyone), loop.engines) == (90, {"openvino"})


def dies(death: Death, writes: int = 0) -> Act:
    """A worker that takes on its images, writes the first ones, and dies."""

    def act(crew: FakeCrew, member: Member, unit: Unit) -> Death:
        digests = [digest(row) for row in unit.rows]
        ours = crew.claims.ask(member.number, digests)
        fresh = [d for d, free in zip(digests, ours, strict=True) if free][:writes]
        crew.claims.written(member.number, unit.number, fresh)
        crew.written += fresh
        return death

    return act


def test_a_unit_of_a_dead_worker_goes_on_from_what_it_has_written() -> None:
    crew = FakeCrew(compute, dies(KILLED, writes=3), dies(GONE, writes=2))
    loop, said = run(crew)
    done = outcome(loop)
    assert list(done.digests) == [digest(row) for row in range(100)]
    assert sorted(crew.written) == sorted({digest(row) for row in range(90)})  # each once
    assert done.computed == 90
    assert len([text for text in said if text.startswith("warning: a worker on id is gone")]) == 2
    assert len(crew.everyone) == 4  # two in the place of the dead ones


def test_a_unit_that_kills_three_workers_fails_and_its_images_elsewhere_do_not() -> None:
    # with one worker the first unit, rows 0 to 12, goes to three workers in turn
    crew = FakeCrew(*[dies(KILLED)] * 3)
    loop, _ = run(crew, workers=1)
    done = outcome(loop)
    failed = dict(done.failed)
    assert sorted(failed) == list(range(13))
    assert failed[0] == (
        "3 workers in turn died while they computed it or its neighbours: "
        "its process was killed, or crashed"
    )
    assert list(done.digests[90:]) == [digest(row) for row in range(90, 100)]  # as rows 0 to 9
    assert sorted(crew.written) == sorted({digest(row) for row in range(90)} - set(digest_range()))


def digest_range() -> list[str]:
    """Of rows 10, 11 and 12, which no other row is equal to."""
    return [digest(row) for row in range(10, 13)]


def test_a_node_that_goes_is_not_the_fault_of_a_unit() -> None:
    loop, _ = run(FakeCrew(*[dies(GONE)] * 5), workers=1)
    assert len(outcome(loop).failed) == 0


def test_when_every_worker_dies_the_extraction_ends() -> None:
    crew = FakeCrew(compute, *[dies(KILLED)] * 100)
    with pytest.raises(UnavailableError) as caught:
        run(crew, workers=1)
    assert caught.value.found == (
        "6 workers in turn have died: its process was killed, or crashed; the features of 13 "
        "images are kept"
    )


def test_workers_that_do_not_start_end_it_with_the_reason() -> None:
    crew = FakeCrew()
    crew.on_start = Death("ModuleNotFoundError: No module named 'jaxreg'", False)
    with pytest.raises(UnavailableError, match="3 workers did not start: ModuleNotFoundError"):
        run(crew, workers=1)


def test_what_a_node_refuses_is_told_with_its_name() -> None:
    crew = FakeCrew(lambda *given: Refusal(InputError("no such layer", remedy="--layers x")))
    crew.ray.nodes().append(crew.ray.nodes()[0])
    with pytest.raises(InputError) as caught:
        run(crew, workers=1)
    assert str(caught.value) == "on the node id: no such layer\n  try: --layers x"


@pytest.mark.parametrize(("room", "found"), [(0, "no node of the cluster has 1 CPU"), (1, "")])
def test_without_any_worker(monkeypatch, room: int, found: str) -> None:
    monkeypatch.setattr(unit_loop, "PATIENCE", -1.0)
    crew = FakeCrew(room=room)
    crew.on_start = None  # they wait for room
    if found:
        with pytest.raises(UnavailableError, match=found):
            run(crew)
        return
    loop, said = run(crew, stop=[False, False, True])
    told = "the machines are slow, or the cluster has no room now (1 CPU each)"
    assert said == [f"waiting: no worker has started yet; {told}"]
    assert loop.gathered.found.stopped


def test_a_stop_waits_for_what_is_at_work() -> None:
    crew = FakeCrew()
    loop, _ = run(crew, stop=[False, False, True])
    assert crew.stopped
    assert loop.gathered.found.stopped
    assert 0 < len(loop.gathered.found.computed) < 90
    assert sorted(crew.written) == sorted(loop.gathered.found.computed)


def test_progress_names_few_nodes_and_counts_many() -> None:
    def member(node: str, images: int) -> Member:
        return Member(0, None, node=node, ready=True, done=images, busy=2.0)

    assert rates_text([member("b", 20), member("a", 5), member("b", 10)]) == "a 2.5/s, b 15.0/s"
    many = [member(f"n{number}", 2 * number) for number in range(1, 8)]
    assert rates_text(many) == "7 nodes, 1.0 to 7.0/s each"
