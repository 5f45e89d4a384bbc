"""Which columns may go beside the features, and what a run learns of them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.resolve import ResolvedRun, resolve
from jaxreg.extract_config import SourceOptions
from planted_runs import edit_dataset

COLUMNS = {
    "altitude": [None if i % 9 == 0 else 500.0 + i for i in range(240)],
    "camera": ["left", "right", "front"] * 80,
    "site": [f"site {i % 150}" for i in range(240)],
    "place": [f"place {i // 2}" if i < 48 else None for i in range(240)],
    "night": [i % 2 == 0 for i in range(240)],
    "day": pa.array(range(240), pa.date32()),
    "late": [None] * 239 + [1.0],
    "endless": [np.inf] + [0.0] * 239,
    "source.order": range(240),
}


@pytest.fixture
def side(planted: Path) -> Path:
    """The planted dataset with columns of all kinds."""

    def table(dataset) -> pa.Table:
        more = dataset.table
        for name, values in COLUMNS.items():
            more = more.append_column(name, pa.array(values))
        return more

    edit_dataset(planted, table=table)
    return planted


def resolved(root: Path, *names: str, **asked: Any) -> ResolvedRun:
    cache = Cache(root)
    return resolve(cache, read_dataset(cache, "planted"), {"side_columns": names, **asked})


def test_kinds_and_what_is_learned_of_them(side: Path) -> None:
    run = resolved(side, "altitude", "camera", "night", "order", split="tail")
    altitude, camera, night, order = run.side.columns
    train = run.rows("train")
    known = np.array([np.nan if x is None else x for x in COLUMNS["altitude"]])[train]
    assert (altitude.kind, altitude.missing) == ("number", True)
    assert altitude.center == pytest.approx(np.nanmean(known))
    assert altitude.scale == pytest.approx(np.nanstd(known))
    assert (camera.kind, camera.missing) == ("category", False)
    assert camera.categories == ("front", "left", "right")
    assert night.categories == ("false", "true")
    assert order.name == "source.order"  # as the dataset keeps it
    assert run.config.side_columns == ("altitude", "camera", "night", "source.order")
    assert (run.side.width, run.stored.width, run.placement.size.width) == (8, 12, 20)


def test_a_value_that_only_validation_rows_have_is_told(side: Path) -> None:
    def table(dataset) -> pa.Table:
        cameras = pa.array(["left"] * 100 + ["front"] * 100 + ["rear"] * 40)
        place = dataset.table.column_names.index("camera")
        return dataset.table.set_column(place, "camera", cameras)

    edit_dataset(side, table=table, sequential=False)
    run = resolved(side, "camera", split="tail")
    rear = int((run.rows("validation") >= 200).sum())
    assert run.side.columns[0].categories == ("front", "left")
    note = f"{rear} held-out rows have a value of camera that no training row has (rear): it counts"
    assert any(text.startswith(note) for text in run.notes)


def test_the_weights_are_no_side_column(side: Path) -> None:
    found = "--side-columns speed, which is the --weight-column of the run"
    with pytest.raises(InputError, match=found):
        resolved(side, "speed", weight_column="speed")


def test_the_column_of_the_split_is_no_side_column(side: Path) -> None:
    with pytest.raises(InputError, match="camera, which is the --split of the run"):
        resolved(side, "camera", split="column:camera")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["angle"], r"--side-columns angle, which is a target of the run"),
        (["camera", "camera"], r"--side-columns camera camera[\s\S]*each column once"),
        (["camra"], r"no column 'camra' in planted[\s\S]*try: --side-columns camera"),
        (["camera,night"], r"no column[\s\S]*try: --side-columns camera night"),
        (["digest"], r"no column 'digest' in planted"),
        (["id"], r"--side-columns id, which is the ids of the rows"),
        (["speed"], r"--side-columns speed, which is the ids of the rows"),
        (["nothing"], r"the side column nothing has no value"),
        (["late"], r"no training row has a value of the side column late"),
        (["mixed"], r"the side column mixed is text: [\s\S]*fast[\s\S]*correct the cells of mixed"),
        (["day"], r"the side column day holds times \(date32[\s\S]*the hour, the day of the year"),
        (["site"], r"the side column site has 150 different values in 240 rows[\s\S]*at most 100"),
        (["place"], None),
        (["endless"], r"the side column endless is infinite in row 0"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_columns_that_cannot_be_used_are_refused(
    side: Path, names: list[str], message: str | None
) -> None:
    edit_dataset(side, options=SourceOptions(id_column="speed"), sequential=False)
    asked: dict[str, Any] = {"split": "tail", "target": "angle"}
    if message is None:  # two rows each: just enough
        assert resolved(side, *names, **asked).side.columns[0].kind == "category"
        return
    with pytest.raises(InputError, match=message):
        resolved(side, *names, **asked)


def test_the_target_is_the_target_under_each_of_its_names(side: Path) -> None:
    for name in ("order", "source.order"):
        with pytest.raises(InputError, match="which is a target of the run"):
            resolved(side, name, target="order")


def test_text_with_hardly_any_row_for_each_value_is_refused(side: Path) -> None:
    def table(dataset) -> pa.Table:
        values = pa.array([f"place {i}" if i < 30 else None for i in range(240)])
        return dataset.table.set_column(dataset.table.column_names.index("place"), "place", values)

    edit_dataset(side, table=table)
    with pytest.raises(InputError, match="place has 30 different values in 30 rows"):
        resolved(side, "place")
