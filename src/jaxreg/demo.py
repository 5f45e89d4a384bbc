"""`python -m jaxreg.demo`: extract the built-in road, train a head on it, show what came out."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxreg import cli, extract, train
from jaxreg.errors import UnavailableError

DOWNLOAD_SECONDS = 10  # a demonstration must not wait for a network that is not there


@dataclass(frozen=True)
class DemoArguments:
    """Extract features of 2,000 drawn road views, train a head, and name the report.

    Example: python -m jaxreg.demo
    """

    images: int = 2000  # to draw
    cache: str = "cache"  # folder of datasets and features
    ckpts: str = "ckpts"  # folder of runs


def main(argv: Sequence[str] | None = None) -> int:
    """Run both commands and say each one; returns the exit code of the one that ended it."""
    arguments = cli.parse(DemoArguments, "jaxreg.demo", argv)
    source, common = f"road:{arguments.images}", ["--cache", arguments.cache]
    words = [source, "--name", "road", *common, "--weights", weights_to_use(Path(arguments.cache))]
    _announce("extract", words)
    if code := extract.main(words):
        return code
    words = ["road", *common, "--ckpts", arguments.ckpts]
    _announce("train", words)
    return train.main(words)


def weights_to_use(cache: Path) -> str:
    """`imagenet` if it can be had within ten seconds, else `random`, and it says so."""
    from jaxreg.config import ExtractConfig
    from jaxreg.features.cache import Cache
    from jaxreg.features.datasets import dataset_names, read_dataset
    from jaxreg.features.space import choose_space

    store = Cache(cache)
    if "road" in dataset_names(store) and "-random0-" in read_dataset(store, "road").space:
        return "random"  # an earlier demonstration's, so that this one is quick
    try:
        choose_space(ExtractConfig(), store, DOWNLOAD_SECONDS)
    except UnavailableError:
        cli.say(
            "ImageNet weights cannot be downloaded here, so this demo uses random ones (seed 0)"
        )
        return "random"
    return "imagenet"


def _announce(command: str, words: Sequence[str]) -> None:
    cli.say(f"\n$ python -m jaxreg.{command} {' '.join(words)}")


if __name__ == "__main__":
    cli.run_command(main)
