"""`jaxreg train`: train a head on cached features, in seconds, again and again."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from jaxreg import cli
from jaxreg.config_io import fields_of, from_json, preset_settings
from jaxreg.errors import InputError
from jaxreg.extract_config import FEATURES_PRESETS
from jaxreg.train_config import Preset, TrainConfig

if TYPE_CHECKING:
    from jaxreg.report.summary import Summary

LOST = 5  # the exit code of a training that cannot recover


@dataclass(frozen=True)
class TrainArguments(TrainConfig):
    """Train a head on the cached features of the dataset NAME; without it, of the only one.

    Example: jaxreg train track --target user/angle --split blocks
    """

    name: Annotated[str | None, tyro.conf.Positional] = None  # dataset
    cache: str = "cache"  # folder of datasets and features
    run: str | None = None  # a name in --ckpts or a path; none: the next NAME-<number>
    ckpts: str = "ckpts"  # folder of runs
    config: str | None = None  # JSON file of settings, as a run's config.json
    preset: Preset = "original"  # best: docs/best-head.md; question, answer: those programs
    resume: tyro.conf.FlagCreatePairsOff[bool] = False  # go on with a stopped run
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False  # replace a run of this name
    quiet: tyro.conf.FlagCreatePairsOff[bool] = False  # no line per epoch
    json: tyro.conf.FlagCreatePairsOff[bool] = False  # print the summary as one JSON object


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, train, print; returns the exit code."""
    arguments = cli.parse(TrainArguments, "train", argv, _defaults)
    from jaxreg.api import train_head

    before = _summary_before(arguments) if arguments.resume else None
    words = ("name", "cache", "run", "ckpts", "resume", "overwrite")
    with cli.LiveLine(quiet=arguments.quiet) as line, cli.stop_signal() as stop:
        run = train_head(
            **{word: getattr(arguments, word) for word in words},
            say=cli.say,
            on_epoch=lambda row: line.show(_epoch_text(row, arguments.epochs)),
            should_stop=stop,
            **fields_of(TrainConfig, arguments),
        )
    from jaxreg.report.summary import Summary, head_text

    summary = Summary.from_json(run.summary)
    if text := _members_text(summary):
        cli.say(text)
    if summary.blend_share:
        cli.say(head_text(run.settings, summary, run.config["targets"]))
    if arguments.preset == "best" and (note := _other_features(run.config)):
        cli.say(note)
    cli.say(summary.verdict["headline"])
    cli.say(f"report: {run.path / 'report.html'}")
    if arguments.json:
        cli.print_json({**run.summary, "run": str(run.path)})
    codes = [finding["code"] for finding in summary.verdict["findings"]]
    dead = summary.dead or "non-finite" in codes
    return LOST if dead and run.summary != before else 0  # the same again: nothing was trained


def _defaults(argv: Sequence[str]) -> TrainArguments:
    """What an option left out means: `--config`'s value, `--preset`'s, or the resumed run's."""
    from jaxreg.training.run_directory import RunDirectory, read_json, run_path

    plain = TrainArguments()
    file = cli.value_of(argv, "--config")
    run, ckpts = cli.value_of(argv, "--run"), cli.value_of(argv, "--ckpts") or plain.ckpts
    preset = cli.value_of(argv, "--preset")
    settings = preset_settings(preset)
    if file is not None:
        expected = 'a JSON file {"format": 1, "settings": {…}}, as a run\'s config.json'
        found = read_json(Path(file), ("settings",), expected)["settings"]
        if not isinstance(found, dict):
            raise InputError(f"the settings in {file} are {found!r}", expected=expected)
        settings |= found
    elif run is not None and "--resume" in argv:
        directory = RunDirectory(run_path(run, Path(ckpts)))
        if directory.exists:
            settings = {**directory.read_config()["settings"], **settings}
    return dataclasses.replace(plain, **fields_of(TrainConfig, from_json(TrainConfig, settings)))


def _summary_before(arguments: TrainArguments) -> dict[str, Any] | None:
    from jaxreg.training.run_directory import RunDirectory, run_path

    place = run_path(arguments.run or "", Path(arguments.ckpts))
    return RunDirectory(place).read_summary()


def _other_features(config: dict[str, Any]) -> str | None:
    """A sentence, if a run of the best preset has other features than those that go with it."""
    from jaxreg.cache.recipe import Column

    its = FEATURES_PRESETS["best"]
    best = {Column(layer=layer, pool=its["pool"]).name for layer in its["layers"]}
    if set(config["columns"]) == best:
        return None
    return (
        f"note: trained on {', '.join(config['columns'])}; what won beside this head is "
        "extract --preset best (docs/best-head.md)"
    )


def _members_text(summary: "Summary") -> str:
    """The mean and std of each score over the members; empty for a single training."""
    if not (summary.members and summary.members_mean and summary.members_std):
        return ""
    pairs = [(n, mean, summary.members_std[n]) for n, mean in summary.members_mean.items()]
    known = [f"{n} {mean:.3g} ± {std:.2g}" for n, mean, std in pairs if None not in (mean, std)]
    return f"mean of {len(summary.members)} trainings: {', '.join(known)}"


def _epoch_text(row: dict[str, Any], epochs: int) -> str:
    of = f" (mean of {row['members']})" if "members" in row else ""
    epoch = f"epoch {row['epoch']}/{epochs}{of}"
    return (
        f"{epoch}: loss {row['loss']:.4g}, val_loss {row['val_loss']:.4g}, "
        f"val_mae {row['val_mae']:.4g}, {row['seconds']:.2f} s"
    )


if __name__ == "__main__":
    cli.run_command(main)
