"""What a sweep was asked, and what sweep.json says of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.config_io import command_line, from_json, option_words, said_to_json
from jaxreg.errors import InputError
from jaxreg.experiment.resolve import ResolvedRun
from jaxreg.search.choice import MOST_TRIALS, Chosen
from jaxreg.search.outer_folds import shared_of
from jaxreg.search.space import Space
from jaxreg.search.trial_draws import numeric_of
from jaxreg.train_config import TrainConfig
from jaxreg.training.sweep_files import SWEEP_KIND

TRIALS = 16  # of stage two, where neither --trials nor --minutes says so
FOLDS = 5  # where --folds does not say so


@dataclass(frozen=True)
class Request:
    """What a sweep was asked."""

    search: Sequence[str] | None  # KEY=VALUES; None: the default space
    trials: int | None
    minutes: float | None
    settings: Mapping[str, Any]  # those that stay fixed

    def __post_init__(self) -> None:
        if self.trials is not None and self.minutes is not None:
            raise InputError(
                "--trials with --minutes",
                expected="one of them: how many trials, or how long",
                remedy=f"leave --trials {self.trials} out",
            )
        if self.trials is not None and not 1 <= self.trials <= MOST_TRIALS:
            raise InputError(f"--trials is {self.trials}", expected=f"from 1 to {MOST_TRIALS}")
        if self.minutes is not None and not 0 < self.minutes <= 100_000:
            raise InputError(f"--minutes is {self.minutes}", expected="above 0, at most 100000")

    @property
    def number(self) -> int | None:
        """Trials of a choice; None: time decides."""
        return (self.trials or TRIALS) if self.minutes is None else None

    def command(self, dataset: str, cache: str, run: Path) -> str:
        """The command that makes the sweep again."""
        words: list[object] = [dataset, "--cache", cache, "--run", run]
        if self.search:
            words += ["--search", *self.search]
        for name in ("trials", "minutes"):
            if getattr(self, name) is not None:
                words += option_words(name, getattr(self, name))
        return command_line("jaxreg sweep", words, from_json(TrainConfig, self.settings))


def words_of(search: Sequence[str] | Mapping[str, Any] | None) -> tuple[str, ...] | None:
    """The `KEY=VALUES` of what Python code gave.

    A list, a tuple or an array are choices; but a tuple of layers or columns is one choice.
    """
    if search is None:
        return None
    if isinstance(search, str):
        return (search,)
    if not isinstance(search, Mapping):
        return tuple(search)
    from jaxreg.search.space import text_of

    found = []
    for key, given in search.items():
        values = given.tolist() if isinstance(given, np.ndarray) else given
        several = isinstance(values, Sequence) and not isinstance(values, str)
        if isinstance(values, tuple) and key in ("hidden", "columns"):
            several = any(isinstance(part, list | tuple) for part in values)
        parts = values if several else [values]
        texts = [text_of(tuple(one) if isinstance(one, list) else one) for one in parts]
        found.append(f"{key}={','.join(texts)}")
    return tuple(found)


def first_content(request: Request, space: Space, base: ResolvedRun) -> dict[str, Any]:
    """sweep.json before the first trial; its results are empty. `base` has dataset and cache."""
    settings = said_to_json(request.settings)
    return {
        "kind": SWEEP_KIND,
        "dataset": base.dataset.name,
        "dataset_sha256": base.dataset_sha256,
        "cache": base.cache.root,
        "search": {
            "asked": None if request.search is None else list(request.search),
            "read": space.to_json(),
        },
        "settings": settings,
        "trials": request.number,
        "minutes": request.minutes,
        "folds": len(base.folds),
        "seed": base.config.seed,
        "metrics": None,
        "baselines": None,
        "choices": 0,
        "chosen": None,
        "chosen_by_fold": [],
        "optimism": None,
        "best_inner_mae": None,
        "seconds": {},
        "finished": False,
    }


_ASKED = ("dataset", "search", "settings", "trials", "minutes", "folds", "seed")
"""What must be equal in a sweep that goes on."""


def refuse_other_sweep(there: Mapping[str, Any], wanted: Mapping[str, Any], place: Path) -> None:
    """Raise InputError if a sweep that goes on is asked something else; each difference is named.

    Args:
        there: the content of its sweep.json.
        wanted: what it would begin with now.
        place: its folder.
    """
    differences = []
    for name in _ASKED:
        old, new = there.get(name), wanted[name]
        if name == "settings" and isinstance(old, dict):
            for key in sorted({*old, *new}):
                if old.get(key) != new.get(key):
                    differences.append(_difference(key, old.get(key), new.get(key)))
        elif name == "search" and isinstance(old, dict):
            if old.get("read") != new["read"]:
                asked = [one.get("asked") for one in (old, new)]
                differences.append(_difference("search", *asked))
        elif old != new:
            differences.append(_difference(name, old, new))
    if there.get("dataset_sha256") != wanted["dataset_sha256"]:
        differences.append(f"images or numbers of the dataset {wanted['dataset']} have changed")
    if differences := list(dict.fromkeys(differences)):
        raise InputError(
            f"{place} cannot be resumed with other settings: {'; '.join(differences)}",
            expected="what the sweep was asked at its start",
            remedy="leave these settings out, or use another --run",
        )


def _difference(name: str, old: Any, new: Any) -> str:
    def text(value: Any) -> str:
        if value is None:
            return "not given"
        return " ".join(map(str, value)) if isinstance(value, list) else str(value)

    return f"--{name.replace('_', '-')} {text(old)} there, {text(new)} now"


def chosen_to_json(chosen: Chosen) -> dict[str, Any]:
    """What a choice has found, as sweep.json has it."""
    found: dict[str, Any] = said_to_json(shared_of(chosen))
    if chosen.columns:
        found["columns"] = list(chosen.columns)
    if len(chosen.finalists) > 1:
        found["finalists"] = [said_to_json(numeric_of(one)) for one in chosen.finalists]
    return found


def chosen_from_json(said: Mapping[str, Any], error: float | None) -> Chosen:
    """The inverse of `chosen_to_json`."""
    shared = {n: tuple(v) if isinstance(v, list) else v for n, v in said.items()}
    columns, finalists = shared.pop("columns", ()), shared.pop("finalists", ({},))
    return Chosen(columns, tuple({**shared, **one} for one in finalists), error)
