"""`jaxreg diagnose`: is it not training? The long answer, on one page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import step
from jaxreg.config_io import command_line, words_given
from jaxreg.errors import InputError
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class DiagnoseArguments:
    """Test the head and the data of a run, and write diagnosis.html into its directory.

    With the name of a dataset, train a head on a sample of it. The page is then in this folder.

    Example: jaxreg diagnose track-1
    """

    name: str | None = setting(None, POSITIONAL, "name or path of a run, or name of a dataset")
    target: tuple[str, ...] = setting(
        (), "Data", "columns of a dataset to predict; by default the targets of its source"
    )
    images: str | None = setting(
        None, "Data", "source of images, to compare the preprocessing with the weights"
    )
    cache: str | None = setting(
        None,
        "Run",
        "folder or bucket (s3://…) of datasets and features; by default that of the run, or cache",
    )
    ckpts: str = setting("ckpts", "Run", "folder of runs")
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, diagnose, print; returns the exit code."""
    own, _ = parse("diagnose", DiagnoseArguments, argv=argv)
    if own.name is None:
        raise InputError(
            "no run and no dataset to diagnose", expected="a run or a dataset as the first word"
        )
    with step("importing JAX"):
        from jaxreg.diagnosis.run_diagnosis import diagnose

    done = diagnose(
        own.name,
        cache=own.cache,
        ckpts=Path(own.ckpts),
        images=own.images,
        target=own.target,
        say=cli.say,
    )
    cli.say(done["verdict"]["headline"])
    cli.say(f"diagnosis: {done['page']} ({done['seconds']:.0f} s)")
    if remedy := done["verdict"].get("remedy"):
        if not own.json:
            cli.say(f"try: {remedy}")
    elif Path(done["page"]).parent == Path():  # of a dataset, which has no run yet
        from jaxreg.cache.store import Cache
        from jaxreg.experiment.first_training import first_training

        needed = first_training(Cache(own.cache or "cache"), own.name, own.target)
        words = [own.name, *words_given(own, "target", "cache", "ckpts"), *needed]
        cli.say_next(command_line("jaxreg train", words), quiet=own.json)
    if own.json:
        cli.print_json(done)
    return 0


if __name__ == "__main__":
    cli.run_command(main)
