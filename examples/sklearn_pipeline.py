"""Features for scikit-learn: jaxreg's head in a pipeline, beside a ridge, on the same folds.

python examples/sklearn_pipeline.py tub --target user/angle
python examples/sklearn_pipeline.py                   # on the drawn road
"""

import numpy as np
import sklearn
import tyro
from sklearn.feature_selection import VarianceThreshold
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import jaxreg

sklearn.set_config(enable_metadata_routing=True)  # the groups reach the head, not only the folds


def main(source: str = "road:2000", /, target: str = "steering", weights: str = "imagenet") -> None:
    jaxreg.extract_features(source, name="drive", preset="best", weights=weights, say=print)
    X, y, _, groups = jaxreg.load_features("drive", target=target)

    # it stops early on rows that it holds out itself: whole groups, too
    head = jaxreg.HeadRegressor(learning_rate=1e-3, random_state=0).set_fit_request(groups=True)
    models = {
        "ridge": make_pipeline(StandardScaler(), RidgeCV(np.logspace(0, 6, 13))),
        "head": make_pipeline(VarianceThreshold(), head),
    }
    for name, model in models.items():
        scores = cross_val_score(
            model, X, y, cv=GroupKFold(5), scoring="r2", params={"groups": groups}
        )
        print(f"{name}: R² {scores.mean():.3f}, from {scores.min():.3f} to {scores.max():.3f}")


if __name__ == "__main__":
    tyro.cli(main)
