"""`jaxreg export`: a run as a file that other programs load, without jaxreg."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import humanize
import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import step
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class ExportArguments:
    """Write a finished RUN as a model that takes pixels and needs no jaxreg.

    Before the model takes its place, 32 images go through the run and through it.

    Example: jaxreg export ckpts/photos-1 --out photos.keras
    """

    run: str = setting(tyro.MISSING, POSITIONAL, "name or path of the run, or its bundle")
    out: str = setting(
        tyro.MISSING, "Output", "NAME.keras, NAME.onnx, NAME.xml, or a folder for savedmodel"
    )
    format: str | None = setting(
        None,
        "Output",
        "keras, savedmodel, onnx or openvino; by default what the name of --out tells",
    )
    overwrite: bool = setting(False, "Output", "replace an artefact that is there")
    json: bool = setting(False, "Output", "print one JSON object at the end")
    weights: str | None = setting(
        None, "Run", "weights, ONNX file or KerasHub preset, if it has moved"
    )
    cache: str | None = setting(None, "Run", "folder of features; by default that of the run")
    ckpts: str = setting("ckpts", "Run", "folder of runs, for a RUN given by its name")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, write, compare, print; returns the exit code."""
    own, _ = parse("export", ExportArguments, argv=argv)
    with step("importing"):
        from jaxreg.api import load_run
        from jaxreg.training.run_directory import run_path

    run = load_run(run_path(own.run, Path(own.ckpts)))
    with cli.unwound_on_sigterm():
        made = run.export(
            own.out,
            format=own.format,
            overwrite=own.overwrite,
            weights=own.weights,
            cache=own.cache,
        )
    *model, told = made.files
    every = {*model, *(made.path.rglob("*") if made.path.is_dir() else ())} - {told}
    size = sum(path.stat().st_size for path in every if path.is_file())
    cli.say(
        f"{made.path}: {humanize.naturalsize(size)}; on {made.images} images ({made.compared_on}) "
        f"at most {made.max_difference:.2g} std of the target from the run"
    )
    cli.say(f"how to load it: {told}")
    if own.json:
        cli.print_json(made.to_json())
    return 0


if __name__ == "__main__":
    cli.run_command(main)
