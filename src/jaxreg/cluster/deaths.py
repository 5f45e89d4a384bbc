"""How a worker died, in words for the user."""

from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Death:
    """A worker, or its node, is gone."""

    reason: str
    of_node: bool  # not the worker's fault, nor that of its unit

    @classmethod
    def of(cls, error: Any) -> Self:
        """From an error of Ray."""
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        of_node = "node has died" in text or "preempt" in text.lower()
        if "creation task" in text:
            return cls(lines[-1], of_node)  # of the traceback
        if of_node:
            return cls("its node has gone", of_node)
        if type(error).__name__ == "OutOfMemoryError":
            return cls("the node was running out of memory, and Ray ended it", of_node)
        # Ray does not know the signal, and lists what it may have been
        return cls("its process was killed, or crashed", of_node)
