"""The scripts in examples/, run as a reader runs them, on small pictures and random weights."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.linear_model import RidgeCV
from sklearn.metrics import mean_absolute_error, r2_score
from sklearn.model_selection import GroupKFold

import jaxreg

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_example(name: str, folder: Path, *words: str) -> str:
    """What the script prints, run in `folder`."""
    command = [sys.executable, str(EXAMPLES / name), *words, "--weights", "random"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def numbers_after(word: str, printed: str) -> list[float]:
    """The numbers of the line that begins with a word."""
    (line,) = re.findall(rf"^{re.escape(word)}(.*)$", printed, re.MULTILINE)
    return [float(text) for text in re.findall(r"-?\d+\.\d+", line)]


def grey(path: Path, value: int, rng: np.random.Generator) -> None:
    """A noisy picture of one brightness."""
    pixels = rng.integers(value - 20, value + 20, size=(80, 100, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, quality=95)


@pytest.mark.slow
def test_photos(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "new").mkdir()
    rows, broken = [], []
    for i, value in enumerate(rng.integers(30, 220, size=60)):
        grey(tmp_path / f"{i}.png", value, rng)
        rows.append((f"{i}.png", value / 10, f"album {i // 6}"))
    for name in ("broken.png", "torn.png"):  # a share above the 1% that is allowed by default
        (tmp_path / name).write_bytes((tmp_path / "0.png").read_bytes()[:1000])
        broken.append((name, 1.0, "album 0"))
    for value in (60, 120, 180):
        grey(tmp_path / "new" / f"{value}.jpg", value, rng)
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("image", "light", "album"), *rows, *broken])
    words = ("--target", "light", "--group", "album")
    printed = run_example("photos.py", tmp_path, "labels.csv", "new", *words)
    assert "60 photos can be used, 2 cannot" in printed
    new = [numbers_after(f"{value}.jpg:", printed)[0] for value in (60, 120, 180)]
    np.testing.assert_allclose(new, [6, 12, 18], atol=3)
    # whole albums are held out, and the printed score is that of their rows
    table = pq.read_table(tmp_path / "ckpts" / "photos-1" / "predictions.parquet")
    split = dict(zip(table["id"].to_pylist(), table["split"].to_pylist(), strict=True))
    sides = {(album, split[image]) for image, _, album in rows}
    assert len(sides) == 10
    told = dict(zip(table["id"].to_pylist(), table["prediction.light"].to_pylist(), strict=True))
    held_out = [(light, told[image]) for image, light, _ in rows if split[image] == "validation"]
    mae = mean_absolute_error(*zip(*held_out, strict=True))
    (printed_mae,) = re.findall(r"^learning.*: MAE ([\d.]+)", printed, re.MULTILINE)
    assert float(printed_mae) == pytest.approx(mae, rel=5e-3)


@pytest.fixture(scope="module")
def driving(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which both scripts about driving run, so that they share a cache."""
    return tmp_path_factory.mktemp("driving")


@pytest.mark.slow
def test_driving(driving: Path) -> None:
    printed = run_example("driving.py", driving, "road:120", "--epochs", "2")
    errors = []
    for run in ("drive-1", "drive-2"):
        table = pq.read_table(driving / "ckpts" / run / "predictions.parquet").to_pandas()
        error = (table["prediction.steering"] - table["target.steering"]).abs()
        errors.append(error.groupby(table["fold"]).mean().to_numpy())
        (line,) = [line for line in printed.splitlines() if line.startswith(f"ckpts/{run}, ")]
        (mae,) = re.findall(r"MAE ([\d.]+)", line)  # three digits, without zeros at the end
        assert float(mae) == pytest.approx(error.mean(), rel=5e-3)
    told = [numbers_after(f"fold {fold}:", printed) for fold in range(5)]
    np.testing.assert_allclose(told, np.transpose(errors), atol=6e-5)
    assert f"better in {np.sum(errors[1] < errors[0])} of 5 folds" in printed


@pytest.mark.slow
def test_scikit_learn(driving: Path) -> None:
    printed = run_example("sklearn_pipeline.py", driving, "road:120")
    X, y, _, groups = jaxreg.load_features("drive", cache=driving / "cache", target="steering")
    assert y is not None
    scores = []
    for train, held_out in GroupKFold(5).split(X, y, groups):
        mean, std = X[train].mean(axis=0), X[train].std(axis=0)
        scaled = (X - mean) / np.where(std > 0, std, 1)
        ridge = RidgeCV(np.logspace(0, 6, 13)).fit(scaled[train], y[train])
        scores.append(r2_score(y[held_out], ridge.predict(scaled[held_out])))
    expected = [np.mean(scores), min(scores), max(scores)]
    told = re.search(r"^ridge: R² (\S+), from (\S+) to (\S+)$", printed, re.MULTILINE)
    assert told is not None
    np.testing.assert_allclose([float(text) for text in told.groups()], expected, atol=2e-3)
    assert re.search(r"^head: R² -?\d\.\d{3}", printed, re.MULTILINE)


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_the_docs_name_it(script: Path) -> None:
    limit = 70 if script.name == "serve.py" else 40
    assert len(script.read_text().splitlines()) < limit
    index = (EXAMPLES.parent / "docs" / "README.md").read_text()
    assert f"(../examples/{script.name})" in index
