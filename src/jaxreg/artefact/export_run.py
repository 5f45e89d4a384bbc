"""A run as an artefact: written, loaded, compared with the run, and only then put in its place."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.artefact.check_images import MOST, check_images
from jaxreg.artefact.formats import FORMATS, Runner, format_of
from jaxreg.artefact.keras_head import output_name
from jaxreg.artefact.output_place import (
    check_place,
    files_of,
    folder_beside,
    lack_of_room_told,
    move_files,
    read_text,
)
from jaxreg.artefact.own_numbers import own_numbers
from jaxreg.artefact.packed_networks import images_at_once
from jaxreg.artefact.readme import check_readme, readme
from jaxreg.backbone.pooling import same_size
from jaxreg.cache.store import Cache
from jaxreg.common.files import named_path, write_whole
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.extraction.run_networks import RunNetworks
from jaxreg.head.scaling import mean_and_std_of
from jaxreg.head.target_outputs import of_targets
from jaxreg.target_types import difference
from jaxreg.training.run_recipes import weights_places

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


@dataclass(frozen=True)
class Exported:
    """An artefact that was written."""

    path: Path
    files: tuple[Path, ...]  # the path, what is beside it, and the README as the last
    format: str
    max_difference: float  # from the run, over images and targets, in std of the target
    images: int  # that were compared
    input: dict[str, Any]  # name, shape (null: any) and dtype
    output: dict[str, Any]  # the same, and the targets in the order of the columns
    compared_on: str  # what the images are

    def to_json(self) -> dict[str, Any]:
        """What `jaxreg export --json` prints."""
        shown = ("format", "max_difference", "images", "input", "output")
        return {"path": str(self.path)} | {name: getattr(self, name) for name in shown}


def export_run(
    run: "TrainedRun",
    out: str | os.PathLike[str],
    *,
    format: str | None = None,
    overwrite: bool = False,
    weights: str | None = None,
    cache: str | Path | None = None,
) -> Exported:
    """Write a run as an artefact; arguments and errors as of `TrainedRun.export`."""
    path = named_path(out, "--out", spare=len(".README.md"))
    if path.name in ("", ".."):  # it is named by its place, as `.` is
        path = path.resolve()
    chosen = format_of(format, path)
    form = FORMATS[chosen]
    _check_run(run)
    form.check(run)
    files = files_of(path, form)
    check_place(files, form, overwrite=overwrite)
    before = read_text(files[-1])
    if not overwrite:
        check_readme(before, run, files[-1])
    folder = cache if cache is not None else run.cache
    store = None if folder is None else Cache(folder)
    if cache is not None and store is not None:
        store.check_there()
    places = weights_places(run.config)
    networks = RunNetworks(run.features, store, weights, places, run.network)
    for recipe in run.features.networks:
        networks.find(recipe)  # before the time that building takes
    with folder_beside(path) as new:
        with lack_of_room_told(new):
            form.write(run, networks, new / path.name)
        with step("comparing with the run"):
            images, what = check_images(run, folder)
            runner = form.load(new / path.name)
            wanted = own_numbers(run, networks, images)
            found = _numbers(runner, images)
            del runner
        made = Exported(
            path,
            tuple(files),
            chosen,
            _difference(run, chosen, found, wanted),
            len(images),
            {
                "name": "images",
                "shape": [images_at_once(run, networks), None, None, 3],
                "dtype": "uint8",
            },
            {
                "name": output_name(run.targets),
                "shape": [None, len(run.targets)],
                "dtype": str(found.dtype),
                "targets": list(run.targets),
            },
            what,
        )
        inside = new if form.suffix else new / path.name
        write_whole(inside / files[-1].name, readme(run, made, before).encode())
        move_files(new, path.parent)
    return made


def _check_run(run: "TrainedRun") -> None:
    if names := [one.name for one in run.features.embeddings]:
        raise InputError(
            f"{run.path} is a run on the embeddings {' and '.join(names)}, whose network jaxreg "
            "does not have: there is no way from pixels to its numbers",
            expected="a run whose features all come from images",
        )
    if run.side:
        raise InputError(
            f"{run.path} needs the side columns {', '.join(run.side.names)} beside the image",
            expected="a run on images alone: the artefact has one input",
            remedy="jaxreg train … without --side-columns",
        )
    if any(recipe.precision == "bfloat16" for recipe in run.features.networks):
        raise InputError(
            f"{run.path} has features in bfloat16, and a model with the resize inside would round "
            "the pixels before the network too, which jaxreg does not",
            expected="a run on features in float32 or int8",
            remedy="jaxreg extract … --precision float32, and train again",
        )


def _numbers(runner: Runner, images: Sequence[np.ndarray]) -> np.ndarray:
    """(images, targets) of images of several sizes, a batch for each size."""
    rows: dict[int, np.ndarray] = {}
    for group in same_size(images).values():
        found = runner(np.stack([images[place] for place in group]))
        rows |= dict(zip(group, found, strict=True))
    return np.stack([rows[place] for place in range(len(images))])


def target_std(run: "TrainedRun") -> np.ndarray:
    """(targets,) the std of each target, by the training rows or, unscaled, by the baseline."""
    std = np.array(of_targets(run.types, mean_and_std_of(run.scalers[0].target)[1]))
    if not run.settings.scale_target:
        for place, name in enumerate(run.targets):
            own = run.summary["by_target"][name].get("baselines", run.summary["baselines"])
            std[place] = own["mean"]["rmse"] or std[place]
    return std


def _difference(run: "TrainedRun", format: str, found: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference in std of the target; InputError where it is too large."""
    if not np.isfinite(wanted).all():
        raise InputError(f"{run.path} predicts numbers that are not finite; nothing is written")
    apart = np.abs(difference(run.types, found, wanted)) / target_std(run)
    most = float(apart.max())
    if not most <= MOST:
        name = run.targets[int(apart.max(axis=0).argmax())]
        raise InputError(
            f"--format {format} gives {name} otherwise than the run, by up to {most:.2g} std; "
            "nothing is written",
            expected=f"at most {MOST:g} std",
            remedy="use another --format",
        )
    return most
