"""The demo: one extraction, two heads, one table."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import jaxreg
from conftest import make_planted
from jaxreg import demo
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError


@pytest.mark.slow
def test_the_demo_compares_two_heads_on_one_extraction(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    places = ["--cache", str(tmp_path / "cache"), "--ckpts", str(tmp_path / "runs")]
    assert demo.main(["--images", "60", *places]) == 0
    capfd.readouterr()
    assert demo.main(["--images", "60", *places]) == 0  # replaces its own runs
    out, err = capfd.readouterr()
    commands = re.findall(r"^\$ jaxreg (\w+) ", err, re.MULTILINE)
    assert commands == ["extract", "train", "train"]
    rows = {line[:29].strip(): line[29:].split() for line in out.splitlines()[1:]}
    assert list(rows) == [
        "median of the training rows",
        "ridge",
        "run road-original",
        "run road-best",
    ]
    for name, column in [("road-original", "mixed10.avg"), ("road-best", "mixed2.grid2x4")]:
        table = pq.read_table(tmp_path / "runs" / name / "predictions.parquet")
        sides = np.array(table["split"])
        y, found = (table[f"{kind}.steering"].to_numpy() for kind in ("target", "prediction"))
        scored = sides == "validation"
        assert rows[f"run {name}"][0] == column
        assert float(rows[f"run {name}"][1]) == pytest.approx(
            np.abs(y - found)[scored].mean(), abs=6e-4
        )
        median = np.median(y[sides == "train"])
        assert float(rows["median of the training rows"][1]) == pytest.approx(
            np.abs(y[scored] - median).mean(), abs=6e-4
        )
        report = tmp_path / "runs" / name / "report.html"
        assert report.is_file()
        assert f"report: {report}" in err


def test_the_demo_replaces_only_its_own_runs(planted: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    run = jaxreg.train_head(
        "planted", cache=planted, ckpts=runs, run="road-best", head="ridge", target="angle"
    )
    (runs / "road-original").mkdir()
    (runs / "road-original" / "notes.txt").write_text("of a user")
    kept = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    for name in ("road-original", "road-best"):
        with pytest.raises(InputError, match=f"{name} was not made by jaxreg demo") as refused:
            demo.main(["--cache", str(planted), "--ckpts", str(runs)])
        assert refused.value.remedy == f"jaxreg demo --ckpts {runs}-demo"
        assert kept == {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
        (runs / "road-original" / "notes.txt").unlink(missing_ok=True)
        kept.pop(runs / "road-original" / "notes.txt", None)
    assert run.path.is_dir()


@pytest.mark.slow
def test_a_demo_that_cannot_extract_ends_with_the_code_of_extract(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "cache").write_text("a file")
    places = ["--cache", str(tmp_path / "cache"), "--ckpts", str(tmp_path / "runs")]
    assert demo.main(places) == 2
    assert capfd.readouterr().err.count("error:") == 1


def test_a_demo_replaces_no_dataset_of_the_user(tmp_path: Path) -> None:
    dataset = read_dataset(Cache(make_planted(tmp_path)), "planted")
    write_dataset(Cache(tmp_path / "mine"), replace(dataset, name="road"))
    with pytest.raises(InputError, match=r"a dataset road from planted.csv") as caught:
        demo.weights_to_use(str(tmp_path / "mine"))
    assert caught.value.remedy == f"jaxreg demo --cache {tmp_path / 'mine'}-demo"
