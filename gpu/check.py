"""Checks jaxreg on a machine with a GPU, without a network: versions, tests, benchmarks/gpu.py.

    make gpu-check      or      python3 gpu/check.py [--minutes 8] [--quick]

In a kit (gpu/pack.py) it unpacks, into a temporary folder, jaxreg and those packages that the
machine lacks or has too old. All others are the machine's own. In a clone it takes the installed
ones. Each part has a limit of time. Exit status: 0 all passed; 1 a part failed; 2 no part failed,
but one did not fit into the time.
"""

import argparse
import contextlib
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MINUTES = 8
FOR_THE_BENCHMARK = 200  # seconds of these minutes that the tests leave
ENVIRONMENT = {
    "KERAS_BACKEND": "jax",
    # several processes of a test use one GPU, and none may take all of its memory
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
    "PYTHONDONTWRITEBYTECODE": "1",
}
EXACT = {"JAX_DEFAULT_MATMUL_PRECISION": "highest"}  # a test compares formulas, not TF32


@dataclass(frozen=True)
class Tests:
    """Tests of one part, in a process of their own."""

    name: str
    seconds: int  # the most that they may take of 8 minutes; of other times in proportion
    words: tuple[str, ...]  # of pytest


PARTS = (
    Tests("the JAX engine is NumPy's network, on all devices", 110, ("test_accelerator.py",)),
    Tests("the head is Keras' on JAX", 80, ("test_head_keras_parity.py",)),
    Tests("folds and seeds under vmap", 60, ("test_head_fit_many.py",)),
    Tests(
        "stopped and killed runs go on", 60,
        ("test_training_resume.py", "-k", "stopped_run or sigkill_and_resume"),
    ),
    Tests(
        "features on the device, in host memory and in parts", 80,
        ("test_experiment_batches.py", "-k", "where_the_features or host_memory or stopped_run"),
    ),
)  # fmt: skip


def plain(name: str) -> str:
    """The name of a package as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def version_of(name: str) -> str | None:
    """The installed version of a package; None: it is not there."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def floors() -> dict[str, str]:
    """Package → the lowest version that pyproject.toml allows."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pairs = (each.split(">=") for each in project["dependencies"])
    return {plain(name): version for name, version in pairs}


def below(version: str, floor: str) -> bool:
    """Whether a version is lower than another one."""
    from packaging.version import Version

    return Version(version) < Version(floor)


def unpack(wheels: Sequence[Path], folder: Path) -> list[str]:
    """Unpack jaxreg and what the machine lacks or has too old; returns what, with versions.

    Raises:
        SystemExit: such a package is compiled for another Python or another kind of machine.
    """
    unpacked, lowest = [], floors()
    # those for any machine first: one of them may be `packaging`, which reads the others' names
    for wheel in sorted(wheels, key=lambda path: not path.stem.endswith("-none-any")):
        name, version = wheel.name.split("-")[:2]
        there = version_of(name)
        old = there is not None and below(there, lowest.get(plain(name), "0"))
        if there is not None and not old and plain(name) != "jaxreg":
            continue
        if not fits(wheel):
            sys.exit(
                f"{name} {version} of this kit is for {wheel.stem.split('-', 2)[2]}, and this is "
                f"Python {platform.python_version()} on {platform.machine()}.\n"
                f"Use Python 3.12 on x86_64, or install {name} here first."
            )
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        unpacked.append(f"{name} {version}")
    return unpacked


def fits(wheel: Path) -> bool:
    """Whether this Python can import what is in a wheel."""
    if wheel.stem.endswith("-none-any"):
        return True
    from packaging.tags import sys_tags
    from packaging.utils import parse_wheel_filename

    return not parse_wheel_filename(wheel.name)[3].isdisjoint(sys_tags())


def tell_versions(unpacked: Sequence[str]) -> None:
    """Print the versions of all that jaxreg needs, and which of them are too old."""
    print(f"Python {platform.python_version()} on {platform.platform()}")
    if unpacked:
        print(f"from the kit: {', '.join(unpacked)}")
    found, warnings = [], []
    for name, floor in {**floors(), "jaxlib": "0", "pytest": "0", "torch": "0"}.items():
        version = version_of(name)
        found.append(f"{name} {version or 'not there'}")
        if version is not None and below(version, floor):
            warnings.append(f"warning: {name} {version} is below {floor}, the lowest of jaxreg")
    print("\n".join([f"found: {', '.join(found)}", *warnings]), flush=True)


def tell_device() -> None:
    """Print the devices that JAX computes on.

    Raises:
        SystemExit: jaxreg or JAX cannot be imported, or finds no device.
    """
    code = (
        "from jaxreg.common.device import *; d = prepare_jax(); print(d, device_warning(d) or '')"
    )
    status, said = run([sys.executable, "-c", code], 120, show=False)
    if status != 0:
        sys.exit(f"JAX does not start:\n{said}")
    print(f"device: {said.strip().splitlines()[-1]}", flush=True)


def run(words: Sequence[str], seconds: float, show: bool, **changed: str) -> tuple[int | None, str]:
    """Exit status and output of a process within a limit of time; None: it did not end.

    With `show` the output goes to the terminal instead.
    """
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            env={**os.environ, **changed},
            stdout=None if show else said,
            stderr=None if show else subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:  # also what it started and left behind
            with_children_gone(process)
        said.seek(0)
        return status, said.read()


def with_children_gone(process: subprocess.Popen) -> None:
    """End a process and all that it has started.

    First it may end by itself: benchmarks/gpu.py ends its parts, which have process groups of
    their own.
    """
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def end_as_with_ctrl_c() -> None:
    """SIGTERM, and SIGHUP of a lost connection, end this process after its children and files."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, lambda number, frame: sys.exit(128 + number))


def test(part: Tests, seconds: float, folder: Path) -> tuple[str, str]:
    """`passed`, `failed` or `no time` of a part, and its last line or the end of its output."""
    file, *rest = part.words
    words = [
        sys.executable, "-m", "pytest", f"tests/{file}", *rest, "-q", "--tb=short", "-m", "",
        "-p", "no:cacheprovider", "-o", "filterwarnings=", "--disable-warnings",
        "--basetemp", str(folder / "tests"),
    ]  # fmt: skip
    status, said = run(words, seconds, show=False, **EXACT)
    lines = said.strip().splitlines() or [""]
    if status is None:
        return "no time", f"it did not end within {seconds:.0f} s"
    if status:
        return "failed", "\n".join(lines[-40:])
    return "passed", lines[-1]


def check(minutes: float, quick: bool, folder: Path) -> int:
    """Run all parts; returns the exit status."""
    end, results = time.monotonic() + 60 * minutes, []
    share = minutes / MINUTES
    for part in PARTS:
        left = end - time.monotonic() - FOR_THE_BENCHMARK * share
        seconds, result, said = min(left, part.seconds * share), "no time", "not begun"
        if left >= 5:
            print(f"{part.name}: at most {seconds:.0f} s …", flush=True)
            result, said = test(part, seconds, folder)
        print(f"{result}: {part.name}: {said}", flush=True)
        results.append(result)
    left = end - time.monotonic() - 20  # it ends by itself; no process of it is left behind
    words = [sys.executable, "benchmarks/gpu.py", "--minutes", f"{left / 60:.2f}"]
    status, _ = run([*words, *(["--quick"] if quick else [])], left + 15, show=True)
    results.append({0: "passed", 2: "no time", None: "no time"}.get(status, "failed"))
    print(f"\n{results[-1]}: benchmarks/gpu.py")
    for result in ("passed", "failed", "no time"):
        print(f"{result}: {results.count(result)} of {len(results)} parts")
    return 1 if "failed" in results else 2 if "no time" in results else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--minutes", type=float, default=MINUTES, help="the most that all parts take"
    )
    parser.add_argument("--quick", action="store_true", help="the benchmark on small sizes")
    arguments = parser.parse_args()
    end_as_with_ctrl_c()
    with tempfile.TemporaryDirectory(prefix="jaxreg-gpu-check-") as work:
        folder = Path(work)
        (folder / "packages").mkdir()
        sys.path.insert(0, str(folder / "packages"))
        unpacked = unpack([*(ROOT / "wheels").glob("*.whl")], folder / "packages")
        paths = [str(folder / "packages"), os.environ.get("PYTHONPATH", "")]
        os.environ.update(
            ENVIRONMENT,
            PYTHONPATH=os.pathsep.join(filter(None, paths)),
            XDG_CACHE_HOME=str(folder / "cache"),
        )
        tell_versions(unpacked)
        tell_device()
        return check(arguments.minutes, arguments.quick, folder)


if __name__ == "__main__":
    sys.exit(main())
