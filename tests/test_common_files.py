"""Reading files of others: regular ones only, and only as large as allowed."""

import os
from pathlib import Path

import pytest

from jaxreg.common.files import file_sha256, open_regular


def test_a_regular_file_is_opened_also_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    (tmp_path / "link").symlink_to("a")
    with open_regular(tmp_path / "link", limit=7) as file:
        assert file.read() == b"content"
    # echo -n content | sha256sum
    digest = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    assert file_sha256(tmp_path / "link") == digest


def test_special_files_and_folders_are_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, said in (("fifo", "a FIFO"), ("zero", "a device"), (".", "a folder")):
        with pytest.raises(OSError, match=f"{said}.*not a regular file"):
            open_regular(tmp_path / name)


def test_a_file_over_the_limit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(30_000_000_000)
    with pytest.raises(OSError, match=r"it has 30.0 GB; more than 1.0 kB are refused"):
        open_regular(tmp_path / "sparse", limit=1000)
