"""Reading a run from disk: the states of its trainings, and all that predicts."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import jax

from jaxreg.errors import InputError, reading
from jaxreg.experiment.finalists import number_of_members
from jaxreg.head.fit_many import stack
from jaxreg.head.state import State, empty_state
from jaxreg.side_columns import SideColumns
from jaxreg.trained_run import TrainedRun
from jaxreg.training.bundle_file import NETWORK, SUFFIX, unpacked
from jaxreg.training.checkpoint import Checkpoints
from jaxreg.training.interval_file import INTERVALS
from jaxreg.training.loop import states_of
from jaxreg.training.run_directory import Row, RunDirectory, read_history
from jaxreg.training.run_recipes import features_of


def load_states(
    directory: RunDirectory, warn: Callable[[str], None], *, to_predict: bool = False
) -> tuple[tuple[State, ...], list[Row]]:
    """The states of a run's trainings as last saved, on the host or the device, and their history.

    To predict, `params` and `opt_state`, which only a training needs, are not read; they are None.

    Raises:
        InputError: there is no whole checkpoint, or it is not this run's.
    """
    config, settings = directory.read_config(), directory.settings()
    count = number_of_members(settings, config.get("finalists", ()))

    def empty() -> State:
        side = SideColumns.from_json(config.get("side")).width
        one = empty_state(settings, config["features"], len(settings.target), side)
        return one if count == 1 else stack([one] * count)

    template = jax.eval_shape(empty)  # shapes alone: nothing is compiled
    if to_predict:
        template = template._replace(params=None, opt_state=None)
    found = Checkpoints(directory.checkpoints, config).load(template, warn)
    if found is None:
        raise InputError(f"{directory.path} has no whole checkpoint", remedy=directory.again())
    return states_of(found.state), read_history(found.history)


def load_run(path: Path) -> TrainedRun:
    """Load a run from its directory or its bundle; errors as of `jaxreg.load_run`."""
    if path.suffix == SUFFIX and not path.is_dir():
        with unpacked(path) as folder:
            try:
                with reading(str(path), expected="a bundle that jaxreg wrote"):
                    run = _load(RunDirectory(folder), path)
            except InputError as error:
                found = error.found.replace(str(folder), str(path))
                raise InputError(
                    found, remedy="copy the bundle again, or write it again with jaxreg bundle"
                ) from error
            network = folder / NETWORK
            network = network.read_bytes() if network.exists() else None
        known = [one.quantized for one in run.features.networks]
        if network is not None and hashlib.sha256(network).hexdigest() not in known:
            raise InputError(f"{path} is damaged: its {NETWORK} is not that of its recipe")
        return replace(run, cache=Path("cache"), network=network)
    with reading(str(path), expected="a run that jaxreg wrote"):
        return _load(RunDirectory(path), path)


def _load(directory: RunDirectory, path: Path) -> TrainedRun:
    config = directory.read_config()
    summary, settings = directory.read_finished(), directory.settings()
    states, _ = load_states(directory, lambda text: None, to_predict=True)
    expected = [one["best_epoch"] or 0 for one in summary["members"] or [summary]]
    if [int(state.best_epoch) for state in states] != expected:
        raise InputError(
            f"the checkpoint of {path} is not the one that this run ended with",
            remedy=directory.again(),
        )
    kept = directory.path / INTERVALS
    try:
        cache = directory.cache()
    except InputError:
        cache = None  # `predict` names the places, or gets another cache
    return TrainedRun(
        path=path,
        cache=cache,
        config=config,
        summary=summary,
        settings=settings,
        features=features_of(config),
        targets=settings.target,
        params=tuple(state.best_params for state in states),
        scalers=tuple(state.scalers for state in states),
        interval_file=kept.read_bytes() if kept.is_file() else None,
    )
