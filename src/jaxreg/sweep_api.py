"""`sweep_heads`: the sweep of the Python API."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from jaxreg.api import Say, StrPath, _never, _silent, load_run, only_dataset
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.common.steps import step
from jaxreg.errors import InputError
from jaxreg.keywords import TrainKeywords
from jaxreg.merge_settings import merge, preset_settings, read_settings
from jaxreg.train_config import Preset

if TYPE_CHECKING:
    import pyarrow as pa

    from jaxreg.trained_run import TrainedRun

Search = Mapping[str, Any] | Sequence[str]
"""What is searched: `{"learning_rate": "1e-5..1e-2", "head": ["mlp", "ridge"]}`, or the words of
`--search`."""


@dataclass(frozen=True)
class FinishedSweep:
    """A finished sweep: its run, and what it found."""

    run: "TrainedRun"  # the head that was chosen
    record: Mapping[str, Any]  # of sweep.json: docs/sweeps.md

    @property
    def metrics(self) -> Mapping[str, float | None]:
        """The scores on rows that no choice has seen."""
        return self.record["metrics"]

    @property
    def chosen(self) -> Mapping[str, Any]:
        """The searched settings of the head."""
        return self.record["chosen"]

    @property
    def trials(self) -> "pa.Table":
        """trials.csv, one row for each trial; `to_pandas()` makes a data frame of it."""
        from pyarrow import csv

        from jaxreg.training.sweep_files import TRIALS

        return csv.read_csv(self.run.path / TRIALS)


def sweep_heads(
    name: str | None = None,
    *,
    search: Search | None = None,
    trials: int | None = None,
    minutes: float | None = None,
    cache: StrPath | None = None,
    run: StrPath | None = None,
    ckpts: StrPath = "ckpts",
    resume: bool = False,
    overwrite: bool = False,
    preset: Preset | None = None,
    config: StrPath | None = None,
    say: Say = _silent,
    should_stop: Callable[[], bool] = _never,
    **settings: Unpack[TrainKeywords],
) -> FinishedSweep:
    """Search settings and columns of a head, train the best, and score the whole search.

    Args:
        name: of the dataset; not needed if the cache has only one.
        search: a range `"A..B"`, a text of choices `"A,B"`, or a list, tuple or array of them for
            each setting that is searched; or words as of `--search`. A tuple of layers or columns
            is one choice. By default the space of docs/sweeps.md.
        trials: how many settings each choice tries; by default 16.
        minutes: time for the whole sweep, in place of `trials`.
        cache, run, ckpts, resume, overwrite, config: as for `train_head`.
        preset: as for `train_head`; what is searched wins over it.
        say: gets each line meant for people.
        should_stop: asked about twice a second.
        settings: fields of `jaxreg.train_config.TrainConfig`, which stay fixed. `folds`, by default
            5, are those whose rows no choice has seen.

    Raises:
        InputError: the dataset, a setting, the search, the cache or the run is wrong.
        Stopped: `should_stop` said so; `resume` goes on from there.

    >>> sweep = jaxreg.sweep_heads(search={"head": "ridge", "columns": "all"}, target="y", folds=2)
    >>> sweep.chosen["head"], sweep.trials.column_names[:4]
    ('ridge', ['trial', 'stage', 'fold', 'status'])
    >>> sweep.metrics["mae"] < sweep.record["baselines"]["median"]["mae"]
    True
    """
    begin = time.perf_counter()
    with step("importing"):
        from jaxreg.search.sweep_plan import prepared
        from jaxreg.search.sweep_record import Request, words_of
        from jaxreg.search.sweep_run import Sweep
        from jaxreg.training.replace_run import restore
        from jaxreg.training.run_directory import RunDirectory, new_run, run_path
        from jaxreg.training.sweep_files import SWEEP, TRIALS, read_sweep

    if resume and run is None:
        raise InputError(
            "--resume without --run", remedy="add --run with the name or path of the sweep"
        )
    words, file = words_of(search), None if config is None else read_settings(Path(config))
    there = None if run is None else RunDirectory(run_path(run, Path(ckpts)))
    before: Mapping[str, Any] | None = None
    if there is not None:
        restore(there.path)
    if resume and there is not None:
        before = read_sweep(there.path)
        if before is None and (there.path / TRIALS).exists():
            raise InputError(
                f"{there.path / SWEEP} is absent, so nothing says what the sweep was asked",
                expected="the run of a sweep",
                remedy="use another --run",
            )
        if before is None and there.exists:
            raise InputError(
                f"{there.path} is the run of jaxreg train, not of a sweep",
                remedy=f"jaxreg train --run {there.path} --resume",
            )
        if before is None:
            say(f"nothing to resume in {there.path}; a new sweep begins")
    if before is not None:
        name = before["dataset"] if name is None else name
        words = before["search"]["asked"] if words is None else words
        trials = before["trials"] if trials is None and minutes is None else trials
        minutes = before["minutes"] if trials is None and minutes is None else minutes
        cache = before["cache"] if cache is None else cache
        file = {**before["settings"], **(file or {})}
    asked = merge(preset=preset_settings(preset), file=file, given=settings)
    store = Cache("cache" if cache is None else cache)
    dataset = read_dataset(store, only_dataset(store) if name is None else name)
    request = Request(words, trials, minutes, asked)
    sweep = Sweep(*prepared(store, dataset, request, given=settings, resumed=before))
    directory = there or RunDirectory(new_run(dataset.name, Path(ckpts)))
    try:
        sweep.run(
            directory,
            resume=before is not None,
            overwrite=overwrite,
            say=say,
            should_stop=should_stop,
            begin=begin,
        )
    except InputError:
        directory.release()
        raise
    record = read_sweep(directory.path)
    assert record is not None
    return FinishedSweep(load_run(directory.path), record)
