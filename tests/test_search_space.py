"""The words of `--search`, and the settings that are drawn from them."""

import math
from itertools import islice
from typing import Any

import numpy as np
import pytest

from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.experiment.finalists import NUMERIC
from jaxreg.search.space import STATIC
from jaxreg.search.space_words import DEFAULT, default_space, read_space
from jaxreg.search.sweep_record import words_of
from jaxreg.search.trial_draws import architecture_of, draws, meaningful
from jaxreg.search.watch import Watch
from jaxreg.sweep import SweepArguments
from jaxreg.train_config import HeadConfig

WORDS = ("learning_rate=1e-5..1e-2", "dropout=0..0.5", "head=mlp,ridge,blend",
         "hidden=512-256-128-64,64", "columns=all")  # fmt: skip


def test_the_words_of_the_contract() -> None:
    space = read_space(WORDS, {})
    assert space.to_json() == {
        "learning_rate": {"from": 1e-5, "to": 1e-2, "scale": "log"},
        "dropout": {"from": 0.0, "to": 0.5, "scale": "linear"},
        "head": {"choices": ["mlp", "ridge", "blend"]},
        "hidden": {"choices": [[512, 256, 128, 64], [64]]},
        "columns": {"choices": ["all"]},
    }
    assert space.all_columns
    assert space.listed_columns == ()


@pytest.mark.parametrize(
    ("words", "scale"),
    [("0.001..0.1", "log"), ("0.0011..0.1", "linear"), ("0..0.1", "linear"), ("1..100", "log")],
)
def test_a_range_is_logarithmic_from_a_hundredfold_on(words: str, scale: str) -> None:
    space = read_space([f"weight_decay={words}"], {})
    assert space.to_json()["weight_decay"]["scale"] == scale


def test_python_code_gives_lists_and_values() -> None:
    asked = {"head": ["mlp", "ridge"], "hidden": [(64, 32), 16], "learning_rate": "1e-4..1e-1",
             "components": [None, 8], "scale_features": [True, False], "batch_size": 64,
             "columns": ["mixed2.avg+mixed10.avg", ["mixed2.avg"]]}  # fmt: skip
    space = read_space(asked, {})
    choices = {d.name: d.choices for d in space.dimensions}
    assert choices["hidden"] == ((64, 32), (16,))
    assert choices["components"] == (None, 8)
    assert choices["scale_features"] == (True, False)
    assert choices["batch_size"] == (64,)
    assert space.listed_columns == (("mixed2.avg", "mixed10.avg"), ("mixed2.avg",))
    words = ["components=none,8", "scale-features=on,off"]
    assert read_space(words, {}).dimensions[0].choices == (None, 8)
    assert read_space(words, {}).dimensions[1].choices == (True, False)


def test_values_of_python_code_are_words_of_the_command() -> None:
    asked = {"learning_rate": (0.001, 0.1), "dropout": np.array([0.1, 0.5]), "patience": 3,
             "hidden": [[64, 32], 16], "head": ["mlp"],
             "columns": [["mixed2.avg", "mixed4.avg"], "mixed2.avg"]}  # fmt: skip
    assert words_of(asked) == (
        "learning_rate=0.001,0.1", "dropout=0.1,0.5", "patience=3", "hidden=64-32,16", "head=mlp",
        "columns=mixed2.avg+mixed4.avg,mixed2.avg",
    )  # fmt: skip
    assert words_of({"hidden": (64, 32)}) == ("hidden=64-32",)
    assert words_of({"hidden": ((64, 32), (16,))}) == ("hidden=64-32,16",)


REFUSED = [
    ("dropout", "expected: KEY=VALUES"),
    ("dropout=", "expected: KEY=VALUES"),
    ("droput=0..1", "try: --search dropout=…"),
    ("lr=1e-4,1e-3", "try: --search learning_rate=…"),
    ("units=64", "try: --search hidden=…"),
    ("target=angle", "each target is a sweep of its own"),
    ("epochs=10,20", "halving"),
    ("split=hash", "another question"),
    ("folds=3,5", "another question"),
    ("seed=0..9", "--seeds"),
    ("cache=a,b", "there is no setting 'cache'"),
    ("memory_limit=1GB", "use the option"),
    ("learning_rate=0..0.1", "--learning-rate is 0"),
    ("learning_rate=1e-2..1e-3", "A below B"),
    ("learning_rate=a..b", "learning_rate=a..b\n  expected: A..B, two numbers"),
    ("learning_rate=nan", "--learning-rate is nan"),
    ("learning_rate=1e-3,1e-3", "twice"),
    ("dropout=0..1", "--dropout is 1"),
    ("patience=1.5", "a whole number"),
    ("patience=1..99999999999", "--patience is"),
    ("hidden=64..128", "hidden=512-256-128-64,64"),
    ("hidden=64x32", "with dashes"),
    ("hidden=0", "--hidden is 0"),
    ("head=mlp,forest", "--head is forest"),
    ("scale_features=maybe", "scale_features=on,off"),
    ("batch_size=32,,64", "a whole number"),
]


@pytest.mark.parametrize(("word", "told"), REFUSED, ids=[word for word, _ in REFUSED])
def test_a_word_that_cannot_be(word: str, told: str) -> None:
    with pytest.raises(InputError) as caught:
        read_space([word], {})
    assert told in str(caught.value)


def test_a_key_twice_and_a_key_that_is_fixed() -> None:
    with pytest.raises(InputError, match="more than once"):
        read_space(["dropout=0..0.1", "dropout=0.2"], {})
    with pytest.raises(InputError, match="searched and fixed: --learning-rate"):
        read_space(["learning_rate=1e-3,1e-2"], {"learning_rate": 1e-4})
    with pytest.raises(InputError, match="--layers gives it one value"):
        read_space(["columns=all"], {"layers": ("mixed2",)})


def test_every_setting_of_a_head_is_searched_or_said_not_to_be() -> None:
    fields = set(HeadConfig.__dataclass_fields__)
    rest = fields - set(NUMERIC) - set(STATIC)
    assert rest == {"target_type", "scale_target", "epochs", "keep_going", "seed"}


def test_the_default_space_leaves_out_what_is_fixed() -> None:
    space = default_space({"dropout": 0.1, "columns": ("mixed2.avg",)}, several_columns=True)
    assert set(space.names) == set(DEFAULT) - {"dropout"}
    assert default_space({}, several_columns=True).all_columns
    assert "columns" not in default_space({}, several_columns=False).names


def drawn(words: Any, count: int, seed: int = 0) -> list[dict[str, Any]]:
    return [dict(one) for one in islice(draws(read_space(words, {}), seed), count)]


def test_draws_are_of_the_space_and_follow_from_the_seed() -> None:
    words = ["learning_rate=1e-5..1e-2", "patience=3..9", "dropout=0..0.5", "head=mlp,blend"]
    found = drawn(words, 100)
    assert found == drawn(words, 100)
    assert found[:16] == drawn(words, 16)
    assert found != drawn(words, 100, seed=1)
    rates = np.array([one["learning_rate"] for one in found])
    assert (rates >= 1e-5).all()
    assert (rates <= 1e-2).all()
    # Sobol points are even: of 100 on a log scale a third lie in each third of the three decades
    thirds = np.histogram(np.log10(rates), bins=3, range=(-5, -2))[0]
    assert (np.abs(thirds - 100 / 3) < 5).all()
    assert {one["patience"] for one in found} == set(range(3, 10))
    assert all(isinstance(one["patience"], int) for one in found)
    heads = [one["head"] for one in found]
    assert 40 <= heads.count("mlp") <= 60


def test_a_setting_is_drawn_once_and_a_finite_space_ends() -> None:
    found = drawn(["head=mlp,ridge", "hidden=8,16", "batch_size=32,64"], 100)
    assert len(found) == 5  # four MLPs and one ridge, which has neither layers nor batches
    assert found.count({"head": "ridge"}) == 1
    assert drawn([], 10) == [{}]


def test_what_has_no_part_in_a_head_is_left_out() -> None:
    drawn = {"head": "ridge", "learning_rate": 0.1, "components": 8, "columns": ("a",)}
    assert meaningful(drawn) == {"head": "ridge", "components": 8, "columns": ("a",)}
    assert meaningful({"dropout": 0.1}, head="ridge") == {}
    assert meaningful({"loss": "mae", "huber_delta": 0.1}) == {"loss": "mae"}


def test_heads_of_one_program_differ_in_numbers_alone() -> None:
    one = {"head": "mlp", "hidden": (8,), "learning_rate": 0.1, "dropout": 0.2}
    assert architecture_of(one) == architecture_of({**one, "learning_rate": 0.3, "dropout": 0.0})
    assert architecture_of(one) != architecture_of({**one, "hidden": (16,)})


def test_the_ends_of_a_range_are_in_it() -> None:
    (dimension,) = read_space(["learning_rate=0.0123412..9"], {}).dimensions
    assert dimension.log
    assert dimension.at(0.0) == 0.0123412  # four digits would be below it
    assert math.isclose(dimension.at(1 - 1e-12), 9)


def test_the_help_names_the_default_space() -> None:
    text = " ".join((SweepArguments.__doc__ or "").split())
    named = text.split("Without --search, a sweep searches ")[1].split(", but for")[0]
    assert set(named.replace(" and ", ", ").split(", ")) == {*DEFAULT, "columns"}


def test_the_best_that_is_shown_is_of_the_stage_at_work() -> None:
    with step("sweep", 4, "trials") as whole, step("choosing on all rows", 4, "trials") as one:
        watch = Watch(print, lambda: False, whole)
        watch.begin_choice(None, one)
        watch.count(1, 0.1)  # a ridge of stage one, which learned from more rows
        watch.begin_stage()
        assert watch.best is None
        watch.count(2, 0.3)
        assert (one.done, one.note) == (3, "best 0.3")
