"""`verify --recompute`: a sample computed again from the images, by an engine that is known."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

import jaxreg
from jaxreg import verify
from jaxreg.cache.parts import list_parts, read_part, write_part
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.extraction import recompute
from jaxreg.sources.examples import Examples


class EdgeEngine:
    """Feature = the colours of the left edge: another image or a flip gives another one."""

    name, parallel = "edge", 1

    def __init__(self, columns) -> None:
        self.columns = columns

    def compile(self, image, batch) -> None:
        pass

    def features(self, images) -> dict[str, np.ndarray]:
        edges = [rgb[:8, 0].reshape(-1) for rgb in images]
        return {c.identity.name: np.stack(edges).astype(np.float32) for c in self.columns}


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Cache:
    """Drawn frames and photos in two views, and where they are from."""

    def load(name, recipe, columns, weights, **more):
        return EdgeEngine(columns)

    monkeypatch.setattr("jaxreg.extraction.network_choice.load_engine", load)
    monkeypatch.setattr(recompute, "load_engine", load)
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    Path("photos").mkdir()
    for number in range(6):
        pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(f"photos/{number}.png")
    settings = {"weights": "random", "views": ("identity", "mirror")}
    for source in ("photos", "road:5"):
        jaxreg.extract_features(source, **settings)
    return Cache(Path("cache"))


def run(capsys, *words: str) -> tuple[int, dict, str]:
    code = verify.main(["--json", *words])
    told = capsys.readouterr()
    return code, json.loads(told.out.splitlines()[-1]), told.err


def test_what_is_right_is_found_right(cache: Cache, capsys) -> None:
    code, told, _ = run(capsys, "--recompute", "7")
    assert (code, told["recomputed"], told["not_recomputed"]) == (0, 14, [])
    code, told, _ = run(capsys)
    assert (code, "recomputed" in told) == (0, False)


def test_a_wrong_feature_in_a_sound_part_is_named(cache: Cache, capsys) -> None:
    [feature_set] = cache.feature_sets()
    folder = cache.folder(feature_set, Column(view="mirror"))
    part = list_parts(cache.store, folder)[0]
    table = read_part(cache.store, part)
    features = table["feature"].to_pylist()
    features[2][0] += 1.0
    cache.store.delete(part)
    lists = pa.array(features, table.schema.field("feature").type)
    write_part(cache.store, folder, pa.table({"digest": table["digest"], "feature": lists}))
    code, told, errors = run(capsys, "--recompute", "100")
    assert code == verify.DAMAGED == 6
    [wrong] = told["wrong"]
    digest = table["digest"][2].as_py()
    assert wrong.startswith(f"{feature_set}/mirror.mixed10.avg: the features of ")
    assert digest[:12] in wrong
    assert "differ from those computed now by 0.0039 of the largest; at most 0.0001" in wrong
    assert "recomputed 22 features: 1 differ" in errors


def test_features_in_half_precision_may_be_rounded(cache: Cache, capsys) -> None:
    jaxreg.extract_features("photos", name="half", weights="random:1", dtype="float16")
    code, told, _ = run(capsys, "--recompute", "100")
    assert (code, told["recomputed"]) == (0, 28)


def test_what_cannot_be_had_again_is_said(cache: Cache, capsys) -> None:
    rng = np.random.default_rng(5)
    arrays = list(rng.integers(0, 256, (2, 9, 9, 3), dtype=np.uint8))
    nothing = pa.table({"": pa.nulls(2)}).select([])
    examples = Examples(("a", "b"), arrays, nothing, {"kind": "arrays"})
    jaxreg.extract_features(examples, weights="random:3")
    Path("photos").rename("moved")
    code, told, _ = run(capsys, "--recompute", "100")
    assert (code, told["recomputed"]) == (0, 10)  # what jaxreg draws is always there
    said = " ".join(told["not_recomputed"])
    assert "arrays was made from images in memory, which cannot be read again" in said
    assert "the source of photos cannot be opened: no such source: 'photos'" in said


def test_a_changed_image_is_not_compared(cache: Cache, capsys) -> None:
    Path("photos/0.png").write_bytes(Path("photos/1.png").read_bytes())
    code, told, _ = run(capsys, "--recompute", "100")
    assert (code, told["recomputed"]) == (0, 20)
    assert "images of photos have changed since" in told["not_recomputed"][0]
