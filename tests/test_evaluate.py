"""The command `jaxreg evaluate`: what it prints, what it writes, and its errors."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from cleanlab.regression.rank import get_label_quality_scores

import jaxreg
from evaluated import ROWS, new_rows, train
from jaxreg import evaluate
from jaxreg.errors import InputError, Stopped
from jaxreg.sources import open_source


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("evaluate")
    train(made, "run")
    new_rows(made)
    new_rows(made, lambda x, c: (x, {**c, "y": -c["y"]}), name="sign")
    new_rows(made, lambda x, c: (x, {"z": c["y"]}), name="without")
    return made


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def run(*words: str) -> int:
    return evaluate.main(["run", *words])


def test_the_first_line_says_that_a_run_is_far_worse(capsys) -> None:
    assert run("sign.csv", "--embeddings", "sign.npy") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("far worse than promised: MAE ")
    assert lines[0].endswith("(predictions-reversed)")
    assert lines[1].startswith("predictions-reversed: the predictions fall where the targets rise")
    assert any(line.startswith("median of the training targets") for line in lines)
    slices = lines[lines.index("slices with the largest errors") + 1 :]
    assert slices[0].split() == ["slice", "value", "rows", "MAE", "times", "all", "bias"]
    times = [float(line.split()[-2]) for line in slices[1:]]
    assert times == sorted(times, reverse=True)


def test_json_is_the_last_line_and_there_is_no_table(capsys) -> None:
    assert run("new.csv", "--embeddings", "new.npy", "--json", "--out", "o.parquet") == 0
    told = capsys.readouterr()
    [line] = told.out.splitlines()
    found = json.loads(line)
    fixed = {"metrics", "by_target", "baselines", "rows", "failed", "intervals", "findings"}
    assert fixed <= set(found)
    assert (found["rows"], found["failed"], found["out"]) == (ROWS, 0, "o.parquet")
    assert found["headline"] in told.err
    assert set(found["baselines"]) == {"training", "new", "held_out"}
    assert pq.read_table("o.parquet").num_rows == ROWS


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_the_table_is_written_as_its_name_says(suffix: str) -> None:
    assert run("new.csv", "--embeddings", "new.npy", "--out", f"t.{suffix}") == 0
    if suffix == "csv":
        table = pyarrow.csv.read_csv("t.csv")
    elif suffix == "parquet":
        table = pq.read_table("t.parquet")
    else:
        table = pa.Table.from_pylist(
            [json.loads(x) for x in Path("t.jsonl").read_text().splitlines()]
        )
    expected = [
        "id", "prediction.y", "target.y", "error.y", "absolute_error.y", "slice.target.y",
        "label_score.y",
    ]  # fmt: skip
    assert table.column_names[:7] == expected
    assert table.num_rows == ROWS
    both = [table[f"{part}.y"].to_numpy().astype(np.float64) for part in ("target", "prediction")]
    scores = get_label_quality_scores(*both)
    np.testing.assert_allclose(table["label_score.y"].to_numpy(), scores, atol=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none", "new.csv"], "no run ckpts/none"),
        (["run", "no.csv"], "no such source: 'no.csv'"),
        (["run", "new.csv"], "--embeddings FILE"),
        (["run", "new.csv", "--embeddings", "new.npy", "--out", "t.txt"], "ends in .csv"),
        (["run", "new.csv", "--embeddings", "new.npy", "--out", "new.csv"], "is the source itself"),
        (["run", "without.csv", "--embeddings", "without.npy"], "has no column 'y'"),
    ],
)
def test_what_the_user_gave_is_wrong(words: list[str], message: str) -> None:
    with pytest.raises(InputError) as raised:
        evaluate.main(words)
    assert message in str(raised.value)
    assert raised.value.exit_code == 2


def test_a_run_that_is_not_finished_or_of_another_format(folder: Path) -> None:
    with pytest.raises(Stopped):
        train(folder, "stopped", head="mlp", hidden=(4,), epochs=2, should_stop=lambda: True)
    with pytest.raises(InputError, match="stopped is not finished"):
        evaluate.main(["stopped", "new.csv", "--embeddings", "new.npy"])
    shutil.copytree("ckpts/run", "ckpts/other")
    config = Path("ckpts/other/config.json")
    content = json.loads(config.read_text())
    config.write_text(json.dumps({**content, "format": 99}))
    with pytest.raises(InputError, match="format 99"):
        evaluate.main(["other", "new.csv", "--embeddings", "new.npy"])


def test_python_takes_examples_too(folder: Path) -> None:
    examples = open_source("new.csv", images=False)
    found = jaxreg.load_run("ckpts/run").evaluate(examples, embeddings="new.npy")
    assert found.rows == ROWS
    assert found.source == "the source"
    assert repr(found).startswith("Evaluation('about as promised")
