"""`jaxreg runs` on planted runs: order, groups, intervals, differences, and runs that are broken.

Expected numbers come from NumPy, scikit-learn and SciPy, on predictions.parquet.
"""

import csv
import doctest
import json
import re
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.stats
from sklearn.metrics import mean_absolute_error, r2_score

import jaxreg
from conftest import make_planted
from jaxreg import runs
from jaxreg.comparison.bootstrap import share_outside
from jaxreg.comparison.runs_table import FLAT, load_runs
from jaxreg.errors import InputError
from planted_runs import run_quick, with_column

changed_run = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "runs.py"))[
    "changed_run"
]


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of five folds over 20 blocks."""
    cache = make_planted(tmp_path_factory.mktemp("first"))
    return run_quick(cache, run="first", head="ridge", folds=5, split="blocks:10").path


def table_of(run: Path, error: np.ndarray) -> pa.Table:
    """The predictions of a run with these errors in place of its own."""
    table = pq.read_table(run / "predictions.parquet")
    told = table["target.angle"].to_numpy() + error
    return with_column(table, "prediction.angle", pa.array(told.astype(np.float32)))


def noise(seed: int, scale: float) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, 240)


def answer_of(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    assert runs.main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_sixty_runs_of_a_known_order(first: Path, tmp_path: Path, capsys) -> None:
    names = np.random.default_rng(3).permutation(60)
    for place, name in enumerate(names):  # the error of a run grows with its place
        error = (1 + 0.01 * place) * np.where(np.arange(240) % 2, 0.1, -0.1)
        changed_run(first, tmp_path / f"run-{name:02d}", predictions=table_of(first, error))
    answer = answer_of(capsys, str(tmp_path))
    order = [Path(row["run"]).name for row in answer["runs"]]
    assert order == [f"run-{name:02d}" for name in names]
    assert answer["best"] == answer["runs"][0]["run"]
    assert {row["comparable"] for row in answer["runs"]} == {1}
    apart = [row["difference"]["mae"] for row in answer["runs"]]
    assert apart == pytest.approx([0.001 * place for place in range(60)], abs=1e-6)
    assert load_runs(tmp_path)["run"].to_pylist() == [row["run"] for row in answer["runs"]]
    by_r2 = answer_of(capsys, str(tmp_path), "--sort", "r2")["runs"]
    assert [row["run"] for row in by_r2] == [row["run"] for row in answer["runs"]]


def test_intervals_draw_blocks(first: Path, tmp_path: Path, capsys) -> None:
    """SciPy's bootstrap of the blocks at the level of expanded percentiles is the oracle."""
    own_error = np.repeat(np.random.default_rng(0).normal(0, 0.3, 20), 12)
    for name, seed in [("a", 1), ("b", 2)]:
        error = own_error + noise(seed, 0.1 * seed)
        changed_run(first, tmp_path / name, predictions=table_of(first, error))
    rows = {Path(row["run"]).name: row for row in answer_of(capsys, str(tmp_path))["runs"]}
    tables = {name: pq.read_table(tmp_path / name / "predictions.parquet") for name in rows}
    blocks = np.unique(np.array(tables["a"]["unit"]), return_inverse=True)[1]
    size, sums = np.bincount(blocks).astype(float), {}
    for name, table in tables.items():
        y, told = (table[f"{kind}.angle"].to_numpy() for kind in ("target", "prediction"))
        assert rows[name]["mae"] == pytest.approx(mean_absolute_error(y, told), rel=1e-6)
        sums[name] = np.bincount(blocks, np.abs(told.astype(float) - y))

    def expected(total: np.ndarray) -> tuple[float, float]:
        found = scipy.stats.bootstrap(
            (total, size),
            lambda total, size, axis: total.sum(axis) / size.sum(axis),
            paired=True,
            vectorized=True,
            n_resamples=9999,
            confidence_level=1 - 2 * share_outside(20),
            method="percentile",
            rng=np.random.default_rng(5),
        )
        return found.confidence_interval

    for name, row in rows.items():
        width = row["mae_high"] - row["mae_low"]
        told = row["mae_low"], row["mae_high"]
        assert told == pytest.approx(expected(sums[name]), abs=0.06 * width)
        single = 2 * 1.96 * np.abs(own_error).std() / 240**0.5
        assert width > 2 * single  # draws of single rows would promise too much
    apart = rows["b"]["difference"]
    low, high = expected(sums["b"] - sums["a"])
    told = apart["low"], apart["high"]
    assert told == pytest.approx((low, high), abs=0.06 * (high - low))
    # the error that both share cancels in a pair
    assert apart["high"] - apart["low"] < 0.5 * (rows["b"]["mae_high"] - rows["b"]["mae_low"])
    assert rows["a"]["difference"] == {"mae": 0, "low": 0, "high": 0}


def test_few_units_never_make_an_interval_narrow(first: Path, tmp_path: Path, capsys) -> None:
    """Two blocks of the same error: the draws of blocks alone would be a single number."""
    table = table_of(first, noise(0, 0.2))
    sides = np.where(np.arange(240) % 120 < 12, "validation", "train")
    table = with_column(table, "split", pa.array(sides))
    folder = tmp_path / "runs"
    one = {"settings": {"folds": None, "split": "tail"}}
    changed_run(first, folder / "few", predictions=table, **one)
    changed_run(first, folder / "old", predictions=table.drop_columns(["unit", "fold"]), **one)
    rows = answer_of(capsys, str(folder))["runs"]
    assert len(rows) == 2
    for row in rows:
        held_out = sides == "validation"
        error = np.abs(noise(0, 0.2)[held_out])
        assert row["mae_high"] - row["mae_low"] > 2 * error.std() / len(error) ** 0.5
        assert row["mae_low"] < row["mae"] < row["mae_high"]
    assert runs.main([str(folder)]) == 0
    assert "2 blocks or stretches of 4 rows, stretches of 4 rows" in capsys.readouterr().out


def test_runs_that_cannot_be_compared_say_why(first: Path, tmp_path: Path, capsys) -> None:
    table = table_of(first, noise(0, 0.1))
    changed_run(first, tmp_path / "a", predictions=table)
    changed_run(first, tmp_path / "b", predictions=table_of(first, noise(1, 0.1)))
    changed_run(first, tmp_path / "c", config={"dataset_sha256": "0" * 64})
    changed_run(first, tmp_path / "d", config={"dataset": "other"})
    changed_run(first, tmp_path / "e", settings={"target_type": ["circular:360"]})
    side = pa.array(np.where(np.arange(240) < 100, "validation", "train"))
    fewer = with_column(table, "split", side)
    changed_run(first, tmp_path / "f", predictions=fewer, summary={"rows": {"validation": 100}})
    answer = answer_of(capsys, str(tmp_path))
    group = {Path(row["run"]).name: row["comparable"] for row in answer["runs"]}
    assert group == {"a": 1, "b": 1, "c": 2, "d": 3, "e": 4, "f": 5}
    assert runs.main([str(tmp_path)]) == 0
    told = capsys.readouterr().out
    for words in (
        "comparable 1: 2 runs of planted, angle, 240 rows by 5 folds of blocks:10; "
        "intervals draw 20 blocks",
        "not comparable with 1: the dataset has changed between the two",
        "not comparable with 1: the dataset is other, not planted",
        "not comparable with 1: the target type is circular:360, not plain",
        "not comparable with 1: other rows are held out: 100 rows",
    ):
        assert words in told, words


def test_a_run_of_an_older_version_draws_its_folds(first: Path, tmp_path: Path, capsys) -> None:
    table = pq.read_table(first / "predictions.parquet").drop_columns("unit")
    changed_run(first, tmp_path / "runs" / "blocks", predictions=table)
    hashed = {"settings": {"split": "hash"}}
    changed_run(first, tmp_path / "runs" / "rows", predictions=table, **hashed)
    assert runs.main([str(tmp_path / "runs")]) == 0
    assert "2 runs of planted, angle, 240 rows" in (told := capsys.readouterr().out)
    assert "intervals draw 5 folds, 240 rows" in told


def test_runs_that_hold_out_the_same_rows_in_other_ways_are_paired(
    first: Path, tmp_path: Path, capsys
) -> None:
    """The difference is drawn by the units of each run; NumPy's bootstrap has the same ends."""
    best = changed_run(first, tmp_path / "best", predictions=table_of(first, noise(0, 0.1)))
    table = table_of(first, noise(1, 0.2))
    groups = np.array([f"place {row % 30}" for row in range(240)])
    table = with_column(table, "unit", pa.array(groups))
    changed_run(first, tmp_path / "b", predictions=table, settings={"split": "group:place"})
    apart = answer_of(capsys, str(tmp_path))["runs"][1]["difference"]
    told = [pq.read_table(tmp_path / name / "predictions.parquet") for name in ("best", "b")]
    errors = [
        np.abs(np.subtract(*(one[f"{kind}.angle"].to_numpy() for kind in ("prediction", "target"))))
        for one in told
    ]
    of_group = (errors[1] - errors[0]).reshape(8, 30).mean(axis=0)
    rng = np.random.default_rng(0)
    means = of_group[rng.integers(30, size=(20000, 30))].mean(axis=1)
    outside = share_outside(30)
    expected = np.quantile(means, [outside, 1 - outside])
    width = expected[1] - expected[0]
    assert [apart["low"], apart["high"]] == pytest.approx(expected, abs=0.06 * width)
    assert best.name == "best"


def test_vectors_and_images_of_one_dataset_are_comparable(
    first: Path, tmp_path: Path, capsys
) -> None:
    """The digest of a dataset covers what its features are of, so both kinds have their own."""
    vectors = {"kind": "embeddings", "name": "clip", "width": 12}
    changed_run(first, tmp_path / "a")
    changed_run(first, tmp_path / "b", config={"recipe": vectors, "dataset_sha256": "1" * 64})
    numbers = {row["comparable"] for row in answer_of(capsys, str(tmp_path))["runs"]}
    assert numbers == {1}
    changed_run(first, tmp_path / "c", config={"recipe": vectors, "dataset_sha256": "2" * 64})
    rows = answer_of(capsys, str(tmp_path))["runs"]
    assert sorted(row["comparable"] for row in rows) == [1, 2, 3]


def test_a_single_row_has_no_interval(first: Path, tmp_path: Path, capsys) -> None:
    sides = pa.array(["validation", *["train"] * 239])
    table = with_column(table_of(first, noise(0, 0.1)), "split", sides)
    changed_run(first, tmp_path / "a", predictions=table, settings={"folds": None})
    [row] = answer_of(capsys, str(tmp_path))["runs"]
    keys = ("mae_low", "mae_high", "difference")
    assert row["mae"] > 0
    assert [row[key] for key in keys] == [None] * 3


def test_runs_that_cannot_be_read_are_one_line_each(first: Path, tmp_path: Path, capsys) -> None:
    error = np.full(240, 0.1)
    for name in ("same-2", "same-1"):  # equal values: by name
        changed_run(first, tmp_path / name, predictions=table_of(first, error))
    lost = {"metrics": dict.fromkeys(("mae", "rmse", "r2", "spearman", "huber"))}
    changed_run(first, tmp_path / "nan", predictions=table_of(first, error * np.nan), summary=lost)
    changed_run(first, tmp_path / "no-ridge", predictions=table_of(first, 2 * error), summary={
        "baselines": {"mean": None, "median": None, "ridge": None}
    })  # fmt: skip
    for name in ("broken", "foreign", "unfinished", "lost", "swapped", "list"):
        changed_run(first, tmp_path / name, settings={"seed": 1})
    (tmp_path / "broken" / "config.json").write_text("{")
    (tmp_path / "foreign" / "config.json").write_text('{"format": 3}')
    (tmp_path / "unfinished" / "summary.json").unlink()
    (tmp_path / "lost" / "predictions.parquet").unlink()
    (tmp_path / "list" / "summary.json").write_text("[]")
    (tmp_path / "swapped" / "summary.json").write_bytes((first / "summary.json").read_bytes())
    changed_run(first, tmp_path / "odd", config={"others": {"x": {}}})
    (tmp_path / "no run").mkdir()
    assert runs.main([str(tmp_path), "--json"]) == 0
    told = capsys.readouterr()
    for name, words in {
        "broken": "cannot be read",
        "foreign": "has format 3",
        "unfinished": "it is not finished",
        "lost": "predictions.parquet is absent",
        "swapped": "is not of the run in config.json",
        "list": "holds no JSON object",
        "odd": "KeyError: 'recipe'",
    }.items():
        [line] = [line for line in told.err.splitlines() if f"/{name} is left out" in line]
        assert words in line
    assert len(told.err.splitlines()) == 7
    rows = json.loads(told.out.splitlines()[-1])["runs"]
    assert [Path(row["run"]).name for row in rows] == ["same-1", "same-2", "no-ridge", "nan"]
    same, nan = rows[1], rows[3]
    assert same["difference"] == {"mae": 0, "low": 0, "high": 0}
    keys = ("mae", "mae_low", "mae_high", "difference")
    assert [nan[key] for key in keys] == [None] * 4
    assert rows[2]["gain_over_ridge"] is rows[2]["gain_over_median"] is None
    for column in FLAT:
        got = answer_of(capsys, str(tmp_path), "--sort", column)["runs"]
        assert len(got) == 4
        if column in ("mae", "mae_low", "difference", "difference_high"):
            assert got[-1]["run"].endswith("nan")


def test_several_targets_have_intervals_of_r2(planted: Path, capsys) -> None:
    """The mean R² of scikit-learn on draws of whole blocks, drawn by NumPy."""
    both = {"target": ("angle", "speed"), "head": "ridge", "folds": 5}
    paths = [run_quick(planted, run=f"c{n}", components=n, **both).path for n in (12, 6)]
    good, bad = answer_of(capsys, str(planted.parent / "ckpts"))["runs"]
    assert [Path(row["run"]).name for row in (good, bad)] == ["c12", "c6"]
    assert bad["mae_low"] is bad["mae_high"] is None
    tables = [pq.read_table(path / "predictions.parquet").to_pandas() for path in paths]
    rows_of_block = [own.index.to_numpy() for _, own in tables[0].groupby("unit")]
    rng, apart = np.random.default_rng(9), []
    for _ in range(400):
        rows = np.concatenate([rows_of_block[i] for i in rng.integers(20, size=20)])
        true = tables[0].loc[rows, ["target.angle", "target.speed"]]
        names = ["prediction.angle", "prediction.speed"]
        scores = [r2_score(true, one.loc[rows, names]) for one in tables]
        apart.append(scores[1] - scores[0])
    outside = share_outside(20)
    low, high = np.quantile(apart, [outside, 1 - outside])
    own = bad["difference"]
    assert own["mae"] is None
    assert own["r2"] == pytest.approx(bad["r2"] - good["r2"])
    assert [own["low"], own["high"]] == pytest.approx([low, high], abs=0.2 * (high - low))


def test_draws_without_a_score_leave_an_interval(planted: Path, capsys) -> None:
    """Of one target only two blocks have rows: some draws have none of them, and so no R²."""
    both = {"target": ("angle", "speed"), "head": "ridge", "folds": 5}
    for components in (6, 12):
        run_quick(planted, run=f"c{components}", components=components, **both)
    folder = planted.parent / "ckpts"
    for path in list(folder.iterdir()):
        table = pq.read_table(path / "predictions.parquet")
        some = np.where(np.isin(np.array(table["unit"]), ["a block 1", "b block 1"]), 1, np.nan)
        speed = table["target.speed"].to_numpy() * some
        table = with_column(table, "target.speed", pa.array(speed, from_pandas=True))
        changed_run(path, planted.parent / "gaps" / path.name, table=table)
    _, bad = answer_of(capsys, str(planted.parent / "gaps"))["runs"]
    assert bad["difference"]["low"] < bad["difference"]["high"]


def test_the_run_of_a_sweep_is_named(first: Path, tmp_path: Path, capsys) -> None:
    for name, finished in (("done", True), ("cut", False)):
        path = changed_run(first, tmp_path / name)
        (path / "sweep.json").write_text(json.dumps({"finished": finished}))
    changed_run(first, tmp_path / "plain")
    assert runs.main([str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()[1:4]
    cells = [re.split(" {2,}", line) for line in lines]
    heads = {Path(name).name: head for name, head, *_ in cells}
    expected = {"done": "ridge (sweep)", "cut": "ridge (sweep, not finished)", "plain": "ridge"}
    assert heads == expected


def test_errors_around_the_circle_are_drawn(first: Path, tmp_path: Path, capsys) -> None:
    """An error of 350 degrees is one of 10."""
    around = {"settings": {"target_type": ["circular:360"]}}
    errors = np.where(np.arange(240) % 3 == 0, 350.0, 10.0)
    changed_run(first, tmp_path / "a", predictions=table_of(first, errors), **around)
    [row] = answer_of(capsys, str(tmp_path))["runs"]
    assert (row["mae_low"], row["mae_high"]) == pytest.approx((10, 10), abs=1e-3)


def test_files_that_are_something_else_stay(first: Path, tmp_path: Path, capsys) -> None:
    folder, mine = str(first.parent), tmp_path / "mine.txt"
    mine.write_text("run,data\n" * 1000)
    for option in ("--csv", "--html"):
        with pytest.raises(InputError, match=rf"{option} .*mine.txt exists and is no"):
            runs.main([folder, option, str(mine)])
    with pytest.raises(InputError, match="--csv and --html are both"):
        runs.main([folder, "--csv", str(tmp_path / "x"), "--html", str(tmp_path / "x")])
    with pytest.raises(InputError, match=r"--sort mea[\s\S]*--sort mae"):
        runs.main([folder, "--sort", "mea"])
    with pytest.raises(InputError, match=r"is a run[\s\S]*try: jaxreg runs "):
        runs.main([str(first)])
    assert mine.read_text().startswith("run,data\n")
    table, page = tmp_path / "runs.csv", tmp_path / "runs.html"
    for _ in range(2):  # its own files are written again
        assert runs.main([folder, "--csv", str(table), "--html", str(page)]) == 0
    with open(table, newline="") as file:
        [row] = csv.DictReader(file)
    assert tuple(row) == FLAT
    assert row["columns"] == "identity.mixed10.avg"
    for option, other in (("--csv", page), ("--html", table)):
        with pytest.raises(InputError, match="exists and is no"):
            runs.main([folder, option, str(other)])


def test_the_table_in_python(first: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    changed_run(first, tmp_path / "ckpts" / "a")
    (tmp_path / "ckpts" / "old").mkdir()
    (tmp_path / "ckpts" / "old" / "config.json").write_text("{}")
    monkeypatch.chdir(tmp_path)
    said = list[str]()
    table = jaxreg.load_runs(say=said.append)
    assert (tuple(table.column_names), len(said)) == (FLAT, 1)
    [row] = table.to_pylist()
    [told] = answer_of(capsys)["runs"]
    assert row == told | {"difference": 0.0, "difference_low": 0.0, "difference_high": 0.0}
    assert table.to_pandas()["mae"].dtype == np.float64
    empty = jaxreg.load_runs(dataset="other")
    assert (empty.num_rows, empty.schema) == (0, table.schema)
    with pytest.raises(InputError, match="no folder nowhere"):
        jaxreg.load_runs("nowhere")
    [example] = doctest.DocTestFinder().find(load_runs, globs={"jaxreg": jaxreg})
    assert doctest.DocTestRunner().run(example).failed == 0


def test_a_table_of_runs_loads_no_jax(first: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from jaxreg import runs; "
        f"runs.main([{str(first.parent)!r}, '--html', {str(tmp_path / 'x.html')!r}]); "
        "heavy = {'jax', 'flax', 'scipy', 'sklearn', 'matplotlib', 'tensorflow', 'keras', 'orbax'};"
        "assert not heavy & {*sys.modules}, heavy & {*sys.modules}"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
