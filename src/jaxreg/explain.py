"""`jaxreg explain`: where in the pictures the predictions of a run come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.remote_file import shown
from jaxreg.common.steps import step
from jaxreg.config_io import split_off
from jaxreg.explanation.choices import IMAGES
from jaxreg.extract_config import SourceOptions
from jaxreg.setting_field import setting
from jaxreg.shared_arguments import NewDataArguments


@dataclass(frozen=True)
class ExplainArguments(NewDataArguments):
    """Show where in the pictures the predictions of a trained RUN come from.

    SOURCE: as for jaxreg extract. OUT is a folder with pictures, a table and a page.

    Example: jaxreg explain ckpts/track-1 other-drive/ --out explained
    """

    source: str = setting(tyro.MISSING, POSITIONAL, "where the images are")
    out: str = setting(tyro.MISSING, "Output", "folder to make")
    images: int = setting(IMAGES, "Output", "images to draw, spread evenly over the source")
    method: str | None = setting(
        None,
        "Run",
        "exact: a ridge on grids, taken apart; occlusion: cells are covered in turn; by default "
        "exact where it can be",
    )
    overwrite: bool = setting(False, "Output", "replace a folder that jaxreg explain made")
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, explain, write; returns the exit code."""
    own, settings = parse("explain", ExplainArguments, [SourceOptions], argv)
    from jaxreg.explanation.explanation_folder import check_folder

    out = check_folder(own.out, overwrite=own.overwrite)
    with step("importing"):
        from jaxreg.api import load_run
        from jaxreg.new_source import open_for_run
        from jaxreg.training.run_directory import run_path

    run = load_run(run_path(own.run, Path(own.ckpts)))
    options = split_off(SourceOptions, settings)
    examples = open_for_run(own.source, options, run, own.cache)
    with cli.stop_signal() as stop:
        found = run.explain(
            examples,
            out=out,
            name=shown(own.source),
            images=own.images,
            method=own.method,
            overwrite=own.overwrite,
            cache=own.cache,
            weights=own.weights,
            embeddings=own.embeddings,
            say=cli.say,
            should_stop=stop,
        )
    for text in found.lines:
        cli.say(text)
    if own.json:
        cli.print_json(found.to_json())
    return 0


if __name__ == "__main__":
    cli.run_command(main)
