"""`jaxreg evaluate`: a run on other labelled data."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.remote_file import shown
from jaxreg.common.steps import step
from jaxreg.config_io import split_off
from jaxreg.extract_config import SourceOptions
from jaxreg.setting_field import setting
from jaxreg.shared_arguments import NewDataArguments


@dataclass(frozen=True)
class EvaluateArguments(NewDataArguments):
    """Score a trained RUN on other labelled data, and say how these differ from its own.

    SOURCE: as for jaxreg extract; it has the targets of the run as columns.

    Example: jaxreg evaluate ckpts/track-1 other-drive/ --out errors.csv
    """

    source: str = setting(tyro.MISSING, POSITIONAL, "where the images and their numbers are")
    out: str | None = setting(
        None, "Output", "file for the error of each example: .csv, .parquet or .jsonl"
    )
    json: bool = setting(False, "Output", "print one JSON object instead of the tables")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, evaluate, print; returns the exit code."""
    own, settings = parse("evaluate", EvaluateArguments, [SourceOptions], argv)
    from jaxreg.common.files import output_file
    from jaxreg.prediction_table import FORMATS, write_table

    out = None if own.out is None else output_file(own.out, "--out", FORMATS)
    with step("importing"):
        from jaxreg.api import load_run
        from jaxreg.evaluation.evaluation_text import lines_of, score_rows, slice_rows
        from jaxreg.new_source import open_for_evaluation, refuse_source
        from jaxreg.training.run_directory import run_path

    run = load_run(run_path(own.run, Path(own.ckpts)))
    options = split_off(SourceOptions, settings)
    examples = open_for_evaluation(own.source, options, run, own.cache)
    if out is not None:
        refuse_source(out, own.source, examples)
    with cli.stop_signal() as stop:
        found = run.evaluate(
            examples,
            name=shown(own.source),
            cache=own.cache,
            weights=own.weights,
            embeddings=own.embeddings,
            say=cli.say,
            should_stop=stop,
        )
    if out is not None:
        with step("writing the table"):
            write_table(out, found.table)
    if own.json:
        cli.say(found.headline)
        cli.print_json({**found.to_json(), "out": None if out is None else str(out)})
        return 0
    for line in lines_of(found):
        print(line)
    print()
    cli.print_table(*score_rows(found))
    columns, worst = slice_rows(found)
    if worst:
        print("\nslices with the largest errors")
        cli.print_table(columns, worst)
    if out is not None:
        cli.say(f"the error of each example: {out}")
    return 0


if __name__ == "__main__":
    cli.run_command(main)
