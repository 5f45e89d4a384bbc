"""trials.csv: appended whole, cut where a kill tore it, and refused where others wrote to it."""

import csv
from pathlib import Path

import pytest

from jaxreg.errors import InputError
from jaxreg.search.trials_file import TrialRow, TrialsFile

SETTINGS = ("head", "learning_rate")
ROWS = [
    TrialRow(1, "ridge", None, "done", 0.1 + 0.2, 0.5, 1 / 3, 240, 0, 0.25),
    TrialRow(2, "heads", None, "failed", epochs=3, settings={"head": "mlp", "learning_rate": "9"}),
    TrialRow(9, "mean", 4, "stopped", None, -1.25, 1e-300, 7, 40, 1.5),
]


def file_in(folder: Path) -> TrialsFile:
    return TrialsFile(folder / "trials.csv", SETTINGS)


def test_what_is_appended_is_read_again_to_the_bit(tmp_path: Path) -> None:
    file_in(tmp_path).append(ROWS[:1])
    file = file_in(tmp_path)
    file.append(ROWS)  # the first is there already
    again = file_in(tmp_path).rows
    blank = dict.fromkeys(SETTINGS, "")
    for row in ROWS:
        assert {**vars(row), "settings": {**blank, **row.settings}} == vars(again[row.trial])
    with (tmp_path / "trials.csv").open() as opened:
        lines = list(csv.reader(opened))
    assert lines[0] == ["trial", "stage", "fold", "status", "head", "learning_rate", "mae", "r2",
                        "huber", "rows", "epochs", "seconds"]  # fmt: skip
    assert lines[1][:7] == ["1", "ridge", "", "done", "", "", "0.30000000000000004"]
    assert lines[3][2] == "4"
    assert len(lines) == 4


def test_the_error_is_the_mae_or_of_several_targets_the_loss() -> None:
    assert [row.error for row in ROWS] == [0.1 + 0.2, None, 1e-300]


def test_every_prefix_is_cut_to_its_whole_lines(tmp_path: Path) -> None:
    file_in(tmp_path).append(ROWS)
    path = tmp_path / "trials.csv"
    whole = path.read_bytes()
    for size in range(len(whole) + 1):
        path.write_bytes(whole[:size])
        file = file_in(tmp_path)
        ended = max(0, whole[:size].count(b"\n") - 1)
        assert list(file.rows) == [row.trial for row in ROWS[:ended]]
        assert path.stat().st_size == whole[:size].rfind(b"\n") + 1
        file.append(ROWS)
        assert path.read_bytes() == whole


DAMAGE = [
    (b",done,", b",perhaps,", "'perhaps' is none of"),
    (b"2,heads", b"1,heads", "has trial 1 once more"),
    (b"2,heads", b"-2,heads", "'-2' is no whole number"),
    (b"2,heads", b"2" * 5000 + b",heads", "is no whole number"),
    (b"mean,4", b"mean,4.5", "'4.5' is no whole number"),
    (b"0.30000000000000004", b"nan", "'nan' is not finite"),
    (b"0.30000000000000004", b"low", "could not convert"),
    (b",240,0,0.25", b",240,0", "has 11 values, not 12"),
    (b",0.3333333333333333,", b",,", "is done, without scores"),
    (b"trial,stage", b"trial,stages", "its columns are"),
    (b"mlp", b"\xff\xfe", "decode"),
    (b"mlp", b'"mlp', "unexpected end of data"),
    (b"mlp", b"ml\0p", ""),
]


@pytest.mark.parametrize(("old", "new", "told"), DAMAGE, ids=[str(n) for n in range(len(DAMAGE))])
def test_a_line_that_no_sweep_has_written(
    tmp_path: Path, old: bytes, new: bytes, told: str
) -> None:
    file_in(tmp_path).append(ROWS)
    path = tmp_path / "trials.csv"
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, new, 1))
    if told:
        with pytest.raises(InputError, match=r"trials\.csv is not as the sweep left it") as caught:
            file_in(tmp_path)
        assert told in str(caught.value)
        assert path.read_bytes() == content.replace(old, new, 1)  # nothing is lost
    else:  # a setting's text is compared later, with that of its trial
        assert file_in(tmp_path).rows[2].settings["head"] == "ml\0p"


def test_a_folder_and_a_link_to_nothing_are_refused(tmp_path: Path) -> None:
    (tmp_path / "trials.csv").mkdir()
    with pytest.raises(InputError, match="it is a folder"):
        file_in(tmp_path)
    other = tmp_path / "other"
    other.mkdir()
    (other / "trials.csv").symlink_to(tmp_path / "nothing")
    with pytest.raises(InputError, match="cannot be read"):
        file_in(other)
