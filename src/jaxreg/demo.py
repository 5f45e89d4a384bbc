"""`jaxreg demo`: extract the built-in road, train a head on it, and show the report."""

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxreg import cli
from jaxreg.arguments import parse
from jaxreg.errors import UnavailableError
from jaxreg.setting_field import setting

DOWNLOAD_SECONDS = 10  # a demo must not wait for a network that does not answer


@dataclass(frozen=True)
class DemoArguments:
    """Extract features of 2,000 drawn road views, train a head, and name the report.

    Example: jaxreg demo
    """

    images: int = setting(2000, "Data", "number of images to draw")
    cache: str = setting("cache", "Run", "folder of datasets and features")
    ckpts: str = setting("ckpts", "Run", "folder of runs")


def main(argv: Sequence[str] | None = None) -> int:
    """Run both commands, and print each one before; returns the exit code of the last one."""
    arguments, _ = parse("demo", DemoArguments, argv=argv)
    source, common = f"road:{arguments.images}", ["--cache", arguments.cache]
    weights = weights_to_use(Path(arguments.cache))
    words = ["extract", source, "--name", "road", *common, "--weights", weights]
    return _run(words) or _run(["train", "road", *common, "--ckpts", arguments.ckpts])


def _run(words: list[str]) -> int:
    """Print a command and run it in its own process, so that TensorFlow and JAX share no GPU."""
    cli.say(f"\n$ jaxreg {' '.join(words)}")
    return subprocess.call([sys.executable, "-m", f"jaxreg.{words[0]}", *words[1:]])


def weights_to_use(cache: Path) -> str:
    """`imagenet` if its file is here within ten seconds, else `random` with a message."""
    from jaxreg.cache.datasets import dataset_names, read_dataset
    from jaxreg.cache.store import Cache
    from jaxreg.extract_config import ExtractConfig
    from jaxreg.extraction.feature_set import choose_feature_set

    store = Cache(cache)
    if "road" in dataset_names(store) and "-random0-" in read_dataset(store, "road").feature_set:
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
