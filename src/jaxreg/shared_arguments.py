"""Options that several commands have."""

from dataclasses import dataclass

import tyro

from jaxreg.arguments import POSITIONAL
from jaxreg.setting_field import setting


@dataclass(frozen=True)
class NewDataArguments:
    """Of commands that take a run to new data: the run, and where it finds what it needs."""

    run: str = setting(tyro.MISSING, POSITIONAL, "name or path of the run, or its bundle")
    weights: str | None = setting(
        None, "Run", "weights, ONNX file or KerasHub preset, if it has moved"
    )
    embeddings: tuple[str, ...] = setting(
        (),
        "Run",
        "file with the vectors of the rows, for a run on embeddings; NAME=FILE for each of several",
    )
    cache: str | None = setting(None, "Run", "folder of features; by default that of the run")
    ckpts: str = setting("ckpts", "Run", "folder of runs, for a RUN given by its name")


@dataclass(frozen=True)
class NewRunArguments:
    """Of commands that make a run: of which dataset, and where."""

    name: str | None = setting(None, POSITIONAL, "name of the dataset")
    cache: str | None = setting(
        None,
        "Run",
        "folder or bucket (s3://…) of datasets and features; by default cache, or that of the run",
    )
    run: str | None = setting(
        None, "Run", "name of the run in --ckpts, or its path; by default the next NAME-<number>"
    )
    ckpts: str = setting("ckpts", "Run", "folder of runs")
    config: str | None = setting(
        None, "Run", "JSON file of settings, such as the config.json of a run"
    )
    overwrite: bool = setting(False, "Run", "replace a run of this name")
