"""What the verdict looks at, of a training that has ended."""

import jax
import numpy as np

from jaxreg.config import TrainConfig
from jaxreg.features.cache import Cache
from jaxreg.features.streaming import read_rows
from jaxreg.runs import metrics
from jaxreg.runs.bar import Bar
from jaxreg.runs.experiment import Experiment
from jaxreg.runs.training import Trained
from jaxreg.verdict import Observed, choose_rows


def observe(
    experiment: Experiment,
    config: TrainConfig,
    trained: Trained,
    predictions: np.ndarray,
    bar: Bar | None,
    cache: Cache,
) -> Observed:
    """Plain arrays for `jaxreg.verdict.judge`; of the features only a sample of rows is read."""
    dataset, labels, y = experiment.dataset, experiment.split.labels, experiment.y
    sequence, order = places(experiment)
    train, watched = experiment.rows("train"), experiment.rows("validation")
    told = predictions[watched]
    gain, error = np.nan, np.inf
    if np.isfinite(told).all():
        median = np.broadcast_to(np.median(y[train], axis=0), told.shape)
        blocks = None
        if dataset.sequential:
            blocks = metrics.runs_of_rows(sequence[watched], order[watched])
        gain, error = metrics.bootstrap_gain(y[watched], told, median, blocks=blocks)
    sampled = choose_rows(labels, sequence, order)
    state = jax.device_get(trained.state)
    names = ("loss", "val_loss", "val_mae", "learning_rate")
    return Observed(
        config=config,
        words=(dataset.name, "--cache", str(cache.root)),
        extract=dataset.extract_command,
        y=y,
        predictions=predictions,
        labels=labels,
        digests=dataset.digests,
        sequence=sequence,
        order=order,
        sequential=dataset.sequential,
        split=experiment.split.kind,
        sampled=sampled,
        x=read_rows(experiment.x, sampled),
        history={n: np.array([float(row[n]) for row in trained.history]) for n in names},
        params=state.best_params,
        last_params=state.params,
        scalers=state.scalers,
        finite=bool(state.finite),
        best_epoch=int(state.best_epoch),
        stopped_early=bool(state.stopped),
        ridge=None if bar is None else bar.predictions,
        gain=gain,
        gain_error=error,
        random_seed=experiment.recipe.random_seed,
    )


def places(experiment: Experiment) -> tuple[np.ndarray, np.ndarray]:
    """Which sequence each row belongs to, as a number, and its place in that."""
    table = experiment.dataset.table
    order = table["order"].to_numpy()
    if "group" not in table.column_names:
        return np.zeros(len(order), np.int64), order
    groups = table["group"].combine_chunks().dictionary_encode("encode")
    return groups.indices.to_numpy().astype(np.int64), order
