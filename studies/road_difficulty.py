"""How hard the drawn road is: `python studies/road_difficulty.py --frames 2000 --weights FILE`.

R² of a ridge on InceptionV3 features, and on mean colours. Without --weights it takes random ones.
A good example is neither trivial (a 4x4 grid of mean colours must not do) nor hopeless (features
must, whether the network is trained or random). More in docs/road.md.
"""

import argparse
import time
from collections.abc import Iterator

import numpy as np

from jaxreg.backbone.engine import load_engine
from jaxreg.backbone.weights import identify_weights
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.sources.road import open_road
from jaxreg.splits.split import split_rows

FLOOR, LIMIT = 1e-2, 4.0  # share of the largest std; std


def mixed10(images: np.ndarray, spec: str) -> np.ndarray:
    """Global averages of InceptionV3's last concatenation at 299x299, (images, 2048)."""
    weights = identify_weights(spec)
    if weights is None:
        raise SystemExit("ImageNet weights are not at hand; give a file")
    column = Column()
    engine = load_engine("auto", Recipe(weights.identity, weights.tag), [column], weights)
    batches = np.array_split(images, -(-len(images) // 64))
    return np.concatenate([engine.features(list(batch))[column.name] for batch in batches])


def colour_grid(images: np.ndarray) -> np.ndarray:
    """Mean RGB of 4x4 cells, (images, 48)."""
    cells = images.reshape(len(images), 4, 24, 4, 80, 3)
    return cells.mean(axis=(2, 4)).reshape(len(images), -1)


def ridge_r2(x: np.ndarray, y: np.ndarray, train: np.ndarray, test: np.ndarray) -> float:
    """R² on the rows `test`; the alpha is chosen by leave-one-out on the rows `train`."""
    from sklearn.linear_model import RidgeCV

    x = x.astype(np.float64)
    std = x[train].std(axis=0)
    x = (x - x[train].mean(axis=0)) / np.maximum(std, FLOOR * std.max())
    x = np.clip(x, -LIMIT, LIMIT)
    return float(RidgeCV(np.logspace(-1, 6, 15)).fit(x[train], y[train]).score(x[test], y[test]))


def splits(road, kind: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Rows to train on and held-out rows, as `jaxreg train --split kind --seed 0 … 4` has them."""
    for seed in range(5):
        labels = split_rows(
            kind,
            digests=road.ids,
            ids=road.ids,
            order=road.order,
            group=road.group,
            columns=road.columns,
            validation=0.2,
            test=0.0,
            gap=0.01,
            seed=seed,
        ).labels
        yield labels == "train", labels == "validation"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--weights", help="trained InceptionV3 weights, or imagenet")
    parser.add_argument("--save", help="also keep the features, as .npz")
    arguments = parser.parse_args()

    road = open_road(arguments.frames)
    start = time.process_time()
    images = np.stack([np.asarray(image) for image in road.images])
    seconds = time.process_time() - start
    print(
        f"{len(images)} frames, {1e3 * seconds / len(images):.2f} ms of one core each", flush=True
    )

    y = road.columns["steering"].to_numpy()
    inputs = {"mean colours 4x4": colour_grid(images)}
    for spec in filter(None, ("random", arguments.weights)):
        name = "random" if spec == "random" else "trained"
        inputs[f"mixed10 avg, {name} weights"] = mixed10(images, spec)
    if arguments.save:
        np.savez(arguments.save, allow_pickle=False, y=y, **inputs)

    print("| ridge on | blocks:10, R² | whole drives, R² |\n|---|---|---|")
    for name, x in inputs.items():
        cells = [name]
        for kind in ("blocks:10", "group:group"):
            r2 = [ridge_r2(x, y, train, test) for train, test in splits(road, kind)]
            cells.append(f"{np.mean(r2):.2f} ({min(r2):.2f} … {max(r2):.2f})")
        print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
