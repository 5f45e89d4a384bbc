"""The files that the numbers of a source come from, as they were: whether they have changed since.

Imports nothing but the standard library, since `train` asks it of every dataset.
"""

import hashlib
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from jaxreg.common.files import open_regular
from jaxreg.common.remote_file import AnyFile, RemoteFile, is_url

HASHED = 2**28
"""Bytes: files with more in all, which hold images too, are known by size and time alone."""


@dataclass(frozen=True)
class SourceFile:
    """The state of a file, or of the record files of a tub of version 1."""

    path: str  # absolute, or a URL without secrets
    size: int  # bytes
    mtime_ns: int  # of the last change; 0 at a URL
    sha256: str | None  # of the bytes; None for large files, and at a URL

    @classmethod
    def of(cls, path: Path) -> Self:
        """The state now. Raises OSError if the file cannot be read or is no regular file."""
        return cls.of_all([path])[0]

    @classmethod
    def of_all(cls, paths: Sequence[AnyFile]) -> tuple[Self, ...]:
        """The states of the files of one source, as `of`; of a file at a URL only its name."""
        there = [path for path in paths if isinstance(path, RemoteFile)]
        if there:
            return tuple(cls(str(path), 0, 0, None) for path in there)
        local = [path for path in paths if isinstance(path, Path)]
        files = [_files(path) for path in local]
        stats = [[file.stat() for file in record] for record in files]
        sizes = [sum(stat.st_size for stat in record) for record in stats]
        times = [max((stat.st_mtime_ns for stat in record), default=0) for record in stats]
        hashes = [_sha256(record) if sum(sizes) <= HASHED else None for record in files]
        names = map(os.path.abspath, local)
        return tuple(itertools.starmap(cls, zip(names, sizes, times, hashes, strict=True)))

    @property
    def has_changed(self) -> bool:
        """Whether the content differs now. A file that cannot be read has not changed.

        Nor has one at a URL: `train` asks this, and waits for no network.

        The bytes are read only if the time differs and the size does not.
        """
        if is_url(self.path):
            return False
        try:
            files = _files(Path(self.path))
            stats = [file.stat() for file in files]
            if not stats or sum(stat.st_size for stat in stats) != self.size:
                return bool(stats)
            if max(stat.st_mtime_ns for stat in stats) == self.mtime_ns:
                return False
            return self.sha256 is None or _sha256(files) != self.sha256
        except OSError:
            return False


def _files(path: Path) -> list[Path]:
    return sorted(path.glob("record_*.json")) if path.is_dir() else [path]


def _sha256(files: list[Path]) -> str:
    hashed = hashlib.sha256()
    for path in files:
        with open_regular(path) as file:
            hashed.update(hashlib.file_digest(file, "sha256").digest())
    return hashed.hexdigest()
