"""Packs a folder that a machine with a GPU and no network can check jaxreg with.

    python gpu/pack.py [--out build/gpu-kit]

The folder holds jaxreg, the packages that such a machine lacks, the tests that matter there, and
benchmarks/gpu.py. It holds no TensorFlow. gpu/check.py says how it is used.
"""

import argparse
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MOST_BYTES = 60_000_000
PYTHON = "3.12"
PLATFORMS = [
    *(f"manylinux_2_{n}_x86_64" for n in (28, 27, 26, 24, 17)), "manylinux2014_x86_64"
]  # fmt: skip

ON_THE_MACHINE = {
    "jax", "flax", "optax", "orbax-checkpoint", "pyarrow", "scipy", "scikit-learn", "h5py",
    "pillow", "matplotlib", "jinja2", "rich", "pytest",
}  # fmt: skip
"""Packages that the machine has, with all that they need."""

LEFT_OUT = {"tensorflow"}
FOR_TESTS = ("beartype",)  # what tests/conftest.py needs beside pytest

FILES = (
    "pyproject.toml", "constraints.txt", "LICENSE", "gpu/check.py", "gpu/README.md",
    "benchmarks/gpu.py", "benchmarks/train.py",
)  # fmt: skip
FOLDERS = ("tests", "benchmarks/gpu_figures")
MAKEFILE = """PYTHON ?= python3

.PHONY: gpu-check
gpu-check:
\t$(PYTHON) gpu/check.py
"""


def plain(name: str) -> str:
    """The name of a package as PEP 503 writes it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def name_of(requirement: str) -> str:
    """The package of a requirement such as `jax>=0.8`."""
    found = re.match(r"[\w.-]+", requirement)
    assert found is not None
    return plain(found[0])


def needed(pyproject: dict[str, Any]) -> list[str]:
    """The requirements of jaxreg and of its tests that the machine may lack."""
    development = pyproject["dependency-groups"]["dev"]
    asked = pyproject["project"]["dependencies"]
    asked = [*asked, *(each for each in development if name_of(each) in FOR_TESTS)]
    return [each for each in asked if name_of(each) not in ON_THE_MACHINE | LEFT_OUT]


def pip(*words: str) -> None:
    """Run pip; what it says is shown if it fails.

    Raises:
        SystemExit: it fails, or is not there.
    """
    if importlib.util.find_spec("pip") is None:  # as in an environment that uv made
        sys.exit(f"{sys.executable} has no pip; run: {sys.executable} -m ensurepip")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *words],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"pip {words[0]} failed:\n{done.stderr}")


def for_the_machine() -> list[str]:
    """pip's options for wheels of the machine's Python and system."""
    each = [word for platform in PLATFORMS for word in ("--platform", platform)]
    return ["--only-binary=:all:", "--python-version", PYTHON, "--implementation", "cp", *each]


def closure(requirements: Sequence[str]) -> dict[str, str]:
    """Package → version of all that the requirements need, as pip's resolver finds them."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        pip(
            "install", "--dry-run", "--ignore-installed", "--report", str(report),
            "--target", folder, *for_the_machine(), "-c", str(ROOT / "constraints.txt"),
            *requirements,
        )  # fmt: skip
        found = [each["metadata"] for each in json.loads(report.read_text())["install"]]
    return {plain(each["name"]): each["version"] for each in found}


def lacking(found: dict[str, str], of_jax: dict[str, str]) -> list[str]:
    """`name==version` of what goes into the kit: not what the machine has, nor what jax needs."""
    return [
        f"{name}=={version}"
        for name, version in sorted(found.items())
        if name not in ON_THE_MACHINE and name not in of_jax
    ]


def fetch_wheels(folder: Path) -> None:
    """Put the wheels of jaxreg and of what the machine lacks into a folder."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text())
    print("finding the packages that a kit needs …", flush=True)
    pins = lacking(closure(needed(pyproject)), closure(["jax"]))
    print(f"downloading {len(pins)} packages, and building jaxreg …", flush=True)
    pip("download", "--no-deps", "--dest", str(folder), *for_the_machine(), *pins)
    pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(ROOT))


def copy_tree(out: Path) -> None:
    """Copy what the kit holds of this tree."""
    for name in FILES:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, out / name)
    for name in FOLDERS:
        shutil.copytree(ROOT / name, out / name, ignore=shutil.ignore_patterns("__pycache__"))
    (out / "Makefile").write_text(MAKEFILE)


def faults(out: Path) -> list[str]:
    """What is wrong with a kit: a package that must not be there, too many bytes."""
    found = []
    for wheel in sorted((out / "wheels").glob("*.whl")):
        name = plain(wheel.name.partition("-")[0])
        if name in LEFT_OUT | ON_THE_MACHINE:
            found.append(f"{wheel.name}: a kit holds no {name}")
        with zipfile.ZipFile(wheel) as archive:
            if any(re.search(r"\.data/(pure|plat)lib/", each) for each in archive.namelist()):
                found.append(f"{wheel.name}: unpacking does not install it")
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    if size > MOST_BYTES:
        found.append(f"{size / 1e6:.1f} MB; at most {MOST_BYTES / 1e6:.0f} MB are allowed")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "gpu-kit")
    out = parser.parse_args().out
    if out.exists():
        if not (out / "gpu" / "check.py").is_file():
            sys.exit(f"{out} is there and is no kit; name another folder with --out")
        shutil.rmtree(out)
    (out / "wheels").mkdir(parents=True)
    copy_tree(out)
    fetch_wheels(out / "wheels")
    if wrong := faults(out):
        sys.exit("\n".join(wrong))
    wheels = sorted((out / "wheels").glob("*.whl"))
    size = sum(path.stat().st_size for path in out.rglob("*") if path.is_file())
    print(f"{out}: {size / 1e6:.1f} MB, {len(wheels)} packages: {compiled(wheels)}")
    print("copy it to the machine with the GPU; there: make gpu-check")


def compiled(wheels: Sequence[Path]) -> str:
    """In words, which of the wheels run on one kind of machine only."""
    own = [each.name.partition("-")[0] for each in wheels if not each.stem.endswith("-none-any")]
    return f"for Python {PYTHON} on x86_64 because of {', '.join(own)}" if own else "for any"


if __name__ == "__main__":
    main()
