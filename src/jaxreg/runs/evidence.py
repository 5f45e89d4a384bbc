"""What the verdict looks at, of a training that has ended."""

from collections.abc import Sequence

import jax
import numpy as np

from jaxreg.features.cache import Cache
from jaxreg.features.streaming import read_rows
from jaxreg.heads.state import State
from jaxreg.runs import metrics
from jaxreg.runs.directory import Row
from jaxreg.runs.members import Member
from jaxreg.verdict import Observed, choose_rows


def observe(
    member: Member, state: State, history: Sequence[Row], predictions: np.ndarray, cache: Cache
) -> Observed:
    """Plain arrays for `jaxreg.verdict.judge`; of the features only a sample of rows is read.

    Args:
        member: the training; what a fold holds out counts as its validation rows.
        state: at its end.
        history: its lines of history.csv.
        predictions: (rows, targets), its own for every row.
        cache: where the features came from.
    """
    experiment, config, bar = member.experiment, member.config, member.bar
    dataset, y = experiment.dataset, experiment.y
    labels = experiment.split.labels
    if member.fold is not None:
        swapped = {"test": "validation", "validation": "test"}
        labels = np.array([swapped.get(label, label) for label in labels], dtype=object)
    sequence, order = experiment.places
    train, watched = np.flatnonzero(labels == "train"), np.flatnonzero(labels == "validation")
    told = predictions[watched]
    gain, error = np.nan, np.inf
    if np.isfinite(told).all():
        median = np.broadcast_to(np.median(y[train], axis=0), told.shape)
        blocks = experiment.runs_of(watched)
        gain, error = metrics.bootstrap_gain(y[watched], told, median, blocks=blocks)
    sampled = choose_rows(labels, sequence, order)
    state = jax.device_get(state)
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
        history={n: np.array([float(row[n]) for row in history]) for n in names},
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
