"""The figures of a report: what they show of odd numbers."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxreg.common.files import safe_name
from jaxreg.report import plots, prediction_plots
from jaxreg.train_config import HeadConfig
from made_pages import history

LABELS = ("training", "validation")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def ink(picture: bytes, colour: str) -> int:
    """The number of pixels of this colour."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return int((np.abs(pixels - wanted).sum(axis=-1) < 6).sum())


def test_curves_mark_the_best_epoch_only_when_there_is_one():
    unmarked = plots.curves([history(60)], None, LABELS)
    assert ink(plots.curves([history(60)], 48, LABELS), plots.VERMILLION) > 200
    assert ink(unmarked, plots.VERMILLION) == 0
    assert ink(unmarked, plots.BLUE) > 1000


@pytest.mark.parametrize("epochs", [1, 3])
def test_curves_of_losses_that_are_not_finite(epochs):
    broken = {**history(epochs), "val_loss": np.full(epochs, np.nan), "loss": [np.inf] * epochs}
    whole = plots.curves([history(epochs)], None, LABELS)
    assert ink(plots.curves([broken], None, LABELS), plots.BLUE) < ink(whole, plots.BLUE)


@pytest.mark.parametrize(
    ("last", "panels"),
    [(1e-4, 1), (0.995e-4, 1), (0.98e-4, 2), (1e-7, 2), (np.nan, 1)],
)  # fmt: skip
def test_a_rate_is_drawn_only_where_it_moves_by_a_hundredth(last: float, panels: int):
    """The panel of a rate that stays shows nothing but rounding."""
    moving = {**history(30), "learning_rate": np.linspace(1e-4, last, 30)}
    still = {**history(30), "learning_rate": np.full(30, 1e-4)}
    drawn = Image.open(io.BytesIO(plots.curves([moving], None, LABELS)))
    without = Image.open(io.BytesIO(plots.curves([still], None, LABELS)))
    assert (drawn.height > without.height) == (panels == 2)


def test_the_lines_of_a_blend_are_named_as_two_heads():
    assert plots.curve_labels(HeadConfig()) == ("training (dropout on)", "validation")
    assert plots.curve_labels(HeadConfig(dropout=0.0)) == ("training", "validation")
    assert plots.curve_labels(HeadConfig(hidden=())) == ("training", "validation")
    blend = plots.curve_labels(HeadConfig(head="blend"))
    assert blend == ("training, MLP alone (dropout on)", "validation, MLP alone")


@pytest.mark.parametrize(
    "draw", [prediction_plots.predicted_against_true, prediction_plots.residuals]
)
def test_scatter_survives_what_a_head_may_predict(draw, rng):
    true = rng.normal(size=50)
    split = np.array(["train", "validation"] * 25)
    for name, predicted in {
        "constant": np.zeros(50),
        "perfect": true.copy(),
        "broken": np.full(50, np.nan),
        "huge": np.where(np.arange(50) == 7, 1e30, true),
    }.items():
        made = draw("a$b 温度", true, predicted, split)
        drawn = ink(getattr(made, "png", made), plots.BLUE)
        assert (drawn > 0) == (name != "broken")
    draw("x", np.ones(1), np.ones(1), np.array(["validation"]))


def test_one_huge_prediction_does_not_hide_the_others(rng):
    true = rng.uniform(-1, 1, 300)
    split = np.full(300, "validation")
    spread = []
    for last in (0.5, 1e6):
        predicted = np.append(true[:-1], last)
        picture = prediction_plots.predicted_against_true("x", true, predicted, split).png
        spread.append(ink(picture, plots.BLUE))
    assert spread[1] > 0.1 * spread[0]


def test_tiny_training_errors_do_not_press_the_others_into_the_outermost_bars(rng):
    errors = {"train": rng.normal(0, 1e-3, 900), "validation": rng.normal(0, 1, 100)}
    edges = prediction_plots._edges(errors)
    outside = (np.abs(errors["validation"]) > edges[-2]).mean()
    assert outside <= 0.05
    assert np.array_equal(edges, prediction_plots._edges({"validation": errors["validation"]}))
    only_train = prediction_plots._edges({"train": errors["train"]})
    assert 2e-3 < only_train[-1] < 1e-2  # about 3 to 7 std


def test_many_rows_still_show_where_most_are(rng):
    true = rng.normal(size=100_000)
    predicted = true + rng.normal(size=100_000)
    split = np.full(100_000, "validation")
    picture = prediction_plots.predicted_against_true("x", true, predicted, split).png
    grey = np.asarray(Image.open(io.BytesIO(picture)).convert("L")).astype(float)
    height, width = grey.shape
    middle = grey[height // 2 - 40 : height // 2 + 40, width // 2 - 40 : width // 2 + 40]
    third = grey[height // 3 - 40 : height // 3 + 40, width // 3 - 40 : width // 3 + 40]
    assert middle.mean() < third.mean() - 30  # dense in the middle, thin off the line


def test_file_names():
    assert safe_name("user/angle") == "user-angle"
    assert safe_name("../../etc/passwd") == "etc-passwd"
    assert safe_name("..") == "unnamed"
    assert safe_name("Größe (mm)") == "Größe-mm"
    assert len(safe_name("x" * 500)) == 80
    assert plots.safe_names(["user/angle", "user-angle", "User angle", "b"]) == {
        "user/angle": "user-angle",
        "user-angle": "user-angle-2",
        "User angle": "User-angle-3",
        "b": "b",
    }
