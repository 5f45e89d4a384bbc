"""`jaxreg runs`: the finished runs of a folder, compared in one table."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.errors import InputError
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class RunsArguments:
    """Compare the finished runs of FOLDER: scores, gains over the median and the ridge, verdict.

    Example: jaxreg runs ckpts --dataset track
    """

    folder: str = setting("ckpts", POSITIONAL, "folder of runs")
    dataset: str | None = setting(None, "Data", "show only the runs of this dataset")
    sort: str = setting("mae", "Output", "column that decides the order")
    csv: str | None = setting(None, "Output", "CSV file to write")
    json: bool = setting(False, "Output", "print one JSON object instead of the table")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, read, print; returns the exit code."""
    own, _ = parse("runs", RunsArguments, argv=argv)
    from jaxreg.common.files import output_file, write_whole
    from jaxreg.report.runs_table import COLUMNS, best_of, runs_table

    out = None if own.csv is None else output_file(own.csv, "--csv")
    if (
        out is not None
        and out.exists()
        and not out.read_text(errors="replace").startswith("run,dataset,")
    ):
        raise InputError(f"--csv {out} exists and is no table of runs", remedy="name another file")
    rows = runs_table(Path(own.folder), own.dataset, own.sort, cli.say)
    if not rows:
        cli.say(f"no finished run{f' of {own.dataset}' if own.dataset else ''} in {own.folder}")
    if out is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({**row, "columns": " ".join(row["columns"])})
        write_whole(out, text.getvalue().encode())
    if own.json:
        cli.print_json({"runs": rows, "best": best_of(rows)})
    elif rows:
        cli.print_table(COLUMNS, [[_text(row[name]) for name in COLUMNS] for row in rows])
    return 0


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(str(part).removeprefix("identity.") for part in value)
    if isinstance(value, float):
        return f"{value:.3g}"
    return "-" if value is None else str(value)


if __name__ == "__main__":
    cli.run_command(main)
