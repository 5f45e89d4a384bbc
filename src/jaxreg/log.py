"""`jaxreg log`: finished runs in MLflow or TensorBoard."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tyro

from jaxreg import cli
from jaxreg.arguments import POSITIONAL, parse
from jaxreg.common.steps import counted, step
from jaxreg.config_io import command_line
from jaxreg.errors import InputError
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class LogArguments:
    """Log finished RUNS, with parameters, curves, scores and report, in MLflow or TensorBoard.

    A run that is there already is left as it is.

    Example: jaxreg log ckpts/track-1 ckpts/track-2 --to mlflow
    """

    runs: tuple[str, ...] = setting(
        (), POSITIONAL, "names or paths of runs, or folders of runs, such as ckpts"
    )
    to: Literal["mlflow", "tensorboard"] = setting(
        tyro.MISSING, "Output", "the tracker: mlflow or tensorboard"
    )
    uri: str | None = setting(
        None,
        "Output",
        "of MLflow: a server or a database; by default $MLFLOW_TRACKING_URI, "
        "else sqlite:///mlflow.db",
    )
    experiment: str | None = setting(
        None, "Output", "of MLflow: name of the experiment; by default that of the dataset"
    )
    out: str | None = setting(
        None, "Output", "of TensorBoard: folder to write; by default tensorboard"
    )
    overwrite: bool = setting(False, "Output", "replace what was logged of these runs")
    ckpts: str = setting("ckpts", "Run", "folder of runs, for a RUN given by its name")
    json: bool = setting(False, "Output", "print one JSON object at the end")


def main(argv: Sequence[str] | None = None) -> int:
    """Parse, read the runs, log them; returns the exit code."""
    own, _ = parse("log", LogArguments, argv=argv)
    _refuse_options_of_the_other(own)
    if not own.runs:
        raise InputError("no RUN", expected="one or more runs", remedy="jaxreg runs")
    with step("importing"):
        from jaxreg.common.files import named_path
        from jaxreg.tracking.event_files import write_event_files
        from jaxreg.tracking.logged_run import read_logged_runs
        from jaxreg.tracking.mlflow_runs import DEFAULT_URI, MlflowRuns
    with step("reading the runs"):
        paths = [_place(word, Path(own.ckpts)) for word in own.runs]
        runs = read_logged_runs(paths, cli.say)
    done = []
    place: dict[str, Any]
    if own.to == "mlflow":
        uri = own.uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_URI
        with step("connecting to MLflow"):
            mlflow = MlflowRuns(uri)
        uri = mlflow.shown
        see = command_line("mlflow ui", ["--backend-store-uri", uri]) * mlflow.is_database
        place = {"uri": uri}
        for run in counted("logging", runs, "runs"):
            logged = mlflow.log(run, experiment=own.experiment, overwrite=own.overwrite)
            done.append((logged, f"run {logged.place} of {own.experiment or run.dataset} in {uri}"))
    else:
        folder = named_path(own.out or "tensorboard", "--out")
        place, see = {"out": str(folder)}, command_line("tensorboard", ["--logdir", folder])
        for run in counted("logging", runs, "runs"):
            logged = write_event_files(run, folder, overwrite=own.overwrite)
            done.append((logged, logged.place))
    for logged, where in done:
        trials = f", {logged.trials} trials" if logged.trials else ""
        already = "" if logged.new else "is there already, and was left as it is: "
        cli.say(f"{logged.run}{' ' if already else ': '}{already}{where}{trials}")
    if own.json:
        cli.print_json({"to": own.to, **place, "runs": [one._asdict() for one, _ in done]})
    elif see:
        cli.say_next(see, quiet=False)
    return 0


def _refuse_options_of_the_other(own: LogArguments) -> None:
    others = ("out",) if own.to == "mlflow" else ("uri", "experiment")
    for name in others:
        if getattr(own, name) is not None:
            other = "tensorboard" if own.to == "mlflow" else "mlflow"
            raise InputError(
                f"--{name} with --to {own.to}", expected=f"--{name} only with --to {other}"
            )


def _place(word: str, ckpts: Path) -> Path:
    """Where a run is; a word that names no run in `ckpts`, but a folder here, is the folder."""
    from jaxreg.training.run_directory import run_path

    path = run_path(word, ckpts)
    return Path(word) if not path.exists() and Path(word).is_dir() else path


if __name__ == "__main__":
    cli.run_command(main)
