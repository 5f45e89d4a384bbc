"""Driving: the features of the preset `best`, and two heads compared on the same folds.

python examples/driving.py tub --target user/angle
python examples/driving.py                            # on the drawn road
"""

import tyro

import jaxreg


def main(
    source: str = "road:2000",
    /,
    target: str = "steering",
    weights: str = "imagenet",
    epochs: int = 100,
) -> None:
    jaxreg.extract_features(source, name="drive", preset="best", weights=weights, say=print)

    # with folds, the head that predicts a frame has not seen the block of that frame
    errors: dict[str, list[float]] = {}
    for head in ("ridge", "blend"):
        run = jaxreg.train_head(
            "drive", target=target, preset="best", head=head, folds=5, epochs=epochs
        )
        errors[head] = [member["metrics"]["mae"] for member in run.summary["members"]]
        print(f"{run.path}, {head}: {run.verdict['headline']}")

    pairs = list(zip(errors["ridge"], errors["blend"], strict=True))
    for fold, (ridge, blend) in enumerate(pairs):
        print(f"fold {fold}: MAE of the ridge {ridge:.4f}, of the blend {blend:.4f}")
    print(f"the blend is better in {sum(b < r for r, b in pairs)} of {len(pairs)} folds")


if __name__ == "__main__":
    tyro.cli(main)
