"""The vectors of a file, joined to examples, checked and hashed."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.sources.examples import Examples
from jaxreg.sources.naming import listed
from jaxreg.sources.vectors import BLOCK, Vectors, open_vectors


@dataclass(frozen=True)
class Joined:
    """The vector of each example."""

    vectors: Vectors
    ids: Sequence[str]  # of the examples
    rows: np.ndarray  # (examples,) the row of the vectors, -1 without one
    failed: list[tuple[int, str]]  # example's number, reason
    notes: list[str]

    def read(self, examples: np.ndarray) -> np.ndarray:
        """The vectors of examples that have one, float32 (examples, width)."""
        return self.vectors.read(self.rows[examples])

    def digests(self, should_stop: Callable[[], bool] = lambda: False) -> list[str | None] | None:
        """The SHA-256 of each example's vector as little-endian float32; None if it was stopped.

        Raises:
            InputError: a vector holds a number that is not finite.
        """
        digests: list[str | None] = [None] * len(self.rows)
        having = np.flatnonzero(self.rows >= 0)
        broken: list[int] = []
        with step("hashing the vectors", len(having), "vectors") as one:
            for start in range(0, len(having), BLOCK):
                if should_stop():
                    return None
                some = having[start : start + BLOCK]
                block = np.ascontiguousarray(self.read(some), "<f4")
                broken += some[~np.isfinite(block).all(axis=1)].tolist()
                for example, vector in zip(some.tolist(), block, strict=True):
                    digests[example] = hashlib.sha256(vector).hexdigest()
                one.reach(start + len(some))
        if broken:
            what = "vector holds" if len(broken) == 1 else "vectors hold"
            raise InputError(
                f"{len(broken)} {what} NaN, infinite or too large numbers in {self.vectors.path}, "
                f"first that of {self.ids[broken[0]]}",
                expected="finite float32 numbers",
                remedy="mend these vectors, or leave their rows out",
            )
        return digests


def join(vectors: Vectors, examples: Examples) -> Joined:
    """The vector of each example: by id where the file has ids, else row by row.

    Raises:
        InputError: another number of rows, or no id in common.
    """
    rows = _by_row(vectors, examples) if vectors.ids is None else _by_id(vectors, examples)
    why = "no vector in" if vectors.ids is None else "no vector of this id in"
    failed = [(example, f"{why} {vectors.path}") for example in np.flatnonzero(rows < 0).tolist()]
    if vectors.absent is not None:
        empty = np.flatnonzero((rows >= 0) & vectors.absent[rows])
        failed += [(example, f"an empty vector in {vectors.path}") for example in empty.tolist()]
        rows[empty] = -1
    return Joined(vectors, examples.ids, rows, sorted(failed), _spare(vectors, examples))


def _by_row(vectors: Vectors, examples: Examples) -> np.ndarray:
    in_all = len(examples) + len(examples.unusable)
    if len(vectors) != in_all:
        raise InputError(
            f"{vectors.path} has {len(vectors)} vectors, and the source has {in_all} rows",
            expected="one vector for each row, in the order of the rows",
            remedy="give the vectors ids: a .npz with ids and vectors, or Parquet",
        )
    if examples.rows is None and examples.unusable:
        raise InputError(
            f"{len(examples.unusable)} examples of the source cannot be used, so it is not known "
            f"which vectors of {vectors.path} are those of the others",
            expected="vectors with ids: a .npz with ids and vectors, or Parquet",
        )
    return np.arange(in_all) if examples.rows is None else np.array(examples.rows)


def _by_id(vectors: Vectors, examples: Examples) -> np.ndarray:
    ids = vectors.ids or []
    row_of = {name: row for row, name in enumerate(ids)}
    rows = np.array([row_of.get(name, -1) for name in examples.ids])
    if not (rows >= 0).any():
        column = "source.id" if "source.id" in examples.columns.column_names else "id"
        repeats = column in examples.columns.column_names
        raise InputError(
            f"no vector of {vectors.path} has the id of a row",
            expected=f"ids of the rows, such as {listed(examples.ids, 3)}; the vectors have "
            f"{listed(ids, 3)}",
            remedy="--id-column id" if repeats else "--id-column COLUMN",
        )
    return rows


def _spare(vectors: Vectors, examples: Examples) -> list[str]:
    if vectors.ids is None:
        return []
    known = {*examples.ids, *(name for name, _ in examples.unusable)}
    spare = [name for name in vectors.ids if name not in known]
    if not spare:
        return []
    have = "1 vector has" if len(spare) == 1 else f"{len(spare)} vectors have"
    return [f"{have} no row and {'is' if len(spare) == 1 else 'are'} not used: {listed(spare, 5)}"]


def open_embeddings(
    run: str, features: ChosenFeatures, given: Sequence[str], id_column: str | None
) -> dict[str, Vectors]:
    """The vectors that a run needs of new rows, by the name of the embeddings.

    Args:
        run: what messages call it.
        features: of the run.
        given: FILE, or NAME=FILE for each of several embeddings.
        id_column: of the source; a column of ids in Parquet may have the same name.

    Raises:
        InputError: files that are missing, too many or wrong.
    """
    wanted = [recipe.name for recipe in features.embeddings]
    if not wanted:
        if given:
            raise InputError(
                f"--embeddings with {run}, whose features all come from images",
                remedy="leave --embeddings out",
            )
        return {}
    files: dict[str, str] = {}
    for word in given:
        name, equals, file = word.partition("=")
        if not (equals and name in wanted):
            name, file = (wanted[0], word) if len(wanted) == 1 else ("", word)
        if name in files or not name:
            raise InputError(
                f"--embeddings {' '.join(given)}",
                expected=" ".join(f"{name}=FILE" for name in wanted)
                if len(wanted) > 1
                else f"one file, with the embeddings {wanted[0]}",
            )
        files[name] = file
    if missing := [name for name in wanted if name not in files]:
        raise InputError(
            f"{run} was trained on the embeddings {' and '.join(missing)}, which jaxreg cannot "
            "compute",
            expected="a file with such vectors for the rows of SOURCE",
            remedy=" ".join(features.embeddings_words),
        )
    return {name: open_vectors(file, id_column) for name, file in files.items()}


def refuse_images(run: str, features: ChosenFeatures) -> None:
    """Raise InputError for a run that images alone are not enough for."""
    if features.embeddings:
        names = " and ".join(recipe.name for recipe in features.embeddings)
        columns = " ".join(column.short_name for _, column in features.columns)
        raise InputError(
            f"{run} was trained on the embeddings {names}, which jaxreg cannot compute from images",
            expected=f"predict_features(array) with the columns {columns}",
            remedy="use predict_features, or jaxreg predict RUN SOURCE --embeddings FILE",
        )
