"""`jaxreg bundle`: a run as one file for a colleague."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import humanize
import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import step
from jaxreg.config_io import command_line
from jaxreg.errors import InputError
from jaxreg.setting_field import setting

if TYPE_CHECKING:
    from jaxreg.cache.recipe import Recipe


@dataclass(frozen=True)
class BundleArguments:
    """Write the head, the scores and the report of a finished RUN to one file.

    jaxreg predict and jaxreg.load_run take the file in place of a run.

    Example: jaxreg bundle ckpts/track-1 --out track.zip
    """

    run: str = setting(tyro.MISSING, POSITIONAL, "name or path of the run")
    out: str = setting(tyro.MISSING, "Output", "file to write (.zip)")
    ckpts: str = setting("ckpts", "Run", "folder of runs, for a RUN given by its name")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, pack, write; returns the exit code."""
    own, _ = parse("bundle", BundleArguments, argv=argv)
    with step("importing"):
        from jaxreg.api import load_run
    from jaxreg.common.files import output_file, write_whole
    from jaxreg.training.bundle_file import SUFFIX, pack_run, unpacked
    from jaxreg.training.replace_run import is_run
    from jaxreg.training.run_directory import RunDirectory, run_path
    from jaxreg.training.run_recipes import weights_places

    out = output_file(own.out, "--out", [SUFFIX])
    path = run_path(own.run, Path(own.ckpts))
    run = load_run(path)  # a damaged run is no gift
    if out.exists():
        with unpacked(out) as folder:
            there = RunDirectory(folder).read_config() if is_run(folder) else None
        if there != run.config:
            raise InputError(
                f"{out} exists and is no bundle of {path}", remedy="name another --out"
            )
    with step("writing the bundle"):
        content = pack_run(RunDirectory(path))
        write_whole(out, content)
    cli.say(f"{out}: {humanize.naturalsize(len(content))}")
    more: list[str] = []
    said: list[str] = []
    places = weights_places(run.config)
    for network in run.features.networks:
        needed, words = _needs(network, places[network.feature_set])
        said += [needed] if needed else []
        more = more or words
    if names := [one.name for one in run.features.embeddings]:
        said.append(f"predicting needs the embeddings {' and '.join(names)} of the new rows")
        more += run.features.embeddings_words
    for sentence in said or ["predicting needs no other file"]:
        cli.say(sentence)
    words = [out, "SOURCE", "--out", "predictions.csv", *more]
    cli.say_next(command_line("jaxreg predict", words), quiet=False)
    return 0


def _needs(recipe: "Recipe", weights_path: str | None) -> tuple[str, list[str]]:
    """What predicting needs beside the bundle, in a sentence and as words of its command.

    Both are empty where the network needs no file.
    """
    from jaxreg.backbone.registry import BACKBONES, HUB

    if recipe.quantized is not None or recipe.random_seed is not None:
        return "", []
    if recipe.weights_tag == "imagenet" and recipe.backbone in BACKBONES:
        return "predicting needs the imagenet weights, which Keras downloads", []
    if recipe.backbone == HUB:
        what = f"the KerasHub preset too ({weights_path}, SHA-256 {recipe.weights})"
        return f"predicting needs {what}", ["--weights", "FOLDER"]
    kind = "weights" if recipe.backbone in BACKBONES else "ONNX"
    what = f"the {kind} file too ({weights_path}, SHA-256 {recipe.weights})"
    return f"predicting needs {what}", ["--weights", "FILE"]


if __name__ == "__main__":
    cli.run_command(main)
