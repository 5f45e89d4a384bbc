"""Which backbone, layer and pool: `python studies/backbones.py --tub TUB --onnx FILE`.

    python studies/backbones.py --tub TUB --weights FILE --onnx FILE      # the tables of the page
    python studies/backbones.py --tub TUB --weights FILE --onnx FILE --speed
    python studies/backbones.py --quick                                   # shows that it works

R² and MAE are those of `train --folds 5 --split blocks`: each row is predicted by a head that saw
neither the row nor its block. Sources are a recording, the drawn road, and the two drawn tasks of
drawn_pictures.py. `--speed` prints images/s of an extraction that ends at each layer instead, from
files to written parts, the median of three; let nothing else run beside it.
"""

import statistics
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

import jaxreg
from drawn_pictures import write_task
from jaxreg.sources import SourceOptions, open_source
from jaxreg.sources.examples import Examples


class Features(NamedTuple):
    """Columns of one backbone at one size."""

    backbone: str
    size: tuple[int, int]
    columns: tuple[str, ...]


INCEPTION = (
    Features("inception_v3", (299, 299), ("mixed10.avg", "mixed3.grid2x4", "mixed1.grid2x4")),
    Features("inception_v3", (150, 150), ("mixed2.grid2x4", "mixed8.avg")),
)
LITE0 = (
    Features("onnx", (224, 224), ("head.avg", "block10.avg", "block10.grid2x4", "block4.grid2x4")),
    Features("onnx", (240, 320), ("head.avg", "block10.grid2x4")),
)
QUICK = (Features("inception_v3", (75, 75), ("mixed0.avg", "mixed1.grid1x4")),)
JOINED = ("mixed3.grid2x4", "block10.grid2x4")  # of the first of each: one backbone beside another
MANY = 2000  # rows of a source; with more, the ridge of thousands of numbers takes minutes
FEW = ("mixed10.avg", "mixed2.grid2x4", "block10.avg", "block10.grid2x4")  # tried there
HEADS = ("ridge", "blend")


@dataclass(frozen=True)
class Arguments:
    """Compare backbones on several sources."""

    tub: str | None = None  # a recording, with user/angle
    weights: str = "imagenet"  # of InceptionV3, as for extract
    preprocess: str = "unit"  # of InceptionV3
    onnx: str | None = None  # EfficientNet-Lite0, with the outputs block4, block10 and head
    frames: tuple[int, ...] = (1000, 10_000)  # of the drawn road, a source each
    pictures: int = 1000  # of each drawn task
    cache: str = "cache"  # folder of features; what is there is used
    speed: bool = False
    timed: int = 128  # images of each timed extraction
    quick: bool = False  # few small images, random weights: the figures mean nothing


def main(arguments: Arguments) -> None:
    """Print a table for each source, or the table of speeds."""
    with tempfile.TemporaryDirectory() as folder:
        if arguments.speed:
            _speeds(arguments, Path(folder))
            return
        for source, target in _sources(arguments, Path(folder)):
            _scores(arguments, source, target)


def _sources(arguments: Arguments, folder: Path) -> Iterator[tuple[str, str]]:
    if arguments.quick:
        yield "road:60", "steering"
        return
    if arguments.tub:
        yield arguments.tub, "user/angle"
    yield from ((f"road:{count}", "steering") for count in arguments.frames)
    for task, target in (("gauge", "reading"), ("cells", "cells")):
        yield str(write_task(task, folder, arguments.pictures)), target


def _scores(arguments: Arguments, source: str, target: str) -> None:
    """The table of one source: R² of each head on each column."""
    name = Path(source).parent.name if source.endswith(".csv") else Path(source).name
    name = name.split(".")[0].replace(":", "-")
    print(f"\n## {name}, {target}\n")
    print("| backbone | size | columns |" + "".join(f" R² {head} | MAE |" for head in HEADS))
    print("|---|---|---|" + "---|---|" * len(HEADS), flush=True)
    first: dict[str, str] = {}
    few = False
    for features in _features(arguments):
        made = jaxreg.extract_features(
            source, name=name, cache=arguments.cache, **_settings(arguments, features)
        )
        first.setdefault(features.backbone, made.feature_set)
        few = made.images > MANY
        for column in features.columns:
            if column in FEW or not few:
                of = {"feature_set": made.feature_set, "columns": (column,)}
                _line(arguments, name, target, _label(features), column, of)
    if len(first) > 1 and not few:
        joined = [f"{one}/{column}" for one, column in zip(first.values(), JOINED, strict=True)]
        of = {"columns": joined}
        _line(arguments, name, target, "both | 299 and 224", " + ".join(JOINED), of)


def _line(
    arguments: Arguments, name: str, target: str, label: str, columns: str, of: dict[str, Any]
) -> None:
    cells = []
    for head in HEADS:
        preset = {"preset": "best"} if head == "blend" else {"head": head}
        with tempfile.TemporaryDirectory() as ckpts:
            trained = jaxreg.train_head(
                name, cache=arguments.cache, ckpts=ckpts, target=(target,), folds=5,
                split="blocks", **preset, **of,
            )  # fmt: skip
            scores = trained.metrics
        cells.append(f"{scores['r2']:.3f} | {scores['mae']:.4g}")
    print(f"| {label} | {columns} | {' | '.join(cells)} |", flush=True)


def _features(arguments: Arguments) -> Sequence[Features]:
    if arguments.quick:
        return QUICK
    return (*INCEPTION, *(LITE0 if arguments.onnx else ()))


def _settings(arguments: Arguments, features: Features) -> dict[str, Any]:
    shared = {"size": features.size, "columns": features.columns}
    if features.backbone == "onnx":
        backbone = f"onnx:{arguments.onnx}"
        return {"backbone": backbone, "preprocess": "imagenet", **shared}
    if arguments.quick:
        return {"weights": "random", **shared}
    return {"weights": arguments.weights, "preprocess": arguments.preprocess, **shared}


def _label(features: Features) -> str:
    backbone = "EfficientNet-Lite0" if features.backbone == "onnx" else "InceptionV3"
    return f"{backbone} | {features.size[0]}x{features.size[1]}"


def _speeds(arguments: Arguments, folder: Path) -> None:
    """Images/s of an extraction that ends at each layer; pools cost next to nothing."""
    examples = open_source(write_task("gauge", folder, arguments.timed), SourceOptions())
    print("| backbone | size | layer | images/s |")
    print("|---|---|---|---|")
    for features in _features(arguments):
        for layer in dict.fromkeys(column.partition(".")[0] for column in features.columns):
            rate = _rate(arguments, features._replace(columns=(f"{layer}.avg",)), examples)
            print(f"| {_label(features)} | {layer} | {rate:.1f} |", flush=True)


def _rate(arguments: Arguments, features: Features, examples: Examples) -> float:
    rates = []
    for _ in range(3):
        with tempfile.TemporaryDirectory() as cache:
            made = jaxreg.extract_features(
                examples, name="timed", cache=cache, **_settings(arguments, features)
            )
        rates.append(made.images_per_second or 0.0)
    return statistics.median(rates)


if __name__ == "__main__":
    main(tyro.cli(Arguments))
