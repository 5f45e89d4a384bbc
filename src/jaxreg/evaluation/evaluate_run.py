"""A run on other labelled data, from its source to what was found."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg import metrics
from jaxreg.common.steps import step
from jaxreg.entry_weights import entry_weights
from jaxreg.evaluation.evaluation_table import evaluation_table
from jaxreg.evaluation.headline_text import headline_of
from jaxreg.evaluation.interval_coverage import coverage_here
from jaxreg.evaluation.labelled_rows import LabelledRows, label, refuse_unlabelled
from jaxreg.evaluation.new_findings import compare_errors, find_in_new_data
from jaxreg.evaluation.result import Evaluation
from jaxreg.evaluation.training_rows import RunRows, held_out_rows, training_rows
from jaxreg.extraction.pipeline import Progress
from jaxreg.head.scaling import mean_and_std_of
from jaxreg.head.target_outputs import of_targets
from jaxreg.metrics import Loss, Scores, constant_baselines, scores
from jaxreg.new_predictions import NewPredictions, predict_examples
from jaxreg.slices.brightness import brightness_of
from jaxreg.slices.row_slices import slicings_of
from jaxreg.slices.slice_errors import slices_of
from jaxreg.sources.examples import DIGEST, Examples
from jaxreg.target_types import center_and_std
from jaxreg.train_config import DELTA
from jaxreg.verdict.checks.new_errors import Compared

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def evaluate_run(
    run: "TrainedRun",
    examples: Examples,
    source: str,
    *,
    cache: str | Path | None,
    weights: str | None,
    embeddings: str | Sequence[str],
    say: Callable[[str], None],
    on_progress: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> Evaluation:
    """Score a run on a source and compare it with the run's own data.

    Args:
        run: the run.
        examples: the source.
        source: its name, for messages.
        cache, weights, embeddings, say, on_progress, should_stop: as of `predict_table`.

    Raises:
        InputError: the source has none of the targets or no row that can be scored; and as of
            `predict_table`.
        Stopped, UnavailableError: as of `predict_table`.
    """
    refuse_unlabelled(run, examples, source, say)
    new = predict_examples(
        run,
        examples,
        cache=cache,
        weights=weights,
        embeddings=embeddings,
        say=say,
        on_progress=on_progress,
        should_stop=should_stop,
    )
    rows = label(run, examples, new, source)
    with step("comparing with the training rows"):
        return _evaluation(run, examples, source, new, rows)


def _evaluation(
    run: "TrainedRun", examples: Examples, source: str, new: NewPredictions, rows: LabelledRows
) -> Evaluation:
    train, held_out = training_rows(run, new.known), held_out_rows(run, new.known)
    brightness = brightness_of(new.store, _pictures(run, rows, new), run.features.range)
    compared = compare_errors(run, rows, held_out)
    findings, untested = find_in_new_data(run, rows, new, compared, train, brightness)
    loss = _loss(run, train)
    predictors: dict[str, dict[str, np.ndarray]] = {
        "training": {} if train is None else _constants(run, train.y, train.weights, rows),
        "new": _constants(run, rows.y, rows.weights, rows),
    }
    by_target: dict[str, dict[str, Any]] = {}
    for number, name in enumerate(run.targets):
        own = slice(number, number + 1)
        promised = run.summary["by_target"][name]
        by_target[name] = {
            **_score(rows, rows.predictions, loss, own),
            "baselines": {
                **{
                    of: {n: _score(rows, values, loss, own) for n, values in some.items()}
                    for of, some in predictors.items()
                },
                "held_out": promised.get("baselines", run.summary["baselines"]),
            },
            "held_out": {name: promised[name] for name in metrics.METRICS},
            **_beside_promise(compared.get(name)),
        }
        if rows.weights is not None:
            by_target[name]["weighted"] = _weighted(rows, loss, own)
    every = slice(None)
    slicings = slicings_of(rows.dataset, brightness)
    slices = slices_of(run.targets, run.types, rows.y, rows.predictions, slicings)
    return Evaluation(
        run=run.path,
        source=source,
        headline=headline_of(by_target, findings, len(rows.numbers), int(rows.trained.sum())),
        metrics=_score(rows, rows.predictions, loss, every),
        weighted=None if rows.weights is None else _weighted(rows, loss, every),
        by_target=by_target,
        baselines={
            **{
                of: {n: _score(rows, values, loss, every) for n, values in some.items()}
                for of, some in predictors.items()
            },
            "held_out": run.summary["baselines"],
        },
        held_out=run.metrics,
        rows=len(rows.numbers),
        failed=len(new.reasons) + len(examples.unusable),
        trained=int(rows.trained.sum()),
        far_worse=any(one["far_worse"] for one in by_target.values()),
        intervals=coverage_here(run, rows),
        findings=tuple(findings),
        slices=tuple(one.slice for one in slices),
        notes=(*rows.notes, *untested),
        table=evaluation_table(run, examples, new, rows, slicings, brightness),
    )


def _beside_promise(one: Compared | None) -> dict[str, Any]:
    """The errors of both MAE, and whether that here is far worse."""
    if one is None:  # no number here, or a run without a score
        return dict.fromkeys(("mae_error", "held_out_mae_error", "far_worse"))
    of_run = one.promised_mae[1] if one.promised is not None else None
    return {"mae_error": one.mae[1], "held_out_mae_error": of_run, "far_worse": one.far_worse}


def _pictures(run: "TrainedRun", rows: LabelledRows, new: NewPredictions) -> list[str | None]:
    """The digest of the image of each row; None for rows without images."""
    if DIGEST not in run.features.digest_columns:
        return [None] * len(rows.numbers)
    place = run.features.digest_columns.index(DIGEST)
    whole = [new.features.digests[row] for row in rows.numbers.tolist()]
    return [None if text is None else text.split(" ")[place] for text in whole]


def _loss(run: "TrainedRun", train: RunRows | None) -> Loss:
    """The Huber loss of the run's own scores (`ResolvedRun.loss`)."""
    if train is not None:
        _, std = center_and_std(run.types, train.y)
    else:  # of a bundle, as its scaler has it
        std = of_targets(run.types, mean_and_std_of(run.scalers[0].target)[1])
    units = np.where(std == 0, 1.0, std)
    delta, _ = run.settings.thresholds
    return Loss(DELTA * units if delta is None else np.array(delta), units, run.types)


def _constants(
    run: "TrainedRun", y: np.ndarray, weights: np.ndarray | None, rows: LabelledRows
) -> dict[str, np.ndarray]:
    """The predictions of the mean and the median of some targets for the rows.

    NaN for a target without a number that has a weight.
    """
    of = entry_weights(y) if weights is None else weights
    some = np.flatnonzero((of > 0).any(axis=0))
    types = [run.types[number] for number in some]
    found = constant_baselines(y[:, some], len(rows.numbers), of[:, some], types)
    whole = {name: np.full(rows.y.shape, np.nan) for name in found}
    for name, values in found.items():
        whole[name][:, some] = values
    return whole


def _score(rows: LabelledRows, predictions: np.ndarray, loss: Loss, own: slice) -> Scores:
    one = loss if own == slice(None) else loss.of_target(own.start)
    return scores(rows.y[:, own], predictions[:, own], one)


def _weighted(rows: LabelledRows, loss: Loss, own: slice) -> Scores:
    assert rows.weights is not None
    one = loss if own == slice(None) else loss.of_target(own.start)
    found = scores(rows.y[:, own], rows.predictions[:, own], one, rows.weights[:, own])
    return {name: found[name] for name in metrics.WEIGHTED}
