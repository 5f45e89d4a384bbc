"""Photos with a number each: compute features once, train a head, predict new photos.

The table has a column of image paths, a column of numbers, and a column that says which photos
belong together: those of one person, one house, one day.

    python examples/photos.py photos/labels.csv new/ --target price --group house
"""

from pathlib import Path

import tyro

import jaxreg


def main(labels: Path, new: Path, /, target: str, group: str, weights: str = "imagenet") -> None:
    done = jaxreg.extract_features(
        labels, name="photos", preset="best", weights=weights, max_failed=0.1, say=print
    )
    print(f"{done.images} photos can be used, {done.failed} cannot")

    # the photos of one group all train or are all held out
    split = f"group:{group}"
    run = jaxreg.train_head("photos", preset="best", target=target, split=split, say=print)
    print(run.verdict["headline"])
    for finding in run.verdict["findings"]:
        print(f"{finding['code']}: {finding['remedy']}")

    files = sorted(new.glob("*.jpg"))
    for file, (number,) in zip(files, run.predict(files), strict=True):
        print(f"{file.name}: {number:.4g}")


if __name__ == "__main__":
    tyro.cli(main)
