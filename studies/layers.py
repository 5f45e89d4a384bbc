"""Which layer, pool and size are best: `python studies/layers.py SOURCE --target T --weights FILE`.

    python studies/layers.py TUB --target user/angle --weights FILE     # and the drawn road
    python studies/layers.py --quick                                    # shows that it works

R² is that of a ridge on the features, the mean over five contiguous blocks (see precision.py). All
layers and pools of a size come from one forward pass. The cost is images/s of a whole extraction
that ends at that layer, from decoded pixels to parts written, on the engine of `auto`; pools cost
next to nothing. A dash is a grid of more cells than the layer has rows or columns at that size.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.weights import WeightsSource
from jaxreg.cache.recipe import INCEPTION_LAYERS, Column, Recipe
from jaxreg.cache.store import Cache
from jaxreg.extract_config import ExtractConfig
from jaxreg.extraction.feature_set import choose_feature_set
from jaxreg.extraction.pipeline import Outcome, Task, extract
from jaxreg.sources import open_source
from precision import ridge_r2

Size = tuple[int, int] | Literal["native"]

POOLS = ("avg", "grid:1x4", "grid:2x2")
SIZES: tuple[Size, ...] = ((299, 299), (150, 150), "native")


@dataclass(frozen=True)
class Arguments:
    """Compare layers, pools and sizes on a recording and on the drawn road."""

    source: Annotated[str | None, tyro.conf.Positional] = None  # whatever extract takes, in order
    target: str = "steering"  # of the source: the column that a ridge predicts
    weights: str = "imagenet"  # as for extract
    frames: int = 1000  # of the drawn road
    timed: int = 256  # images of each timed extraction
    quick: bool = False  # 60 images, two layers, random weights: the figures mean nothing


def main(arguments: Arguments) -> None:
    """Print a table per source."""
    sources = [("road:60" if arguments.quick else f"road:{arguments.frames}", "steering")]
    if arguments.source:
        sources.insert(0, (arguments.source, arguments.target))
    layers = ("mixed2", "mixed10") if arguments.quick else INCEPTION_LAYERS
    sizes = ((150, 150), "native") if arguments.quick else SIZES
    for source, target in sources:
        examples = open_source(source)
        images = examples.images[: 60 if arguments.quick else len(examples)]
        y = examples.columns[target].to_numpy()[: len(images)].astype(np.float64)
        print(f"\n{len(y)} images of {source}, R² of {target}, images/s to that layer\n")
        print("| size | layer |" + "".join(f" {pool} |" for pool in POOLS) + " images/s |")
        print("|---|---|" + "---|" * len(POOLS) + "---|")
        for size in sizes:
            chosen = ExtractConfig(
                weights="random" if arguments.quick else arguments.weights, size=size
            )
            timed = images[: 30 if arguments.quick else arguments.timed]
            _table(chosen, images, y, layers, timed)


def _table(
    chosen: ExtractConfig, images: Sequence[Any], y: np.ndarray, layers: Sequence[str], timed: Any
) -> None:
    """The lines of one size."""
    height, width = _seen(chosen, images)
    possible = [
        Column(layer=layer, pool=pool)
        for layer in layers
        for pool in POOLS
        if _fits(Column(layer=layer, pool=pool), height, width)
    ]
    with tempfile.TemporaryDirectory() as folder:
        cache = Cache(Path(folder))
        recipe, weights = choose_feature_set(chosen, cache)
        _run(cache, recipe, weights, images, possible)
        first = extract(Task(images, cache, recipe.feature_set, possible), _must_not_load)
        digests = [digest or "" for digest in first.digests]
        for layer in layers:
            scores = [
                f"{ridge_r2(cache.read(recipe.feature_set, [column], digests), y):.3f}"
                if column in possible
                else "-"
                for column in (Column(layer=layer, pool=pool) for pool in POOLS)
            ]
            with tempfile.TemporaryDirectory() as another:
                done = _run(Cache(Path(another)), recipe, weights, timed, [Column(layer=layer)])
            speed = done.computed / (done.seconds.total - done.seconds.start)
            label = f"{height}x{width}" + (" (native)" if chosen.size == "native" else "")
            print(f"| {label} | {layer} | {' | '.join(scores)} | {speed:.1f} |", flush=True)


def _run(
    cache: Cache,
    recipe: Recipe,
    weights: WeightsSource,
    images: Sequence[Any],
    columns: Sequence[Column],
) -> Outcome:
    def engine() -> Any:
        return load_engine("auto", recipe, columns, weights)

    return extract(Task(images, cache, recipe.feature_set, columns), engine)


def _must_not_load() -> Any:
    sys.exit("some images are unusable: clean the source first")


def _seen(chosen: ExtractConfig, images: Sequence[Any]) -> tuple[int, int]:
    """Height and width of what the network sees; all images of a source are taken to be alike."""
    from jaxreg.sources.pixels import decode, read

    if isinstance(chosen.size, tuple):
        return chosen.size
    height, width, _ = decode(read(images[0])).shape
    return height, width


def _fits(column: Column, height: int, width: int) -> bool:
    rows, columns = column.cells or (1, 1)
    return rows <= _rows(column.layer, height) and columns <= _rows(column.layer, width)


def _rows(layer: str, pixels: int) -> int:
    """Rows of an InceptionV3 layer for so many rows of pixels: its convolutions without padding."""
    stem = ((pixels - 3) // 2 + 1 - 2 - 3) // 2 + 1
    rows = (stem - 2 - 3) // 2 + 1  # mixed0 to mixed2: 35 of 299
    for last in ("mixed2", "mixed7"):
        if INCEPTION_LAYERS.index(layer) > INCEPTION_LAYERS.index(last):
            rows = (rows - 3) // 2 + 1
    return rows


if __name__ == "__main__":
    main(tyro.cli(Arguments))
