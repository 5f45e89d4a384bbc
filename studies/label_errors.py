"""How many planted label errors have a low score: `python studies/label_errors.py NAME COLUMN`.

    python studies/label_errors.py road-1500 mixed2.grid2x4 --target steering --cache CACHE
    python studies/label_errors.py tub mixed4.grid2x2 --target user/angle --cache CACHE

The labels of 5% of the rows of a cached dataset are moved up or down: a third of them by 0.5 std of
the target (weak), a third by 1 std (medium), a third by 2 std (strong). A ridge with 5 folds is
trained on them, and the scores of the labels are those of its predictions.parquet. The folds hold
out whole groups or blocks where the dataset has them.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro

import jaxreg
from jaxreg.experiment.loaded_features import LoadedFeatures
from jaxreg.sources import SourceOptions

SHARE = 0.05  # of the labels are wrong
STRENGTHS = {"weak": 0.5, "medium": 1.0, "strong": 2.0}  # std of the target
LOWEST = 0.1  # of the rows count as found


def main(
    name: Annotated[str, tyro.conf.Positional],
    column: Annotated[str, tyro.conf.Positional],
    target: str,
    cache: Path = Path("cache"),
    seeds: int = 3,
) -> None:
    """Print how many planted errors are found.

    Args:
        name: of the dataset.
        column: its features.
        target: whose labels are moved.
        cache: the folder of datasets and features.
        seeds: runs with other planted errors.
    """
    known = jaxreg.load_features(name, cache=cache, columns=(column,), target=(target,))
    found: dict[str, list[bool]] = {kind: [] for kind in STRENGTHS}
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            r2, listed, one = try_once(Path(folder), known, seed)
        print(f"seed {seed}: R² {r2:.3f}, {listed} of the listed rows are planted", flush=True)
        for kind, low in one.items():
            found[kind] += low
    for kind, low in found.items():
        print(f"{kind}: {np.mean(low):.0%} of {len(low)} among the lowest {LOWEST:.0%}")


def try_once(
    folder: Path, known: LoadedFeatures, seed: int
) -> tuple[float, int, dict[str, list[bool]]]:
    """R², planted rows among those that summary.json lists, and by strength which were found."""
    rng, y = np.random.default_rng(seed), known.y.copy()  # pyright: ignore[reportOptionalMemberAccess]
    rows, std = len(y), y.std()
    wrong = rng.choice(rows, round(SHARE * rows), replace=False)
    kinds = np.array(list(STRENGTHS))[np.arange(len(wrong)) % len(STRENGTHS)]
    size = np.array([STRENGTHS[kind] for kind in kinds]) * std
    y[wrong] += size * rng.choice([-1, 1], len(wrong))
    groups = np.arange(rows) if known.groups is None else known.groups
    lines = [f"{i},{groups[i]},{y[i]:.9g}" for i in range(rows)]
    (folder / "labels.csv").write_text("\n".join(["name,unit,y", *lines]) + "\n")
    np.save(folder / "x.npy", known.X.astype(np.float32))
    jaxreg.extract_features(
        folder / "labels.csv",
        cache=folder / "cache",
        options=SourceOptions(id_column="name"),
        embeddings=str(folder / "x.npy"),
        embeddings_name="v",
    )
    run = jaxreg.train_head(
        "labels", cache=folder / "cache", ckpts=folder, target=("y",), head="ridge", folds=5,
        split="group:unit",
    )  # fmt: skip
    scores = run.predictions["label_score.y"].to_numpy()
    low = np.argsort(np.argsort(scores)) < LOWEST * rows
    planted = {str(row) for row in wrong}
    listed = sum(one["id"] in planted for one in run.summary["label_errors"])
    by_kind = {kind: low[wrong[kinds == kind]].tolist() for kind in STRENGTHS}
    return run.metrics["r2"], listed, by_kind  # pyright: ignore[reportReturnType]


if __name__ == "__main__":
    tyro.cli(main)
