"""Copies of immutable objects: checked, bounded, and never in the way."""

import hashlib
import os
from pathlib import Path

import pytest

from jaxreg.cache.local_copies import VARIABLE, LocalCopies, digest_in, local_copies
from jaxreg.common.user_cache import user_cache
from jaxreg.errors import InputError


def content(number: int, size: int = 100) -> tuple[str, bytes]:
    some = bytes([number]) * size
    return hashlib.sha256(some).hexdigest()[:16], some


def test_what_was_put_comes_back(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path / "copies", 1000)
    digest, some = content(1)
    assert copies.get(digest) is None
    copies.put(digest, some)
    assert copies.get(digest) == some
    assert LocalCopies(tmp_path / "copies", 1000).get(digest) == some  # another process


def test_a_damaged_copy_is_a_miss_and_goes(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 1000)
    digest, some = content(1)
    copies.put(digest, some)
    (tmp_path / digest).write_bytes(some[:-1])
    assert copies.get(digest) is None
    assert os.listdir(tmp_path) == []


def test_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 350)
    for number in range(3):
        copies.put(*content(number))
        os.utime(tmp_path / content(number)[0], (number, number))
    copies.get(content(0)[0])  # used now
    copies.put(*content(3))
    kept = [number for number in range(4) if copies.get(content(number)[0])]
    assert kept == [0, 2, 3]  # 400 bytes would be too many


def test_other_processes_count(tmp_path: Path) -> None:
    one, other = LocalCopies(tmp_path, 350), LocalCopies(tmp_path, 350)
    one.put(*content(0))
    for number in range(1, 4):
        other.put(*content(number))
    one.put(*content(4))
    for number in range(5, 8):
        one.put(*content(number))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 350


def test_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 350)
    copies.put(*content(0))
    copies.put(*content(1, 351))
    assert os.listdir(tmp_path) == [content(0)[0]]


def test_unfinished_files_of_dead_processes_go(tmp_path: Path) -> None:
    old, new = tmp_path / ".0.1.0.tmp", tmp_path / ".0.2.0.tmp"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    LocalCopies(tmp_path, 1000).put(*content(0))
    assert sorted(os.listdir(tmp_path)) == sorted([new.name, content(0)[0]])


def test_a_folder_that_cannot_be_made_holds_no_copies(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    copies = LocalCopies(tmp_path / "file" / "copies", 1000)
    digest, some = content(0)
    copies.put(digest, some)
    assert copies.get(digest) is None


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        with open(path, "wb") as file:
            file.write(content[:1])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    LocalCopies(tmp_path, 1000).put(*content(0))
    assert os.listdir(tmp_path) == []


def test_the_limit_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "1.5 GB")
    found = local_copies()
    assert found is not None
    assert (found.folder, found.limit) == (user_cache() / "buckets", 1_500_000_000)
    assert local_copies() is found  # all stores of a process know what was written
    monkeypatch.setenv(VARIABLE, "0")
    assert local_copies() is None
    monkeypatch.setenv(VARIABLE, "much")
    with pytest.raises(InputError, match=rf"{VARIABLE} is much\s+expected: 0 for no copies, or"):
        local_copies()


def test_only_parts_are_named_by_their_content() -> None:
    assert digest_in("features/x/y/part-0123456789abcdef.parquet") == "0123456789abcdef"
    assert digest_in("part-0123456789abcdef.parquet.bad") is None
    assert digest_in("datasets/part-0123456789abcdef-1.parquet") is None
    assert digest_in("features/x/feature_set.json") is None


def test_what_is_no_regular_file_is_no_copy(tmp_path: Path) -> None:
    copies = LocalCopies(tmp_path, 1000)
    (tmp_path / "zero").symlink_to("/dev/zero")  # has no end
    os.mkfifo(tmp_path / "fifo")  # has no writer
    (tmp_path / "folder").mkdir()
    assert [copies.get(name) for name in ("zero", "fifo", "folder")] == [None] * 3
