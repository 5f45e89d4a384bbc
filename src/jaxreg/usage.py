"""What the cache and the runs hold, how large it is, and what needs what."""

import os
import re
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import dataset_names, dataset_path, read_dataset
from jaxreg.cache.failed_list import failed_path
from jaxreg.cache.parts import DamagedPart, list_parts, read_digests
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.files import TEMPORARY
from jaxreg.common.steps import counted
from jaxreg.errors import InputError
from jaxreg.training.replace_run import is_run
from jaxreg.training.run_directory import RunDirectory

_OWN = re.compile(
    r"feature_set\.json|quantized\.zip|calibration\.json"
    rf"|([^/]+/)?(part-[0-9a-f]+\.parquet(\.bad)?|{TEMPORARY.pattern})"
)
"""Every file in a feature set that jaxreg writes (docs/cache.md)."""


@dataclass(frozen=True)
class Usage:
    """The datasets of a cache, and the runs in a folder that were trained on this cache."""

    cache: Cache
    ckpts: Path

    @cached_property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Path of a run → its config.json. A run whose config.json is damaged is left out."""
        found = {}
        for folder in counted("reading the runs", _runs_below(self.ckpts), "runs"):
            try:
                directory = RunDirectory(folder)
                if directory.cache() == self.cache.root.resolve():
                    found[str(folder)] = directory.read_config()
            except InputError:
                continue
        return found

    def runs_on(self, *, dataset: str = "", feature_set: str = "") -> list[str]:
        """The runs that were trained on a dataset, or on features of a feature set."""
        return [
            path
            for path, config in self.runs.items()
            if config["dataset"] == dataset or feature_set in _feature_sets(config)
        ]

    def datasets_on(self, feature_set: str) -> list[str]:
        """The datasets whose last extraction was into a feature set; damaged ones are left out.

        It is the last one of images, or of embeddings of one name.
        """
        return [
            name
            for name, dataset in self.datasets.items()
            if feature_set in [one.feature_set for one in dataset.needed]
        ]

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """The datasets that can be read."""
        found = {}
        for name in counted("reading the datasets", dataset_names(self.cache), "datasets"):
            try:
                found[name] = read_dataset(self.cache, name)
            except InputError:
                continue
        return found

    def _dataset(self, name: str) -> Dataset:
        """One of these datasets, read once. Raises InputError if it is damaged."""
        return self.datasets[name] if name in self.datasets else read_dataset(self.cache, name)

    def datasets_with(self, feature_set: str, images: Set[str]) -> list[str]:
        """The datasets of a feature set whose images are all in `images`: digests of a column."""
        column = self.cache.recipe(feature_set).digest_column
        names = self.datasets_on(feature_set)
        return [name for name in names if images >= self.datasets[name].all_digests(column)]

    def runs_with(self, feature_set: str, column: Column) -> list[str]:
        """The runs on a feature set that were trained on a column."""
        found = []
        for path in self.runs_on(feature_set=feature_set):
            settings = self.runs[path]["settings"]
            views = settings.get("views", ("identity",))
            own = settings.get("feature_set") == feature_set
            named = f"{'' if own else f'{feature_set}/'}{column.identity.name}"
            if named in settings.get("columns", ()) and column.view in views:
                found.append(path)
        return found

    # ---- what goes when something is removed

    def of_dataset(self, name: str) -> list[Path]:
        """The files that only a dataset needs, its table last.

        These are the table, the list of failed images, and the parts of features and thumbnails
        that hold images of this dataset and none of another one. A feature set that nothing else
        needs goes whole when all its parts go.

        Raises:
            InputError: a run needs the dataset, or another dataset is damaged, so what it needs is
                not known.
        """
        if runs := self.runs_on(dataset=name):
            raise _needed(f"the dataset {name}", runs)
        files = [failed_path(self.cache, name), dataset_path(self.cache, name)]
        files = [path for path in files if os.path.lexists(path)]
        if name not in self.datasets:  # damaged: its images are not known
            return files
        others = [self._dataset(n) for n in dataset_names(self.cache) if n != name]
        kept = set().union(*(other.all_digests() for other in others))
        own = self.datasets[name].all_digests()
        parts: list[Path] = []
        places = ("features/*/*", "thumbnails", "thumbnails/*")
        folders = [folder for place in places for folder in sorted(self.cache.root.glob(place))]
        every = [path for folder in folders for path in list_parts(folder)]
        for path in counted("looking through the cache", every, "files"):
            try:
                there = set(read_digests(path))
            except DamagedPart:
                continue
            if there & own and not there & kept:
                parts.append(path)
        for feature_set in self.cache.feature_sets():
            folder = self.cache.root / "features" / feature_set
            left = {*folder.glob("*/part-*.parquet")} - {*parts}
            users = [*self.datasets_on(feature_set), *self.runs_on(feature_set=feature_set)]
            emptied = any(folder in path.parents for path in parts)
            if not left and (users == [name] or (emptied and not users)):
                parts += [path for path in _files_of(folder) if path not in parts]
        return [*parts, *files]

    def of_feature_set(self, name: str) -> list[Path]:
        """The files of a feature set, feature_set.json last.

        Raises:
            InputError: a dataset or a run needs it, a dataset is damaged, so what it needs is not
                known, or the folder holds files that jaxreg did not write.
        """
        for other in dataset_names(self.cache):  # what a damaged one needs is not known
            self._dataset(other)
        if users := [*self.datasets_on(name), *self.runs_on(feature_set=name)]:
            raise _needed(f"the feature set {name}", users)
        return _files_of(self.cache.root / "features" / name)


def _feature_sets(config: dict[str, Any]) -> list[str]:
    """The feature sets that a run was trained on."""
    return [str(config["settings"].get("feature_set")), *config.get("others", {})]


def _files_of(feature_set: Path) -> list[Path]:
    """The files in the folder of a feature set. Raises InputError for one of somebody else."""
    files = [path for path in sorted(feature_set.rglob("*")) if path.is_symlink() or path.is_file()]
    for path in files:
        if path.is_symlink() or not _OWN.fullmatch(path.relative_to(feature_set).as_posix()):
            raise InputError(
                f"{feature_set} holds a file that jaxreg did not write: {path}",
                remedy="move that file away",
            )
    return sorted(files, key=lambda path: path.name == "feature_set.json")


def _runs_below(folder: Path) -> Iterator[Path]:
    """The runs in a folder and in the folders in it."""
    for root, folders, files in os.walk(folder) if folder.is_dir() else ():
        folders.sort()
        if "config.json" in files and is_run(Path(root)):
            folders.clear()  # nothing else is in a run
            yield Path(root)


def size_of(paths: Iterable[Path]) -> int:
    """The bytes of some files."""
    return sum(path.lstat().st_size for path in paths)


def _needed(what: str, users: list[str]) -> InputError:
    more = f" and {len(users) - 5} more" if len(users) > 5 else ""
    return InputError(
        f"{what} is needed by {', '.join(users[:5])}{more}",
        remedy=f"keep it, or remove what needs it first, then: jaxreg remove {users[0]}",
    )
