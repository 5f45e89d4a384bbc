"""`jaxreg predict`: raw images through a run's recipe and head to a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.config_io import split_off
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class PredictArguments:
    """Predict from raw images with a trained RUN, through its own recipe and the cache.

    SOURCE: all that jaxreg extract takes, and a folder, a glob or one image.
    Example: jaxreg predict ckpts/track-1 photos/ --out predictions.csv
    """

    run: str = setting(tyro.MISSING, POSITIONAL, "name or path of the run, or its bundle")
    source: str = setting(tyro.MISSING, POSITIONAL, "where the images are")
    out: str = setting(tyro.MISSING, "Output", "file to write: .csv, .parquet or .jsonl")
    json: bool = setting(False, "Output", "print one JSON object at the end")
    weights: str | None = setting(None, "Run", "the weights file, where it has moved")
    cache: str | None = setting(None, "Run", "folder of features; by default that of the run")
    ckpts: str = setting("ckpts", "Run", "folder of runs, for a RUN given by its name")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, predict, write; returns the exit code."""
    own, settings = parse("predict", PredictArguments, [SourceOptions], argv)
    out = Path(own.out)
    if out.suffix not in FORMATS:
        raise InputError(f"--out {out}", expected=f"a name that ends in {', '.join(FORMATS)}")
    from jaxreg.api import load_run
    from jaxreg.sources import open_source
    from jaxreg.training.run_directory import run_path

    run = load_run(run_path(own.run, Path(own.ckpts)))
    options = split_off(SourceOptions, settings)
    examples = open_source(own.source, options, ranged=run.recipe.range is not None)
    if not len(examples) and not examples.unusable:
        raise InputError(f"no images in {own.source}", expected="at least one")
    with cli.live_line(every=5) as show, cli.stop_signal() as stop:
        table = run.predict_table(
            examples,
            cache=own.cache,
            weights=own.weights,
            say=cli.say,
            on_progress=lambda progress: show(cli.progress_text(progress)),
            should_stop=stop,
        )
    write_table(out, table)
    failed = sum(bool(reason) for reason in table["reason"].to_pylist())
    done = f"{table.num_rows - failed} predictions"
    cli.say(f"{done}, {failed} images without one: {out}" if failed else f"{done}: {out}")
    if own.json:
        cli.print_json({"out": str(out), "rows": table.num_rows, "failed": failed})
    if failed == table.num_rows:
        raise InputError(
            f"none of the {failed} images can be used; the first: {table['id'][0]}: "
            f"{table['reason'][0]}",
            remedy=f"see the reasons in {out}",
        )
    return 0


def write_table(out: Path, table: "pa.Table") -> None:
    """Write a table as its file's name says. Raises InputError where it cannot be written."""
    import json

    import pyarrow as pa
    from pyarrow import csv, parquet

    from jaxreg.common.files import write_whole

    sink = pa.BufferOutputStream()
    if out.suffix == ".csv":
        csv.write_csv(table, sink)
    elif out.suffix == ".parquet":
        parquet.write_table(table, sink)
    else:
        sink.write("".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode())
    write_whole(out, sink.getvalue().to_pybytes())


if __name__ == "__main__":
    cli.run_command(main)
