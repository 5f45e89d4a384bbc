"""The parts of predictions: cells of a ridge, cells that are covered, and places."""

import doctest
import itertools
from pathlib import Path

import numpy as np
import pyarrow.csv
import pytest
from PIL import Image

import jaxreg
from explained import extract, road, train
from jaxreg.errors import InputError, Stopped, UnavailableError
from jaxreg.explanation import explain_run
from jaxreg.explanation.changed_pictures import hidden_copies, with_place_of
from jaxreg.explanation.lattice import Lattice, Place, common_lattice, spread_over, squares
from jaxreg.explanation.linear_parts import linear_parts
from jaxreg.extraction import pipeline
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.new_predictions import predict_examples
from jaxreg.trained_run import TrainedRun

GRID, OTHER, FLAT = "mixed0.grid2x3", "mixed1.grid4x3", "mixed1.avg"
FRAMES = 60
FEW = 12  # frames: too few to look for a place, so a ridge on grids needs no network
QUIET = {
    "say": lambda text: None,
    "on_progress": lambda progress: None,
    "should_stop": lambda: False,
}

pytestmark = pytest.mark.filterwarnings("ignore:this run was trained on")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("explained")
    extract(made, "road", road(FRAMES), GRID, OTHER, FLAT)
    return made


@pytest.fixture(scope="module")
def run(folder: Path) -> TrainedRun:
    return train(folder, "road", "plain", columns=[GRID])


def test_cells_of_two_grids_share_a_lattice() -> None:
    assert common_lattice([(2, 4), (3, 2)]) == Lattice(6, 4)
    assert common_lattice([(5, 7), (7, 7), (9, 4)]) == Lattice(9, 4 * 7 if 4 * 7 <= 24 else 7)
    values = np.random.default_rng(0).normal(size=(5, 6))
    fine = spread_over(Lattice(4, 9), (2, 3), values)
    # each cell becomes 2 x 3 equal ones, as NumPy's Kronecker product makes them
    expected = np.stack([np.kron(one.reshape(2, 3), np.full((2, 3), 1 / 6)) for one in values])
    np.testing.assert_allclose(fine, expected, atol=1e-12)
    uneven = spread_over(Lattice(3, 5), (2, 4), np.arange(8.0))
    assert uneven.sum() == pytest.approx(28)
    assert uneven[0].sum() == pytest.approx(6 * 2 / 3)  # two thirds of the first row of cells


@pytest.mark.parametrize(
    ("size", "expected"),
    [((96, 320), (4, 12)), ((120, 160), (6, 8)), ((300, 300), (7, 7)), ((1, 9), (1, 9))],
)
def test_covered_cells_are_nearly_square(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert squares(*size) == expected


def test_a_place_is_covered_or_taken_from_another_picture() -> None:
    rgb, other = (
        np.zeros((6, 8, 3), np.uint8),
        np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3),
    )
    place = Place(0.5, 1, 0, 0.25)
    same, hidden = hidden_copies(rgb, [place], np.array([[9.6, 0, 0]]))
    assert same is rgb
    expected = rgb.copy()
    expected[3:, :2] = 10, 0, 0
    np.testing.assert_array_equal(hidden, expected)
    moved = with_place_of(rgb, other, place)
    # rows 1.5 → 2 to 3 of the other one, its first column, stretched to three rows and two columns
    np.testing.assert_array_equal(moved[3:, :2], np.broadcast_to(other[2, 0], (3, 2, 3)))
    assert not moved[:3].any()
    assert not moved[:, 2:].any()
    assert not rgb.any()


def test_cells_and_intercept_add_up_to_the_prediction(run: TrainedRun) -> None:
    """And the number of a cell is what the head itself loses without the features of the cell."""
    examples = road(FEW)
    found = run.explain(examples)
    assert (found.method, found.grid, len(found)) == ("exact", "2x3", FEW)
    # against `predict`, which computes in float32 with JAX
    own = run.predict(list(examples.images))
    assert found.intercept is not None
    sums = found.cells.sum(axis=(2, 3)) + found.intercept
    std = examples.columns["steering"].to_numpy().std()
    np.testing.assert_allclose(sums, own, atol=2e-5 * std)
    assert found.sum_error is not None
    assert found.sum_error <= 2e-5 * std
    x, *_ = jaxreg.load_features("road", cache=run.cache or "", columns=[GRID])
    features = x[:FEW].reshape(FEW, 6, -1).copy()
    mean = np.asarray(run.scalers[0].features.mean).reshape(6, -1)
    features[:, 4] = mean[4]
    lost = own - run.predict_features(features.reshape(FEW, -1))
    np.testing.assert_allclose(found.cells[:, :, 1, 1], lost, atol=2e-5 * std)


@pytest.mark.parametrize(
    "options",
    [
        {"folds": 3, "columns": [GRID]},
        {"components": 12, "columns": [GRID, OTHER]},
        {"target": ("steering", "offset"), "side_columns": ("curvature",), "columns": [FLAT, GRID]},
    ],
    ids=["members", "two grids, components", "targets, side column, no grid"],
)
def test_parts_of_other_ridges_add_up_too(folder: Path, options: dict) -> None:
    name = "-".join(map(str, options))
    run = train(folder, "road", name, overwrite=True, **options)
    examples = road(FEW)
    new = predict_examples(run, examples, cache=None, weights=None, embeddings=(), **QUIET)
    parts = linear_parts(run, new)
    std = new.predictions.std(axis=0)
    assert parts.sums is not None
    assert (np.abs(parts.sums - new.predictions) <= 5e-5 * std).all()
    assert set(parts.others) == {
        *(["mixed1.avg"] if FLAT in options["columns"] else []),
        *(["side columns"] if "side_columns" in options else []),
    }
    assert all(np.abs(values).max() > 0 for values in parts.others.values())


def test_the_table_has_every_part(run: TrainedRun) -> None:
    found = run.explain(road(FEW))
    table = found.table.to_pandas()
    sums = table.groupby("id", sort=False)["contribution"].sum()
    np.testing.assert_allclose(sums.to_numpy(), found.predictions[:, 0], atol=1e-5)
    assert table["id"].nunique() == FEW
    one = table[table["id"] == found.ids[7]]
    assert one["part"].value_counts().to_dict() == {"cell": 6, "intercept": 1}
    cell = one[(one["row"] == 1) & (one["column"] == 2)]
    assert cell["contribution"].item() == found.cells[7, 0, 1, 2]


def test_occlusion_is_the_loss_by_a_covered_cell(folder: Path) -> None:
    """Against images that are covered here and go through `predict`."""
    run = train(
        folder, "road", "mlp", columns=[FLAT], head="mlp", hidden=(8,), epochs=3, overwrite=True
    )
    examples = road(FRAMES)
    found = run.explain(examples, images=3)
    assert (found.method, found.grid, found.sum_error) == ("occlusion", "4x12", None)
    assert found.ids == ("road-000000", "road-000030", "road-000059")
    place = slice(24, 48), slice(107, 133)  # row 1, column 4 of 4 x 12 in 96 x 320
    shown = [np.asarray(examples.images[row]) for row in (0, 30, 59)]
    colour = np.mean([one[place].mean(axis=(0, 1)) for one in shown], axis=0)
    covered = [one.copy() for one in shown]
    for one in covered:
        one[place] = np.round(colour)
    lost = run.predict(shown) - run.predict(covered)
    np.testing.assert_allclose(found.cells[:, 0, 1, 4], lost[:, 0], atol=1e-5)
    assert np.abs(found.cells).max() > 1e-4


def test_covered_copies_are_not_kept(run: TrainedRun, folder: Path) -> None:
    parts = set((folder / "cache").rglob("*.parquet"))
    run.explain(road(FRAMES), images=2, method="occlusion")
    assert set((folder / "cache").rglob("*.parquet")) == parts


def test_a_few_pictures_of_a_folder_without_numbers(run: TrainedRun, tmp_path: Path) -> None:
    for number, pixels in enumerate(road(5).images):
        Image.fromarray(np.asarray(pixels)).save(tmp_path / f"{number}.png")
    found = run.explain(tmp_path, images=2, method="occlusion")
    assert len(found) == 2
    assert np.isnan(found.true).all()


def test_large_pictures_are_computed_in_parts(
    run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run.explain(road(FRAMES), images=2, method="occlusion").cells
    monkeypatch.setattr("jaxreg.explanation.changed_pictures.BATCH_BYTES", 3 * 96 * 320 * 5)
    parts = run.explain(road(FRAMES), images=2, method="occlusion").cells
    np.testing.assert_allclose(parts, whole, atol=1e-5)
    assert pipeline.BATCH_BYTES > 3 * 96 * 320 * 49


def test_around_a_circle_the_loss_is_the_shorter_way(folder: Path) -> None:
    run = train(
        folder, "road", "circle", columns=[GRID], target_type=("circular:0.5",), overwrite=True
    )
    found = run.explain(road(FRAMES), images=4)
    assert found.method == "occlusion"
    assert found.why == "the target is circular or bounded"
    assert np.abs(found.cells).max() <= 0.25


def test_which_way_is_chosen_and_refused(folder: Path, run: TrainedRun) -> None:
    assert explain_run.chosen_method(run, None) == ("exact", "the run is a ridge on grids")
    assert explain_run.chosen_method(run, "occlusion")[0] == "occlusion"
    flat = train(folder, "road", "flat", columns=[FLAT], overwrite=True)
    assert explain_run.chosen_method(flat, None) == ("occlusion", "no column of the run has a grid")
    with pytest.raises(InputError, match=r"--method exact.*no column of the run has a grid"):
        flat.explain(road(FRAMES), method="exact")
    with pytest.raises(InputError, match=r"no method 'gradcam'[\s\S]*exact or occlusion"):
        run.explain(road(FRAMES), method="gradcam")
    with pytest.raises(InputError, match="--images is 0"):
        run.explain(road(FRAMES), images=0)


def test_exact_needs_no_weights_where_the_features_are_kept(
    run: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: object, recipe: object) -> None:
        raise UnavailableError("the weights cannot be found")

    monkeypatch.setattr(RunNetworks, "find", gone)
    found = run.explain(road(FRAMES))
    assert len(found) == FRAMES
    assert found.notes == (
        "nobody can say whether a small place decides steering: the images are too alike, as those "
        "of a short drive",
    )
    with pytest.raises(UnavailableError):
        run.explain(road(FRAMES), method="occlusion", images=2)


def test_it_stops_when_it_is_asked_to(run: TrainedRun) -> None:
    asked = itertools.count()
    with pytest.raises(Stopped, match="nothing is written"):
        run.explain(road(FEW), method="occlusion", should_stop=lambda: next(asked) > 5)


def test_the_example_of_the_documentation_holds(
    run: TrainedRun, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    monkeypatch.chdir(folder)
    examples = road(40)
    for number, rgb in enumerate(examples.images):
        Image.fromarray(np.array(rgb, np.uint8)).save(f"{number}.png")
    names = [f"{number}.png" for number in range(40)]
    pyarrow.csv.write_csv(
        pyarrow.table({"image": names, "steering": examples.columns["steering"]}), "frames.csv"
    )
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    [example] = finder.find(TrainedRun.explain, "explain", globs={"run": run})
    assert example.examples
    assert runner.run(example).failed == 0
