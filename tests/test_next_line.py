"""The last line of a command is the command to type next, with the places that the user gave."""

import shlex
from pathlib import Path

import pytest

from jaxreg import bundle, diagnose, extract, verify
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.parts import list_parts
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.extraction.extract_source import Extraction
from planted_runs import edit_dataset, run_quick


def after_extract(planted: Path, **own: str) -> str:
    """What `extract` says after the dataset `planted`."""
    done = Extraction("planted", "", (), 240, 240, 0, 0, "jax", "float32", 1.0, {}, "")
    arguments = extract.ExtractArguments("planted.csv", cache=str(planted), **own)  # pyright: ignore
    return extract._train_command(done, arguments)


def test_extract_names_the_training(planted: Path) -> None:
    assert after_extract(planted) == f"jaxreg train planted --cache {planted}"
    best = f"jaxreg train planted --cache {planted} --preset best"
    assert after_extract(planted, preset="best") == best
    edit_dataset(planted, targets=())  # with several columns of numbers, `train` asks for one
    words = shlex.split(after_extract(planted))
    assert words[:-1] == ["jaxreg", "train", "planted", "--cache", str(planted), "--target"]
    assert words[-1] in ("angle", "speed")


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
    [part] = list_parts(cache.folder(feature_set, Column()))
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
        ("", "diagnosis.html", "next: jaxreg train d --target angle --cache c --ckpts r"),
        ("", "r/d/diagnosis.html", "diagnosis: r/d/diagnosis.html (1 s)"),  # a run that is healthy
    ],
)
def test_diagnose_ends_with_its_remedy_or_the_training_of_a_dataset(
    remedy: str,
    page: str,
    last: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = {"headline": "learning", "remedy": remedy}
    done = {"verdict": verdict, "page": page, "seconds": 1.0}
    monkeypatch.setattr("jaxreg.diagnosis.run_diagnosis.diagnose", lambda *_, **__: done)
    words = ["d", "--target", "angle", "--cache", "c", "--ckpts", "r"]
    assert diagnose.main(words) == 0
    assert capsys.readouterr().err.splitlines()[-1] == last
    assert diagnose.main([*words, "--json"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"diagnosis: {page} (1 s)"
