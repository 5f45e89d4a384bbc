"""The folder of an explanation: pictures, table, page and record; whole or absent."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from jaxreg.common.files import make_folder, named_path, write_whole
from jaxreg.common.json_files import load_json, write_json
from jaxreg.common.steps import counted, step
from jaxreg.config_io import command_line
from jaxreg.errors import InputError, Stopped
from jaxreg.explanation import explanation_page
from jaxreg.explanation.choices import IMAGES
from jaxreg.explanation.explanation import PAGE, Explanation
from jaxreg.explanation.place_search import FoundPlace

RECORD = "explanation.json"
"""What `--json` prints, and the names of all files; it proves that jaxreg wrote the folder."""

TABLE = "explanation.parquet"
KIND = "explanation"


def check_folder(out: str | os.PathLike[str], *, overwrite: bool) -> Path:
    """The folder to write, checked before anything is computed.

    Raises:
        InputError: it is there and may not be replaced: without `overwrite`, or because it holds
            files that `explain` did not write.
    """
    path = named_path(out, "--out", spare=len("..new"))
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InputError(f"--out {path} is a file or a link", expected="a folder that is not there")
    if not path.exists():
        return path
    if not any(path.iterdir()) and not overwrite:
        return path
    if not overwrite:
        raise InputError(
            f"--out {path} is there already",
            expected="a folder that is not there; --overwrite would replace this one",
            remedy="use another --out",
        )
    if foreign := _foreign(path):
        raise InputError(
            f"--out {path} holds files that jaxreg explain did not write: {foreign[0]}",
            expected="a folder of jaxreg explain, because its files would be deleted",
            remedy="use another --out",
        )
    return path


def _foreign(path: Path) -> list[str]:
    """The paths in a folder that its record does not name."""
    try:
        record = load_json(path / RECORD)
        known = {RECORD, *record["files"]} if record.get("kind") == KIND else set()
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        known = set()
    every = [one for one in path.rglob("*") if one.is_symlink() or not one.is_dir()]
    names = [one.relative_to(path).as_posix() for one in every]
    return [
        name
        for name, one in zip(names, every, strict=True)
        if one.is_symlink() or name not in known
    ]


def write_folder(
    out: Path,
    explained: Explanation,
    source: str,
    should_stop: Callable[[], bool] = lambda: False,
) -> Explanation:
    """Write the folder of an explanation, which `check_folder` accepted.

    Args:
        out: the folder. It appears when it is whole.
        explained: what was found.
        source: the name of the source, for the command on the page.
        should_stop: asked after every picture.

    Returns:
        The explanation with its folder.

    Raises:
        InputError: it cannot be written.
        Stopped: `should_stop` said so; nothing is left.
    """
    explained = replace(explained, out=out)
    words = (explained.run, source, "--out", out, "--method", explained.method)
    more = () if len(explained.shown) == IMAGES else ("--images", len(explained.shown))
    command = command_line("jaxreg explain", (*words, *more))
    new = out.with_name(f".{out.name}.new")
    if new.exists():
        shutil.rmtree(new)  # what a killed command left
    make_folder(new / "images")
    try:
        files = _fill(new, explained, command, should_stop)
        write_json(new / RECORD, {"kind": KIND, **explained.to_json(), "files": sorted(files)})
        if out.exists():
            shutil.rmtree(out)
        new.rename(out)
    except OSError as error:
        raise InputError(f"cannot write {out}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(new, ignore_errors=True)
    return explained


def _fill(
    folder: Path, explained: Explanation, command: str, should_stop: Callable[[], bool]
) -> list[str]:
    with step("importing"):
        from jaxreg.explanation import explanation_pictures as drawn
    files: list[str] = []
    pictures: dict[str, bytes] = {}

    def keep(name: str, png: bytes) -> None:
        write_whole(folder / name, png)
        files.append(name)
        pictures[name] = png

    targets = range(len(explained.targets))
    shown = list(explained.shown)
    ends = [drawn.scale_of(explained.cells[shown, target]) for target in targets]
    small = []
    for image in counted("drawing", shown, "images"):
        if should_stop():
            raise Stopped("stopped; nothing is written")
        rgb = drawn.shrunk(explained.pictures.rgb(explained.numbers[image]))
        small.append(rgb)
        for target in targets:
            keep(
                explained.image_name(image, target),
                drawn.overlay(
                    rgb,
                    explained.cells[image, target],
                    ends[target],
                    drawn.image_title(explained, image, target),
                    drawn.legend_of(explained, target),
                ),
            )
    mean = _mean_image(small)
    if len(explained) > 1:
        for target in targets:
            for name, sizes in (("mean", False), ("mean-size", True)):
                png = drawn.mean_map(explained, target, mean, sizes=sizes)
                keep(explained.file_name(name, target), png)
    for name, found in explained.found_places.items():
        target = explained.targets.index(name)
        keep(explained.file_name("shortcut", target), _place(drawn, explained, target, found))
    with step("writing the table"):
        pq.write_table(explained.table, folder / TABLE)
    explanation_page.write_explanation_page(folder / PAGE, explained, pictures, command)
    return [*files, TABLE, PAGE]


def _place(drawn, explained: Explanation, target: int, found: FoundPlace) -> bytes:
    rgb = drawn.shrunk(explained.pictures.rgb(found.numbers[0]))
    return drawn.found_place(explained, target, rgb, found)


def _mean_image(images: list[np.ndarray]) -> np.ndarray:
    """The mean of images, each stretched to the size of the first."""
    height, width = images[0].shape[:2]
    total = np.zeros((height, width, 3))
    for rgb in images:
        rows = np.arange(height) * rgb.shape[0] // height
        columns = np.arange(width) * rgb.shape[1] // width
        total += rgb[rows[:, None], columns[None, :]]
    return np.round(total / len(images)).astype(np.uint8)
