"""The feature cache (docs/cache.md): which digests are missing, add a part, read columns."""

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from jaxreg.cache.embeddings import AnyRecipe, read_recipe
from jaxreg.cache.object_store import CachePlace, open_store, read_json_at, write_json_at
from jaxreg.cache.parts import (
    DamagedPart,
    LackingFeatures,
    Layout,
    digests_of,
    list_parts,
    part_features,
    part_table,
    read_layout,
    set_aside,
    write_part,
)
from jaxreg.cache.recipe import Column
from jaxreg.common.steps import counted
from jaxreg.errors import InputError, nearest_option

MOST_NETWORK = 4_000_000_000  # bytes of a quantized network; the largest has a tenth of that


class Cache:
    """Datasets, features and thumbnails in a folder or a bucket, which need not exist yet.

    Raises InputError if no folder and no bucket can have that name.
    """

    def __init__(self, root: CachePlace) -> None:
        self.store = open_store(root)
        self.address = os.fspath(root)  # with its secrets: for another process, never shown

    @property
    def root(self) -> str:
        """What the user called it, without secrets: for messages and commands."""
        return self.store.root

    def folder(self, feature_set: str, column: Column) -> str:
        """Where the parts of one column are."""
        return f"features/{feature_set}/{column.name}"

    def thumbnails(self, limits: tuple[float, float] | None = None) -> str:
        """Where the parts with small JPEGs are: a folder for each range that recipes have."""
        return "thumbnails" if limits is None else "thumbnails/range_{}_{}".format(*limits)

    def check_there(self) -> None:
        """Raise InputError if there is no such folder, or nothing in the bucket."""
        if not self.store.exists(""):
            wanted = "--cache with the folder or bucket that extract wrote"
            raise InputError(f"no cache {self.root}", expected=wanted)

    # ---- feature sets

    def feature_sets(self) -> list[str]:
        """The names of all feature sets."""
        names = sorted(self.store.children("features"))
        return [name for name in names if self.store.exists(self._feature_set_file(name))]

    def columns(self, feature_set: str) -> list[Column]:
        """The columns that a feature set has parts of."""
        names = filter(Column.is_name, sorted(self.store.children(f"features/{feature_set}")))
        columns = map(Column.parse, names)
        return [one for one in columns if list_parts(self.store, self.folder(feature_set, one))]

    def make_feature_set(self, recipe: AnyRecipe, weights_path: Path | None) -> None:
        """Write feature_set.json, or check that the one that is there has this very recipe.

        `weights_path` is kept beside the recipe, outside the fingerprint, so that `predict` finds
        the weights again. A damaged file is written anew.

        Raises:
            InputError: the file there has another recipe.
        """
        record = {
            "recipe": recipe.to_json(),
            "weights_tag": recipe.weights_tag,
            "weights_path": str(weights_path.resolve()) if weights_path else None,
        }
        key = self._feature_set_file(recipe.feature_set)
        try:
            there = self.feature_set_record(recipe.feature_set)
        except InputError:
            there = None  # absent or damaged; the folder's name says what it held
        if there is not None:
            if there["recipe"] != record["recipe"]:
                raise InputError(
                    f"{self.store.shown(key)} holds another recipe",
                    expected="the recipe that the folder's name is made from",
                    remedy=f"move {self._shown(recipe.feature_set)} away; nobody knows the recipe "
                    "of its features",
                )
            if weights_path is None or there["weights_path"] == record["weights_path"]:
                return
        write_json_at(self.store, key, record)

    def feature_set_record(self, feature_set: str) -> dict[str, Any]:
        """The content of feature_set.json: format, recipe, weights_tag, weights_path.

        Raises:
            InputError: it is absent, damaged or of another format.
        """
        return read_json_at(
            self.store,
            self._feature_set_file(feature_set),
            {"recipe": dict[str, Any], "weights_tag": str, "weights_path": str | None},
            expected=f"the feature set {feature_set} in {self.root}",
            again="extract again, which writes it anew",
        )

    def recipe(self, feature_set: str) -> AnyRecipe:
        """The recipe of a feature set; InputError if the folder's name is not made from it."""
        record = self.feature_set_record(feature_set)
        return read_recipe(record["recipe"], record["weights_tag"], feature_set)

    def _feature_set_file(self, feature_set: str) -> str:
        return f"features/{feature_set}/feature_set.json"

    def _shown(self, feature_set: str) -> str:
        return self.store.shown(f"features/{feature_set}")

    def quantized_model(self, recipe: AnyRecipe) -> bytes | None:
        """The quantized network that an int8 feature set keeps; None at other precisions.

        Raises:
            InputError: it is absent, or not the one that the features were made with.
        """
        if recipe.quantized is None:
            return None
        key, content = self.quantized_key(recipe), b""
        with suppress(OSError):
            content = self.store.read(key, MOST_NETWORK, recipe.quantized)
        if hashlib.sha256(content).hexdigest() != recipe.quantized:
            raise InputError(
                f"{self.store.shown(key)} is {'damaged' if content else 'absent'}",
                expected=f"a file of SHA-256 {recipe.quantized}",
                remedy="copy it from another cache with this feature set, or move "
                f"{self._shown(recipe.feature_set)} away, so that extract calibrates a new one",
            )
        return content

    def keep_quantized(self, recipe: AnyRecipe, content: bytes) -> None:
        """Write the quantized network of an int8 recipe, if it is absent or damaged."""
        try:
            self.quantized_model(recipe)
        except InputError:
            self.store.put(self.quantized_key(recipe), content)

    def quantized_key(self, recipe: AnyRecipe) -> str:
        """Where an int8 feature set keeps its quantized network."""
        return f"features/{recipe.feature_set}/quantized.zip"

    def calibration_key(self, feature_set: str) -> str:
        """Where an int8 feature set keeps the value ranges of its calibration images."""
        return f"features/{feature_set}/calibration.json"

    def find_feature_set(self, prefix: str, flag: str = "--feature-set") -> str:
        """The one feature set of that name or unique prefix, as `flag` names it."""
        feature_sets = self.feature_sets()
        found = [name for name in feature_sets if name == prefix] or [
            name for name in feature_sets if name.startswith(prefix)
        ]
        if len(found) == 1:
            return found[0]
        raise InputError(
            f"{flag} {prefix} fits {len(found) or 'no'} feature sets of {self.root}",
            expected="the unique start of one of: "
            + (", ".join(feature_sets) or "none is there yet"),
            remedy=nearest_option(flag, prefix, feature_sets),
        )

    # ---- contents

    def present(self, folder: str, on_damage: Callable[[str], None] | None = None) -> set[str]:
        """The digests in the sound parts of a folder.

        `on_damage` gets each damaged part, set aside; without it they stay where they are.
        """
        digests: set[str] = set()
        parts = list_parts(self.store, folder)
        contents = self.store.read_ahead(parts)
        for key, content in counted("looking through the cache", contents, "files", len(parts)):
            try:
                digests.update(digests_of(self.store, key, content))
            except DamagedPart:
                if on_damage is not None:
                    on_damage(set_aside(self.store, key))
            except FileNotFoundError:
                continue  # another extraction has just set it aside
        return digests

    def digests(self, feature_set: str, column: Column) -> set[str]:
        """The digests in the sound parts of a column."""
        return self.present(self.folder(feature_set, column))

    def add(
        self, feature_set: str, column: Column, digests: Sequence[str], features: np.ndarray
    ) -> str:
        """Write one part of features, shape (len(digests), D), float32 or float16."""
        values = pa.array(np.ascontiguousarray(features).reshape(-1))
        lists = pa.FixedSizeListArray.from_arrays(values, features.shape[1])
        table = pa.table({"digest": pa.array(digests, pa.string()), "feature": lists})
        return write_part(self.store, self.folder(feature_set, column), table)

    def dtype(self, feature_set: str, column: Column) -> str | None:
        """`float32` or `float16`: what the column's first sound part holds; None if it has none."""
        for key in list_parts(self.store, self.folder(feature_set, column)):
            with suppress(DamagedPart, FileNotFoundError):
                return str(read_layout(self.store, key).dtype)
        return None

    def check_dtype(self, feature_set: str, column: Column, dtype: str) -> None:
        """Raise InputError if the column holds features of another dtype than `dtype`."""
        there = self.dtype(feature_set, column)
        if there not in (None, dtype):
            raise InputError(
                f"{column.name} of {feature_set} holds {there}, and --dtype {dtype} was asked for",
                remedy=f"--dtype {there}",
            )

    # ---- reading

    def read(
        self, feature_set: str, columns: Sequence[Column], digests: Sequence[str], room: int = 0
    ) -> np.ndarray:
        """The features of `digests`, shape (len(digests), sum of the columns' sizes + room).

        float16 if every column is and there is no room for others, else float32.

        Raises:
            DamagedPart: a part is not what its name says.
            InputError: a digest has no features in one of the columns.
        """
        layouts = [self.layout(feature_set, column, digests) for column in columns]
        sizes, dtypes = zip(*layouts, strict=True)
        dtype = np.result_type(*dtypes, *[np.float32] * bool(room))
        features = np.empty((len(digests), sum(sizes) + room), dtype)
        for column, layout, last in zip(columns, layouts, np.cumsum(sizes), strict=True):
            place = features[:, last - layout.size : last]
            rows_of: dict[str, list[int]] = {}
            for row, digest in enumerate(digests):
                rows_of.setdefault(digest, []).append(row)
            parts = list_parts(self.store, self.folder(feature_set, column))
            contents = self.store.read_ahead(parts)
            for key, content in counted("reading the features", contents, "files", len(parts)):
                there, block = part_features(self.store, key, content, layout)
                # popped, because the first part with a digest is the one that counts
                hits = [(at, rows_of.pop(digest, ())) for at, digest in enumerate(there)]
                source = [at for at, rows in hits for _ in rows]
                place[[row for _, rows in hits for row in rows]] = block[source]
            if rows_of:
                raise LackingFeatures(len(rows_of), feature_set, column)
        return features

    def layout(self, feature_set: str, column: Column, digests: Iterable[str]) -> Layout:
        """The size and dtype of a column's features, for one of `digests`.

        Raises:
            DamagedPart: the first part is not what its name says.
            InputError: the column has no parts.
        """
        parts = list_parts(self.store, self.folder(feature_set, column))
        if not parts:
            raise LackingFeatures(len(set(digests)), feature_set, column)
        return read_layout(self.store, parts[0])

    def read_thumbnails(
        self, digests: Iterable[str], limits: tuple[float, float] | None = None
    ) -> dict[str, bytes]:
        """Small JPEGs by digest, without the absent and damaged ones: no number needs them.

        Args:
            digests: of the images.
            limits: the range of the recipe.
        """
        wanted, found = set(digests), dict[str, bytes]()
        parts = list_parts(self.store, self.thumbnails(limits)) if wanted else []
        for key, content in self.store.read_ahead(parts):
            try:
                table = part_table(self.store, key, content)
            except (DamagedPart, FileNotFoundError):
                continue
            for at, digest in enumerate(table["digest"].to_pylist()):
                if digest in wanted and digest not in found:
                    found[digest] = table["jpeg"][at].as_py()
            if wanted <= found.keys():
                break
        return found
