"""Notebooks of examples/: run them, and write their outputs as they are kept in the repository.

python tests/notebooks.py    # runs each notebook in a folder of its own, and keeps the outputs
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
MOST_SECONDS = 600  # for one cell
NOT_KEPT = ("stderr",)  # messages of libraries about this machine


def run_notebook(path: Path, folder: Path) -> Any:
    """The notebook with its outputs, run in `folder`. Raises CellExecutionError if a cell fails."""
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(book, timeout=MOST_SECONDS, resources=resources).execute()
    for cell in book.cells:
        cell.metadata.clear()  # the times of this run
        if "outputs" in cell:
            cell.outputs = [one for one in cell.outputs if one.get("name") not in NOT_KEPT]
            for output in cell.outputs:
                for kind, value in output.get("data", {}).items():
                    output["data"][kind] = re.sub(r" at 0x[0-9a-f]+>", ">", value)
    return book


def texts_of(book: Any) -> list[str]:
    """What the outputs of a notebook say, without pictures."""
    texts = []
    for cell in book.cells:
        for output in cell.get("outputs", ()):
            texts.append(str(output.get("text", "")))
            texts += [str(v) for kind, v in output.get("data", {}).items() if "image" not in kind]
    return texts


if __name__ == "__main__":
    for notebook in sorted(EXAMPLES.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            nbformat.write(run_notebook(notebook, Path(folder)), notebook)
