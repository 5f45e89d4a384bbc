"""`jaxreg diagnose`: is it not training? The long answer, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from jaxreg import cli
from jaxreg.errors import InputError


@dataclass(frozen=True)
class DiagnoseArguments:
    """Try a run's head and its data, and write diagnosis.html into the run's directory.

    With the name of a dataset a head is trained on a sample of it; the page is then written here.

    Example: jaxreg diagnose track-1
    """

    name: Annotated[str | None, tyro.conf.Positional] = None  # run (name or path) or dataset
    target: tuple[str, ...] = ()  # of a dataset: columns to predict; none: the source's own
    images: str | None = None  # a source: does preprocessing match the weights?
    cache: str | None = None  # folder of datasets and features; none: the run's own, or cache
    ckpts: str = "ckpts"  # folder of runs
    json: tyro.conf.FlagCreatePairsOff[bool] = False  # print one JSON object at the end


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, diagnose, print; returns the exit code."""
    arguments = cli.parse(DiagnoseArguments, "diagnose", argv)
    if arguments.name is None:
        raise InputError("diagnose what?", expected="a run or a dataset as the first word")
    from jaxreg.diagnosis.run_tests import diagnose

    told = diagnose(
        arguments.name,
        cache=None if arguments.cache is None else Path(arguments.cache),
        ckpts=Path(arguments.ckpts),
        images=arguments.images,
        target=arguments.target,
        say=cli.say,
    )
    cli.say(told["verdict"]["headline"])
    cli.say(f"diagnosis: {told['page']} ({told['seconds']:.0f} s)")
    if arguments.json:
        cli.print_json(told)
    return 0


if __name__ == "__main__":
    cli.run_command(main)
