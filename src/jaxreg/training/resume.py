"""What makes a run the run that it is: config.json, and what a checkpoint was made for."""

from typing import Any

from jaxreg import config_io as settings_of
from jaxreg.cache.datasets import Dataset
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment
from jaxreg.train_config import TrainConfig

Identity = dict[str, Any]

SAME = (
    "dataset",
    "data",
    "feature_set",
    "columns",
    "targets",
    "split",
    "features",
    "dtype",
    "window",
)
"""What must be equal, beside the settings, in a run that goes on."""


def identity(
    cache: Cache, dataset: Dataset, experiment: Experiment, config: TrainConfig
) -> Identity:
    """config.json: the settings as asked for, and what they came to."""
    recipe = experiment.recipe
    return {
        "settings": settings_of.to_json(config),
        "dataset": dataset.name,
        "data": dataset.fingerprint,
        "cache": str(cache.root.resolve()),
        "feature_set": recipe.feature_set,
        "columns": [column.name for column in experiment.columns],
        "targets": list(experiment.targets),
        "split": experiment.split.kind,
        "features": experiment.x.shape[1],
        "dtype": str(experiment.x.dtype),
        "window": experiment.placement.window,
        "recipe": recipe.to_json(),
        "weights_tag": recipe.weights_tag,
        "weights_path": cache.feature_set_record(recipe.feature_set)["weights_path"],
    }


def refuse_differences(there: Identity, wanted: Identity, place: str) -> None:
    """Raise InputError if what is kept in `place` is not of the run that is wanted.

    More epochs are no difference, nor is a memory limit: what it decides is the window. Every other
    one is named.
    """
    old, new = dict(there["settings"]), dict(wanted["settings"])
    old["memory_limit"] = new["memory_limit"]
    if new["epochs"] >= old["epochs"]:
        old["epochs"] = new["epochs"]
    differences = [
        f"--{name.replace('_', '-')} {old.get(name)} there, {value} now"
        for name, value in new.items()
        if old.get(name) != value
    ]
    differences += [
        f"{name} {there.get(name)} there, {wanted[name]} now"
        for name in SAME
        if there.get(name) != wanted[name]
    ]
    if differences:
        raise InputError(
            f"{place} cannot be resumed with other settings: " + "; ".join(differences),
            expected="the run's own; only --epochs may grow",
            remedy="another --run, or --overwrite",
        )
