"""`jaxreg runs` and `jaxreg list`; a run that goes on with the cache that it names."""

import csv
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.metrics import r2_score

import jaxreg
from jaxreg import bundle, cli, runs
from jaxreg import list as list_command
from jaxreg.backbone.registry import BACKBONES
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, Stopped
from jaxreg.new_predictions import known_rows, trained_examples
from jaxreg.sources import open_source
from jaxreg.verdict.catalogue import EVERY_CAUSE
from planted_runs import digests_of, edit_dataset, run_quick


def last_json(capsys: pytest.CaptureFixture[str]) -> dict:
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_runs_of_a_folder_in_one_table(planted: Path, tmp_path: Path, capsys) -> None:
    mlp = run_quick(planted, run="mlp")
    run_quick(planted, run="ridge", head="ridge")
    run_quick(planted, run="hash", split="hash")
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    old = planted.parent / "ckpts" / "old"
    old.mkdir()
    (old / "config.json").write_text('{"format": 1}')
    out = tmp_path / "runs.csv"
    folder = str(planted.parent / "ckpts")
    capsys.readouterr()
    assert runs.main([folder, "--json", "--csv", str(out)]) == 0
    told = capsys.readouterr()
    answer = json.loads(told.out.splitlines()[-1])
    assert "cut is left out: it is not finished" in told.err
    assert "old is left out" in told.err
    rows = {Path(row["run"]).name: row for row in answer["runs"]}
    assert rows.keys() == {"mlp", "ridge", "hash"}
    table = pq.read_table(mlp.path / "predictions.parquet").to_pandas()
    held_out = table[table["split"] == "validation"]
    mae = np.abs(held_out["prediction.angle"] - held_out["target.angle"]).mean()  # by hand
    median = table[table["split"] == "train"]["target.angle"].median()
    usual = np.abs(held_out["target.angle"] - median).mean()
    assert rows["mlp"]["mae"] == pytest.approx(mae, rel=1e-5)
    assert rows["mlp"]["gain_over_median"] == pytest.approx(1 - mae / usual, rel=1e-5)
    assert rows["mlp"]["rows"] == len(held_out)
    assert rows["mlp"]["comparable"] == rows["ridge"]["comparable"] != rows["hash"]["comparable"]
    maes = [row["mae"] for row in answer["runs"]]
    assert maes == sorted(maes)
    gains = {row["run"]: row["gain_over_median"] for row in answer["runs"]}
    assert answer["best"] == max(gains, key=gains.__getitem__)
    with open(out, newline="") as file:
        assert [row["run"] for row in csv.DictReader(file)] == [r["run"] for r in answer["runs"]]
    (mlp.path / "predictions.parquet").write_bytes(b"PAR1")
    assert runs.main([folder, "--json", "--sort", "r2", "--dataset", "planted"]) == 0
    assert len(last_json(capsys)["runs"]) == 2
    assert runs.main([folder, "--json", "--dataset", "another"]) == 0
    assert last_json(capsys) == {"runs": [], "best": None}
    with pytest.raises(InputError, match="--sort colour"):
        runs.main([folder, "--sort", "colour"])


def test_runs_of_several_targets_are_compared_by_r2(planted: Path, capsys) -> None:
    both = {"target": ("angle", "speed"), "head": "ridge"}
    folder = str(planted.parent / "ckpts")
    first = run_quick(planted, run="a-worse", components=2, **both)
    run_quick(planted, run="b-better", **both)
    assert runs.main([folder, "--json"]) == 0
    answer = last_json(capsys)
    assert [Path(row["run"]).name for row in answer["runs"]] == ["b-better", "a-worse"]
    assert answer["best"] == answer["runs"][0]["run"]
    table = pq.read_table(first.path / "predictions.parquet").to_pandas()
    known, held_out = (table[table["split"] == side] for side in ("train", "validation"))
    true = held_out[["target.angle", "target.speed"]]
    told = held_out[["prediction.angle", "prediction.speed"]]
    worse = answer["runs"][1]
    assert worse["mae"] is None
    assert worse["r2"] == pytest.approx(r2_score(true, told), rel=1e-5)
    # the mean of the shares by hand: a share has no unit
    error = np.abs(told.to_numpy() - true.to_numpy()).mean(axis=0)
    usual = np.abs(known[list(true)].median().to_numpy() - true.to_numpy()).mean(axis=0)
    assert worse["gain_over_median"] == pytest.approx((1 - error / usual).mean(), rel=1e-5)
    run_quick(planted, run="one", head="ridge")
    assert runs.main([folder, "--json"]) == 0
    names = [Path(row["run"]).name for row in last_json(capsys)["runs"]]
    assert names == ["one", "b-better", "a-worse"]


def test_lists_of_what_there_is(planted: Path, capsys) -> None:
    def listed(kind: str) -> list[dict]:
        assert list_command.main([kind, "--cache", str(planted), "--json"]) == 0
        return last_json(capsys)[kind]

    [dataset] = listed("datasets")
    assert (dataset["dataset"], dataset["rows"], dataset["targets"]) == ("planted", 240, ["angle"])
    [column] = listed("feature-sets")
    assert (column["column"], column["images"]) == ("identity.mixed10.avg", 240)
    assert [row["backbone"] for row in listed("backbones")] == list(BACKBONES)
    codes = [cause.code for cause in EVERY_CAUSE]
    assert [row["code"] for row in listed("causes")] == codes
    assert list_command.main(["datasets", "--cache", str(planted)]) == 0
    assert "planted" in capsys.readouterr().out


def test_a_run_goes_on_with_the_cache_it_names_and_moves_with_it(planted: Path) -> None:
    with pytest.raises(Stopped):
        run_quick(planted, run="cut", should_stop=lambda: True)
    place = planted.parent / "moved"
    place.mkdir()
    shutil.move(planted, place / planted.name)
    shutil.move(planted.parent / "ckpts", place / "ckpts")
    run = jaxreg.train_head(run=place / "ckpts" / "cut", resume=True)  # no --cache is needed
    assert run.summary["epochs"] == 12
    assert run.cache == (place / planted.name).resolve()
    shutil.move(place / planted.name, place / "away")
    with pytest.raises(InputError, match=r"the cache of .* is not in [\s\S]*try: --cache"):
        jaxreg.load_run(run.path).predict([b"x"])
    with pytest.raises(InputError, match=r"is not in [\s\S]*try: --cache"):
        jaxreg.train_head(run=run.path, resume=True)
    assert not (place / planted.name).exists()


@pytest.mark.parametrize("beside", ["run", "ckpts"])
def test_a_copied_run_finds_the_cache_that_was_copied_beside_it(
    planted: Path, beside: str, monkeypatch
) -> None:
    """`cache/` and one run on another machine, where the first machine's folders do not exist."""
    run = run_quick(planted, run="one", epochs=1)
    other = planted.parent / "deeper" / "other"
    copied = other / "one" if beside == "run" else other / "ckpts" / "one"
    shutil.copytree(run.path, copied)
    shutil.copytree(planted, other / planted.name)
    shutil.move(planted, planted.parent / "gone")
    shutil.move(run.path.parent, planted.parent / "gone ckpts")
    before = sorted(planted.parent.rglob("*"))
    monkeypatch.chdir("/")
    loaded = jaxreg.load_run(copied)
    assert loaded.cache == other / planted.name
    longer = jaxreg.train_head(run=copied, resume=True, epochs=2)
    assert longer.summary["epochs"] == 2
    new = [path for path in sorted(planted.parent.rglob("*")) if path not in before]
    assert all(path.is_relative_to(copied) for path in new)


def test_a_cache_or_runs_that_are_not_there(planted: Path, capsys) -> None:
    with pytest.raises(InputError, match="no cache nowhere"):
        list_command.main(["datasets", "--cache", "nowhere"])
    (planted.parent / "ckpts").mkdir()
    assert runs.main([str(planted.parent / "ckpts"), "--dataset", "foo"]) == 0
    captured = capsys.readouterr()
    assert (captured.out, "no finished run of foo" in captured.err) == ("", True)


def test_names_that_no_file_can_have_are_one_message(planted: Path, tmp_path: Path) -> None:
    long = "x" * 300
    with pytest.raises(InputError, match=r"--name 'a/b'[\s\S]*try: --name a-b"):
        jaxreg.extract_features("road:2", name="a/b", cache=planted)
    with pytest.raises(InputError, match="at most 80"):
        jaxreg.extract_features("road:2", name="画" * 90, cache=planted)
    for arguments in (
        ["train", long, "--cache", str(planted)],
        ["train", "planted", "--cache", str(planted), "--run", long],
        ["train", "planted", "--cache", long],
        ["verify", long],
        ["verify", "--cache", long],
        ["diagnose", long],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "jaxreg", *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 2, done.stderr
        assert done.stderr.count("error: ") == 1
        assert "Traceback" not in done.stderr


def test_predict_says_where_it_makes_a_cache(planted: Path, tmp_path: Path) -> None:
    run, said = run_quick(planted, run="one", epochs=1), list[str]()
    image = tmp_path / "a.png"
    Image.new("RGB", (80, 80)).save(image)
    for cache in (tmp_path / "new", planted):
        with pytest.raises(Stopped):
            run.predict_table(
                open_source(image), cache=cache, say=said.append, should_stop=lambda: True
            )
    assert said == [f"note: a new cache is made in {tmp_path / 'new'}"]


def test_a_run_beside_the_command_and_a_bundle_are_named(
    planted: Path, tmp_path: Path, monkeypatch
) -> None:
    run = run_quick(planted, run="one", epochs=1)
    monkeypatch.chdir(run.path.parent)
    with pytest.raises(InputError, match=r"no run ckpts.one\n.*\n  try: use the run \./one$"):
        jaxreg.load_run(Path("ckpts/one"))
    bundle.main([str(run.path), "--out", str(tmp_path / "one.zip")])
    with pytest.raises(InputError, match=r"one\.zip is a bundle, which only predict"):
        bundle.main([str(tmp_path / "one.zip"), "--out", str(tmp_path / "two.zip")])
    (tmp_path / "mine.zip").write_bytes(b"mine")
    with pytest.raises(InputError, match=r"mine\.zip is damaged or is no bundle"):
        bundle.main([str(run.path), "--out", str(tmp_path / "mine.zip")])
    (tmp_path / "mine.csv").write_text("image,angle\n")
    with pytest.raises(InputError, match=r"mine\.csv exists and is no table of runs"):
        runs.main([str(run.path.parent), "--csv", str(tmp_path / "mine.csv")])


def test_a_damaged_dataset_hides_no_other(planted: Path, capsys) -> None:
    shutil.copy(planted / "datasets" / "planted.parquet", planted / "datasets" / "two.parquet")
    assert list_command.main(["datasets", "--cache", str(planted), "--json"]) == 0
    told = capsys.readouterr()
    assert [row["dataset"] for row in json.loads(told.out)["datasets"]] == ["planted"]
    assert "two is left out" in told.err


def test_resuming_on_a_mended_dataset_says_what_changed(planted: Path) -> None:
    run = run_quick(planted, run="one", epochs=1)
    edit_dataset(planted, table=lambda dataset: dataset.table.slice(1))
    with pytest.raises(InputError, match="images or numbers of the dataset planted have changed"):
        jaxreg.train_head(cache=planted, run=run.path, resume=True, epochs=2)


def test_predict_counts_the_images_that_trained(planted: Path) -> None:
    """By hand from predictions.parquet; with folds every row trains the heads of other folds."""
    for options, sides in [({}, ["train"]), ({"folds": 3}, ["validation"])]:
        run = run_quick(planted, run=f"r{len(options)}", epochs=1, **options)
        split = run.predictions["split"].to_pylist()
        digests = [*digests_of(planted), "0" * 64, None]
        expected = sum(side in sides for side in split)
        known = known_rows(run, Cache(planted))
        assert trained_examples(run, known, digests).sum() == expected > 0
    edit_dataset(planted, table=lambda dataset: dataset.table.slice(1))
    assert known_rows(run, Cache(planted)) is None


def test_a_number_is_never_cut_on_a_narrow_terminal(monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    cli.print_table(["run", "mae", "r2"], [["ckpts/a-long-name-of-a-run", "0.1234", "-1.23e-05"]])
    told = capsys.readouterr().out
    assert "0.1234" in told
    assert "-1.23e-05" in told


def test_a_narrow_terminal_folds_names_last_and_cuts_no_column(monkeypatch, capsys) -> None:
    name, row = "a-run-of-22-characters", ["mixed2.grid2x4 mixed3.avg", "0.08 to 0.147", "3"]
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    for width, shown in [(49, False), (50, True)]:
        monkeypatch.setenv("COLUMNS", str(width))
        cli.print_table(["run", "columns", "95%", "comparable"], [[name, *row]], ["columns"])
        told = capsys.readouterr()
        lines = re.sub(r"\x1b\[\d*m", "", told.out).splitlines()  # without colours
        assert max(map(len, lines)) <= width
        assert any(line.startswith(name) for line in lines)
        assert any(line.rstrip().endswith("comparable") for line in lines)
        assert ("columns" in told.err) is not shown
