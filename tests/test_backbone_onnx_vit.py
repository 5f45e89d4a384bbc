"""A small ViT of random weights, in all precisions, through the cache to a head."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import jaxreg
from jaxreg.backbone.openvino_engine import computes_bfloat16
from jaxreg.backbone.openvino_model import import_openvino
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.sources import open_source, pixels
from keras_models import bilinear, relative_error
from onnx_files import computed, save, vit

SUM = "/blocks.1/Add_1_output_0"
COLUMNS = ("tokens.cls", "tokens.mean", f"{SUM}.mean", "pooled.none")
ALLOWED: dict[Any, float] = {"float32": 1e-5, "bfloat16": 0.05, "int8": 0.1}


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("nncf") is None, reason="nncf is not installed here")
def test_a_vit_in_every_precision(tmp_path: Path) -> None:
    made = vit()
    onnx.checker.check_model(made)
    network = save(made, tmp_path / "vit.onnx")
    images = [pixels.decode(pixels.read(image)) for image in open_source("road:60").images]
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    shown = (np.stack([bilinear(image, 64, 64) for image in images]) / 255 - mean) / std
    shown = shown.transpose(0, 3, 1, 2).astype(np.float32)
    tokens, summed, pooled = computed(made, shown, "tokens", SUM, "pooled")
    wanted = [tokens[:, 0], tokens.mean(1), summed.mean(1), pooled]
    cache = Cache(tmp_path / "cache")
    settings: Any = {"backbone": f"onnx:{network}", "preprocess": "imagenet", "columns": COLUMNS}
    for precision, allowed in ALLOWED.items():
        if precision == "bfloat16" and not computes_bfloat16(import_openvino().Core()):
            continue
        done = jaxreg.extract_features("road:60", cache=cache.root, precision=precision, **settings)
        assert done.columns[2] == "identity.blocks_1_Add_1_output_0.mean"
        dataset = read_dataset(cache, "road")
        for column, expected in zip(dataset.columns, wanted, strict=True):
            got = cache.read(done.feature_set, [column], dataset.digests)
            assert relative_error(got, expected) < allowed, (precision, column)
        run = jaxreg.train_head(
            "road", cache=cache.root, ckpts=tmp_path, head="ridge", columns="tokens.mean", folds=3
        )
        new = [np.full((60, 70, 3), grey, np.uint8) for grey in (10, 200)]
        assert np.isfinite(run.predict(new)).all()
