"""The formats of `jaxreg export`: how each is written, loaded and explained."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from jaxreg.artefact import keras_format, onnx_format, openvino_format
from jaxreg.errors import InputError, nearest_option
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

Runner = Callable[[np.ndarray], np.ndarray]
"""Images uint8 (rows, height, width, 3) of one size to numbers (rows, targets)."""


class Format(NamedTuple):
    """One format. Nothing of its libraries is imported before a function is called."""

    suffix: str  # of the file; "" for a folder
    #: InputError for a run that cannot have this format, or for a library that is absent
    check: Callable[["TrainedRun"], None]
    #: writes a path with the suffix that does not exist yet, and may write files of its name beside
    write: Callable[["TrainedRun", RunNetworks, Path], None]
    load: Callable[[Path], Runner]  # what was written, by the format's own library alone
    lines: Callable[[str], str]  # for a file's name, Python lines from `image` to `numbers`
    imports: str  # what these lines import, as Python lines
    packages: tuple[str, ...]  # distributions that loading needs
    beside: tuple[str, ...] = ()  # suffixes of further files with the same name


FORMATS: dict[str, Format] = {
    "keras": Format(
        ".keras",
        keras_format.check_keras,
        keras_format.write_keras,
        keras_format.load_keras,
        keras_format.keras_lines,
        "import keras",
        ("keras", "tensorflow"),
    ),
    "savedmodel": Format(
        "",
        keras_format.check_savedmodel,
        keras_format.write_savedmodel,
        keras_format.load_savedmodel,
        keras_format.savedmodel_lines,
        "import tensorflow as tf",
        ("tensorflow",),
    ),
    "onnx": Format(
        ".onnx",
        onnx_format.check_onnx_format,
        onnx_format.write_onnx,
        onnx_format.load_onnx,
        onnx_format.onnx_lines,
        "import onnxruntime",
        ("onnxruntime",),
    ),
    "openvino": Format(
        ".xml",
        openvino_format.check_openvino,
        openvino_format.write_openvino,
        openvino_format.load_openvino,
        openvino_format.openvino_lines,
        "import openvino",
        ("openvino",),
        (".bin",),
    ),
}
"""By the name that `--format` takes."""


def format_of(asked: str | None, out: Path) -> str:
    """The format that was asked for, or else the one that the name of the output tells.

    Raises:
        InputError: there is no such format, or the output has another suffix.
    """
    if asked is not None and asked not in FORMATS:
        raise InputError(
            f"no format {asked!r}",
            expected=", ".join(FORMATS),
            remedy=nearest_option("--format", asked, FORMATS),
        )
    told = next((name for name, one in FORMATS.items() if one.suffix == out.suffix), None)
    if asked is None:
        if told is None:
            raise InputError(
                f"--out {out}, whose name tells no format",
                expected=f"a name that ends in {', '.join(_suffixes())}; or a folder",
                remedy="--format NAME",
            )
        return told
    suffix = FORMATS[asked].suffix
    if suffix and out.suffix != suffix:
        raise InputError(
            f"--out {out} with --format {asked}",
            expected=f"a name that ends in {suffix}",
            remedy=f"--out {out.with_suffix(suffix)}",
        )
    if not suffix and out.suffix in _suffixes():
        raise InputError(
            f"--out {out} with --format {asked}, which is a folder",
            expected="the name of a folder",
            remedy=f"--out {out.with_suffix('')}",
        )
    return asked


def _suffixes() -> list[str]:
    return [one.suffix for one in FORMATS.values() if one.suffix]
