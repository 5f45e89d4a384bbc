"""Examples: the images of a source, to be read later, and the numbers that belong to them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.common.remote_file import AnyFile, RemoteFile
from jaxreg.sources.naming import as_unicode
from jaxreg.sources.source_file import SourceFile

Image = AnyFile | bytes | np.ndarray
"""One image before decoding: a file, also at a URL, the bytes of an encoded image, or
an array of pixels.
"""


def remote_image(images: Sequence[Image], row: int) -> RemoteFile | None:
    """The image in a row, if it is known to be at a URL without that anything is read or drawn."""
    if isinstance(images, list | tuple):
        image = images[row]
        return image if isinstance(image, RemoteFile) else None
    of = getattr(images, "remote_image", None)
    return None if of is None else of(row)


DIGEST = "digest"
"""The column of a dataset with the digests of its images; `digest.NAME` has those of vectors."""

RESERVED = ("id", DIGEST, "order", "group", "path")
"""A dataset's own columns; a source's column of such a name is kept as `source.<name>`."""

WRITTEN = "written."
"""Before the name of a column: the dataset's column of its text, where numbers do not keep it."""


@dataclass(frozen=True)
class Examples:
    """Examples in the source's own order; nothing is decoded yet.

    `images[i]` may read or draw on access, so that memory stays bounded. In ids, groups and paths
    all that is no Unicode, as in names of files, becomes text (`as_unicode`).
    """

    ids: tuple[str, ...]  # unique and stable: the same example has the same id next time
    images: Sequence[Image]  # one per id
    columns: pa.Table  # one row per id: every scalar column of the source
    description: dict[str, Any]  # JSON: kind, location, the options used
    order: np.ndarray | None = None  # int64, place within the group; None: row number
    group: tuple[str, ...] | None = None  # the sequence (drive, session) each example belongs to
    paths: tuple[str, ...] | None = None  # for people; never an identity
    targets: tuple[str, ...] = ()  # the source's own default targets, if it has any
    bookkeeping: tuple[str, ...] = ()  # index, order, time: kept, never a default
    sequential: bool = False  # consecutive frames: neighbours are alike, so blocks is the split
    unusable: tuple[tuple[str, str], ...] = ()  # (id, reason) of examples that were left out
    rows: np.ndarray | None = None  # of the source's table, one per id, if it has rows
    has_images: bool = True  # False: `images` are empty
    #: columns whose numbers merge or change their text → the text of each row, for splits
    written: Mapping[str, pa.Array | pa.ChunkedArray] = field(default_factory=dict)
    files: tuple[SourceFile, ...] = ()  # that the numbers come from, as they were
    notes: tuple[str, ...] = ()  # sentences for the user, without a full stop: `note: …`

    def __post_init__(self) -> None:
        for name in ("ids", "group", "paths"):
            values = getattr(self, name)
            if values and not _is_unicode(values):
                object.__setattr__(self, name, tuple(map(as_unicode, values)))
        count = len(self.ids)
        for name in ("images", "columns", "order", "group", "paths"):
            values = getattr(self, name)
            if values is not None and len(values) != count:
                raise ValueError(f"examples: {len(values)} {name} for {count} ids")
        if any(len(text) != count for text in self.written.values()):
            raise ValueError(f"examples: text for other than {count} ids")
        if len(set(self.ids)) != count:
            raise ValueError("examples: ids repeat")
        if reserved := [name for name in self.columns.column_names if is_reserved(name)]:
            raise ValueError(f"examples: columns named {sorted(reserved)}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def left_out(self) -> int:
        """How many examples the source could not use."""
        return len(self.unusable)


def _is_unicode(names: Sequence[str]) -> bool:
    """Whether a column of text can hold the names."""
    try:
        "".join(names).encode()
    except UnicodeEncodeError:
        return False
    return True


def is_reserved(name: str) -> bool:
    """Whether a column of that name is the dataset's own."""
    return name in RESERVED or name.startswith((WRITTEN, f"{DIGEST}."))
