"""How a worker died, in words for the user."""

import re
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Death:
    """A worker, or its node, is gone."""

    reason: str
    of_node: bool  # not the worker's fault, nor that of its unit
    at_creation: bool  # it could not even be made

    @classmethod
    def of(cls, error: Any) -> Self:
        """From an error of Ray."""
        text = str(error)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        creation = "creation task" in text
        of_node = "node has died" in text or "node was" in text or "preempt" in text.lower()
        return cls(_reason(text, lines, creation=creation), of_node, creation)


def _reason(text: str, lines: list[str], *, creation: bool) -> str:
    if creation:  # the last line of the traceback
        return lines[-1]
    if "node has died" in text:
        return "its node has gone"
    if "memory" in text.lower():
        return "the node was running out of memory, and Ray ended it"
    detail = re.search(r"exit detail: (.*)", text)
    if detail and (signal := re.search(r"SIG[A-Z]+|exit code \d+", detail[1])):
        return f"its process ended by {signal[0]}"
    return "its process ended"
