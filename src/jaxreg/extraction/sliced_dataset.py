"""The end of an extraction of a large table: its dataset, written slice by slice."""

import errno
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jaxreg.cache.dataset_pieces import DatasetPieces, FailedPieces
from jaxreg.cache.dataset_table import Dataset, make_dataset
from jaxreg.cache.datasets import read_dataset, read_description, write_dataset
from jaxreg.cache.failed_list import failed_key
from jaxreg.cache.joined_dataset import other_kinds, remembering
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.remote_file import shown, without_secrets
from jaxreg.common.steps import counted
from jaxreg.errors import InputError
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.extraction.dataset_writer import refuse_too_many
from jaxreg.extraction.outcome import Outcome
from jaxreg.sources.examples import DIGEST, Examples
from jaxreg.sources.sliced_examples import SlicedExamples


@dataclass
class SlicedDatasetWriter:
    """As `DatasetWriter`, for a table that comes slice by slice.

    Raises:
        InputError: the dataset before has features of vectors, whose rows would be compared.
    """

    cache: Cache
    name: str
    examples: SlicedExamples
    opened: str
    options: SourceOptions
    settings: ExtractConfig
    feature_set: str = ""  # before `write`
    columns: Sequence[Column] = ()  # before `write`
    workers: Sequence[dict[str, Any]] = ()  # before `write`: those of a cluster
    older: Dataset | None = field(init=False, default=None)  # without its rows

    def __post_init__(self) -> None:
        self.opened = shown(self.opened)
        self.options = without_secrets(self.options)
        self.settings = without_secrets(self.settings)
        with suppress(InputError):  # there is none, or it is damaged
            self.older = read_description(self.cache, self.name)
        if self.older is not None and (others := other_kinds(self.older, DIGEST)):
            raise InputError(
                f"the dataset {self.name} has features of {', '.join(others)}, which the "
                f"{len(self.examples):,} rows of {self.opened} are too many to be joined with",
                expected="--name with a new name",
                remedy=f"--name {self.name}-images",
            )

    def write(self, joined: Outcome | None, own: Outcome) -> str:
        """As `DatasetWriter.write`."""
        try:
            return self._write_all(joined, own)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise InputError(
                f"no space for the dataset {self.name} in {tempfile.gettempdir()}, where it is "
                "written first",
                remedy="free some space, or set TMPDIR to a folder with more; the features are "
                "kept, so the same command goes on from here",
            ) from error

    def _write_all(self, joined: Outcome | None, own: Outcome) -> str:
        listed, change = None, "not written: the share that ends last writes it"
        with tempfile.TemporaryDirectory(prefix="jaxreg-") as name:
            failed, pieces = FailedPieces(Path(name)), DatasetPieces(Path(name))
            with closing(failed):
                self._gather(joined or own, failed, pieces if joined is not None else None)
            if joined is not None:
                sha256 = failed.write(self.cache, self.name)
                listed = self.cache.store.shown(failed_key(self.name)) if len(failed) else None
                change = self._write(pieces, sha256)
        refuse_too_many(
            len(failed),
            failed.first,
            len(self.examples) + self.examples.left_out,
            allowed=self.settings.max_failed,
            name=self.name,
            change=change,
            listed=listed,
        )
        return change

    def _gather(self, outcome: Outcome, failed: FailedPieces, pieces: DatasetPieces | None) -> None:
        reasons = iter(outcome.failed)
        reason = next(reasons, None)
        first = 0
        slices = self.examples.slices()
        total = len(self.examples.plan.slices)
        for examples in counted("writing the dataset", slices, "slices", total):
            rows = range(first, first + len(examples))
            some = []
            while reason is not None and reason[0] < rows.stop:
                some.append((examples.ids[reason[0] - first], reason[1]))
                reason = next(reasons, None)
            failed.add(examples.unusable, some)
            digests = outcome.digests[rows.start : rows.stop]
            if pieces is not None and digests.count(None) < len(digests):
                pieces.add(self._dataset(examples, digests))
            first = rows.stop

    def _dataset(self, examples: Examples, digests: Sequence[str | None]) -> Dataset:
        dataset = make_dataset(
            self.name,
            examples,
            digests,
            feature_set=self.feature_set,
            columns=self.columns,
            opened=self.opened,
            options=self.options,
            settings=self.settings,
            workers=self.workers,
        )
        return dataset if self.older is None else remembering(dataset, self.older, [DIGEST])

    def _write(self, pieces: DatasetPieces, failed_sha256: str | None) -> str:
        if len(pieces):
            return pieces.write(self.cache, failed_sha256=failed_sha256)
        with suppress(InputError):  # there is no older one, or it is damaged
            older = read_dataset(self.cache, self.name)
            write_dataset(self.cache, replace(older, failed_sha256=failed_sha256))
        return "not written, because no image can be used"
