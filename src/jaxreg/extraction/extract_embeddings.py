"""One `extract --embeddings`: a source and vectors in, features and a dataset out."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from jaxreg.backbone.engine import Engine
from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.embeddings import Embeddings
from jaxreg.cache.store import Cache
from jaxreg.common.steps import step
from jaxreg.errors import InputError, Stopped
from jaxreg.extract_config import ExtractConfig, Shard, SourceOptions
from jaxreg.extraction.dataset_writer import DatasetWriter, Extraction, all_failed
from jaxreg.extraction.given_vectors import Joined, join
from jaxreg.extraction.pipeline import PART_IMAGES, Outcome, Progress, Seconds, Task, extract
from jaxreg.sources.examples import DIGEST, Examples
from jaxreg.sources.naming import listed
from jaxreg.sources.vectors import Vectors

PART_BYTES = 2**24  # of vectors, about: a part of short ones has more rows than one of images


@dataclass
class EmbeddingsJob:
    """One source, the vectors of its rows, and the cache that gets them."""

    examples: Examples
    vectors: Vectors
    opened: str  # what the user called the source
    name: str  # of the dataset
    cache: Cache
    options: SourceOptions
    settings: ExtractConfig
    say: Callable[[str], None]
    recipe: Embeddings = field(init=False)

    def __post_init__(self) -> None:
        self.recipe = Embeddings(self.settings.embeddings_name or "", self.vectors.width)
        self.shard = Shard.parse(self.settings.shard)

    def run(
        self, on_progress: Callable[[Progress], None], should_stop: Callable[[], bool]
    ) -> Extraction:
        """Write the vectors that the cache lacks, and the dataset.

        Raises as `jaxreg.extract_features`.
        """
        begin, recipe, cache = time.perf_counter(), self.recipe, self.cache
        self._refuse_other_width()
        writer = DatasetWriter(
            cache,
            self.name,
            self.examples,
            self.opened,
            self.options,
            self.settings,
            self.say,
            digest_column=recipe.digest_column,
            word="rows",
            feature_set=recipe.feature_set,
            columns=[recipe.column],
        )
        cache.check_dtype(recipe.feature_set, recipe.column, self.settings.dtype)
        joined = join(self.vectors, self.examples)
        for note in (*self.examples.notes, *joined.notes):
            self.say(f"note: {note}")
        digests = joined.digests(should_stop)
        if digests is None:
            raise Stopped("stopped; nothing is written", remedy="run the same command again")
        if writer.older is not None and self.vectors.ids is None:
            self._warn_of_moved(writer.older, digests)
        cache.make_feature_set(recipe, None)
        outcome = self._write_missing(joined, digests, should_stop)
        pictures = self._pictures(writer, on_progress, should_stop)
        outcome.seconds.total = time.perf_counter() - begin
        with step("writing the dataset"):
            change = writer.write(self._whole(outcome), outcome, pictures)
        return Extraction.of(
            outcome,
            self.name,
            recipe.feature_set,
            [recipe.column],
            failed=len(all_failed(self.examples, outcome)),
            shard=self.shard,
            engine=None,
            precision=None,
            change=change,
        )

    def _refuse_other_width(self) -> None:
        for feature_set in self.cache.feature_sets():
            if feature_set.startswith(f"{self.recipe.name}-"):
                there = self.cache.recipe(feature_set)
                if not isinstance(there, Embeddings) or there.name != self.recipe.name:
                    continue
                if there.width != self.recipe.width:
                    raise InputError(
                        f"{self.vectors.path} has vectors of {self.recipe.width} numbers, and the "
                        f"embeddings {there.name} of this cache have {there.width}",
                        expected="one width for one name",
                        remedy=f"--embeddings-name {there.name}-{self.recipe.width}",
                    )

    def _warn_of_moved(self, older: Dataset, digests: list[str | None]) -> None:
        """Say if rows get the vectors of other rows, as they do when one file is in a new order."""
        if older.lacks(self.recipe.digest_column).all():
            return
        known = older.table[self.recipe.digest_column].to_pylist()
        before, all_known = dict(zip(older.ids, known, strict=True)), set(known)
        now = zip(self.examples.ids, digests, strict=True)
        moved = [name for name, one in now if one in all_known and before.get(name) != one]
        if moved:
            have = "1 row has" if len(moved) == 1 else f"{len(moved)} rows have"
            self.say(
                f"note: {have} a vector that another row had before: {listed(moved, 3)}. The first "
                f"row gets the first vector of {self.vectors.path}, because it has no ids. Check "
                f"that the vectors are in the order of {self.opened}"
            )

    def _say_damaged(self, path: object) -> None:
        self.say(f"damaged, set aside and written again: {path}")

    def _write_missing(
        self, joined: Joined, digests: list[str | None], should_stop: Callable[[], bool]
    ) -> Outcome:
        """Write the vectors of the own share that are not there yet."""
        begin, recipe, cache = time.perf_counter(), self.recipe, self.cache
        there = cache.present(cache.folder(recipe.feature_set, recipe.column), self._say_damaged)
        first: dict[str, int] = {}
        for example, digest in enumerate(digests):
            if digest is not None and self.shard.has(digest):
                first.setdefault(digest, example)
        missing = [(digest, example) for digest, example in first.items() if digest not in there]
        rows = max(PART_IMAGES, PART_BYTES // (4 * recipe.width))
        with step("writing the features", len(missing), "vectors") as one:
            for start in range(0, len(missing), rows):
                if should_stop():
                    raise Stopped(
                        f"stopped after {start} vectors, which are kept",
                        remedy="run the same command again; it goes on from here",
                    )
                part = missing[start : start + rows]
                block = joined.read(np.array([example for _, example in part]))
                with np.errstate(over="ignore"):
                    block = block.astype(self.settings.dtype)
                if not np.isfinite(block).all():
                    raise InputError(
                        f"{self.vectors.path} has numbers that float16 cannot hold",
                        remedy="--dtype float32",
                    )
                cache.add(recipe.feature_set, recipe.column, [name for name, _ in part], block)
                one.reach(start + len(part))
        seconds = Seconds(write=time.perf_counter() - begin)
        written = [digest for digest, _ in missing]
        reused = len(first) - len(missing)
        return Outcome(digests, joined.failed, written, reused, seconds, False, [])

    def _pictures(
        self,
        writer: DatasetWriter,
        on_progress: Callable[[Progress], None],
        should_stop: Callable[[], bool],
    ) -> list[str | None]:
        """The digests of the images that reports show; empty where nothing is to be read."""
        older = writer.older if writer.agrees else None
        known = older is not None and older.extraction(DIGEST) is not None
        if not known and not self.examples.has_images:
            self.say(
                "note: no column names the images clearly, so reports will have no pictures; "
                "--image-column says which it is"
            )
        if known or not self.examples.has_images:
            return []
        shown = Task(
            self.examples.images,
            self.cache,
            self.recipe.feature_set,
            columns=(),
            shard=self.shard,
            on_damage=self._say_damaged,
        )
        found = extract(shown, _no_engine, should_stop=should_stop, on_progress=on_progress)
        if found.stopped:
            raise Stopped("stopped; the vectors are kept", remedy="run the same command again")
        if found.failed:
            row, reason = found.failed[0]
            have = "1 row has" if len(found.failed) == 1 else f"{len(found.failed)} rows have"
            self.say(f"note: {have} no picture, first {self.examples.ids[row]}: {reason}")
        return [*found.digests]

    def _whole(self, outcome: Outcome) -> Outcome | None:
        """The outcome of all shares; None while a vector of another share is not written."""
        if self.shard.whole:
            return outcome
        there = self.cache.digests(self.recipe.feature_set, self.recipe.column)
        wanted = {digest for digest in outcome.digests if digest is not None}
        return outcome if wanted <= there else None


def _no_engine() -> Engine:
    raise AssertionError("no column needs a network")
