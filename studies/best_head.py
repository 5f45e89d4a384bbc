"""Which head is best, and on which features: `python studies/best_head.py SOURCE --target T`.

    python studies/best_head.py TUB --target user/angle --weights FILE --wide
    python studies/best_head.py road:10000 --weights random --few
    python studies/best_head.py --quick                          # shows that it works

Every choice is made inside the training rows: five folds of blocks, as `--folds 5 --split blocks`.
A slice of the rows outside a fold validates, and a candidate is chosen by its error there. R² and
MAE are of the folds, which no choice has seen. `chosen` counts the folds that chose a candidate.
Two blocks are few to choose by. So columns are chosen a second time, by the out-of-fold error of a
ridge on every block outside the fold. The interval is of R² over 2,000 draws of the ten blocks with
replacement. Seconds are those of all five trainings with compilation, without imports and reading.
"""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import tyro

import jaxreg
from heads_picture import draw
from heads_tried import HEADS, KERNELS, Fold, Outcome, left_by_ridge
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.experiment.arrays import load_experiment
from jaxreg.experiment.resolve import resolve
from jaxreg.train_config import HeadConfig

Preprocess = Literal["keras", "unit"]
Columns = tuple[int, tuple[str, ...], str, Preprocess]  # size in pixels, layers, pool

TRIED: tuple[Columns, ...] = (
    (150, ("mixed2",), "grid:2x4", "keras"),
    (150, ("mixed2",), "grid:1x4", "keras"),
    (150, ("mixed3",), "grid:1x4", "keras"),
)
WIDE: tuple[Columns, ...] = (
    (150, ("mixed2",), "grid:2x4", "unit"),
    (299, ("mixed10",), "avg", "keras"),
    (299, ("mixed3",), "grid:2x4", "keras"),
    (299, ("mixed3",), "grid:2x4", "unit"),
    (299, ("mixed1", "mixed3"), "grid:2x4", "unit"),
)
QUICK: tuple[Columns, ...] = (
    (75, ("mixed0",), "grid:1x4", "keras"),
    (75, ("mixed1",), "avg", "unit"),
)


@dataclass(frozen=True)
class Arguments:
    """Compare heads and features on a source, nested."""

    source: Annotated[str, tyro.conf.Positional] = "road:1000"  # whatever extract takes, in order
    target: str = "steering"
    weights: str = "random"  # as for extract
    cache: str = "cache"  # folder of features; what is there is used
    wide: bool = False  # 299x299 and x / 255 too: mixed10, the original's, mixed1 and mixed3
    few: bool = False  # only the original head, the ridge and the blend, on the first two columns
    quick: bool = False  # 75x75, few epochs: the figures mean nothing
    picture: str | None = None  # a PNG file: error against seconds


class Result(NamedTuple):
    """A candidate on all folds."""

    columns: str
    head: str
    inner: np.ndarray  # (folds,) MAE on the validation rows
    predicted: np.ndarray  # (rows,) of each row's fold
    seconds: float


LAGS = (1, 3, 5, 10, 15, 20)

FEW = ("mlp (original)", "ridge", "blend")  # on every column; all others on the first


def main(arguments: Arguments) -> None:
    """Extract what is missing, train everything, print the table, draw the picture."""
    columns = QUICK if arguments.quick else TRIED[:2] if arguments.few else TRIED
    first = columns[0]
    columns += WIDE if arguments.wide else ()
    results: list[Result] = []
    left: dict[str, list[float]] = {}  # by columns, of each fold
    folds: list[Fold] = []
    for chosen in columns:
        folds = list(_folds(arguments, chosen))
        left[_name(chosen)] = [left_by_ridge(fold) for fold in folds]
        if chosen == first:
            _say_ceiling(folds[0])
            print("| features | head | R² (95%) | MAE | seconds | validation MAE | chosen |")
            print("|---|---|---|---|---|---|---|", flush=True)
        for name, candidate in _candidates(chosen == first and not arguments.few, len(folds[0].y)):
            results.append(_run(_name(chosen), name, candidate, folds))
            print(_line(results[-1], folds, ""), flush=True)
    _print_table(results, left, folds)
    if arguments.picture:
        y = folds[0].y[:, 0]
        maes = [float(np.abs(result.predicted - y).mean()) for result in results]
        named = [(result.columns, result.head, result.seconds) for result in results]
        draw([(*each, mae) for each, mae in zip(named, maes, strict=True)], Path(arguments.picture))


def _candidates(full: bool, rows: int) -> Iterator[tuple[str, Callable[[Fold], Outcome]]]:
    heads = HEADS | KERNELS if rows <= 2000 else HEADS
    return ((name, one) for name, one in heads.items() if full or name in FEW)


def _folds(arguments: Arguments, chosen: Columns) -> Iterator[Fold]:
    size, layers, pool, preprocess = chosen
    name = f"best-head-{size}-{preprocess}"
    jaxreg.extract_features(
        arguments.source, name=name, cache=arguments.cache, weights=arguments.weights,
        size=(size, size), layers=layers, pool=pool, preprocess=preprocess,
    )  # fmt: skip
    cache = Cache(Path(arguments.cache))
    asked = {
        "target": (arguments.target,), "layers": layers, "pool": pool,
        "split": "blocks", "folds": 5,
        **({"epochs": 3} if arguments.quick else {}),
    }  # fmt: skip
    experiment = load_experiment(resolve(cache, read_dataset(cache, name), asked))
    settings = {name: getattr(experiment.config, name) for name in HeadConfig.__dataclass_fields__}
    assert isinstance(experiment.x, np.ndarray)
    for number in range(5):
        its = experiment.fold(number)
        train, validation, test = (its.rows(side) for side in ("train", "validation", "test"))
        yield Fold(experiment.x, experiment.y, its, train, validation, test, HeadConfig(**settings))


def _run(
    columns: str, name: str, candidate: Callable[[Fold], Outcome], folds: list[Fold]
) -> Result:
    begin = time.perf_counter()
    inner, predicted = np.empty(len(folds)), np.full(len(folds[0].y), np.nan)
    for number, fold in enumerate(folds):
        inner[number], kept = candidate(fold)
        predicted[fold.test] = kept[fold.test, 0]
    return Result(columns, name, inner, predicted, time.perf_counter() - begin)


def _print_table(results: list[Result], left: dict[str, list[float]], folds: list[Fold]) -> None:
    picks = np.argmin([result.inner for result in results], axis=0)
    print("\nin order of the error on validation rows\n")
    for number in np.argsort([result.inner.mean() for result in results]):
        print(_line(results[number], folds, str(int((picks == number).sum()) or "")))
    print(
        _line(
            _of_folds("by the validation rows", "", [results[i] for i in picks], folds), folds, ""
        )
    )
    best = np.array(list(left))[np.argmin(list(left.values()), axis=0)]
    chosen: list[Result] = []
    for head in FEW:
        own = {result.columns: result for result in results if result.head == head}
        chosen.append(_of_folds("by a ridge's blocks", head, [own[name] for name in best], folds))
        print(_line(chosen[-1], folds, ""))
    print("the columns that were chosen so:", "; ".join(best))
    _say_left(chosen[-1].predicted, folds[0].y[:, 0])


def _of_folds(columns: str, head: str, chosen: list[Result], folds: list[Fold]) -> Result:
    """In each fold another candidate."""
    predicted = np.empty_like(chosen[0].predicted)
    for fold, result in zip(folds, chosen, strict=True):
        predicted[fold.test] = result.predicted[fold.test]
    return Result(columns, head, np.array([np.nan]), predicted, np.nan)


def _line(result: Result, folds: list[Fold], chosen: str) -> str:
    y = folds[0].y[:, 0]
    low, high = _interval(result.predicted, y)
    score = f"{_r2(result.predicted, y):.3f} ({low:.2f} to {high:.2f})"
    mae = f"{np.abs(result.predicted - y).mean():.4f}"
    seconds = f"{result.seconds:.1f} | {result.inner.mean():.4f}"
    return f"| {result.columns} | {result.head} | {score} | {mae} | {seconds} | {chosen} |"


def _r2(predicted: np.ndarray, y: np.ndarray) -> float:
    return float(1 - np.square(predicted - y).sum() / np.square(y - y.mean()).sum())


def _interval(predicted: np.ndarray, y: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    """R² with blocks of the recording drawn with replacement."""
    rng = np.random.default_rng(0)
    each = np.array_split(np.arange(len(y)), blocks)
    drawn = [
        np.concatenate([each[i] for i in rng.integers(blocks, size=blocks)]) for _ in range(2000)
    ]
    scores = [_r2(predicted[rows], y[rows]) for rows in drawn]
    return tuple(np.percentile(scores, [2.5, 97.5]))


def _say_ceiling(fold: Fold) -> None:
    """How alike the targets of neighbouring frames are: what no head can be much better than."""
    y = fold.y[:, 0]
    print(f"{len(y)} rows, std {y.std():.3f}; the share of the target's variance that a")
    print("frame's neighbours so far before and after it do not tell, if their mean is taken:")
    for reach in (1, 2, 3, 5):
        middle = y[reach:-reach]
        # the mean of two independent noises adds half of one's variance
        left = np.var(middle - (y[2 * reach :] + y[: -2 * reach]) / 2) / 1.5
        print(f"  {reach}: {left / y.var():.3f}")
    print(flush=True)


def _say_left(predicted: np.ndarray, y: np.ndarray) -> None:
    """What is left in a recording: what the frame does not tell, or what the driver did anyway."""
    left = y - predicted
    print("\nwhat that leaves, correlated with itself so many frames later:")
    print(", ".join(f"{lag}: {np.corrcoef(left[:-lag], left[lag:])[0, 1]:.2f}" for lag in LAGS))
    print("R² against the target's mean over so many frames, and the variance that this mean keeps")
    for frames in (5, 9, 15, 21):
        padded = np.pad(y, frames // 2, mode="edge")
        even = np.convolve(padded, np.full(frames, 1 / frames), mode="valid")
        print(f"  {frames}: {_r2(predicted, even):.3f}, {1 - np.var(y - even) / y.var():.3f}")


def _name(chosen: Columns) -> str:
    size, layers, pool, preprocess = chosen
    scaled = ", x / 255" if preprocess == "unit" else ""
    return f"{'+'.join(layers)} {pool} {size}x{size}{scaled}"


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main(tyro.cli(Arguments))
