"""The workers of an extraction: started, replaced, given units, followed, ended."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jaxreg
from jaxreg.cluster.claims import ClaimTable
from jaxreg.cluster.deaths import Death
from jaxreg.cluster.share import Share, node_names
from jaxreg.cluster.units import Unit
from jaxreg.cluster.worker import Order, Worker
from jaxreg.errors import UnavailableError
from jaxreg.sources.examples import Image


@dataclass(eq=False)
class Member:
    """A worker as the driver sees it."""

    number: int
    actor: Any
    node: str = ""  # its name; "" until it has started
    node_id: str = ""
    ready: bool = False
    given_weights: bool = False  # its node lacks the file
    unit: Unit | None = None  # in work
    done: int = 0  # images computed in finished units
    seen: int = 0  # examples of these
    busy: float = 0.0  # seconds in these
    counts: tuple[int, int] = (0, 0)  # seen and computed since its start, as it last said
    began: float = field(default_factory=time.monotonic)  # the unit

    @property
    def rate(self) -> float:
        """Images computed in a second, while it had units."""
        seconds = self.busy + (time.monotonic() - self.began if self.unit else 0.0)
        return max(self.done, self.counts[1]) / max(seconds, 1e-3)

    def record(self) -> dict[str, Any]:
        """For the dataset: the node, images computed and their rate."""
        rate = round(self.done / self.busy, 2) if self.busy else None
        return {"node": self.node, "images": self.done, "images_per_second": rate}


class Event(NamedTuple):
    """What a worker has returned, or how it has died."""

    member: Member
    result: Any


class Crew:
    """The workers, and what each of them is doing."""

    def __init__(self, ray: Any, order: Order, share: Share) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self.ray = ray
        self.order = ray.put(order)
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        kind = ray.remote(ClaimTable).options(num_cpus=0, scheduling_strategy=here)
        self.claims = kind.remote()
        self._kind = ray.remote(concurrency_groups={"control": 2})(Worker).options(
            num_cpus=share.cpus, num_gpus=share.gpus, scheduling_strategy="SPREAD"
        )
        self.members: list[Member] = []  # those that live, or wait for room
        self.everyone: list[Member] = []
        self._calls: dict[Any, Member] = {}  # by reference: starts and units
        self._asked: dict[Any, Member] = {}  # by reference: counts

    @property
    def idle(self) -> list[Member]:
        """Those that can take a unit."""
        return [member for member in self.members if member.ready and member.unit is None]

    @property
    def at_work(self) -> list[Member]:
        """Those that have a unit."""
        return [member for member in self.members if member.unit is not None]

    def fill(self, wanted: int) -> None:
        """Start workers until there are so many; Ray finds a node for each, now or later."""
        while len(self.members) < wanted:
            number = len(self.everyone)
            member = Member(number, self._kind.remote(number, self.claims))
            self.members.append(member)
            self.everyone.append(member)
            self.start(member)

    def start(self, member: Member, weights: Any = None) -> None:
        """Let a worker check its node; `weights` is a reference of the file's bytes."""
        call = member.actor.start.remote(jaxreg.__version__, self.order, weights)
        self._calls[call] = member

    def welcome(self, member: Member, node_id: str) -> None:
        """A worker has started on that node."""
        member.ready, member.node_id = True, node_id
        member.node = node_names(self.ray.nodes()).get(node_id, node_id[:6])

    def give(self, member: Member, unit: Unit, images: Sequence[Image] | None) -> None:
        """Let a worker compute a unit."""
        member.unit, member.began = unit, time.monotonic()
        call = member.actor.work.remote(unit.number, unit.rows, images, unit.again)
        self._calls[call] = member

    def lose(self, member: Member) -> list[str]:
        """A worker has died. Returns the digests that it has written of its unfinished unit."""
        self.members.remove(member)
        self.ray.kill(member.actor)  # one that only cannot be reached computes nothing twice
        number = None if member.unit is None else member.unit.number
        try:
            written = self.ray.get(self.claims.release.remote(member.number, number))
        except self.ray.exceptions.RayError as error:
            raise _claims_lost(error) from error
        member.done += len(written)
        member.busy += time.monotonic() - member.began if member.unit else 0.0
        member.unit, member.ready = None, False
        return written

    def events(self, timeout: float) -> list[Event]:
        """What has been returned; waits at most `timeout` seconds for the first of them.

        Raises whatever a worker raised that is not for the user.
        """
        found: list[Event] = []
        if not self._calls:
            time.sleep(timeout)
            return found
        # counts may wait behind a worker's start, so they are not waited for
        ready, _ = self.ray.wait([*self._calls], num_returns=1, timeout=timeout)
        for reference in ready:
            member = self._calls.pop(reference)
            found.append(Event(member, self._result(reference)))
        return found

    def _result(self, reference: Any) -> Any:
        try:
            return self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, self.ray.exceptions.RayError):  # what a worker asks for
                raise _claims_lost(error.cause) from error
            raise
        except self.ray.exceptions.RayError as error:
            return Death.of(error)

    def follow(self) -> None:
        """Bring the counts of all that are at work up to date, without waiting."""
        if self._asked:
            ready, _ = self.ray.wait([*self._asked], num_returns=len(self._asked), timeout=0)
            for reference in ready:
                member = self._asked.pop(reference)
                result = self._result(reference)
                if not isinstance(result, Death):
                    member.counts = result
        asked = set(self._asked.values())
        for member in self.at_work:
            if member not in asked:
                control = member.actor.counts.options(concurrency_group="control")
                self._asked[control.remote()] = member

    def stop(self) -> None:
        """Let all that are at work write what they have computed, and return."""
        for member in self.at_work:
            member.actor.stop.options(concurrency_group="control").remote()

    def end(self) -> None:
        """End all workers, and nothing else on the cluster."""
        for actor in (*(member.actor for member in self.members), self.claims):
            self.ray.kill(actor)
        self.members = []


def _claims_lost(error: Exception) -> UnavailableError:
    return UnavailableError(
        f"the table of claims on this machine is gone ({Death.of(error).reason}); what workers "
        "have written is kept",
        remedy="run the same command again; it goes on from here",
    )
