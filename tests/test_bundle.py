"""`jaxreg bundle`: one file that predicts as its run does."""

import io
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

import jaxreg
from jaxreg import bundle
from jaxreg.common import stored_zip
from jaxreg.errors import InputError, Stopped
from jaxreg.trained_run import TrainedRun
from planted_runs import run_quick


@pytest.fixture
def run(planted: Path) -> TrainedRun:
    return run_quick(planted, run="one", epochs=3, folds=3)


@pytest.fixture
def packed(run: TrainedRun, tmp_path: Path) -> Path:
    out = tmp_path / "one.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    return out


def test_a_bundle_alone_predicts_what_its_run_does(
    run: TrainedRun, packed: Path, planted: Path, tmp_path: Path, monkeypatch
) -> None:
    features = np.random.default_rng(0).normal(size=(5, 12)).astype(np.float32)
    expected = run.predict_features(features)
    shutil.rmtree(run.path)
    shutil.rmtree(planted)
    elsewhere = tmp_path / "colleague"
    elsewhere.mkdir()
    moved = packed.rename(elsewhere / "one.zip")
    monkeypatch.chdir(elsewhere)
    again = jaxreg.load_run("one.zip")
    np.testing.assert_array_equal(again.predict_features(features), expected)
    assert again.summary == run.summary
    assert again.cache == Path("cache")
    assert sorted(elsewhere.iterdir()) == [moved]  # loading wrote nothing


def test_a_run_is_named_as_users_name_it(run: TrainedRun, packed: Path, monkeypatch) -> None:
    """A path or a name relative to the current folder, as in docs/give-away.md."""
    monkeypatch.chdir(run.path.parent.parent)
    folder = run.path.parent.name
    for words in ([f"{folder}/one"], ["one", "--ckpts", folder]):
        assert bundle.main([*words, "--out", "relative.zip"]) == 0
        assert Path("relative.zip").read_bytes() == packed.read_bytes()


def test_what_is_in_it(run: TrainedRun, packed: Path) -> None:
    """By zipfile, which also checks that others can open it."""
    names = zipfile.ZipFile(packed).namelist()
    assert {"config.json", "summary.json", "report.html", "checkpoints/000003.json"} <= {*names}
    assert not [name for name in names if "training" in name or "predictions" in name]
    checkpoints = sum(path.stat().st_size for path in run.path.rglob("checkpoints/**/*"))
    report = (run.path / "report.html").stat().st_size
    assert packed.stat().st_size < checkpoints + report
    before = packed.read_bytes()
    bundle.main([str(run.path), "--out", str(packed)])
    assert packed.read_bytes() == before


@pytest.mark.parametrize("kind", ["sha256", "imagenet", "random"])
def test_it_says_which_weights_predicting_needs(kind: str) -> None:
    from jaxreg.cache.recipe import Recipe

    if kind == "random":
        told = bundle._needs(Recipe(weights="random:0:v1", weights_tag="random0"), None)
        assert told == ("", [])
    elif kind == "imagenet":
        text, words = bundle._needs(Recipe(weights="ab" * 32, weights_tag="imagenet"), None)
        assert "Keras downloads" in text
        assert words == []
    else:
        recipe = Recipe(weights="ab" * 32, weights_tag="abababab")
        text, words = bundle._needs(recipe, "w.weights.h5")
        assert f"w.weights.h5, SHA-256 {'ab' * 32})" in text
        assert words == ["--weights", "FILE"]


def test_a_run_that_is_not_finished_or_damaged_is_no_gift(planted: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.zip"
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    with pytest.raises(InputError, match="is not finished"):
        bundle.main([str(planted.parent / "ckpts" / "cut"), "--out", str(out)])
    run = run_quick(planted, run="one", epochs=1)
    with pytest.raises(InputError, match=r"expected: a name that ends in \.zip"):
        bundle.main([str(run.path), "--out", str(tmp_path / "x.tar")])
    report = run.path / "report.html"
    report.write_bytes(report.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"report\.html is damaged"):
        bundle.main([str(run.path), "--out", str(out)])
    assert not out.exists()


def test_every_flipped_bit_is_found_or_changes_nothing(packed: Path) -> None:
    whole, random = packed.read_bytes(), np.random.default_rng(1)
    features = random.normal(size=(4, 12)).astype(np.float32)
    expected, raised = jaxreg.load_run(packed).predict_features(features), 0
    for at in random.integers(len(whole) * 8, size=60).tolist():
        changed = bytearray(whole)
        changed[at // 8] ^= 1 << at % 8
        packed.write_bytes(bytes(changed))
        try:
            found = jaxreg.load_run(packed).predict_features(features)
        except InputError:
            raised += 1
        else:
            np.testing.assert_array_equal(found, expected)
    assert raised


def repack(path: Path, **changes: bytes) -> None:
    files = {**stored_zip.unpack(path.read_bytes()), **changes}
    path.write_bytes(stored_zip.pack(files))


def test_a_hostile_bundle_writes_nowhere(packed: Path, tmp_path: Path) -> None:
    whole = packed.read_bytes()
    for name in ("../evil", "/tmp/evil", "checkpoints/000003/../../evil", "checkpoints/x", "a.py"):
        packed.write_bytes(whole)
        repack(packed, **{name: b"x"})
        with pytest.raises(InputError, match=re.escape(f"it holds {name!r}")):
            jaxreg.load_run(packed)
    assert not (tmp_path / "evil").exists()
    odd = [{"checkpoints/000000/x": b"", "checkpoints/000000/x/y": b""}]
    odd.append({f"checkpoints/000000/{'x' * 300}": b""})
    for files in odd:
        packed.write_bytes(whole)
        repack(packed, **files)
        with pytest.raises(InputError, match=r"one\.zip cannot be unpacked"):
            jaxreg.load_run(packed)
    packed.write_bytes(whole)
    repack(packed, **{"quantized.zip": b"junk"})
    with pytest.raises(InputError, match=r"its quantized\.zip is not that of its recipe"):
        jaxreg.load_run(packed)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", bytes(10_000_000))
    packed.write_bytes(bomb.getvalue())
    with pytest.raises(InputError, match="compressed or encrypted"):
        jaxreg.load_run(packed)
    for content in (b"", b"PK\x03\x04", whole[:-30], b"no zip"):
        packed.write_bytes(content)
        with pytest.raises(InputError, match="is damaged or is no bundle"):
            jaxreg.load_run(packed)
    packed.unlink()
    with pytest.raises(InputError, match=r"one\.zip is damaged or is no bundle: No such file"):
        jaxreg.load_run(packed)


def test_only_a_bundle_of_this_very_run_is_replaced(
    run: TrainedRun, packed: Path, planted: Path, tmp_path: Path
) -> None:
    other = run_quick(planted, run="other", epochs=1)
    with pytest.raises(InputError, match=r"one\.zip exists and is no bundle of .*other"):
        bundle.main([str(other.path), "--out", str(packed)])
    mine = tmp_path / "mine.zip"
    mine.write_bytes(stored_zip.pack({"config.json": b'{"a": 1}'}))
    with pytest.raises(InputError, match=r"mine\.zip exists and is no bundle of "):
        bundle.main([str(run.path), "--out", str(mine)])
    assert bundle.main([str(run.path), "--out", str(packed)]) == 0
