"""Grids of cells on OpenVINO, of which even ones take one node. Expected means are NumPy's."""

import importlib.util
from typing import Any

import numpy as np
import pytest

from jaxreg.backbone.openvino_model import import_openvino
from jaxreg.backbone.openvino_reads import Map, _pool
from jaxreg.backbone.pooling import even_steps, grid_cells
from jaxreg.cache.recipe import Column

_HINTS = {"INFERENCE_PRECISION_HINT": "f32"}

MAPS = {  # rows and columns of the map: whether the cells of 2x4 are even
    (16, 16): True,
    (17, 17): True,  # 9 rows from 0 and 8; 5 columns from 0, 4, 8 and 12
    (35, 35): False,  # columns 0 to 9, 8 to 18 …
    (2, 4): True,
    (3, 5): True,
    (7, 6): False,
}


@pytest.mark.parametrize("sides", MAPS)
def test_even_cells_have_one_size_and_one_step(sides: tuple[int, int]) -> None:
    cells = grid_cells(Column(pool="grid:2x4"), *sides)
    steps = even_steps(cells)
    assert (steps is not None) == MAPS[sides]
    if steps is None:
        return
    (rows, down), (columns, across) = steps
    expected = [
        (slice(r * down, r * down + rows), slice(c * across, c * across + columns))
        for r in range(2)
        for c in range(4)
    ]
    assert cells == expected


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="openvino is not installed here"
)
@pytest.mark.parametrize("sides", MAPS)
@pytest.mark.parametrize("axes", [(1, 2), (2, 3)])
@pytest.mark.parametrize("pool", ["grid:2x4", "grid:1x1", "grid:2x1"])
def test_cells_are_averaged_as_numpy_does(sides, axes, pool) -> None:
    core: Any = import_openvino().Core()
    from openvino import opset13 as ops

    values = np.random.default_rng(0).normal(size=(3, *sides, 5)).astype(np.float32)
    column = Column(pool=pool)
    cells = grid_cells(column, *sides)
    expected = np.concatenate([values[:, rows, at].mean((1, 2)) for rows, at in cells], 1)
    shown = values if axes == (1, 2) else np.ascontiguousarray(values.transpose(0, 3, 1, 2))
    given = ops.parameter([3, *shown.shape[1:]], np.float32)
    result = _pool(ops, given.output(0), column, Map(sides[0], sides[1], axes), 0)
    model = import_openvino().Model([ops.result(result)], [given], "grid")
    compiled = core.compile_model(model, "CPU", _HINTS)
    np.testing.assert_allclose(compiled([shown])[0], expected, rtol=1e-5, atol=1e-6)
