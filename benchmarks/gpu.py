"""What a GPU does for jaxreg: extraction, epochs, many heads at once, and agreement with the CPU.

    python benchmarks/gpu.py [--quick] [--minutes M] [--json]

It prints one table. Each part is a process of its own with a limit of time, so that a part that
fails or takes too long costs no other. On a machine without an accelerator it measures the CPU, on
fewer rows and images. --quick shows that everything works; its figures mean nothing. Exit status: 0
all parts are measured; 1 a part failed; 2 no part failed, but one did not fit into the time.

Nothing here needs TensorFlow. bfloat16 is the network alone, for the JAX engine of `jaxreg extract`
computes in float32. torch is measured where torch and torchvision are installed.
"""

import argparse
import importlib.util
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from gpu_figures import agreement, heads, network, torch_network

Figure = dict[str, Any]

PARTS: dict[str, tuple[float, Callable[[bool], Iterator[Figure]]]] = {
    "epochs": (0.3, heads.epochs),
    "extraction": (0.45, network.extraction),
    "agreement": (0.35, agreement.agreement),
    "many heads": (0.3, heads.many_heads),
    "torch": (0.5, torch_network.inception),
}
"""In this order; the most that each may take of all minutes, and what it yields."""


STEP = (
    "a step, batch 32",
    "kernels of a step",
    "an empty step in a loop on the device",
    "an empty jitted call from Python",
    "the bytes of a step at the rate of a copy",
)
"""The figures that say what an epoch at batch 32 consists of."""


def run_part(name: str, quick: bool) -> None:
    """In a part's own process: its figures, a line of JSON each."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer, also where they are not Python
    for figure in PARTS[name][1](quick):
        print(json.dumps(figure), file=answers, flush=True)


def figures_of(name: str, quick: bool, seconds: float) -> tuple[list[Figure], str | None]:
    """The figures of a part, and what went wrong: those that it had until then still count.

    What went wrong begins with `failed` or `no time`.
    """
    words = [sys.executable, __file__, "--part", name, *(["--quick"] if quick else [])]
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=said, text=True, start_new_session=True
        )
        assert process.stdout is not None
        late = threading.Event()

        def stop() -> None:
            late.set()
            os.killpg(process.pid, signal.SIGKILL)  # with the processes that it has started

        timer = threading.Timer(seconds, stop)
        timer.start()
        try:
            with process.stdout:
                figures = [json.loads(line) for line in process.stdout]
            process.wait()
        except BaseException:  # as Ctrl-C, which a process of another session does not get
            stop()
            raise
        finally:
            timer.cancel()
        if late.is_set():
            return figures, f"no time: stopped after {seconds:.0f} s, its limit"
        if process.returncode:
            said.seek(0)
            lines = [line.strip() for line in said if line.strip()]
            why = lines[-1] if lines else f"exit status {process.returncode}"
            return figures, f"failed: {why}"
    return figures, None


def end_as_with_ctrl_c() -> None:
    """SIGTERM, and SIGHUP of a lost connection, end this process after the part that runs."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def measure(quick: bool, minutes: float) -> dict[str, Any]:
    """All figures, and the parts that failed or did not fit."""
    end = time.monotonic() + 60 * minutes
    found: dict[str, Any] = {"device": None, "versions": {}, "figures": [], "missing": {}}
    for name, (share, _) in PARTS.items():
        left = end - time.monotonic()
        if left < 1:
            found["missing"][name] = "no time: not begun"
            continue
        if name == "torch" and (lacks := torch_network.lacking()):
            found["missing"][name] = f"left out: {lacks}"
            continue
        print(f"{name} …", file=sys.stderr, flush=True)
        figures, wrong = figures_of(name, quick, min(left, share * 60 * minutes))
        for figure in figures:
            if "device" in figure:
                found["device"] = found["device"] or figure.pop("device")
                found["versions"] |= figure["versions"]
            else:
                found["figures"].append({"part": name, **figure})
        if wrong:
            found["missing"][name] = wrong
    return found


def value_of(found: dict[str, Any], what: str) -> float | None:
    """A figure by its name."""
    return next((f["value"] for f in found["figures"] if f["what"] == what), None)


def bound(found: dict[str, Any]) -> str | None:
    """What an epoch at batch 32 consists of, in words."""
    values = [value for name in STEP if (value := value_of(found, name)) is not None]
    if len(values) < len(STEP):
        return None
    step, kernels, empty, call, moving = values
    return (
        f"At batch 32 a step takes {step:.0f} µs and has {kernels:.0f} kernels, "
        f"{step / kernels:.1f} µs each. An empty step takes {empty:.1f} µs in a loop on the device "
        f"and {call:.1f} µs as a call from Python. The bytes of a step take {moving:.1f} µs, "
        f"{moving / step:.0%} of it."
    )


def table(found: dict[str, Any]) -> str:
    """The figures as one table in Markdown, with the device and the versions above it."""
    versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
    lines = [f"{found['device'] or 'no device was found'}; {versions}", ""]
    lines += ["| part | what | seen | unit |", "|---|---|---|---|"]
    lines += [
        f"| {f['part']} | {f['what']} | {_number(f['value'])} | {f['unit']} |"
        for f in found["figures"]
    ]
    lines += [f"| {name} | | {why.replace('|', '/')} | |" for name, why in found["missing"].items()]
    return "\n".join([*lines, *(["", sentence] if (sentence := bound(found)) else [])])


def _number(value: float) -> str:
    """With four digits, and no exponent where it is large."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small sizes: does everything work?")
    parser.add_argument("--minutes", type=float, default=6.0, help="the most that all parts take")
    parser.add_argument("--json", action="store_true", help="one JSON object and no table")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.part:
        run_part(arguments.part, arguments.quick)
        return 0
    if importlib.util.find_spec("jaxreg") is None:
        sys.exit("jaxreg is not installed for this Python: see README.md")
    if arguments.minutes <= 0:
        sys.exit(f"--minutes {arguments.minutes:g}: it must be above 0")
    end_as_with_ctrl_c()
    found = measure(arguments.quick, arguments.minutes)
    print(json.dumps(found) if arguments.json else table(found))
    kinds = {why.partition(":")[0] for why in found["missing"].values()}
    return 1 if "failed" in kinds else 2 if "no time" in kinds else 0


if __name__ == "__main__":
    sys.exit(main())
