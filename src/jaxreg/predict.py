"""`jaxreg predict`: raw images through a run's recipe and head to a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from jaxreg import cli
from jaxreg.config_io import fields_of
from jaxreg.errors import InputError
from jaxreg.extract_config import SourceOptions

if TYPE_CHECKING:
    import pyarrow as pa

FORMATS = (".csv", ".parquet", ".jsonl")


@dataclass(frozen=True)
class PredictArguments(SourceOptions):
    """Predict from raw images with a trained RUN, through its own recipe and the cache.

    SOURCE is what jaxreg.extract takes, and a folder, a glob or one image.
    Example: jaxreg predict ckpts/track-1 photos/ --out predictions.csv
    """

    run: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    source: Annotated[str, tyro.conf.Positional] = tyro.MISSING
    out: str = tyro.MISSING  # file to write: .csv, .parquet or .jsonl
    weights: str | None = None  # the weights file, where it has moved
    cache: str | None = None  # folder of features; none: the run's own
    ckpts: str = "ckpts"  # folder of runs, for a RUN given by its name
    json: tyro.conf.FlagCreatePairsOff[bool] = False  # print one JSON object at the end


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, predict, write; returns the exit code."""
    arguments = cli.parse(PredictArguments, "predict", argv)
    out = Path(arguments.out)
    if out.suffix not in FORMATS:
        raise InputError(f"--out {out}", expected=f"a name that ends in {', '.join(FORMATS)}")
    from jaxreg.api import load_run
    from jaxreg.sources import open_source
    from jaxreg.training.run_directory import run_path

    run = load_run(run_path(arguments.run, Path(arguments.ckpts)))
    examples = open_source(arguments.source, SourceOptions(**fields_of(SourceOptions, arguments)))
    if not len(examples) and not examples.unusable:
        raise InputError(f"no images in {arguments.source}", expected="at least one")
    with cli.LiveLine() as line, cli.stop_signal() as stop:
        table = run.predict_table(
            examples,
            cache=arguments.cache,
            weights=arguments.weights,
            say=cli.say,
            on_progress=lambda progress: line.show(cli.progress_text(progress), every=5),
            should_stop=stop,
        )
    write_table(out, table)
    failed = sum(bool(reason) for reason in table["reason"].to_pylist())
    done = f"{table.num_rows - failed} predictions"
    cli.say(f"{done}, {failed} images without one: {out}" if failed else f"{done}: {out}")
    if arguments.json:
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
