"""Whether mirrored images help: `python studies/views.py SOURCE --target T --weights FILE`.

Both views are extracted once; then the default head is trained on `identity` alone and on both,
the target negated in the mirror, over the same folds of blocks and the same seeds. Each fold is
scored on images as they are, by a head that has not seen it.
"""

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

import jaxreg


@dataclass(frozen=True)
class Arguments:
    """Compare one view with two."""

    source: Annotated[str, tyro.conf.Positional]  # whatever extract takes, in order
    target: str  # the column to predict, which changes its sign in the mirror
    weights: str = "imagenet"  # as for extract
    columns: tuple[str, ...] = ("mixed2/grid:1x4", "mixed10/avg")  # layers and pools
    folds: int = 5
    seeds: int = 3
    epochs: int = 100


def main(arguments: Arguments) -> None:
    """Extract, train and print a table."""
    print(f"{arguments.source}, {arguments.target}: {arguments.folds} folds, mean over folds")
    print("| features | views | MAE by seed | mean | R² by seed | mean |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for column in arguments.columns:
            layer, pool = column.split("/")
            jaxreg.extract_features(
                arguments.source,
                name="views",
                cache=folder,
                weights=arguments.weights,
                layers=(layer,),
                pool=pool,
                views=("identity", "mirror"),
            )
            for views in (("identity",), ("identity", "mirror")):
                scores = _train(arguments, Path(folder), views)
                cells = " | ".join(_cell([one[name] for one in scores]) for name in ("mae", "r2"))
                print(f"| {layer} {pool} | {' '.join(views)} | {cells} |", flush=True)


def _train(arguments: Arguments, folder: Path, views: tuple[str, ...]) -> list[dict[str, float]]:
    """The mean scores over the folds, for each seed."""
    run = jaxreg.train_head(
        "views",
        cache=folder,
        ckpts=folder / "ckpts",
        target=(arguments.target,),
        split="blocks",
        folds=arguments.folds,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        views=views,
        mirror_targets=(arguments.target,) if len(views) > 1 else (),
    )
    members = run.summary["members"]
    seeds = sorted({member["seed"] for member in members})
    return [
        {
            name: statistics.mean(m["metrics"][name] for m in members if m["seed"] == seed)
            for name in ("mae", "r2")
        }
        for seed in seeds
    ]


def _cell(values: list[float]) -> str:
    each = ", ".join(f"{value:.3f}" for value in values)
    return f"{each} | {statistics.mean(values):.3f}"


if __name__ == "__main__":
    main(tyro.cli(Arguments))
