"""`extract --columns`: several pools from one pass."""

from pathlib import Path

import numpy as np
import pytest

import jaxreg
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.feature_set import choose_columns


def test_the_columns_are_those_of_each_view_in_the_order_given() -> None:
    asked = ("mixed10.avg", "identity.mixed3.grid:2x4", "mixed3.max")
    chosen = choose_columns(ExtractConfig(columns=asked, views=("identity", "mirror")))
    assert [column.name for column in chosen] == [
        "identity.mixed10.avg",
        "identity.mixed3.grid2x4",
        "identity.mixed3.max",
        "mirror.mixed10.avg",
        "mirror.mixed3.grid2x4",
        "mirror.mixed3.max",
    ]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (
            ("mixed10.avg", "mixed10.avg"),
            "is mixed10.avg mixed10.avg\n  expected: each column once",
        ),
        (("mixed10.avg", "identity.mixed10.avg"), "expected: each column once"),
        (
            ("mirror.mixed2.max",),
            r"without its view\n  try: --columns mixed2.max --views identity mirror",
        ),
        (("mixed11.avg",), r"no layer 'mixed11'[\s\S]*try: use the layer mixed1"),
        (("mixed10",), r"no column 'mixed10'\n  expected: LAYER.POOL, as mixed10.avg"),
        (("mixed10.grid2",), "no pool 'grid:2'"),
        (("mixed10.mode",), "no pool 'mode'"),
        (("mixed10.mean",), "--pool mean on mixed10, .*\n  expected: avg, max or grid:RxC"),
        (("mixed1.0.avg",), "no view 'mixed1'"),
    ],
)
def test_columns_that_cannot_be_had_are_named(columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        choose_columns(ExtractConfig(columns=columns))


def test_columns_beside_a_pool_are_refused_and_win_over_a_preset(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="--columns with --pool"):
        jaxreg.extract_features("road:2", columns=("mixed2.avg",), pool="max", cache=tmp_path)
    with pytest.raises(InputError, match="no layer 'mixed12'"):  # and not "with --layers"
        jaxreg.extract_features("road:2", preset="best", columns="mixed12.max", cache=tmp_path)


def test_several_pools_come_from_one_pass(tmp_path: Path) -> None:
    """The cells of a grid that divides the map have the pixels of avg: their mean is the same."""
    asked = ("out_relu.max", "block_3_expand_relu.avg", "block_3_expand_relu.grid2x1")
    cache = Cache(tmp_path / "cache")
    done = jaxreg.extract_features(
        "road:6",
        cache=cache.root,
        backbone="mobilenet_v2",
        weights="random",
        size=(64, 64),
        columns=asked,
        engine="tensorflow",
    )
    assert done.computed == 6
    dataset = read_dataset(cache, "road")
    assert f" --columns {' '.join(asked)} --engine" in dataset.extract_command()
    assert [column.short_name for column in dataset.columns] == list(asked)
    mean, cells = (
        cache.read(dataset.feature_set, [column], dataset.digests) for column in dataset.columns[1:]
    )
    assert mean.std() > 0
    np.testing.assert_allclose(cells.reshape(6, 2, -1).mean(axis=1), mean, rtol=1e-5, atol=1e-6)
    run = jaxreg.train_head("road", cache=cache.root, ckpts=tmp_path, head="ridge", split="hash")
    assert [column.short_name for _, column in run.features.columns] == list(asked)
