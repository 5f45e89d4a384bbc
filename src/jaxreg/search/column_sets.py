"""Sets of columns of a dataset, as runs with their features read."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from jaxreg.cache.dataset_table import Dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.common.memory import free_memory
from jaxreg.config_io import fields_of
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.resolve import ResolvedRun, resolve
from jaxreg.merge_settings import merge
from jaxreg.splits import Split
from jaxreg.train_config import THRESHOLDS, HeadConfig, TrainConfig

Columns = tuple[str, ...]
"""The columns of a set, as `--columns` has them; none: those of the settings that stay fixed."""

_SHARE = 0.25  # of the free memory, for features that may be needed again
_OF_DATA = ("target_type", "seed")  # fields of a head that the dataset or the sweep decides


def has_several_columns(dataset: Dataset, asked: Mapping[str, Any]) -> bool:
    """Whether a dataset has several cached columns, or its feature set where that is fixed."""
    each = [one for one in dataset.extracted if not asked.get("feature_set")]
    if asked.get("feature_set"):
        start = str(asked["feature_set"])
        each = [one for one in dataset.extracted if one.feature_set.startswith(start)]
    return len({(one.feature_set, c.identity) for one in each for c in one.columns}) > 1


class ColumnSets:
    """The features of sets of columns; those read last are kept while there is room."""

    def __init__(self, cache: Cache, dataset: Dataset, asked: Mapping[str, Any]) -> None:
        """`asked` are the settings that stay fixed, with `folds`.

        Raises:
            InputError: as `resolve`.
        """
        self._cache, self._dataset, self.asked = cache, dataset, dict(asked)
        self._read: dict[Columns, Experiment] = {}
        self.base = self.resolved(())

    def resolved(self, columns: Columns, settings: Mapping[str, Any] | None = None) -> ResolvedRun:
        """The run of a set of columns, without its features; `settings` beside the fixed ones.

        Without settings its head is an MLP, which any placement of features can have.

        Raises:
            InputError: as `resolve`.
        """
        own = {"head": "mlp", "components": None, "seeds": 1} if settings is None else settings
        named = {"columns": columns} if columns else {}
        return resolve(self._cache, self._dataset, merge(file=self.asked, given={**own, **named}))

    def experiment(self, columns: Columns) -> Experiment:
        """The same with its features.

        Raises:
            InputError: as `resolve` and `load_experiment`; the rows are others than those of the
                sweep.
        """
        if columns in self._read:
            self._read[columns] = self._read.pop(columns)  # the newest comes last
            return self._read[columns]
        resolved = self.base if not columns else self.resolved(columns)
        if resolved.dataset.ids != self.base.dataset.ids:
            raise InputError(
                f"it has features of {len(resolved.dataset)} rows, and the sweep is of "
                f"{len(self.base.dataset)} rows"
            )
        limit = _SHARE * free_memory()
        while self._read and resolved.placement.size.all + self._held() > limit:
            del self._read[next(iter(self._read))]
        found = load_experiment(resolved)
        self._read[columns] = found
        return found

    def candidates(self) -> list[Columns]:
        """Every cached column of the dataset, or of its feature set where that is fixed."""
        main = self.base.features.feature_set
        found: dict[str, None] = {}
        for extracted in self._dataset.extracted:
            if self.asked.get("feature_set") and extracted.feature_set != main:
                continue
            for column in extracted.columns:
                name = column.identity.short_name
                if extracted.feature_set != self._home_of(column.identity):
                    name = f"{extracted.feature_set}/{name}"
                found[name] = None
        return [(name,) for name in found]

    def of_trial(
        self, columns: Columns, settings: Mapping[str, Any], folds: tuple[Split, ...]
    ) -> tuple[Experiment, ...]:
        """The experiment of each fold of a trial with these settings.

        Raises:
            InputError: settings that do not go together.
        """
        experiment = self.experiment(columns)
        said = merge(file=self.asked, given=settings)
        head = fields_of(HeadConfig, HeadConfig())
        head |= {name: said[name] for name in head if name in said}
        for name in _OF_DATA:
            head.pop(name, None)
        head |= {name: said.get(name) for name in THRESHOLDS}
        config: TrainConfig = replace(experiment.config, **head)
        rows = min(int((fold.labels == "train").sum()) for fold in folds)
        config = replace(config, components=config.components_of(rows, experiment.stored.width))
        own = replace(experiment, config=config, asked=said, folds=folds)
        return tuple(own.fold(number) for number in range(len(folds)))

    def _home_of(self, column: Column) -> str:
        """The feature set that `--columns` takes a column from where it names none."""
        main = self.asked.get("feature_set") and self.base.features.feature_set
        names = [one.feature_set for one in self._dataset.extracted]
        order = [main or self._dataset.feature_set, *names]
        return next((n for n in order if column in self._cache.columns(n)), order[0])

    def _held(self) -> int:
        return sum(one.placement.size.all for one in self._read.values())
