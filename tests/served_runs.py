"""Quick runs whose network is a small ONNX file, on the drawn road."""

from pathlib import Path
from typing import Any

import onnx

import jaxreg
from jaxreg.trained_run import TrainedRun
from onnx_files import convolutions

FRAMES = 40


def served_run(folder: Path, **options: Any) -> TrainedRun:
    """A run with folds in `folder`/ckpts, its cache in `folder`/cache."""
    file, cache = folder / "network.onnx", folder / "cache"
    if not file.exists():
        onnx.save(convolutions(), file)
    jaxreg.extract_features(
        f"road:{FRAMES}",
        name="drive",
        cache=cache,
        backbone=f"onnx:{file}",
        preprocess="unit",
        size=(64, 96),
        layers=("maps",),
        pool="grid:3x3",
    )
    usual = {"target": "steering", "folds": 4, "split": "blocks:4", "gap": 0, "head": "ridge"}
    return jaxreg.train_head("drive", cache=cache, ckpts=folder / "ckpts", **{**usual, **options})
