"""Which column is the target, and what is said of the columns that are not."""

from pathlib import Path

import pytest

from jaxreg.cache.dataset_table import Dataset, make_dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.choose import choose_targets, numbers, passed_over
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources import open_source
from jaxreg.train_config import TrainConfig


def dataset(tmp_path: Path, text: str, **options) -> Dataset:
    """The dataset of a table of images that nobody opens."""
    path = tmp_path / "t.csv"
    path.write_text(text)
    asked = SourceOptions(**options)
    examples = open_source(str(path), asked)
    return make_dataset(
        "t",
        examples,
        ["00"] * len(examples),
        feature_set="f",
        columns=(),
        opened="t.csv",
        options=asked,
        settings=ExtractConfig(),
    )


def targets(data: Dataset, *asked: str, **settings) -> tuple[str, ...]:
    return choose_targets(Cache(Path("none")), data, TrainConfig(target=asked, **settings))


def refused(data: Dataset, *asked: str) -> InputError:
    with pytest.raises(InputError) as raised:
        targets(data, *asked)
    return raised.value


@pytest.mark.parametrize("name", ["leaf_area_index", "reaction_ms", "order", "frame", "id"])
def test_a_column_that_is_no_default_for_its_name_is_named(tmp_path, name):
    data = dataset(tmp_path, f"image,{name}\na.png,2\nb.png,1\nc.png,1\n")
    error = refused(data)
    assert error.remedy == f"--target {name}"
    assert f"only with --target: {name} (it is named like an index" in error.expected
    assert "none is numeric" not in error.expected
    kept = f"source.{name}" if name in ("order", "id") else name
    assert targets(data, name) == targets(data, kept) == (kept,)
    assert numbers(data, kept).tolist() == [2, 1, 1]


def test_a_column_that_serves_or_is_empty_says_so(tmp_path):
    data = dataset(tmp_path, "image,n,e\na.png,2,\nb.png,1,\n", order_column="n")
    text = refused(data).expected
    assert "n (it is the --order-column)" in text
    assert "e (it has no value)" in text
    assert refused(data).remedy == "--target n"


def test_the_mirror_takes_the_name_of_the_source_too(tmp_path):
    data = dataset(tmp_path, "image,order\na.png,2\nb.png,1\n")
    views = {"views": ("identity", "mirror"), "mirror_targets": ("order",)}
    assert targets(data, "order", **views) == ("source.order",)


def test_numbers_beside_the_default_that_do_not_count_rows_are_passed_over(tmp_path):
    text = "image,y,leaf_index,frame,time\na.png,1,2,1,5\nb.png,2,1,2,5\nc.png,3,4,3,7\n"
    data = dataset(tmp_path, text)
    assert targets(data) == ("y",)
    assert passed_over(data) == ["leaf_index"]  # frame and time never fall


def test_one_cell_of_text_is_named_with_its_row(tmp_path):
    rows = "".join(f"{i}.png,{'oops' if i == 4 else i / 8}\n" for i in range(10))
    data = dataset(tmp_path, f"image,y\n{rows}9b.png,NA\n")
    said = "'oops' in 4.png is no number; 9 cells are numbers"
    error = refused(data)
    assert said in error.expected
    assert error.remedy.startswith("correct the cells of y that are no numbers, then: jaxreg ")
    with pytest.raises(InputError, match=said):
        numbers(data, targets(data, "y")[0])


def test_a_cell_of_text_is_a_likelier_fault_than_a_name(tmp_path):
    data = dataset(tmp_path, "image,y,order\na.png,1,1\nb.png,x,2\nc.png,3,1\n")
    assert refused(data).remedy.startswith("correct the cells of y ")


def test_text_is_no_column_of_numbers(tmp_path):
    data = dataset(tmp_path, "image,y\na.png,left\nb.png,right\nc.png,1\n")
    error = refused(data)
    assert error.expected == "a numeric column: there is none; not numbers: image, y"
    assert error.remedy == ""


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [("a,b", "--target a b"), ("aa", "--target a"), ("zzz", ""), ("ordr", "--target order")],
)
def test_a_name_that_is_not_there_is_mended(tmp_path, asked, remedy):
    data = dataset(tmp_path, "image,a,b,order\na.png,1,2,1\nb.png,2,1,0\n")
    assert refused(data, asked).remedy == remedy
