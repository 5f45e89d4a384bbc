"""What the cache and the runs hold, how large it is, and what needs what."""

import os
import re
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.datasets import dataset_key, dataset_names, read_dataset
from jaxreg.cache.failed_list import failed_key
from jaxreg.cache.object_store import Entry, place_of
from jaxreg.cache.parts import DamagedPart, digests_of, is_part
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.files import TEMPORARY
from jaxreg.common.steps import counted
from jaxreg.config_io import command_line
from jaxreg.errors import InputError
from jaxreg.training.replace_run import is_run
from jaxreg.training.run_directory import RunDirectory

_OWN = re.compile(
    r"feature_set\.json|quantized\.zip|calibration\.json"
    rf"|([^/]+/)?(part-[0-9a-f]+\.parquet(\.bad)?|{TEMPORARY.pattern})"
)
"""Every file in a feature set that jaxreg writes (docs/cache.md)."""

_PART = re.compile(r"(features/[^/]+/[^/]+|thumbnails|thumbnails/[^/]+)/part-[^/]*\.parquet")


@dataclass(frozen=True)
class Usage:
    """The datasets of a cache, and the runs in a folder that were trained on this cache."""

    cache: Cache
    ckpts: Path
    places: Sequence[str] = ()  # --cache and --ckpts, as words of a command

    @cached_property
    def runs(self) -> dict[str, dict[str, Any]]:
        """Path of a run → its config.json. A run whose config.json is damaged is left out."""
        found = {}
        for folder in counted("reading the runs", _runs_below(self.ckpts), "runs"):
            try:
                directory = RunDirectory(folder)
                if place_of(directory.cache()) == place_of(self.cache.root):
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

    @cached_property
    def _entries(self) -> list[Entry]:
        """All that the cache holds."""
        return self.cache.store.list("")

    def of_dataset(self, name: str) -> list[Entry]:
        """The files that only a dataset needs, its table last.

        These are the table, the list of failed images, and the parts of features and thumbnails
        that hold images of this dataset and none of another one. A feature set that nothing else
        needs goes whole when all its parts go.

        Raises:
            InputError: a run needs the dataset, its table is a folder, or another dataset is
                damaged, so what it needs is not known.
        """
        if runs := self.runs_on(dataset=name):
            raise self._needed(f"the dataset {name}", runs)
        own_keys = (failed_key(name), dataset_key(name))
        files = sorted(entry for entry in self._entries if entry.key in own_keys)
        if not files:
            shown = self.cache.store.shown(dataset_key(name))
            raise InputError(f"{shown} is a folder, not a table", remedy="move it away")
        if name not in self.datasets:  # damaged: its images are not known
            return files
        others = [self._dataset(n) for n in dataset_names(self.cache) if n != name]
        kept = set().union(*(other.all_digests() for other in others))
        own = self.datasets[name].all_digests()
        parts: list[Entry] = []
        every = {entry.key: entry for entry in self._entries if _PART.fullmatch(entry.key)}
        contents = self.cache.store.read_ahead(every)
        for key, content in counted("looking through the cache", contents, "files", len(every)):
            try:
                there = set(digests_of(self.cache.store, key, content))
            except (DamagedPart, FileNotFoundError):  # an extraction has just set it aside
                continue
            if there & own and not there & kept:
                parts.append(every[key])
        for feature_set in self.cache.feature_sets():
            inside = self._entries_of(feature_set)
            left = [entry for entry in inside if is_part(entry.key) and entry not in parts]
            users = [*self.datasets_on(feature_set), *self.runs_on(feature_set=feature_set)]
            emptied = any(entry in parts for entry in inside)
            if not left and (users == [name] or (emptied and not users)):
                parts += [entry for entry in self._files_of(feature_set) if entry not in parts]
        return [*parts, *files]

    def of_feature_set(self, name: str) -> list[Entry]:
        """The files of a feature set, feature_set.json last.

        Raises:
            InputError: a dataset or a run needs it, a dataset is damaged, so what it needs is not
                known, or the folder holds files that jaxreg did not write.
        """
        for other in dataset_names(self.cache):  # what a damaged one needs is not known
            self._dataset(other)
        if users := [*self.datasets_on(name), *self.runs_on(feature_set=name)]:
            raise self._needed(f"the feature set {name}", users)
        return self._files_of(name)

    def _entries_of(self, feature_set: str) -> list[Entry]:
        start = f"features/{feature_set}/"
        return [entry for entry in self._entries if entry.key.startswith(start)]

    def _files_of(self, feature_set: str) -> list[Entry]:
        """The files of a feature set. Raises InputError for one of somebody else."""
        folder = f"features/{feature_set}"
        files = [one for one in self._entries_of(feature_set) if one.kind in ("file", "link")]
        for entry in files:
            if entry.kind == "link" or not _OWN.fullmatch(entry.key.removeprefix(f"{folder}/")):
                shown = self.cache.store.shown
                raise InputError(
                    f"{shown(folder)} holds a file that jaxreg did not write: {shown(entry.key)}",
                    remedy="move that file away",
                )
        return sorted(files, key=lambda entry: entry.key.endswith("/feature_set.json"))

    def _needed(self, what: str, users: list[str]) -> InputError:
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        command = command_line("jaxreg remove", [users[0], *self.places])
        return InputError(
            f"{what} is needed by {', '.join(users[:5])}{more}",
            remedy=f"keep it, or remove first what needs it: {command}",
        )


def _feature_sets(config: dict[str, Any]) -> list[str]:
    """The feature sets that a run was trained on."""
    return [str(config["settings"].get("feature_set")), *config.get("others", {})]


def _runs_below(folder: Path) -> Iterator[Path]:
    """The runs in a folder and in the folders in it."""
    for root, folders, files in os.walk(folder) if folder.is_dir() else ():
        folders.sort()
        if "config.json" in files and is_run(Path(root)):
            folders.clear()  # nothing else is in a run
            yield Path(root)


def size_of(entries: Iterable[Entry]) -> int:
    """The bytes of some files."""
    return sum(entry.size for entry in entries)
