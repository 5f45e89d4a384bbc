"""Amounts of memory: as people write them, and as the machine has them."""

import contextlib
import ctypes
import os
import re
from pathlib import Path

from jaxreg.errors import InputError

_UNITS = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip


def parse_bytes(text: str) -> int:
    """`1GiB`, `500MB`, `1.5 gb` or a plain number, in bytes; InputError for anything else."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.strip().lower())
    if not found or found[2] not in _UNITS or not (count := float(found[1]) * _UNITS[found[2]]):
        raise InputError(
            f"--memory-limit is {text}", expected="bytes above 0, with a unit, as 500MB or 1GiB"
        )
    return int(count)


def bytes_text(count: float) -> str:
    """As `1.2 GB`: what people read, in powers of ten."""
    for unit, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count:.0f} bytes"


def give_back_freed() -> None:
    """Have arrays of 1 MiB and more go back to the system as soon as they are freed, from now on.

    Left alone, glibc learns from the first large array that is freed to keep those like it (up to
    32 MiB), and a process that makes and drops blocks grows with every epoch.
    """
    threshold = -3  # M_MMAP_THRESHOLD of malloc.h; once it is set it is not learned any more
    with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
        ctypes.CDLL(None).mallopt(threshold, 2**20)


def free_memory() -> int | None:
    """Bytes that a process may still take on this host; None where the system does not say.

    On Linux what the kernel calls available, or less where a control group (a container) allows
    less; elsewhere half of what is built in.
    """
    amounts = [_available_on_host(), _left_in_group()]
    known = [amount for amount in amounts if amount is not None]
    return min(known) if known else None


def _available_on_host() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass  # not Linux
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    except (AttributeError, ValueError, OSError):
        return None


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
