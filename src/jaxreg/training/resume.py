"""config.json as a record of the run, and what must be equal in a run that goes on."""

from pathlib import Path
from typing import Any

from jaxreg.config_io import said_to_json, to_json
from jaxreg.errors import InputError
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.train_config import THRESHOLDS, TrainConfig
from jaxreg.training.replace_run import KIND
from jaxreg.training.run_cache import name_for
from jaxreg.training.run_recipes import recipe_to_json

Record = dict[str, Any]

_FREE = ("asked", "cache", "weights_path", "others_weights", "side")
"""What may differ in a run that goes on, beside `epochs` and `memory_limit`: places, words, and
what follows from the rest."""


def record_of(resolved: ResolvedRun, run: Path) -> Record:
    """The content of config.json: what was asked, the resolved settings, and what they are of."""
    cache, dataset, features = resolved.cache, resolved.dataset, resolved.features
    size = resolved.stored
    side = {"side": resolved.side.to_json()} if resolved.side else {}
    finalists = [said_to_json(one) for one in resolved.finalists]
    others = [name for name in features.feature_sets if name != features.feature_set]
    places = {name: cache.feature_set_record(name)["weights_path"] for name in features.recipes}
    more = {
        "others": {name: recipe_to_json(features.recipes[name]) for name in others},
        "others_weights": {name: places[name] for name in others},
    }
    return {
        "kind": KIND,
        "asked": said_to_json(resolved.asked),
        "settings": to_json(resolved.config),
        "window": resolved.placement.window,
        "dataset": dataset.name,
        "dataset_sha256": resolved.dataset_sha256,
        "features": size.width,
        "dtype": size.dtype,
        **side,
        **({"finalists": finalists} if finalists else {}),
        "cache": name_for(cache.root, run),
        **recipe_to_json(features.recipe),
        "weights_path": places[features.feature_set],
        **(more if others else {}),
    }


def refuse_differences(there: Record, wanted: Record, place: str) -> None:
    """Raise InputError if what is kept in `place` is not of the run that is wanted.

    More epochs are no difference, nor is a memory limit: what it decides is the window. Every other
    difference is named, but for thresholds that nobody asked for: they follow from the targets and
    their rows, so they are named only where nothing else differs.
    """
    asked = [one.get("asked", {}) for one in (there, wanted)]
    follow = [n for n in THRESHOLDS if all(said.get(n) is None for said in asked)]
    # what an older run does not name has its default
    old, new = {**to_json(TrainConfig()), **there["settings"]}, dict(wanted["settings"])
    old["memory_limit"] = new["memory_limit"]
    if isinstance(old.get("epochs"), int) and new["epochs"] >= old["epochs"]:
        old["epochs"] = new["epochs"]
    settings = {
        name: f"--{name.replace('_', '-')} {old.get(name)} there, {value} now"
        for name, value in new.items()
        if old.get(name) != value
    }
    differences = [text for name, text in settings.items() if name not in follow]
    if (name := "dataset_sha256") in there and there[name] != wanted[name]:
        differences.append(f"images or numbers of the dataset {wanted['dataset']} have changed")
    differences += [
        f"{name} {there.get(name)} there, {value} now"
        for name, value in wanted.items()
        if name not in (*_FREE, "settings", "dataset_sha256") and there.get(name) != value
    ]
    if differences := differences or list(settings.values()):
        raise InputError(
            f"{place} cannot be resumed with other settings: " + "; ".join(differences),
            expected="the run's own; only --epochs may grow",
            remedy="leave these settings out, or use another --run",
        )
