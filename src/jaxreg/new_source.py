"""The source of new examples for a run, opened as the run's own dataset was."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.remote_file import shown
from jaxreg.errors import InputError, OptionError
from jaxreg.extract_config import SourceOptions
from jaxreg.sources import open_source
from jaxreg.sources.examples import Examples

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

USUAL = ("id_column", "image_column")
"""The options that are those of the dataset of the run, where the user leaves them out."""

WITH_ORDER = (*USUAL, "group_column", "order_column")
"""The same for data that are scored: their groups and their order make slices and blocks."""


def open_for_run(
    source: str | os.PathLike[str],
    options: SourceOptions,
    run: "TrainedRun",
    cache: str | Path | None = None,
    usual: Sequence[str] = USUAL,
) -> Examples:
    """The examples of a source, for a run.

    Args:
        source: as `jaxreg.sources.open_source` takes it.
        options: what the user said of its columns.
        run: the run. The options `usual` that the user left out are those of its dataset, if the
            dataset and the columns are there.
        cache: the folder with the dataset; None: the run's own.
        usual: names of such options.

    Raises:
        InputError: as of `open_source`, or there is no image.
        UnavailableError: as of `open_source`.
    """
    try:
        dataset = read_dataset(Cache(cache or run.cache or "."), run.config["dataset"])
        known = dataset.options
    except InputError:  # a bundle, or another cache
        known = SourceOptions()
    columns = {name: getattr(known, name) for name in usual if getattr(options, name) is None}
    while True:
        try:
            examples = open_source(
                source,
                replace(options, **columns),
                ranged=run.features.range is not None,
                images=bool(run.features.networks),
            )
        except OptionError as error:  # this source has no such column
            name = error.flag.removeprefix("--").replace("-", "_")
            if columns.pop(name, None) is None:
                raise
            continue
        if not len(examples) and not examples.unusable:
            raise InputError(f"no images in {shown(os.fspath(source))}", expected="at least one")
        return examples


def open_for_evaluation(
    source: str | os.PathLike[str],
    options: SourceOptions,
    run: "TrainedRun",
    cache: str | Path | None = None,
) -> Examples:
    """As `open_for_run`, with the groups and the order of the rows."""
    return open_for_run(source, options, run, cache, WITH_ORDER)


def refuse_source(out: Path, source: str, examples: Examples) -> None:
    """Raise InputError if the file to write is one that the examples come from."""
    places = [source, *(file.path for file in examples.files)]
    if any(os.path.exists(place) and out.samefile(place) for place in places if out.exists()):
        raise InputError(
            f"--out {out} is the source itself, which would be lost",
            remedy=f"--out {out.with_name(f'{out.stem}-predictions{out.suffix}')}",
        )
