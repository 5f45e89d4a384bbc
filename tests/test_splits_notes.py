"""What a split says of the values that it put on each side."""

import re

import numpy as np
import pyarrow as pa

from test_splits import split


def test_group_says_which_value_went_where():
    """Of seven drives with 1 to 7 rows, by hand: the sides as labelled, the rows as counted."""
    drive = [f"d{i}" for i in range(1, 8) for _ in range(i)]
    found = split("group:drive", 28, columns=pa.table({"drive": drive}), validation=0.2, test=0.1)
    [note] = found.notes
    sides: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for name in sorted(set(drive), reverse=True):  # most rows first
        [side] = set(found.labels[np.array(drive) == name])
        count = drive.count(name)
        sides[side].append(f"{name} ({count} row{'s' * (count != 1)})")
    told = {side: ", ".join(names) for side, names in sides.items()}
    assert [len(names) for names in sides.values()] == [4, 2, 1]
    assert note == (
        f"Of 7 values of 'drive', 4 train: {told['train']}; 2 validate: {told['validation']}; "
        f"1 tests: {told['test']}."
    )


def test_a_note_on_many_values_is_short():
    drive = [f"d{i:03}" for i in range(200)] + ["none"] * 3
    columns = pa.table({"drive": pa.array([None if d == "none" else d for d in drive])})
    [note] = split("group:drive", 203, columns=columns).notes
    assert len(note) < 400
    assert "no value (3 rows)" in note
    counts = [int(count) for count in re.findall(r"and (\d+) more", note)]
    assert sum(counts) + note.count("d1") + note.count("d0") + 1 == 201
