"""Quick runs for `Predictor`: with a small ONNX file, or with what stands in for a network."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import jaxreg
from jaxreg.trained_run import TrainedRun
from onnx_files import convolutions

FRAMES = 40


def extract_drive(folder: Path, size: tuple[int, int], **options: Any) -> str:
    """Extract the features of the drive at this size; returns their feature set."""
    done = jaxreg.extract_features(
        f"road:{FRAMES}",
        name="drive",
        cache=folder / "cache",
        backbone=f"onnx:{folder / 'network.onnx'}",
        preprocess="unit",
        size=size,
        layers=("maps",),
        pool="grid:3x3",
        **options,
    )
    return done.feature_set


def served_run(folder: Path, **options: Any) -> TrainedRun:
    """A run with folds in `folder`/ckpts, its cache in `folder`/cache."""
    file, cache = folder / "network.onnx", folder / "cache"
    if not file.exists():
        onnx.save(convolutions(), file)
    extract_drive(folder, (64, 96))
    usual = {"target": "steering", "folds": 4, "split": "blocks:4", "gap": 0, "head": "ridge"}
    return jaxreg.train_head("drive", cache=cache, ckpts=folder / "ckpts", **{**usual, **options})


class FirstPixels:
    """In place of a network: the features of the planted dataset are the first four pixels."""

    name, parallel = "first", 1

    def compile(self, image: np.ndarray, batch: int) -> None:
        pass

    def features(self, images: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
        return {"identity.mixed10.avg": np.stack([values_of(image) for image in images])}


def values_of(image: np.ndarray) -> np.ndarray:
    return image[0, :4].reshape(12).astype(np.float32) / 64 - 2
