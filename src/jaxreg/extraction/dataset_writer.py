"""The end of an extraction: its dataset, the list of failures, and the result in numbers."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

from jaxreg.cache.dataset_table import Dataset, make_dataset
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.failed_list import failed_key, write_failed
from jaxreg.cache.joined_dataset import disagreements, other_kinds, remembering, with_older
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.remote_file import shown, without_secrets
from jaxreg.errors import InputError, TooManyFailed
from jaxreg.extract_config import ExtractConfig, Shard, SourceOptions
from jaxreg.extraction.outcome import Outcome
from jaxreg.extraction.row_results import Digests
from jaxreg.sources.examples import DIGEST, Examples


@dataclass(frozen=True)
class Extraction:
    """The result of an extraction; `extract --json` prints all but `change`.

    With `--shard` the counts are those of its share.
    """

    dataset: str
    feature_set: str
    columns: tuple[str, ...]
    images: int  # examples that can be used
    computed: int  # distinct images computed now
    reused: int  # distinct images whose features the cache had
    failed: int  # examples that could not be used, listed in <dataset>.failed.csv
    engine: str | None  # None: no network
    precision: str | None
    images_per_second: float | None  # None when nothing was computed
    seconds: dict[str, float]  # start, read (sum over threads), compute, write, total
    change: str  # the difference to the dataset before, for people
    ray_workers: tuple[dict[str, Any], ...] | None = None  # node, images, images_per_second

    @classmethod
    def of(
        cls,
        outcome: Outcome,
        dataset: str,
        feature_set: str,
        columns: Sequence[Column],
        *,
        failed: int,
        shard: Shard,
        engine: str | None,
        precision: str | None,
        change: str,
    ) -> Self:
        """The result of an outcome; its counts are those of `shard`."""
        seconds = outcome.seconds
        working = seconds.total - seconds.start
        usable, _ = Digests.of(outcome.digests).tally(shard.has)
        return cls(
            dataset=dataset,
            feature_set=feature_set,
            columns=tuple(column.name for column in columns),
            images=usable,
            computed=outcome.computed,
            reused=outcome.reused,
            failed=failed,
            engine=engine,
            precision=precision,
            images_per_second=round(outcome.computed / working, 2) if outcome.computed else None,
            seconds={part: round(value, 3) for part, value in vars(seconds).items()},
            change=change,
            ray_workers=tuple(outcome.workers) or None,
        )

    def to_json(self) -> dict[str, Any]:
        fields = dataclasses.asdict(self)
        del fields["change"]
        if self.ray_workers is None:
            del fields["ray_workers"]
        return fields


def all_failed(examples: Examples, outcome: Outcome) -> list[tuple[str, str]]:
    """(id, reason); first the examples that the source itself could not use."""
    ids = examples.ids
    return [*examples.unusable, *((ids[row], reason) for row, reason in outcome.failed)]


@dataclass
class DatasetWriter:
    """Writes the dataset of an extraction, and keeps what the one before has of other kinds.

    It compares the rows with those of the dataset before when it is made.

    Raises:
        InputError: the features are of a kind that the dataset before lacks, and its rows are
            not those of the source.
    """

    cache: Cache
    name: str
    examples: Examples
    opened: str
    options: SourceOptions
    settings: ExtractConfig
    say: Callable[[str], None]
    digest_column: str = DIGEST
    word: str = "images"  # what could not be used
    feature_set: str = ""  # before `write`
    columns: Sequence[Column] = ()  # before `write`
    workers: Sequence[dict[str, Any]] = ()  # before `write`: those of a cluster
    older: Dataset | None = field(init=False, default=None)
    agrees: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.opened = shown(self.opened)
        self.options = without_secrets(self.options)
        self.settings = without_secrets(self.settings)
        with suppress(InputError):  # there is none, or it is damaged
            self.older = read_dataset(self.cache, self.name)
        if self.older is None or not other_kinds(self.older, self.digest_column):
            return
        found = disagreements(self.older, self.examples)
        self.agrees = not found
        if found and self.older.extraction(self.digest_column) is None:
            raise InputError(
                f"the dataset {self.name} has other rows than {self.opened}: {'; '.join(found)}",
                expected="the same ids and the same table, to add features to its rows",
                remedy=f"--name with a new name, or first: {self.older.extract_command()}",
            )
        if found:
            self.say(
                f"note: the rows of {self.opened} have changed ({'; '.join(found)}), so the "
                f"dataset {self.name} no longer has its other features. To add them again: "
                + "; ".join(
                    self.older.extract_command(one.feature_set)
                    for one in self.older.needed
                    if one.digest_column != self.digest_column
                )
            )

    def write(
        self, joined: Outcome | None, own: Outcome, pictures: Sequence[str | None] = ()
    ) -> str:
        """Write the list of failures and the dataset if all shares are there; says what changed.

        Args:
            joined: the outcome of all shares; None if one is missing.
            own: the outcome of this share.
            pictures: the digests of the images, where features are of vectors.

        Raises:
            TooManyFailed: a greater share than `max_failed`.
        """
        failed = all_failed(self.examples, joined or own)
        listed, change = None, "not written: the share that ends last writes it"
        if joined is not None:
            failed_sha256 = write_failed(self.cache, self.name, failed)
            listed = self.cache.store.shown(failed_key(self.name)) if failed else None
            dataset = self._dataset(joined, failed_sha256, pictures)
            if len(dataset):
                change = write_dataset(self.cache, dataset)
            else:
                change = f"not written, because no {self.word.rstrip('s')} can be used"
                with suppress(InputError):  # there is no older one, or it is damaged
                    older = read_dataset(self.cache, self.name)
                    write_dataset(
                        self.cache, dataclasses.replace(older, failed_sha256=failed_sha256)
                    )
        refuse_too_many(
            len(failed),
            failed[:3],
            len(self.examples) + len(self.examples.unusable),
            allowed=self.settings.max_failed,
            name=self.name,
            change=change,
            listed=listed,
            word=self.word,
        )
        return change

    def _dataset(
        self, joined: Outcome, failed_sha256: str | None, pictures: Sequence[str | None]
    ) -> Dataset:
        dataset = make_dataset(
            self.name,
            self.examples,
            joined.digests,
            feature_set=self.feature_set,
            columns=self.columns,
            opened=self.opened,
            options=self.options,
            settings=self.settings,
            failed_sha256=failed_sha256,
            digest_column=self.digest_column,
            pictures=pictures,
            workers=self.workers,
        )
        if self.older is None or not len(dataset):
            return dataset
        kinds = [self.digest_column]
        if self.agrees:
            kinds += other_kinds(self.older, self.digest_column)
            dataset = with_older(dataset, self.older, self.examples)
        return remembering(dataset, self.older, kinds)


def refuse_too_many(
    count: int,
    first: Sequence[tuple[str, str]],
    everything: int,
    *,
    allowed: float,
    name: str,
    change: str,
    listed: str | None,
    word: str = "images",
) -> None:
    """Raise TooManyFailed for a greater share of failures than is allowed.

    Args:
        count: of failures.
        first: (id, reason) of three of them.
        everything: the number of all rows.
        allowed: the greatest share.
        name: of the dataset.
        change: in words, what became of it.
        listed: the file with all reasons.
        word: what could not be used.
    """
    if count / everything <= allowed:
        return
    reasons = "; ".join(f"{name}: {reason}" for name, reason in first)
    more = "; …" if count > len(first) else ""
    kept = f"The dataset {name} is {change}."
    if not change.startswith("not written"):
        kept = f"The dataset {name} has the good rows: {change}. You can train on it."
    enough = math.ceil(10 * count / everything) / 10
    raise TooManyFailed(
        f"{count} of {everything} {word} could not be used ({reasons}{more}). "
        + kept
        + (f" All reasons: {listed}" if listed else ""),
        expected=f"at most a share of {allowed:g} (--max-failed, in Python max_failed)",
        remedy=f"--max-failed {enough:g}" if count < everything else f"see the reasons in {listed}",
    )
