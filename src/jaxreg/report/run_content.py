"""What the page of a run shows besides its plots: tables, facts, settings."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxreg.config_io import to_json
from jaxreg.experiment.arrays import Experiment
from jaxreg.experiment.finalists import Finalist
from jaxreg.metrics import Scores
from jaxreg.report.run_predictions import RunPredictions, score_side
from jaxreg.report.summary import Summary, head_text
from jaxreg.target_numbers import number_text
from jaxreg.target_types import difference
from jaxreg.train_config import TrainConfig

HELD_OUT = ("validation", "test")
GROUPS = 20  # shown for each target and side
PREDICTORS = {
    "run": "this model",
    "ridge": "ridge",
    "features": "ridge on the features alone",
    "side": "ridge on the side columns alone",
    "side_tree": "tree on the side columns alone",
    "median": "training median",
    "mean": "training mean",
}
"""The lines of a score table, in their order."""

IN_FACTS = ("target", "side_columns", "feature_set", "layers", "pool", "columns", "split", "head",
            "hidden", "components")  # fmt: skip
"""Settings that the facts of a run tell."""

OF_STEPS = ("dropout", "scale_target", "learning_rate", "decay_steps", "decay_rate", "batch_size",
            "epochs", "patience", "min_delta", "keep_going", "seeds")  # fmt: skip
"""Settings that change nothing for a ridge, which is solved without steps."""


class GroupTable(NamedTuple):
    """The errors of one target by group, on one side."""

    caption: str
    column: str  # that holds the groups
    predictors: list[str]
    lines: list[tuple[str, int, list[float | None]]]  # group, rows, the MAE of each predictor


def facts_of(experiment: Experiment, summary: Summary) -> dict[str, Any]:
    """What was trained on what, by name."""
    dataset, features = experiment.dataset, experiment.features
    given = features.embeddings
    stds = experiment.loss.std.tolist()
    weights = [f"{network.weights_tag} ({network.weights[:16]})" for network in features.networks]
    ranges = {
        f"target {name}": " to ".join(
            number_text(float(end(y)), std).replace("-", "\N{MINUS SIGN}")
            for end in (np.nanmin, np.nanmax)
        )
        for name, y, std in zip(experiment.targets, experiment.y.T, stds, strict=True)
    }
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "rows": ", ".join(f"{n:,} {split}" for split, n in summary.rows.items() if n),
        "split": experiment.split.kind,
        **ranges,
        "columns": ", ".join(column.name for _, column in features.columns),
        **({"side columns": ", ".join(experiment.side.names)} if experiment.side else {}),
        "feature set": ", ".join(features.feature_sets),
        **({"weights": ", ".join(weights)} if weights else {}),
        **({"embeddings": ", ".join(one.name for one in given)} if given else {}),
        "head": head_text(experiment.config, summary, experiment.targets),
    }


def settings_of(config: TrainConfig, finalists: Sequence[Finalist] = ()) -> dict[str, Any]:
    """The settings that act on this head and that the facts of the run do not tell.

    Where finalists differ in one, it has the value of each.
    """
    without = (*IN_FACTS, *(OF_STEPS if config.head == "ridge" else ()))
    said = to_json(config)
    for name in dict.fromkeys(name for one in finalists for name in one):
        each = [one.get(name, said[name]) for one in finalists]
        said[name] = each[0] if all(own == each[0] for own in each) else each
    return {name: value for name, value in said.items() if name not in without}


def provenance_of(summary: Summary) -> dict[str, Any]:
    """The provenance that neither the facts, the settings nor the command tell."""
    without = ("seed", "weights", "command_line")
    return {name: value for name, value in summary.provenance.items() if name not in without}


def score_tables(
    experiment: Experiment, predictions: RunPredictions
) -> list[tuple[str, dict[str, Scores]]]:
    """The score tables: a caption, and the lines by predictor that have scores.

    With several targets, each target has its tables before those of all targets together. With a
    weight column, the weighted scores of a side follow the plain ones.
    """
    tables = []
    of_all = [(None, "all targets, ")] if len(experiment.targets) > 1 else []
    for number, start in [*each_target(experiment), *of_all]:
        for side in HELD_OUT:
            rows = experiment.rows(side)
            count = len(rows) if number is None else (~np.isnan(experiment.y[rows, number])).sum()
            for weighted in (False, True):
                scores = score_side(experiment, predictions, side, number, weighted=weighted)
                lines = {label: scores.get(name) for name, label in _predictors(experiment).items()}
                known = {label: line for label, line in lines.items() if line is not None}
                if known:
                    by = f", weighted by {experiment.config.weight_column}" if weighted else ""
                    tables.append((f"{start}{side} rows ({count:,}){by}", known))
    return tables


def member_tables(
    summary: Summary,
) -> list[tuple[str, dict[str, Scores], dict[str, Scores]]]:
    """The score tables of the trainings: a caption, the lines, and mean and std of these.

    There is none for a single training.

    With several targets, each target has a table.
    """
    if not (summary.members and summary.members_mean and summary.members_std):
        return []
    labels = [member.label for member in summary.members]
    names = ("members", "members_mean", "members_std")
    found = {f"{target}, ": [its[n] for n in names] for target, its in summary.by_target.items()
             if "members" in its}  # fmt: skip
    if not found:
        own = [member.metrics for member in summary.members]
        found = {"": [own, summary.members_mean, summary.members_std]}
    return [
        (
            f"{start}each training, scored on rows that it did not see",
            dict(zip(labels, each, strict=True)),
            {"mean of these": mean, "std of these": std},
        )
        for start, (each, mean, std) in found.items()
    ]


def group_tables(experiment: Experiment, predictions: RunPredictions) -> list[GroupTable]:
    """The errors by group for each target and side, the groups with the largest first.

    The groups are those of the split, else of the dataset. There is no table where the rows of a
    side are of one group, or each is of another.
    """
    column = experiment.group_column
    if column is None:
        return []
    names = np.array(experiment.group_names(column), dtype=object)
    known = {"run": predictions.predictions, **predictions.baselines}
    of = {
        label: values
        for predictor, label in _predictors(experiment).items()
        if predictor != "mean" and (values := known.get(predictor)) is not None
    }
    tables = []
    for number, start in each_target(experiment):
        for side in HELD_OUT:
            rows = experiment.rows(side)
            rows = rows[~np.isnan(experiment.y[rows, number])]
            found, group, count = np.unique(names[rows], return_inverse=True, return_counts=True)
            if not 1 < len(found) < len(rows):
                continue
            y, kinds = predictions.y[rows], experiment.types
            maes = np.stack(
                [
                    np.bincount(group, np.abs(difference(kinds, every[rows], y))[:, number]) / count
                    for every in of.values()
                ]
            )
            worst = np.argsort(-np.nan_to_num(maes[0], nan=np.inf), kind="stable")[:GROUPS]
            shown = f"the {GROUPS} of {len(found):,} groups with the largest MAE"
            if len(found) <= GROUPS:
                shown = f"the MAE of {len(found)} groups"
            lines = [(str(found[i]), int(count[i]), _finite(maes[:, i])) for i in worst]
            tables.append(GroupTable(f"{start}{side} rows: {shown}", column, list(of), lines))
    return tables


def curves_caption(config: TrainConfig, trainings: int, best_epoch: int | None) -> str:
    """What the lines of the loss curves are."""
    dropout = f", with dropout {config.dropout:g}" if config.dropout and config.hidden else ""
    trained = f"the mean loss of the epoch's updates on the training rows{dropout}"
    text = (
        f"Grey: {trained}. Blue: the loss on the validation rows after each epoch, without "
        "dropout" if dropout else f"Grey: {trained}. Blue: the loss on the validation rows "
        "after each epoch"
    )  # fmt: skip
    if config.head == "blend":
        text += ". Both are of the MLP alone"
    if trainings > 1:
        text += f". Each of the {trainings} trainings has a line of each colour"
    if best_epoch is not None:
        text += f". The dashed line marks epoch {best_epoch}, whose weights are the run's"
    return text


def _predictors(experiment: Experiment) -> dict[str, str]:
    """The predictors to show: a ridge is not compared with itself."""
    is_ridge = experiment.config.head == "ridge"
    return {n: label for n, label in PREDICTORS.items() if not (is_ridge and n == "ridge")}


def each_target(experiment: Experiment) -> Iterator[tuple[int, str]]:
    """The number of each target, and what its captions start with."""
    several = len(experiment.targets) > 1
    yield from ((i, f"{name}, " * several) for i, name in enumerate(experiment.targets))


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
