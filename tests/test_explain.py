"""The command `jaxreg explain`: its folder, its page, its errors, and what it finds."""

import json
import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from PIL import Image

import jaxreg
from evaluated import train as train_on_vectors
from explained import extract, road, train
from jaxreg import bundle, explain
from jaxreg.errors import InputError, Stopped, UnavailableError
from jaxreg.explanation.explanation_folder import check_folder
from jaxreg.explanation.lattice import Lattice
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.sources.road import ground
from jaxreg.sources.road.frames import RoadImages
from jaxreg.trained_run import TrainedRun

GRID = "mixed0.grid3x6"
FRAMES = 400
CORNER = 36  # pixels each way: 4% of a frame
HOSTILE = "<img src=x onerror=alert(1)> $\\frac{ & ' \"😀"

pytestmark = pytest.mark.filterwarnings("ignore:this run was trained on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run `plain` on the drawn road, and a table with a few of its frames."""
    made = tmp_path_factory.mktemp("explain")
    extract(made, "road", road(FRAMES), GRID)
    train(made, "road", "plain", columns=[GRID])
    ids = [f"{number}-{HOSTILE}" if number == 0 else f"frame {number}" for number in range(20)]
    for number, image in enumerate(road(20).images):
        Image.fromarray(np.asarray(image)).save(made / f"{number}.png")
    columns = {
        "id": ids,
        "image": [f"{number}.png" for number in range(20)],
        "steering": road(20).columns["steering"],
    }
    pyarrow.csv.write_csv(pa.table(columns), made / "frames.csv")
    return made


@pytest.fixture(autouse=True)
def here(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)


def run(*words: str) -> int:
    return explain.main(["plain", "frames.csv", *words])


def test_the_folder_holds_pictures_a_table_and_a_page(folder: Path, capsys: Any) -> None:
    assert run("--out", "one", "--images", "3", "--json") == 0
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert found["path"] == "one"
    assert (found["images"], found["drawn"], found["failed"]) == (20, 3, 0)
    assert (found["method"], found["grid"], found["findings"]) == ("exact", "3x6", [])
    assert found["notes"] == ["nobody can say whether a small place decides: that needs 32 images"]
    assert 0 < found["sum_error"] < 1e-4
    assert told.err.splitlines()[-1] == "the page: one/explanation.html"
    record = json.loads(Path("one/explanation.json").read_text())
    there = {path.relative_to("one").as_posix() for path in Path("one").rglob("*.*")}
    assert there == {*record["files"], "explanation.json"}
    assert len([name for name in there if name.startswith("images/")]) == 3
    for name in there:
        if name.endswith(".png"):
            with Image.open(Path("one", name)) as picture:
                assert picture.width > 400
    table = pq.read_table("one/explanation.parquet")
    assert table.num_rows == 20 * (18 + 1)
    assert table.column_names == [
        "id", "target", "part", "row", "column", "contribution", "prediction"
    ]  # fmt: skip
    sums = table.group_by("id", use_threads=False).aggregate([("contribution", "sum")])
    expected = jaxreg.load_run("ckpts/plain").predict([f"{n}.png" for n in range(20)])[:, 0]
    np.testing.assert_allclose(sums["contribution_sum"].to_numpy(), expected, atol=1e-4)


def test_hostile_ids_stay_text(folder: Path) -> None:
    assert run("--out", "hostile", "--images", "2", "--method", "exact") == 0
    page = Path("hostile/explanation.html").read_text()
    assert "<img src=x" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    names = [path.name for path in Path("hostile/images").iterdir()]
    assert len(names) == 2
    assert all(set(name) <= set("0123456789abcdefghijklmnopqrstuvwxyz-.") for name in names)


def test_a_folder_that_exists_is_refused_or_replaced(folder: Path) -> None:
    assert run("--out", "again", "--images", "1") == 0
    with pytest.raises(InputError, match=r"again is there already[\s\S]*--overwrite"):
        run("--out", "again", "--images", "1")
    assert run("--out", "again", "--images", "2", "--overwrite") == 0
    assert len(list(Path("again/images").iterdir())) == 2
    Path("again/notes.txt").write_text("mine")
    with pytest.raises(InputError, match=r"did not write: notes.txt"):
        run("--out", "again", "--images", "1", "--overwrite")
    assert Path("again/notes.txt").read_text() == "mine"
    Path("other").mkdir()
    assert check_folder("other", overwrite=False) == Path("other")  # empty
    Path("other/explanation.json").write_text('{"kind": "run", "files": []}')
    with pytest.raises(InputError, match="did not write"):
        check_folder("other", overwrite=True)
    Path("link").symlink_to("other")
    with pytest.raises(InputError, match="is a file or a link"):
        check_folder("link", overwrite=True)
    with pytest.raises(InputError, match="is a file or a link"):
        run("--out", "frames.csv")


def test_nothing_is_left_when_it_is_stopped_or_fails(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = jaxreg.load_run("ckpts/plain")
    drawn: list[int] = []

    def stop() -> bool:
        drawn.append(1)
        return any(path.name.endswith(".png") for path in Path(".stopped.new").rglob("*"))

    with pytest.raises(Stopped, match="nothing is written"):
        loaded.explain("frames.csv", out="stopped", should_stop=stop)
    assert drawn
    assert not Path("stopped").exists()
    assert not Path(".stopped.new").exists()


def test_errors_of_the_run_and_the_source(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("broken").mkdir(exist_ok=True)
    Path("broken/a.jpg").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"none of 1 images can be used; the first: .*a.jpg"):
        explain.main(["plain", "broken", "--out", "none"])
    shutil.copytree("ckpts/plain", "ckpts/open", dirs_exist_ok=True)
    Path("ckpts/open/summary.json").unlink()
    with pytest.raises(InputError, match="open"):
        explain.main(["open", "frames.csv", "--out", "none"])
    shutil.copytree("ckpts/plain", "ckpts/older", dirs_exist_ok=True)
    config = Path("ckpts/older/config.json")
    config.write_text(config.read_text().replace('"format": 2', '"format": 1'))
    with pytest.raises(InputError, match="has format 1"):
        explain.main(["older", "frames.csv", "--out", "none"])
    Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save("new.png")  # not in the cache

    def gone(self: object, recipe: object) -> None:
        raise UnavailableError("the weights cannot be found")

    monkeypatch.setattr(RunNetworks, "find", gone)
    with pytest.raises(UnavailableError, match="the weights cannot be found") as raised:
        explain.main(["plain", "new.png", "--out", "none"])
    assert raised.value.exit_code == 3
    assert not Path("none").exists()


def test_a_run_on_embeddings_has_no_picture(tmp_path: Path, monkeypatch: Any) -> None:
    vectors = train_on_vectors(tmp_path, "vectors")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="is a run on embeddings, which have no picture"):
        vectors.explain("known.csv", embeddings="known.npy", out="none")


def test_a_bundle_is_explained_too(folder: Path) -> None:
    assert bundle.main(["ckpts/plain", "--out", "plain.zip"]) == 0
    words = ["plain.zip", "frames.csv", "--cache", "cache", "--out", "of-bundle", "--images", "1"]
    assert explain.main(words) == 0
    assert Path("of-bundle/explanation.html").exists()


def in_cells(mask: np.ndarray, lattice: Lattice) -> np.ndarray:
    """(images, rows, columns): which part of each cell is in the mask."""
    places = [place.pixels(*mask.shape[1:]) for place in lattice.places()]
    parts = [mask[:, rows, columns].mean(axis=(1, 2)) for rows, columns in places]
    return np.stack(parts, axis=1).reshape(len(mask), *lattice)


def markings(numbers: list[int]) -> np.ndarray:
    """(frames, height, width): where the renderer paints lane markings."""
    images = RoadImages(FRAMES)
    painted = np.stack([images[number] for number in numbers]).astype(int)
    with mock.patch.object(ground, "_markings", return_value=None):
        bare = np.stack([images[number] for number in numbers])
    return np.abs(painted - bare).max(axis=3) > 8


def factor(cells: np.ndarray, parts: np.ndarray) -> float:
    """How much more of the contributions is on a mask than if all cells had the same."""
    sizes = np.abs(cells)
    level = sizes.mean(axis=(1, 2), keepdims=True) * np.ones_like(sizes)
    return float((sizes * parts).sum() / (level * parts).sum())


def test_the_map_falls_on_the_lane_markings(folder: Path) -> None:
    """Against the renderer: its frames with and without paint."""
    found = jaxreg.load_run("ckpts/plain").explain(road(FRAMES), images=15, method="occlusion")
    parts = in_cells(markings([int(name[5:]) for name in found.ids]), found.lattice)
    own = factor(found.cells[:, 0], parts)
    # the markings of other frames lie in other places of the lower half
    others = [factor(found.cells[:, 0], np.roll(parts, by, axis=0)) for by in range(1, 15)]
    assert own > 1.4
    assert own > 1.15 * np.mean(others)


def leaky(folder: Path, name: str, **options: Any) -> TrainedRun:
    extract(folder, name, road(FRAMES, CORNER), GRID)
    return train(folder, name, name, columns=[GRID], **options)


@pytest.mark.parametrize("method", ["exact", pytest.param("occlusion", marks=pytest.mark.slow)])
def test_a_leak_in_a_corner_is_found(folder: Path, method: str) -> None:
    run = leaky(folder, "leak", overwrite=True)
    found = run.explain(road(FRAMES, CORNER), out=f"leak-{method}", method=method)
    [finding] = found.to_json()["findings"]
    assert (finding["code"], finding["severity"]) == ("shortcut", "warning")
    assert "at the bottom left" in finding["evidence"]
    assert finding["numbers"]["told_r2"] > 0.9
    assert [Path(name).exists() for name in (finding["page"], *finding["pictures"])] == [True] * 2
    place = found.found_places["steering"].place
    assert place.bottom > 1 - CORNER / 96
    assert place.left < CORNER / 320
    # the largest cell of the mean map is the corner
    sizes = found.mean_absolute[0]
    row, column = np.unravel_index(sizes.argmax(), sizes.shape)
    assert row + 1 > sizes.shape[0] * (1 - CORNER / 96)
    assert column < sizes.shape[1] * CORNER / 320
    # and nothing is found on the road as it is
    plain = jaxreg.load_run("ckpts/plain").explain(road(FRAMES), method=method)
    assert (plain.findings, plain.notes) == ((), ())


@pytest.mark.slow
def test_with_trained_weights_the_exact_map_falls_on_the_markings(
    trained_weights: Path, tmp_path: Path
) -> None:
    grid = "mixed2.grid3x8"
    more = {"weights": str(trained_weights), "size": (96, 320)}
    extract(tmp_path, "trained", road(200), grid, **more)
    found = train(tmp_path, "trained", "trained", columns=[grid]).explain(road(200))
    assert (found.method, found.findings) == ("exact", ())
    parts = in_cells(markings([int(name[5:]) for name in found.ids]), found.lattice)
    own = factor(found.cells[:, 0], parts)
    others = [factor(found.cells[:, 0], np.roll(parts, by, axis=0)) for by in range(50, 150, 10)]
    assert own > 1.3
    assert own > np.mean(others)
