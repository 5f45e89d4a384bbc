"""Amounts of memory: read, written for people, and measured."""

import contextlib
import ctypes
import re
from pathlib import Path

from jaxreg.errors import InputError

_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip

MOST = 10**18
"""The largest amount that `parse_bytes` takes: more than any machine has."""


def parse_bytes(text: str, what: str = "--memory-limit", also: str = "") -> int:
    """`1GiB`, `500MB`, `1.5 gb` or a plain number, in bytes; InputError for anything else.

    Args:
        text: what the user gave.
        what: its option, for the message.
        also: what else may be given, for the message.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    count = float(found[1]) * _UNITS[found[2]] if found and found[2] in _UNITS else 0
    if not 1 <= count <= MOST:
        raise InputError(
            f"{what} is {text}",
            expected=f"{also}bytes, from 1 to {bytes_text(MOST)}, with a unit, as 500MB or 1GiB",
        )
    return int(count)


def bytes_text(count: float) -> str:
    """As `1.2 GB`, in powers of ten."""
    import humanize

    return humanize.naturalsize(count, format="%.3g")


def give_back_freed() -> None:
    """Return arrays of 1 MiB and more to the system as soon as they are freed, from now on.

    By default glibc raises its threshold (up to 32 MiB) when the first large array is freed. A
    process that makes and drops blocks then grows with every epoch.
    """
    threshold = -3  # M_MMAP_THRESHOLD of malloc.h; glibc never changes one that was set
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(threshold, 2**20)


def free_memory() -> int:
    """Bytes that a process may still take, here or in its control group (a container)."""
    import psutil

    available = psutil.virtual_memory().available
    left = _left_in_group()
    return available if left is None else min(available, left)


def _left_in_group() -> int | None:
    try:
        name = Path("/proc/self/cgroup").read_text().split("0::", 1)[1].splitlines()[0]
        group = Path("/sys/fs/cgroup", name.lstrip("/"))
        limit, used = ((group / f"memory.{n}").read_text() for n in ("max", "current"))
        # the kernel counts files that it merely remembers as used, and drops them when it must
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int(limit) - int(used) + int(stat["inactive_file"])
    except (OSError, ValueError, IndexError, KeyError):
        return None  # no such group, or one without a limit (`max`)
