"""`jaxreg predict`: raw images through a run's recipe and head to a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import step
from jaxreg.config_io import split_off
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.setting_field import setting
from jaxreg.shared_arguments import NewDataArguments
from jaxreg.target_types import PLAIN, TargetType

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class PredictArguments(NewDataArguments):
    """Predict from raw images with a trained RUN, and keep their features in the cache.

    SOURCE: as for jaxreg extract, mostly a folder, a glob or one image.

    Example: jaxreg predict ckpts/track-1 photos/ --out predictions.csv
    """

    source: str = setting(tyro.MISSING, POSITIONAL, "where the images are")
    out: str = setting(tyro.MISSING, "Output", "file to write: .csv, .parquet or .jsonl")
    interval: float | None = setting(
        None,
        "Output",
        "level of intervals around the predictions, as 0.8; for a run with folds",
    )
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, predict, write; returns the exit code."""
    own, settings = parse("predict", PredictArguments, [SourceOptions], argv)
    from jaxreg.common.files import output_file
    from jaxreg.prediction_table import FORMATS, write_table

    out = output_file(own.out, "--out", FORMATS)
    with step("importing"):
        from jaxreg.api import load_run
        from jaxreg.new_source import open_for_run, refuse_source
        from jaxreg.training.run_directory import run_path

    run = load_run(run_path(own.run, Path(own.ckpts)))
    examples = open_for_run(own.source, split_off(SourceOptions, settings), run, own.cache)
    refuse_source(out, own.source, examples)
    with cli.stop_signal() as stop:
        table = run.predict_table(
            examples,
            interval=own.interval,
            cache=own.cache,
            weights=own.weights,
            embeddings=own.embeddings,
            say=cli.say,
            should_stop=stop,
        )
    with step("writing the predictions"):
        write_table(out, table)
    failed = sum(bool(reason) for reason in table["reason"].to_pylist())
    done = f"{table.num_rows - failed} prediction{'s' * (table.num_rows - failed != 1)}: {out}"
    what = "image" if run.features.networks else "row"
    images = f"1 {what}" if failed == 1 else f"{failed} {what}s"
    cli.say(f"{done}; {images} could not be used (column reason)" if failed else done)
    for name, kind in zip(run.targets, run.types, strict=True):
        if text := target_text(name, table, kind):
            cli.say(text)
    result: dict[str, object] = {"out": str(out), "rows": table.num_rows, "failed": failed}
    if own.interval is not None:
        from jaxreg.new_intervals import interval_facts, interval_texts

        facts = interval_facts(run, own.interval, table)
        for text in interval_texts(run, facts):
            cli.say(text)
        result |= facts
    if own.json:
        cli.print_json(result)
    if failed == table.num_rows:
        raise InputError(
            f"none of the {failed} {what}s can be used; the first: {table['id'][0]}: "
            f"{table['reason'][0]}",
            remedy=f"see the reasons in {out}",
        )
    return 0


def target_text(name: str, table: "pa.Table", kind: TargetType = PLAIN) -> str:
    """The range of the predictions of a target, and their scores if the source has its numbers.

    Args:
        name: of the target.
        kind: its type. A circular target has no range; its circular mean and std are shown.
        table: as `TrainedRun.predict_table` returns it.

    Returns:
        Nothing where there is no prediction.
    """
    import numpy as np
    import pyarrow as pa

    from jaxreg.metrics import Loss, scores
    from jaxreg.sources.columns import is_number
    from jaxreg.target_numbers import number_text
    from jaxreg.target_types import center_and_std

    predicted = table[f"prediction.{name}"].to_numpy().astype(np.float64)
    shown = predicted[np.isfinite(predicted)]
    if not len(shown):
        return ""
    [center], [std] = center_and_std([kind], shown[:, None])
    low, middle, high = (
        number_text(float(value), std) for value in (shown.min(), np.median(shown), shown.max())
    )
    text = f"{name}: {low} to {high}, median {middle}" if len(shown) > 1 else f"{name}: {low}"
    if kind.circular and len(shown) > 1:
        text = f"{name}: around {number_text(float(center), std)}, std {std:.3g}"
    if f"target.{name}" not in table.column_names:
        return text
    column = table[f"target.{name}"]
    if column.null_count == len(column):
        return text
    if not is_number(column.type):
        return f"{text}; not scored: the source has {column.type} there, not numbers"
    true = column.cast(pa.float64(), safe=False).to_numpy()
    both = np.isfinite(true) & np.isfinite(predicted)
    if not both.any():
        return text
    any_loss = Loss(np.ones(1), np.ones(1), (kind,))  # it decides neither MAE nor R²
    found = scores(true[both, None], predicted[both, None], any_loss)
    rows = "the row that has" if both.sum() == 1 else f"the {both.sum()} rows that have"
    return f"{text}; {cli.scores_text(found)} on {rows} a number"


if __name__ == "__main__":
    cli.run_command(main)
