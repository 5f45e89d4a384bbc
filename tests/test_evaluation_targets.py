"""`evaluate` for several targets, types of targets, weights, side columns, folds and groups."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score

from evaluated import GROUPS, ROWS, new_rows, rows_of, train
from jaxreg.errors import InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("evaluation")


def test_each_of_several_targets_has_its_own_scores(folder: Path) -> None:
    run = train(folder, "two", target=("y", "speed"))

    def changed(x, columns):
        speed = np.where(np.arange(ROWS) % 3 == 0, np.nan, 3 * columns["speed"])
        return x, {**columns, "speed": speed}

    table, vectors = new_rows(folder, changed)
    found = run.evaluate(table, embeddings=str(vectors))
    x, columns = changed(*rows_of(2))
    predicted = run.predict_features(x)
    known = ~np.isnan(columns["speed"])
    expected = {
        "y": mean_absolute_error(columns["y"], predicted[:, 0]),
        "speed": mean_absolute_error(columns["speed"][known], predicted[known, 1]),
    }
    scores = {name: one["mae"] for name, one in found.by_target.items()}
    assert scores == pytest.approx(expected, rel=1e-5)
    r2 = [
        r2_score(columns["y"], predicted[:, 0]),
        r2_score(columns["speed"][known], predicted[known, 1]),
    ]
    assert found.metrics["r2"] == pytest.approx(np.mean(r2), rel=1e-4)
    assert found.metrics["mae"] is None
    assert [one["far_worse"] for one in found.by_target.values()] == [False, True]
    assert found.headline.startswith("far worse than promised: speed MAE ")
    about = {(finding.code, finding.targets) for finding in found.findings}
    assert about == {("targets-shifted", ("speed",)), ("targets-mismatched", ("speed",))}

    def without(x, columns):
        del columns["speed"]
        return x, columns

    table, vectors = new_rows(folder, without)
    found = run.evaluate(table, embeddings=str(vectors))
    assert found.by_target["speed"]["mae"] is None
    assert found.by_target["y"]["mae"] is not None
    assert "the source has no column speed, which is not scored" in found.notes


def test_a_circular_target_is_scored_around_the_circle(folder: Path) -> None:
    run = train(folder, "circle", target="heading", target_type="circular:360")
    table, vectors = new_rows(folder)
    found = run.evaluate(table, embeddings=str(vectors))
    x, columns = rows_of(2)
    apart = np.abs(run.predict_features(x)[:, 0] - columns["heading"])
    assert found.metrics["mae"] == pytest.approx(np.minimum(apart, 360 - apart).mean(), rel=1e-4)
    assert found.findings == ()

    def turned(x, columns):
        return x, {**columns, "heading": (columns["heading"] + 90) % 360}

    table, vectors = new_rows(folder, turned)
    found = run.evaluate(table, embeddings=str(vectors))
    assert {finding.code for finding in found.findings} == {"targets-shifted", "targets-mismatched"}
    offset = next(f for f in found.findings if f.code == "targets-mismatched").numbers["offset"]
    assert offset == pytest.approx(90, abs=3)

    def mirrored(x, columns):
        return x, {**columns, "heading": (2 * 350 - columns["heading"]) % 360}

    table, vectors = new_rows(folder, mirrored)
    codes = [f.code for f in run.evaluate(table, embeddings=str(vectors)).findings]
    assert codes[0] == "predictions-reversed"


def test_a_bounded_target_may_have_numbers_out_of_its_bounds(folder: Path) -> None:
    run = train(folder, "share", target="share", target_type="bounded:0:1")

    def outside(x, columns):
        share = columns["share"].copy()
        share[0] = 1.5
        return x, {**columns, "share": share}

    table, vectors = new_rows(folder, outside)
    found = run.evaluate(table, embeddings=str(vectors))
    predicted = found.table["prediction.share"].to_numpy()
    assert predicted.max() <= 1
    assert found.metrics["mae"] == pytest.approx(
        mean_absolute_error(outside(*rows_of(2))[1]["share"], predicted), rel=1e-5
    )


def test_weighted_scores_where_run_and_source_have_weights(folder: Path) -> None:
    run = train(folder, "weights", weight_column="weight")
    table, vectors = new_rows(folder)
    found = run.evaluate(table, embeddings=str(vectors))
    x, columns = rows_of(2)
    expected = mean_absolute_error(
        columns["y"], run.predict_features(x)[:, 0], sample_weight=columns["weight"]
    )
    assert found.weighted is not None
    assert found.weighted["mae"] == pytest.approx(expected, rel=1e-5)

    def without(x, columns):
        del columns["weight"]
        return x, columns

    table, vectors = new_rows(folder, without)
    found = run.evaluate(table, embeddings=str(vectors))
    assert found.weighted is None
    assert found.notes[0] == "the source has no weight column weight: each row counts the same"

    def negative(x, columns):
        return x, {**columns, "weight": -columns["weight"]}

    table, vectors = new_rows(folder, negative)
    with pytest.raises(InputError, match=r"weight column weight is below 0[\s\S]*correct these"):
        run.evaluate(table, embeddings=str(vectors))


def test_side_columns_must_be_there(folder: Path) -> None:
    run = train(folder, "side", side_columns=("height",))
    table, vectors = new_rows(folder)
    assert run.evaluate(table, embeddings=str(vectors)).findings == ()

    def without(x, columns):
        del columns["height"]
        return x, columns

    table, vectors = new_rows(folder, without)
    with pytest.raises(InputError, match="no column 'height', which the run needs beside"):
        run.evaluate(table, embeddings=str(vectors))


def test_the_coverage_of_intervals_is_measured(folder: Path) -> None:
    """Against NumPy: drives have equal weight. Twice the noise halves what intervals promise."""
    run = train(folder, "folds", folds=5)
    own = run.summary["intervals"]
    for scale in (1.0, 4.0):

        def noisier(x, columns, scale=scale):
            noise = np.random.default_rng(5).normal(size=ROWS)
            return x, {**columns, "y": columns["y"] + 0.2 * (scale - 1) * noise}

        table, vectors = new_rows(folder, noisier)
        found = run.evaluate(table, embeddings=str(vectors)).intervals
        x, columns = noisier(*rows_of(2))
        inside = np.abs(run.predict_features(x)[:, 0] - columns["y"]) <= own["half_width"]["y"]
        by_drive = inside.reshape(GROUPS, -1).mean(axis=1)
        assert found is not None
        assert (found["level"], found["units"]) == (own["level"], GROUPS)
        assert found["coverage"] == pytest.approx(by_drive.mean())
        assert found["worst_unit"]["coverage"] == pytest.approx(by_drive.min())
        assert found["worst_unit"]["unit"] == columns["drive"][20 * int(by_drive.argmin())]
        assert (found["coverage"] > 0.8) == (scale == 1.0)


def test_a_run_without_intervals_has_null(folder: Path) -> None:
    run = train(folder, "plain")
    table, vectors = new_rows(folder)
    found = run.evaluate(table, embeddings=str(vectors))
    assert found.intervals is None
    assert found.to_json()["intervals"] is None


def test_a_few_rows_are_scored_without_findings(folder: Path) -> None:
    run = train(folder, "few")

    def three(x, columns):
        return x[:3], {name: values[:3] for name, values in columns.items()}

    table, vectors = new_rows(folder, three)
    found = run.evaluate(table, embeddings=str(vectors))
    assert (found.rows, found.findings) == (3, ())
    assert any("needs 10 new images, and has 3" in note for note in found.notes)
