"""`extract --ray`: the driver, which lets the nodes of a Ray cluster compute."""

import os
import time
from collections.abc import Callable

from jaxreg.backbone.registry import ONNX
from jaxreg.cluster.cache_mark import marked
from jaxreg.cluster.crew import Crew
from jaxreg.cluster.session import ray_session
from jaxreg.cluster.share import choose_share
from jaxreg.cluster.unit_loop import UnitLoop
from jaxreg.cluster.units import pickled_whole
from jaxreg.cluster.worker import Order
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extract_config import RayOptions
from jaxreg.extraction.network_choice import NetworkChoice
from jaxreg.extraction.outcome import Outcome, Progress
from jaxreg.extraction.task import Task, look_through


def compute_on_ray(
    options: RayOptions,
    task: Task,
    network: NetworkChoice,
    say: Callable[[str], None],
    should_stop: Callable[[], bool],
    on_progress: Callable[[Progress], None],
) -> Outcome:
    """Compute what a task lacks on the nodes of a Ray cluster.

    Raises:
        InputError: Ray is not installed; a node does not see the cache, or has not what it needs.
        UnavailableError: there is no cluster, or nothing of it is left.
    """
    begin = time.perf_counter()
    with ray_session(options) as ray, marked(task.cache, task.feature_set) as mark:
        known = look_through(task)
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        share = choose_share(options, nodes, gpu=_can_use_gpu(network))
        if options.ray == "local" and not any(map(share.room, nodes)):
            raise InputError(
                f"--ray local, and this machine has not {share} for a worker",
                remedy="--ray-gpus 0",
            )
        workers = options.ray_workers or max(1, sum(map(share.room, nodes)))
        order = Order(
            folder=os.getcwd(),
            cache=task.cache.address,
            mark=mark,
            network=network,
            feature_set=task.feature_set,
            columns=tuple(task.columns),
            dtype=task.dtype,
            batch_size=task.batch_size,
            smallest=task.smallest,
            limits=task.limits,
            present=dict(known.present),
            thumbnails=known.thumbnails,
            images=pickled_whole(task.images),
            cores=share.cpus,
            gpus=share.gpus,
        )
        crew = Crew(ray, order, share)
        loop = UnitLoop(crew, order, task, known, share, workers, say)
        try:
            with step("extracting on Ray", len(task.images), "images") as counting:
                loop.run(counting, should_stop, on_progress)
            end = time.perf_counter()  # to leave Ray takes a second
        finally:
            crew.end()
    outcome = loop.gathered.found.outcome(task.shard, task.limits)
    outcome.seconds.start = (loop.first or end) - begin + loop.loading
    outcome.seconds.total = end - begin
    outcome.workers = [member.record() for member in crew.everyone if member.seen or member.done]
    outcome.engine = ", ".join(sorted(loop.engines))
    return outcome


def _can_use_gpu(network: NetworkChoice) -> bool:
    recipe = network.recipe
    return network.engine != "openvino" and recipe.engine is None and recipe.backbone != ONNX
