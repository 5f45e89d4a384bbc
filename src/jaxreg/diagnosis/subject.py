"""The subject of a diagnosis: a finished run, or a dataset and a head for it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import jax
import numpy as np

from jaxreg.cache.chosen_features import ChosenFeatures
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.lazy_features import PartFeatures, read_rows
from jaxreg.cache.parts import LackingFeatures
from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.experiment.arrays import Experiment, load_experiment
from jaxreg.experiment.members import Member, make_members
from jaxreg.experiment.resolve import resolve
from jaxreg.head.fit import make_fit
from jaxreg.head.state import Data, History, init_state, prepare
from jaxreg.report.run_predictions import predict_all
from jaxreg.report.run_verdict import observe
from jaxreg.run_loading import load_states
from jaxreg.training.loop import Trained
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.run_recipes import features_of
from jaxreg.verdict.observation import Observed
from jaxreg.verdict.sampling import choose_rows

Say = Callable[[str], None]

OTHER_LAYERS = ("mixed2", "mixed5")  # of InceptionV3, worth a try: docs/layers.md
EPOCHS = 60  # of the head that is trained to diagnose a dataset, on the sampled rows


@dataclass(frozen=True)
class Subject:
    """A training to diagnose, and where its features are."""

    name: str
    folder: Path  # where the page goes
    experiment: Experiment
    obs: Observed

    @cached_property
    def columns(self) -> dict[str, PartFeatures]:
        """The columns of the run's feature sets that have all rows of the dataset, by name.

        Other datasets may have put columns into a feature set that this one lacks.
        """
        cache, features, found = self.experiment.cache, self.experiment.features, {}
        first = features.feature_set
        for feature_set in features.feature_sets:
            for column in cache.columns(feature_set):
                named = ChosenFeatures(((feature_set, column),), features.recipes)
                wanted = named.wanted(self.experiment.dataset, column.view)
                name = column.name if feature_set == first else f"{feature_set}/{column.name}"
                with suppress(LackingFeatures):
                    found[name] = PartFeatures(cache, wanted)
        return found

    @property
    def more(self) -> str:
        """The command that adds columns of other layers; empty if only Keras knows the layers."""
        features = self.experiment.features
        recipe = features.recipe
        if not isinstance(recipe, Recipe) or recipe.backbone != "inception_v3":
            return ""
        own = features.columns_of(features.feature_set)
        others = [replace(own[0], layer=layer) for layer in OTHER_LAYERS]
        names = dict.fromkeys(column.short_name for column in (*own, *others))
        return self.experiment.dataset.extract_command(features.feature_set, columns=tuple(names))

    def read(self, name: str) -> np.ndarray:
        """The features of the sampled rows in one of the columns."""
        return read_rows(self.columns[name], self.obs.sampled)


def of_run(path: Path, cache: str | Path | None, say: Say) -> Subject:
    """A finished run, its features read again.

    Raises:
        InputError: it is not finished, has no whole checkpoint, or its dataset is another now.
    """
    directory = RunDirectory(path)
    record = directory.read_config()
    directory.read_finished()
    store = Cache(directory.cache() if cache is None else cache)
    dataset = read_dataset(store, record["dataset"])
    if features_of(record).fingerprint(dataset) != record["dataset_sha256"]:
        raise InputError(
            f"the dataset {dataset.name} is not what {path} was trained on",
            remedy=f"jaxreg diagnose {dataset.name}",
        )
    with step(f"reading {len(dataset)} rows"):
        experiment = load_experiment(resolve(store, dataset, {}, record))
        states, history = load_states(directory, say)
    with step("solving the ridge"):
        member = next(make_members(experiment))
    if len(states) > 1:
        say(f"diagnosing the first of its {len(states)} trainings")
    obs = _look(member, Trained(states[:1], history, 0.0, 0.0, interrupted=False))
    return Subject(path.name, path, experiment, obs)


def of_dataset(name: str, cache: str | Path, target: tuple[str, ...], say: Say) -> Subject:
    """A dataset, with a head of default settings trained on a sample of its rows."""
    store = Cache(cache)
    dataset = read_dataset(store, name)
    with step(f"reading {len(dataset)} rows"):
        experiment = load_experiment(resolve(store, dataset, {"epochs": EPOCHS, "target": target}))
    with step("training a head on a sample of the rows"):
        trained = _train_on_some(experiment)
    with step("solving the ridge"):
        member = next(make_members(experiment))
    obs = _look(member, trained)
    return Subject(dataset.name, Path(), experiment, obs)


def _look(member: Member, trained: Trained) -> Observed:
    with step("predicting every row"):
        predictions = predict_all(member.experiment, [member], trained)
        history = trained.history_of(member)
        obs = observe(member, trained.states[0], history, predictions.predictions)
        return replace(obs, every_rate=True)  # the page shows it


def _train_on_some(experiment: Experiment) -> Trained:
    labels = experiment.split.labels
    sampled = choose_rows(labels, *experiment.places)
    x, y = read_rows(experiment.x, sampled), experiment.y[sampled]
    rows, validation = (labels[sampled] == side for side in ("train", "validation"))
    data = Data.of(x[rows], y[rows], x[validation], y[validation])
    weights = experiment.weights[sampled]
    data = data._replace(weights=np.concatenate([weights[rows], weights[validation]]))
    config = replace(experiment.config, components=None)
    state = init_state(config, data)
    data = jax.device_put(prepare(config, state, data))
    state, history = make_fit(config)(state, data, config.epochs)
    columns = {name: np.asarray(getattr(history, name)) for name in History._fields}
    lines = [
        {"epoch": i + 1, **{name: values[i] for name, values in columns.items()}, "seconds": 0.0}
        for i in range(int(state.epoch))
    ]
    return Trained((state,), lines, 0.0, 0.0, interrupted=False)
