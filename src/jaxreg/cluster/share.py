"""What each worker has of its node, and how nodes are named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxreg.extract_config import RayOptions

MOST_CPUS = 8  # of a worker by default: more cores are better used by another worker


@dataclass(frozen=True)
class Share:
    """What each worker has of its node."""

    cpus: int
    gpus: float

    def __str__(self) -> str:
        """`2 CPUs`, or `2 CPUs and 1 GPU`."""
        cpus = f"{self.cpus} CPU{'s' * (self.cpus > 1)}"
        return cpus if not self.gpus else f"{cpus} and {self.gpus:g} GPU{'s' * (self.gpus > 1)}"

    def room(self, resources: dict[str, float]) -> int:
        """How many workers fit into so much."""
        fits = int(resources.get("CPU", 0) // self.cpus)
        return min(fits, int(resources.get("GPU", 0) / self.gpus)) if self.gpus else fits


def choose_share(options: RayOptions, nodes: Sequence[dict[str, float]], *, gpu: bool) -> Share:
    """The share of each worker.

    Args:
        options: what the user said.
        nodes: the resources of each node of the cluster.
        gpu: whether the engine can use one.
    """
    gpus = options.ray_gpus
    if gpus is None:
        gpus = 1.0 if gpu and any(node.get("GPU", 0) >= 1 for node in nodes) else 0.0
    if options.ray_cpus is not None:
        return Share(options.ray_cpus, gpus)
    able = [node for node in nodes if node.get("CPU", 0) >= 1 and node.get("GPU", 0) >= gpus]
    if gpus:  # the CPUs that each GPU has for itself
        each = [int(node["CPU"] * min(1.0, gpus / node["GPU"])) for node in able]
        return Share(max(1, min(MOST_CPUS, *each) if each else 1), gpus)
    return Share(max([1, *(min(MOST_CPUS, int(node["CPU"])) for node in able)]), gpus)


def node_names(nodes: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A name of each node by Ray's id: the host, with the start of the id where hosts repeat."""
    hosts = {node["NodeID"]: node["NodeManagerHostname"] for node in nodes}
    every = list(hosts.values())
    return {
        number: host if every.count(host) == 1 else f"{host}-{number[:6]}"
        for number, host in hosts.items()
    }
