"""Python with a few distributions and what they require, and nothing else: no jaxreg, no JAX."""

import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

# what a program needs that loads an artefact, by the format
NEEDS = {
    "keras": ("keras", "tensorflow"),
    "savedmodel": ("tensorflow",),
    "onnx": ("onnxruntime",),
    "openvino": ("openvino",),
}


def closure(*names: str) -> set[str]:
    """The distributions that these require, and themselves, as pip would install them here."""
    found, left = set[str](), list(names)
    while left:
        name = re.sub(r"[-_.]+", "-", left.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for text in metadata.requires(name) or ():
            one = Requirement(text)
            if one.marker is None or one.marker.evaluate({"extra": ""}):
                left.append(one.name)
    return found


def lone_folder(folder: Path, *names: str) -> Path:
    """A folder of links to the packages of a `closure`, to be the only one on the path."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in closure(*names):
        for file in metadata.files(name) or ():
            top = file.parts[0]
            if top in ("..", "bin", "__pycache__") or top.endswith(".pth"):
                continue
            link, place = folder / top, Path(str(file.locate())).resolve()
            for _ in file.parts[1:]:
                place = place.parent
            if not link.exists():
                link.symlink_to(place)
    return folder


def run_alone(packages: Path, code: str, cwd: Path) -> str:
    """What such a Python prints for some code; fails the test if it ends with an error."""
    start = f"import sys; sys.path.insert(0, {str(packages)!r})\n"
    start += "from importlib.util import find_spec\n"
    start += "assert not any(map(find_spec, ('jaxreg', 'jax', 'flax'))), sys.path\n"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", start + code],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
