"""`jaxreg demo`: one extraction of the built-in road, two heads on it, and their scores."""

import multiprocessing
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from jaxreg import cli, extract, train
from jaxreg.arguments import parse
from jaxreg.common.remote_file import shown
from jaxreg.config_io import command_line
from jaxreg.errors import InputError, UnavailableError
from jaxreg.setting_field import setting

LAST, EARLY = "mixed10.avg", "mixed2.grid2x4"  # what the original program reads, and a better one
SIDE = "150"  # pixels: a quarter of the work of 299
RUNS = {"original": LAST, "best": EARLY}  # the column that each preset trains on
DOWNLOAD_SECONDS = 10  # a demo must not wait for a network that does not answer


@dataclass(frozen=True)
class DemoArguments:
    """Extract features of drawn road views once, train two heads on them, and compare them.

    Example: jaxreg demo
    """

    images: int = setting(500, "Data", "number of images to draw")
    cache: str = setting("cache", "Run", "folder or bucket (s3://…) of datasets and features")
    ckpts: str = setting("ckpts", "Run", "folder of runs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run three commands, and print each one before; returns the first exit code that is not 0.

    TensorFlow extracts in a process of its own, so that JAX has the GPU for itself.
    """
    asked, _ = parse("demo", DemoArguments, argv=argv)
    runs = {preset: Path(asked.ckpts) / f"road-{preset}" for preset in RUNS}
    again = {preset: _made_before(path, preset) for preset, path in runs.items()}
    process = multiprocessing.get_context("spawn").Process(target=_extract, args=(asked,))
    process.start()
    import_module("jaxreg.report.page")  # what the training needs takes seconds to import
    process.join()
    if process.exitcode:
        return process.exitcode
    for preset, path in runs.items():
        words = ["train", "road", "--preset", preset, "--columns", RUNS[preset], "--run", path.name]
        words += ["--cache", asked.cache, "--ckpts", asked.ckpts]
        if code := _run(train.main, words + ["--overwrite"] * again[preset]):
            return code
    _compare(list(runs.values()))
    return 0


def _made_before(path: Path, preset: str) -> bool:
    """Whether an earlier demo made this run. Raises InputError if it is somebody else's."""
    from jaxreg.merge_settings import merge, preset_settings
    from jaxreg.training.run_directory import RunDirectory

    if not path.is_dir() or not any(path.iterdir()):
        return False
    its = merge(preset=preset_settings(preset), given={"columns": [RUNS[preset]]})
    try:
        config = RunDirectory(path).read_config()
    except InputError:
        config = {}
    if config.get("dataset") != "road" or config.get("asked") != its:
        raise InputError(
            f"{path} was not made by jaxreg demo, which would replace it",
            remedy=command_line("jaxreg demo", ["--ckpts", f"{path.parent}-demo"]),
        )
    return True


def _extract(asked: DemoArguments) -> None:
    """Extract in this process, which then ends with the exit code of the command."""

    def run() -> int:
        weights = weights_to_use(asked.cache)
        words = ["extract", f"road:{asked.images}", "--size", SIDE, SIDE, "--columns", LAST, EARLY]
        return _run(extract.main, [*words, "--weights", weights, "--cache", asked.cache])

    cli.run_command(run)


def _run(command: Callable[[Sequence[str]], int], words: list[str]) -> int:
    cli.say(f"\n$ {shlex.join(['jaxreg', *map(shown, words)])}")
    return command(words[1:])


def _compare(runs: Sequence[Path]) -> None:
    """Print the scores of the runs beside those of their baselines, and where the reports are."""
    from jaxreg.training.run_directory import RunDirectory

    rows, median = [], None
    for path in runs:
        config, summary = RunDirectory(path).read_config(), RunDirectory(path).read_summary()
        assert summary is not None, "a training that ended well has a summary"
        baselines = summary["baselines"]
        median = median or ["median of the training rows", "-", *_scores(baselines["median"]), "-"]
        columns = ", ".join(config["settings"]["columns"]).replace("identity.", "")
        verdict = summary["verdict"]["headline"].partition(":")[0]
        if baselines["ridge"] is not None:
            rows.append(["ridge", columns, *_scores(baselines["ridge"]), "-"])
        rows.append([f"run {path.name}", columns, *_scores(summary["metrics"]), verdict])
    if median is not None:
        cli.say("\nOne extraction, two heads: errors on the same validation rows")
        cli.print_table(("predictor", "features", "MAE", "R²", "verdict"), [median, *rows])
    for path in runs:
        cli.say(f"report: {path / 'report.html'}")
    cli.say_next("jaxreg extract SOURCE", quiet=False)


def _scores(scores: dict[str, Any]) -> list[str]:
    return ["-" if scores[name] is None else f"{scores[name]:.3f}" for name in ("mae", "r2")]


def weights_to_use(cache: str) -> str:
    """`imagenet` if its file is here within ten seconds, else `random` with a message.

    Raises:
        InputError: the cache has another dataset of this name.
    """
    from jaxreg.cache.datasets import dataset_names, read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.extract_config import ExtractConfig
    from jaxreg.extraction.feature_set import choose_feature_set

    store = Cache(cache)
    if "road" in dataset_names(store):
        dataset = read_dataset(store, "road")
        if dataset.source["kind"] != "road":
            raise InputError(
                f"{store.root} has a dataset road from {dataset.opened}, which the demo would "
                "replace",
                remedy=command_line("jaxreg demo", ["--cache", f"{store.root}-demo"]),
            )
        if "-random0-" in dataset.feature_set:
            return "random"  # as the last demo, whose features are in the cache
    try:
        choose_feature_set(ExtractConfig(), store, download_seconds=DOWNLOAD_SECONDS)
    except UnavailableError:
        cli.say(
            "ImageNet weights cannot be downloaded here, so this demo uses random ones (seed 0)"
        )
        return "random"
    return "imagenet"


if __name__ == "__main__":
    cli.run_command(main)
