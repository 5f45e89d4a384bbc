"""The last line of a command is the command to type next, with the places that the user gave."""

import shlex
from pathlib import Path

import pyarrow as pa
import pytest

from cache_files import part_paths
from jaxreg import bundle, diagnose, extract, verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.experiment.resolve import resolve
from jaxreg.extract_config import SourceOptions
from jaxreg.extraction.extract_source import Extraction
from planted_runs import edit_dataset, run_quick


def after_extract(planted: Path, **own: str) -> str:
    """What `extract` says after the dataset `planted`."""
    done = Extraction("planted", "", (), 240, 240, 0, 0, "jax", "float32", 1.0, {}, "")
    arguments = extract.ExtractArguments("planted.csv", cache=str(planted), **own)  # pyright: ignore
    return extract._train_command(done, arguments, Cache(planted))


def test_extract_names_the_training(planted: Path) -> None:
    assert after_extract(planted) == f"jaxreg train planted --cache {planted}"
    best = f"jaxreg train planted --cache {planted} --preset best"
    assert after_extract(planted, preset="best") == best
    edit_dataset(planted, targets=())  # with several columns of numbers, `train` asks for one
    words = shlex.split(after_extract(planted))
    assert words[:-1] == ["jaxreg", "train", "planted", "--cache", str(planted), "--target"]
    assert words[-1] in ("angle", "speed")


def as_photos(planted: Path, **columns: list[str]) -> None:
    """Make the planted dataset one of photos, not of frames, with more columns of text."""

    def table(dataset):
        found = dataset.table
        for name, values in columns.items():
            found = found.append_column(name, pa.array(values, pa.string()))
        return found

    edit_dataset(planted, sequential=False, table=table)


PLACES = [f"place-{row // 10}" for row in range(240)]
SIDES = ["train", "train", "val", "test"] * 60


@pytest.mark.parametrize(
    ("columns", "split"),
    [
        ({"group": PLACES}, "group:group"),
        ({"group": PLACES, "place": PLACES}, "group:place"),
        ({"group": ["a"] * 240}, ""),  # a single group cannot be split
        ({"group": PLACES, "Split": SIDES}, "column:Split"),
        ({"fold": [f"{row % 5}" for row in range(240)]}, "column:fold"),
        ({"fold": [f"{row % 2}" for row in range(240)]}, ""),  # two folds are refused
        ({"split": ["test"] * 240}, ""),  # no row trains
        ({"split": PLACES}, ""),
        ({"group": SIDES}, "column:group"),  # folders called train, val and test
    ],
)
def test_extract_names_the_split_that_the_training_needs(
    planted: Path, columns: dict[str, list[str]], split: str
) -> None:
    edit_dataset(planted, table=lambda dataset: dataset.table.drop_columns(["group"]))
    as_photos(planted, **columns)
    if "place" in columns:
        edit_dataset(planted, options=SourceOptions(group_column="place"))
    command = after_extract(planted, preset="best")
    best = f"jaxreg train planted --cache {planted} --preset best"
    assert command == best + (f" --split {split}" if split else "")
    cache = Cache(planted)
    run = resolve(cache, read_dataset(cache, "planted"), {"split": split} if split else {})
    assert run.config.split == (split or "hash")  # what is offered is not refused


def test_rows_of_sequences_need_no_split(planted: Path) -> None:
    assert len(set(read_dataset(Cache(planted), "planted").table["group"].to_pylist())) > 1
    assert "--split" not in after_extract(planted)


def test_the_target_and_the_split_are_words_of_a_shell(planted: Path) -> None:
    def table(dataset):
        found = dataset.table.select(["id", "digest", "order", "angle", "speed"])
        found = found.rename_columns(["id", "digest", "order", "steering angle", "speed"])
        for name in ("group", "my place"):
            found = found.append_column(name, pa.array(PLACES))
        return found

    options = SourceOptions(group_column="my place")
    edit_dataset(planted, targets=(), sequential=False, table=table, options=options)
    words = shlex.split(after_extract(planted))
    assert words[-4:] == ["--target", "steering angle", "--split", "group:my place"]


def test_images_without_numbers_have_no_training(planted: Path) -> None:
    def only_text(dataset):
        return dataset.table.select(["id", "digest", "order", "group", "mode"])

    edit_dataset(planted, targets=(), bookkeeping=(), table=only_text)
    assert after_extract(planted) == ""


def test_the_usual_cache_is_not_named(planted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(planted.parent)
    assert after_extract(Path("cache")) == "jaxreg train planted"


def test_verify_names_the_repair_and_then_the_extraction(
    planted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = Cache(planted)
    [feature_set] = cache.feature_sets()
    [part] = part_paths(cache, feature_set, Column())
    words = ["--cache", str(planted)]
    assert verify.main(words) == 0
    assert capsys.readouterr().err.splitlines()[-1].endswith("0 other faults")  # nothing to do
    part.write_bytes(part.read_bytes()[:-1])
    assert verify.main(words) == verify.DAMAGED
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"try: jaxreg verify --cache {planted} --repair"
    assert verify.main(shlex.split(last)[3:]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"try: {read_dataset(cache, 'planted').extract_command()}"


def test_a_bundle_names_the_prediction(
    planted: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, out = run_quick(planted, epochs=1), tmp_path / "one.zip"
    assert bundle.main([str(run.path), "--out", str(out)]) == 0
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == f"next: jaxreg predict {out} SOURCE --out predictions.csv"


@pytest.mark.parametrize(
    ("remedy", "page", "last"),
    [
        ("jaxreg train d --epochs 9", "diagnosis.html", "try: jaxreg train d --epochs 9"),
        (
            "",
            "diagnosis.html",
            "next: jaxreg train planted --target angle --cache cache --ckpts r --split group:group",
        ),
        ("", "r/d/diagnosis.html", "diagnosis: r/d/diagnosis.html (1 s)"),  # a run that is healthy
    ],
)
def test_diagnose_ends_with_its_remedy_or_the_training_of_a_dataset(
    remedy: str,
    page: str,
    last: str,
    planted: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = {"headline": "learning", "remedy": remedy}
    done = {"verdict": verdict, "page": page, "seconds": 1.0}
    monkeypatch.setattr("jaxreg.diagnosis.run_diagnosis.diagnose", lambda *_, **__: done)
    monkeypatch.chdir(planted.parent)
    edit_dataset(planted, sequential=False)
    words = ["planted", "--target", "angle", "--cache", "cache", "--ckpts", "r"]
    assert diagnose.main(words) == 0
    assert capsys.readouterr().err.splitlines()[-1] == last
    assert diagnose.main([*words, "--json"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"diagnosis: {page} (1 s)"
