"""Paths in a table that all miss for one reason."""

import pytest

from jaxreg.sources import SourceOptions, open_source
from tables import csv, png, refusal


@pytest.mark.parametrize(
    ("written", "file"),
    [
        ("a.png", "pics/a.png"),
        ("pics\\a.png", "pics/a.png"),
        ("a.PNG", "a.png"),
        ("a", "pics/a.png"),
        ("0007", "pics/0007.jpg"),
        ("/elsewhere/drive/pics/a.png", "pics/a.png"),
        ("https://host.invalid/x/a%20b.png?size=2", "pics/a b.png"),
    ],
)
def test_the_only_way_that_finds_the_files_is_used(tmp_path, written, file):
    path = tmp_path / file.replace("\\", "/")
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(png(1))
    table = csv(tmp_path, f"image,y\n{written},1\n")
    examples = open_source(table, SourceOptions(image_column="image"))
    assert [image.resolve() for image in examples.images] == [path]
    assert "finds" in examples.notes[0]


def test_two_ways_or_none_are_a_note_and_change_nothing(tmp_path):
    table = csv(tmp_path, "image,y\na.png,1\n")
    assert "looked in" in open_source(table).notes[0]
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(png(1))
    examples = open_source(table)
    assert "may be any of" in examples.notes[0]
    assert list(examples.images) == [tmp_path / "a.png"]
    options = SourceOptions(image_root=str(tmp_path / "two"))
    assert list(open_source(table, options).images) == [tmp_path / "two" / "a.png"]
    assert "is no folder" in refusal(table, image_root=str(tmp_path / "three"))
