"""`jaxreg runs`: the finished runs of a folder, compared in one table."""

import csv
import io
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.errors import InputError
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class RunsArguments:
    """Compare the finished runs of FOLDER: scores, intervals, differences to the best, verdict.

    Example: jaxreg runs ckpts --dataset track --html runs.html
    """

    folder: str = setting("ckpts", POSITIONAL, "folder of runs")
    dataset: str | None = setting(None, "Data", "show only the runs of this dataset")
    sort: str = setting("mae", "Output", "column that decides the order")
    csv: str | None = setting(None, "Output", "CSV file to write")
    html: str | None = setting(None, "Output", "page to write, with small pictures")
    json: bool = setting(False, "Output", "print one JSON object instead of the table")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, read, print; returns the exit code."""
    own, _ = parse("runs", RunsArguments, argv=argv)
    from jaxreg.common.files import write_whole
    from jaxreg.comparison.runs_table import FLAT, flat, read_runs
    from jaxreg.comparison.runs_text import SPARE, printed

    table_file = _output(own.csv, "--csv", "run,dataset,", "table of runs")
    page_file = _output(own.html, "--html", PAGE, "page of runs")
    if table_file is not None and table_file == page_file:
        raise InputError(f"--csv and --html are both {page_file}", expected="two files")
    table = read_runs(Path(own.folder), dataset=own.dataset, sort=own.sort, say=cli.say)
    if not table.rows:
        cli.say(f"no finished run{f' of {own.dataset}' if own.dataset else ''} in {own.folder}")
    if table_file is not None:
        text = io.StringIO()
        writer = csv.DictWriter(text, list(FLAT), lineterminator="\n")
        writer.writeheader()
        for row in map(flat, table.rows):
            writer.writerow({**row, "columns": " ".join(row["columns"])})
        write_whole(table_file, text.getvalue().encode(errors="replace"))
    if page_file is not None:
        from jaxreg.comparison.runs_page import write_runs_page

        write_runs_page(page_file, table, own.folder)
    if own.json:
        cli.print_json({"runs": table.rows, "best": table.best})
    elif table.rows:
        columns, rows, lines = printed(table)
        cli.print_table(columns, rows, SPARE)
        print("", *lines, sep="\n")
    return 0


PAGE = '<meta name="generator" content="jaxreg runs">'
"""What every page of runs has near its start."""


def _output(given: str | None, option: str, mark: str, what: str) -> Path | None:
    """The file that an option names. Raises InputError if something else is there."""
    from jaxreg.common.files import open_regular, output_file

    if given is None:
        return None
    path = output_file(given, option)
    if path.exists():
        start = b""
        with suppress(OSError), open_regular(path) as file:
            start = file.read(2000)
        if mark not in start.decode(errors="replace"):
            raise InputError(f"{option} {path} exists and is no {what}", remedy="name another file")
    return path


if __name__ == "__main__":
    cli.run_command(main)
