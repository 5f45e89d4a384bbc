"""Intervals of runs: summary.json, `predict --interval`, bundles, and what is refused.

The datasets have embeddings, so that no network has to run.
"""

import doctest
import hashlib
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jaxreg
from jaxreg import bundle, evaluate, predict
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.conformal import distribution, half_width
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.new_intervals import interval_texts
from jaxreg.trained_run import TrainedRun
from jaxreg.training.run_directory import RunDirectory
from planted_runs import run_quick

ROWS, WIDTH, PLACES = 200, 6, 10
OPTIONS = SourceOptions(id_column="name", group_column="place")


def made(folder: Path, rows: int = ROWS, seed: int = 0, shift: float = 0.0) -> tuple[Path, Path]:
    """A table with an angle, a share and a sum of vectors in places, and the vectors.

    The numbers of the last place are wrong by `shift`.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, WIDTH)).astype(np.float32)
    place = np.arange(rows) * PLACES // rows
    y = x[:, 0] - x[:, 1] + 0.3 * rng.normal(size=rows) + shift * (place == PLACES - 1)
    share = np.clip(0.5 + 0.4 * x[:, 2] + 0.1 * rng.normal(size=rows), 0, 1)
    turn = np.arctan2(x[:, 3], x[:, 4] + 1) + 0.2 * rng.normal(size=rows)
    lines = [
        f"r{i},place {place[i]},{y[i]:.6f},{share[i]:.6f},{np.degrees(turn[i]) % 360:.6f}"
        for i in range(rows)
    ]
    table, vectors = folder / "labels.csv", folder / "vectors.npy"
    table.write_text("\n".join(["name,place,y,share,turn", *lines]) + "\n")
    np.save(vectors, x)
    return table, vectors


def trained(folder: Path, **options: Any) -> TrainedRun:
    shift = options.pop("shift", 0.0)
    table, vectors = made(folder, shift=shift)
    given = {"cache": folder / "cache", "options": OPTIONS}
    jaxreg.extract_features(table, embeddings=str(vectors), embeddings_name="v", **given)
    usual = {"target": ("y",), "head": "ridge", "folds": 5, "split": "group:place", "run": "one"}
    return jaxreg.train_head("labels", cache=folder / "cache", ckpts=folder, **{**usual, **options})


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return trained(tmp_path_factory.mktemp("intervals"))


def words(run: TrainedRun, folder: Path, *more: str) -> list[str]:
    table, vectors = made(folder, 50, seed=1)
    own = [str(run.path), str(table), "--out", str(folder / "p.parquet")]
    cache = ["--cache", str(folder / "new")]
    return [*own, "--id-column", "name", "--embeddings", str(vectors), *cache, *more]


def errors_of(run: TrainedRun, target: str = "y") -> tuple[np.ndarray, np.ndarray]:
    table = run.predictions.to_pandas()
    both = (table[f"{part}.{target}"].to_numpy(np.float64) for part in ("prediction", "target"))
    return np.abs(np.subtract(*both)), np.unique(table["unit"], return_inverse=True)[1]


def test_the_summary_says_how_wide_and_how_many_are_inside(run: TrainedRun) -> None:
    told = run.summary["intervals"]
    errors, places = errors_of(run)
    assert (told["level"], told["units"], told["unit"]) == (0.8, PLACES, "group")
    assert told["half_width"] == {"y": half_width(distribution(errors, places), 0.8)}
    # by hand: each place is measured by the others
    shares = {}
    for place in range(PLACES):
        others = places != place
        half = half_width(distribution(errors[others], places[others]), 0.8)
        shares[f"place {place}"] = float((errors[~others] <= half).mean())
    assert told["coverage"] == pytest.approx(np.mean(list(shares.values())))
    worst = min(shares, key=lambda name: shares[name])
    assert told["worst_unit"]["unit"] == worst
    assert told["worst_unit"]["coverage"] == shares[worst]
    assert told["worst_unit"]["rows"] == ROWS / PLACES
    assert told["test"] is None


def test_predict_writes_the_ends_and_how_unlike_a_row_is(
    run: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert predict.main(words(run, tmp_path, "--interval", "0.8", "--json")) == 0
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names == [
        "id", "prediction.y", "target.y", "low.y", "high.y", "unlike", "reason",
    ]  # fmt: skip
    predicted = table["prediction.y"].to_numpy()
    half = run.summary["intervals"]["half_width"]["y"]
    np.testing.assert_allclose(table["low.y"].to_numpy(), predicted - half, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(table["high.y"].to_numpy(), predicted + half, rtol=1e-5, atol=1e-5)
    told = capsys.readouterr()
    facts = json.loads(told.out.splitlines()[-1])
    true = table["target.y"].to_numpy()
    inside = np.abs(true - predicted) <= half
    assert facts["interval"]["level"] == 0.8
    assert facts["interval"]["half_width"] == {"y": half}
    assert facts["interval"]["by_target"]["y"] == {"coverage": inside.mean(), "rows": 50}
    assert facts["unlike"] == (table["unlike"].to_numpy() > 1).sum()
    assert f"{inside.mean():.1%} of 50 targets are inside" in told.err
    # without the option, the table is as before
    assert predict.main(words(run, tmp_path)) == 0
    assert pq.read_table(tmp_path / "p.parquet").column_names == [
        "id", "prediction.y", "target.y", "reason",
    ]  # fmt: skip


def test_another_level_follows_from_the_same_errors(run: TrainedRun, tmp_path: Path) -> None:
    errors, places = errors_of(run)
    for level in ("0.5", "0.909"):
        assert predict.main(words(run, tmp_path, "--interval", level)) == 0
        table = pq.read_table(tmp_path / "p.parquet")
        wide = (table["high.y"].to_numpy() - table["low.y"].to_numpy()) / 2
        np.testing.assert_allclose(
            wide, half_width(distribution(errors, places), float(level)), rtol=1e-5
        )


@pytest.mark.parametrize(
    ("level", "expected", "remedy"),
    [
        ("0.95", r"at most 0\.909: 10 / \(10 \+ 1\)", r"--interval 0\.909"),
        ("1", "above 0 and below 1", r"--interval 0\.8"),
        ("nan", "above 0 and below 1", r"--interval 0\.8"),
    ],
)
def test_a_level_that_the_units_do_not_allow_is_refused(
    run: TrainedRun, tmp_path: Path, level: str, expected: str, remedy: str
) -> None:
    with pytest.raises(InputError, match=rf"--interval[\s\S]*{expected}[\s\S]*try: {remedy}") as e:
        predict.main(words(run, tmp_path, "--interval", level))
    assert e.value.exit_code == 2
    assert not (tmp_path / "p.parquet").exists()


def test_a_run_without_folds_names_the_command_that_gives_intervals(tmp_path: Path) -> None:
    run = trained(tmp_path, folds=None, test=0.2)
    assert run.summary["intervals"] is None
    assert not (run.path / "intervals.npz").exists()
    with pytest.raises(InputError, match="has no intervals: it has no folds") as caught:
        predict.main(words(run, tmp_path, "--interval", "0.8"))
    remedy = caught.value.remedy
    assert remedy.startswith("jaxreg train labels --cache ")
    assert "--folds 5" in remedy
    from jaxreg import train

    assert train.main(remedy.split()[2:]) == 0
    again = jaxreg.load_run(f"{run.path}-folds")
    assert predict.main(words(again, tmp_path, "--interval", "0.8")) == 0


def test_a_bundle_has_the_same_intervals(run: TrainedRun, tmp_path: Path) -> None:
    assert bundle.main([str(run.path), "--out", str(tmp_path / "one.zip")]) == 0
    assert predict.main(words(run, tmp_path, "--interval", "0.7")) == 0
    expected = pq.read_table(tmp_path / "p.parquet")
    packed = jaxreg.load_run(tmp_path / "one.zip")
    assert predict.main(words(packed, tmp_path, "--interval", "0.7")) == 0
    assert pq.read_table(tmp_path / "p.parquet").equals(expected)


def test_a_damaged_file_is_named_and_predictions_alone_still_work(
    run: TrainedRun, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(run.path, copy)
    file = copy / "intervals.npz"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    damaged = jaxreg.load_run(copy)
    with pytest.raises(InputError, match=r"intervals\.npz of .*copy is damaged"):
        predict.main(words(damaged, tmp_path, "--interval", "0.8"))
    assert predict.main(words(damaged, tmp_path)) == 0
    assert RunDirectory(copy).faults() == [f"{file} is damaged"]
    file.unlink()
    with pytest.raises(InputError, match=r"intervals\.npz of .*copy is absent"):
        predict.main(words(jaxreg.load_run(copy), tmp_path, "--interval", "0.8"))


def test_a_run_with_its_file_of_intervals_is_replaced_whole(tmp_path: Path) -> None:
    trained(tmp_path)
    assert (tmp_path / "one" / "intervals.npz").exists()
    again = trained(tmp_path, folds=None, overwrite=True)
    assert not (again.path / "intervals.npz").exists()


def test_types_of_targets(tmp_path: Path) -> None:
    """Bounded ends stay inside; the ends of an angle go around the circle."""
    kinds = ("plain", "bounded:0:1", "circular:360")
    run = trained(tmp_path, target=("y", "share", "turn"), target_type=kinds)
    told = run.summary["intervals"]
    assert {*told["half_width"]} == {*told["by_target"]} == {"y", "share", "turn"}
    assert told["coverage"] == min(one["coverage"] for one in told["by_target"].values())
    table = run.predictions.to_pandas()
    apart = np.abs(table["prediction.turn"] - table["target.turn"])
    apart = np.minimum(apart, 360 - apart).to_numpy()
    places = np.unique(table["unit"], return_inverse=True)[1]
    expected = half_width(distribution(apart, places), 0.8)
    assert told["half_width"]["turn"] == pytest.approx(expected, rel=1e-6)
    assert predict.main(words(run, tmp_path, "--interval", "0.8")) == 0
    new = pq.read_table(tmp_path / "p.parquet").to_pandas()
    assert new[["low.share", "high.share"]].stack().between(0, 1).all()
    assert new[["low.turn", "high.turn"]].stack().between(0, 360, inclusive="left").all()
    wide = (new["high.turn"] - new["low.turn"]) % 360
    np.testing.assert_allclose(wide, 2 * expected, rtol=1e-3)


def test_rows_are_units_of_a_split_by_images(tmp_path: Path) -> None:
    run = trained(tmp_path, split="hash")
    told = run.summary["intervals"]
    assert (told["units"], told["unit"], told["worst_unit"]) == (ROWS, "row", None)
    errors, _ = errors_of(run)
    assert told["half_width"]["y"] == np.sort(errors)[int(np.ceil(0.8 * (ROWS + 1))) - 1]
    # by hand: the rows of a fold are measured by the rows of the others
    fold, shares = run.predictions["fold"].to_numpy(), []
    for number in range(5):
        others = np.sort(errors[fold != number])
        half = others[int(np.ceil(0.8 * (len(others) + 1))) - 1]
        shares.extend(errors[fold == number] <= half)
    assert told["coverage"] == pytest.approx(np.mean(shares))


def test_few_units_have_the_widest_level_that_they_allow(tmp_path: Path) -> None:
    table, vectors = made(tmp_path)
    text = table.read_text()
    for number in range(3, PLACES):
        text = text.replace(f"place {number}", f"place {number % 3}")
    table.write_text(text)
    given = {"cache": tmp_path / "cache", "options": OPTIONS}
    jaxreg.extract_features(table, embeddings=str(vectors), embeddings_name="v", **given)
    usual = {"target": ("y",), "head": "ridge", "folds": 3, "split": "group:place", "run": "one"}
    run = jaxreg.train_head("labels", cache=tmp_path / "cache", ckpts=tmp_path, **usual)
    assert run.summary["intervals"]["level"] == 3 / 4
    assert "level 0.75" in run.report.read_text()


def test_a_unit_with_other_errors_is_named_by_the_verdict(run: TrainedRun, tmp_path: Path) -> None:
    planted = trained(tmp_path, shift=6.0)
    findings = {one["code"]: one for one in planted.verdict["findings"]}
    found = findings["unit-not-covered"]
    assert found["severity"] == "warning"
    assert "place 9" in found["evidence"]
    assert "place 9" in found["remedy"]
    assert planted.summary["intervals"]["worst_unit"]["unit"] == "place 9"
    assert "unit-not-covered" not in {one["code"] for one in run.verdict["findings"]}
    page = planted.report.read_text()
    assert page.index(">place 9<") < page.index(">place 1<")


def test_under_a_shift_evaluate_says_what_was_measured(
    run: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, vectors = made(tmp_path, 100, seed=3)
    rows = [line.split(",") for line in table.read_text().splitlines()]
    for row in rows[1:]:
        row[2] = f"{float(row[2]) + 5:.6f}"  # all targets are higher than those of the training
    table.write_text("\n".join(",".join(row) for row in rows) + "\n")
    own = [str(run.path), str(table), "--id-column", "name", "--embeddings", str(vectors)]
    assert evaluate.main([*own, "--cache", str(tmp_path / "new"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    found = told["intervals"]["by_target"]["y"]
    assert (found["coverage"], found["rows"]) == (0.0, 100)
    assert told["intervals"]["half_width"] == run.summary["intervals"]["half_width"]


def test_in_python_as_the_page_says(planted: Path, tmp_path: Path) -> None:
    """The cache has the features of the two images, so no network runs."""
    run = run_quick(planted, run="one", head="ridge", folds=3)
    cache, images = Cache(planted), []
    for number in range(2):
        image = tmp_path / f"{number}.png"
        Image.new("RGB", (8, 8), (number, 0, 0)).save(image)
        images.append(str(image))
    digests = [hashlib.sha256(Path(image).read_bytes()).hexdigest() for image in images]
    features = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    cache.add(run.features.feature_set, Column(), digests, features)
    page = Path(__file__).parent.parent / "docs" / "intervals.md"
    found = doctest.testfile(str(page), False, globs={"run": run, "images": images})
    assert found == (0, 3)
    told = run.predict(images, interval=0.5)
    np.testing.assert_allclose(told.predictions, run.predict(images))
    half = half_width(distribution(*errors_of(run, "angle")), 0.5)
    np.testing.assert_allclose(told.high - told.low, 2 * half, rtol=1e-5)


def test_the_line_of_predict_names_the_measured_level_where_it_is_another() -> None:
    stored = {"level": 0.8, "by_target": {"y": {"coverage": 0.84}}}
    run: Any = SimpleNamespace(summary={"intervals": stored})
    for level, which in [(0.8, ""), (0.5, "of level 0.8, ")]:
        own = {"level": level, "half_width": {"y": 0.3829}, "by_target": {}}
        assert interval_texts(run, {"interval": own, "unlike": None}) == [
            f"y: intervals of level {level} are ±0.3829; {which}84.0% of held-out targets were "
            "inside"
        ]


def test_one_image_is_unlike_and_two_images_are() -> None:
    run: Any = SimpleNamespace(summary={"intervals": {}}, features=SimpleNamespace(networks=["a"]))
    own = {"level": 0.8, "half_width": {}, "by_target": {}}
    for count, which in [(1, "1 image is"), (2, "2 images are")]:
        [text] = interval_texts(run, {"interval": own, "unlike": count})
        assert text.startswith(f"{which} unlike the training images (column unlike above 1)")
