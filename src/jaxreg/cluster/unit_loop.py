"""The loop of the driver: units to workers, their results together, what died begun again."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from jaxreg.cluster.crew import Crew, Event, Member
from jaxreg.cluster.deaths import Death
from jaxreg.cluster.gathered import Gathered
from jaxreg.cluster.share import Share
from jaxreg.cluster.units import make_units
from jaxreg.cluster.worker import Order, Refusal, Started, UnitResult, sent_images
from jaxreg.common.steps import Step
from jaxreg.errors import JaxregError, UnavailableError
from jaxreg.extraction.outcome import Progress
from jaxreg.extraction.reader import Known
from jaxreg.extraction.task import Task

DEATHS = 3  # of workers in turn, after which a unit is given up
GIVEN_UP = 2  # units in turn, after which the extraction ends
STARTS = 3  # workers in turn that do not start, after which the extraction ends
ROUNDS = 2  # for images whose worker died while others counted on it
PATIENCE = 30.0  # seconds without any worker before the driver says so, or ends
STOPPING = 120.0  # seconds that workers have to write what they have computed
EVERY = 0.5  # seconds between two looks at the workers
NAMED = 4  # nodes that the progress names


class UnitLoop:
    """One extraction, from the first worker to the last unit."""

    def __init__(
        self,
        crew: Crew,
        order: Order,
        task: Task,
        known: Known,
        share: Share,
        workers: int,
        say: Callable[[str], None],
    ) -> None:
        self.crew, self.order, self.task, self.known = crew, order, task, known
        self.share, self.workers, self.say = share, workers, say
        self.gathered = Gathered(len(task.images))
        self.queue = deque(make_units(range(len(task.images)), workers, task.batch_size))
        self.numbers = len(self.queue)
        self.engines: set[str] = set()
        self.first: float | None = None  # when the first unit began
        self.loading = 0.0  # seconds in which the slowest worker loaded its network
        self._weights: Any = None  # a reference of the file's bytes, once a node lacks it
        self._told: set[str] = set()
        self._failed_starts = self._given_up = self._deaths = self._rounds = 0
        self._failure: JaxregError | None = None
        self._stopping: float | None = None  # since when
        self._alone = time.monotonic()  # since when there has been no worker

    def run(
        self,
        counting: Step,
        should_stop: Callable[[], bool],
        on_progress: Callable[[Progress], None],
    ) -> None:
        """Hand out all units, and take their results.

        Raises:
            InputError: a worker cannot do its work, by a fault of the user.
            UnavailableError: no worker is left, or none lives.
        """
        progress = Progress(len(self.task.images), seconds=self.gathered.found.seconds)
        while self.queue or self.crew.at_work:
            if self._stopping is None and (should_stop() or self._failure):
                self._stopping = time.monotonic()
                self.crew.stop()
            if self._stopping is None:
                self._employ()
            elif not self.crew.at_work or time.monotonic() - self._stopping > STOPPING:
                break
            for event in self.crew.events(EVERY):
                self._take(event)
            self.crew.follow()
            self._show(counting, progress)
            on_progress(progress)
            if not self.queue and not self.crew.at_work and self._stopping is None:
                self._begin_rest()
        if self._failure:
            raise self._failure
        self.gathered.found.stopped = self._stopping is not None

    def _employ(self) -> None:
        """Workers for the units that are left, and units for the workers that are idle."""
        self.crew.fill(min(self.workers, len(self.queue) + len(self.crew.at_work)))
        for member in self.crew.idle:
            if not self.queue:
                break
            unit = self.queue.popleft()
            whole = self.order.images is not None
            images = None if whole else sent_images(self.task.images, unit.rows)
            self.crew.give(member, unit, images)
            self.first = self.first or time.perf_counter()
        if any(member.ready for member in self.crew.members):
            self._alone = time.monotonic()
        elif time.monotonic() - self._alone > PATIENCE:
            self._alone = time.monotonic()
            self._tell_alone()

    def _tell_alone(self) -> None:
        """No worker has started for a while: none ever can, or others use the cluster."""
        nodes = [node["Resources"] for node in self.crew.ray.nodes() if node["Alive"]]
        if not any(self.share.room(node) for node in nodes):
            self._failure = self._ended(f"no node of the cluster has {self.share} for a worker")
            return
        self._once(
            "waiting: no worker has started yet; the machines are slow, or the cluster has no room "
            f"now ({self.share} each)"
        )

    def _ended(self, found: str) -> UnavailableError:
        return UnavailableError(
            f"{found}; the features of {len(self.gathered.found.computed)} images are kept",
            remedy="run the same command again when the cluster has workers; it goes on from here",
        )

    def _take(self, event: Event) -> None:
        member, result = event
        if isinstance(result, Death):
            self._died(member, result)
        elif isinstance(result, Refusal):
            self._refused(member, result)
        elif isinstance(result, Started):
            self._failed_starts = 0
            self.crew.welcome(member, result.node)
        else:
            self._finished(member, result)

    def _finished(self, member: Member, result: UnitResult) -> None:
        unit, member.unit = member.unit, None
        if unit is None:
            raise ValueError("a worker returned a unit that it did not have")
        self._given_up = 0
        self.gathered.take(unit, result.found)
        member.seen += len(result.found.digests)
        member.done += len(result.found.computed)
        loading = result.found.seconds.start
        self.loading = max(self.loading, loading)
        member.busy += result.seconds - loading
        if result.engine:
            self.engines.add(result.engine)
        for text in result.said:
            self._once(text)

    def _refused(self, member: Member, refusal: Refusal) -> None:
        path = self.order.network.weights.path
        if refusal.weights and self._weights is None and path is not None and Path(path).is_file():
            self._weights = self.crew.ray.put(Path(path).read_bytes())
        if refusal.weights and self._weights is not None and not member.given_weights:
            member.given_weights = True
            self.crew.start(member, self._weights)
            return
        error = refusal.error
        if len(self.crew.ray.nodes()) > 1 and member.node:
            error.found = f"on the node {member.node}: {error.found}"
        member.unit = None
        self._failure = self._failure or error

    def _died(self, member: Member, death: Death) -> None:
        unit, where = member.unit, member.node
        self._deaths += 1
        self.gathered.found.computed += self.crew.lose(member)
        if unit is None:
            self._failed_starts += not death.of_node
            if self._failed_starts >= STARTS:
                self._failure = self._failure or UnavailableError(
                    f"{STARTS} workers did not start: {death.reason}",
                    expected="jaxreg and its packages on each node",
                    remedy="pip install 'jaxreg[ray]' on each node"
                    if "ModuleNotFoundError" in death.reason
                    else "",
                )
            return
        unit.again = True
        unit.deaths += not death.of_node
        gone = f"warning: a worker on {where} is gone ({death.reason})"
        self._once(f"{gone}; its images go to others")
        if unit.deaths < DEATHS:
            self.queue.appendleft(unit)
            return
        self._given_up += 1
        reason = f"{DEATHS} workers in turn died while they computed it or its neighbours"
        self.gathered.fail(unit, f"{reason}: {death.reason}")
        if self._given_up >= GIVEN_UP:
            self._failure = self._failure or self._ended(
                f"{GIVEN_UP * DEATHS} workers in turn have died: {death.reason}"
            )

    def _begin_rest(self) -> None:
        """Images that a worker had taken on before it died, and that no other one computed."""
        rows = self.gathered.lacking(self.known) if self._deaths else ()
        if not rows:
            return
        units = list(make_units(rows, self.workers, self.task.batch_size, self.numbers))
        self._rounds += 1
        for unit in units:
            unit.again = True
            if self._rounds > ROUNDS:
                self.gathered.fail(unit, "it changes while it is read")
        self.numbers += len(units)
        self.queue.extend(units if self._rounds <= ROUNDS else ())

    def _show(self, counting: Step, progress: Progress) -> None:
        found = self.gathered.found
        now = [(m.counts[0] - m.seen, m.counts[1] - m.done) for m in self.crew.at_work]
        progress.seen = self.gathered.seen + sum(max(0, seen) for seen, _ in now)
        progress.computed = len(found.computed) + sum(max(0, done) for _, done in now)
        counting.reach(min(progress.seen, progress.images), rates_text(self.crew.members))

    def _once(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self.say(text)


def rates_text(members: Sequence[Member]) -> str:
    """Images in a second by node, `a 12.3/s, b 40.1/s`; of many nodes the least and the most."""
    rates: dict[str, float] = {}
    for member in members:
        if member.ready and member.rate:
            rates[member.node] = rates.get(member.node, 0.0) + member.rate
    if len(rates) <= NAMED:
        return ", ".join(f"{node} {rate:.1f}/s" for node, rate in sorted(rates.items()))
    return f"{len(rates)} nodes, {min(rates.values()):.1f} to {max(rates.values()):.1f}/s each"
