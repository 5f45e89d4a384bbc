"""The notebooks in examples/: they run, and what they show is what they showed when committed."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from notebooks import EXAMPLES, run_notebook, texts_of

BOOKS = sorted(EXAMPLES.glob("*.ipynb"))
MOST_BYTES = 1_000_000
# a path from the root of a machine; not a URL, nor the end of a tag or of a relative path
ABSOLUTE = re.compile(r"(?<![\w.<:/-])/(?:[\w.-]+/)+[\w.-]+|[A-Z]:\\\\")


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.name)
def test_stored_outputs_are_of_no_machine(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == [*range(1, len(code) + 1)]
    outputs = [output for cell in code for output in cell.outputs]
    assert {"error", "stderr"}.isdisjoint(
        {output.output_type for output in outputs} | {output.get("name") for output in outputs}
    )
    assert [found for text in texts_of(book) for found in ABSOLUTE.findall(text)] == []
    assert path.stat().st_size < MOST_BYTES
    index = (EXAMPLES.parent / "docs" / "README.md").read_text()
    assert f"(../examples/{path.name})" in index


def test_an_absolute_path_would_be_found() -> None:
    for text in ("in /tmp/x/y.png", "'/home/me/ckpts'", '"/a/b"'):
        assert ABSOLUTE.search(text), text
    for text in ("ckpts/a/b.png", "<b>x</b></p>", "https://a.b/c/d", "../docs/a/b", "3/4"):
        assert not ABSOLUTE.search(text), text


@pytest.mark.parametrize("path", BOOKS, ids=lambda path: path.name)
def test_links_of_a_notebook_lead_somewhere(path: Path) -> None:
    book = nbformat.read(path, as_version=4)
    text = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    links = [link for link in re.findall(r"\]\(([^)#\s]+)", text) if "://" not in link]
    assert links
    assert [link for link in links if not (EXAMPLES / link).exists()] == []


@pytest.mark.slow
def test_the_first_experiment_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scores that it shows are those that scikit-learn finds in predictions.parquet."""
    for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "jupyter"))  # else they write into the home folder
    folder, path = tmp_path, EXAMPLES / "first_experiment.ipynb"
    book = run_notebook(path, folder)
    said = "\n".join(texts_of(book))
    for name in ("ridge", "sweep"):
        table = pq.read_table(folder / "ckpts" / name / "predictions.parquet")
        y, told = (table[f"{kind}.steering"].to_numpy() for kind in ("target", "prediction"))
        mae, r2 = mean_absolute_error(y, told), r2_score(y, told)
        (shown,) = re.findall(rf"TrainedRun\('ckpts/{name}'.* mae=(\S+), r2=(\S+), ", said)
        np.testing.assert_allclose([float(text) for text in shown], [mae, r2], rtol=1e-3)
    assert "600 images: 600 computed, 0 from the cache" in said
    assert "600 images: 0 computed, 600 from the cache" in said
    assert (folder / "steering.keras").is_file()
    record = json.loads((folder / "ckpts" / "sweep" / "sweep.json").read_text())
    assert record["finished"]
    # the run, a Predictor and Keras alone say the same of a picture
    first, *_ = re.findall(r"^predicted +(\S+), from", said, re.MULTILINE)
    (alone,) = re.findall(r"^(-?\d\.\d{4,})$", said, re.MULTILINE)
    (keras,) = re.findall(r"array\(\[\[(\S+?)\]\]", said)
    assert float(first) == round(float(alone), 2)
    assert float(keras) == pytest.approx(float(alone), abs=1e-4)
    (apart,) = re.findall(r"exact, 2x4> largest difference (\S+)", said)
    assert float(apart) < 1e-5
    assert (folder / "reasons" / "explanation.html").is_file()
    # numbers may move from machine to machine; the kinds of outputs do not
    stored = nbformat.read(path, as_version=4)
    for old, new in zip(stored.cells, book.cells, strict=True):
        assert old.source == new.source
        kinds = [
            [(one.output_type, *sorted(one.get("data", ()))) for one in cell.get("outputs", ())]
            for cell in (old, new)
        ]
        assert kinds[0] == kinds[1]
