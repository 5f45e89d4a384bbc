"""The head as a scikit-learn regressor on arrays of features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.model_selection import GroupShuffleSplit, train_test_split
from sklearn.utils import (
    Tags,
    check_array,
    check_consistent_length,
    check_random_state,
    column_or_1d,
)
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from jaxreg.entry_weights import entry_weights
from jaxreg.errors import InputError
from jaxreg.metrics import Loss, scores
from jaxreg.target_numbers import LARGEST, check_exact, check_range
from jaxreg.target_types import around, center_and_std, check_bounds
from jaxreg.train_config import HeadConfig

FEATURES = (np.float64, np.float32, np.float16)  # the first is what whole numbers become
_FEWEST_TO_SPLIT = 5  # rows; below this the validation rows are the training rows


@dataclass(eq=False, repr=False)  # makes the __init__ that scikit-learn asks for
class HeadRegressor(RegressorMixin, BaseEstimator):
    """The jitted head with early stopping, for features of any origin, in pipelines and searches.

    The settings are those of `HeadConfig`, with `random_state` for its seed; `head` is mlp or blend
    (a ridge and the MLP, weighted). For a ridge alone, use scikit-learn's. The settings of
    `--preset best` are `head="blend", learning_rate=1e-3, min_delta=0.0`. Early stopping and the
    choice of the best epoch use validation rows: those that `fit` gets, else a random
    `validation_fraction` of the groups that it gets, else of the rows (rounded up). With fewer than
    5 rows, too few to spare any, they use the training rows themselves. Random frames of a video
    are copies of their neighbours, so give `fit` groups there.

    The offset and the unit of y do not matter: y stays float64 until its mean is subtracted, and
    `huber_delta` and `min_delta` follow its std unless they are given. The offset of X does not
    matter either, with `scale_features`.

    Feature scaling is meant for columns of one unit, such as a network's features: a column that
    varies little still varies less than the others after it. If your columns have different units,
    put a StandardScaler before the head.

    `target_type` is plain, `bounded:LO:HI` or `circular:PERIOD`, one for all targets or one each.

    Attributes:
        n_features_in_: columns of X.
        n_iter_: epochs run.
        best_epoch_: the epoch, from 1, of the lowest validation loss, whose weights predict.
        history_: dict of loss, val_loss, val_mae, learning_rate, one float per epoch.
        params_: the best weights, a nested dict of float32 arrays (in, out) and (out,).
        scalers_: what scales features and un-scales predictions.
    """

    hidden: int | Sequence[int] = HeadConfig.hidden
    dropout: float = HeadConfig.dropout
    output_activation: str = HeadConfig.output_activation
    target_type: str | Sequence[str] = HeadConfig.target_type
    scale_features: bool = HeadConfig.scale_features
    scale_target: bool = HeadConfig.scale_target
    loss: str = HeadConfig.loss
    huber_delta: float | tuple[float, ...] | None = HeadConfig.huber_delta
    learning_rate: float = HeadConfig.learning_rate
    decay_steps: int = HeadConfig.decay_steps
    decay_rate: float = HeadConfig.decay_rate
    weight_decay: float = HeadConfig.weight_decay
    batch_size: int = HeadConfig.batch_size
    epochs: int = HeadConfig.epochs
    patience: int = HeadConfig.patience
    min_delta: float | None = HeadConfig.min_delta
    components: int | None = HeadConfig.components
    head: str = HeadConfig.head
    validation_fraction: float = 0.2
    random_state: int | np.random.RandomState | None = None

    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        groups: Any = None,
        X_val: Any = None,
        y_val: Any = None,
    ) -> Self:
        """Train on X (rows, features) and y (rows,) or (rows, targets).

        A NaN in y is a missing target: that target of the row has no part in the training.

        Args:
            sample_weight: (rows,) how much each row counts, 0 or more; in training, and in the
                validation losses. The unit does not matter. A row of weight 2 is not two rows:
                other rows share its batch.
            groups: (rows,) values; rows of one value never both train and validate. In a search,
                `set_fit_request(groups=True)` routes them.
            X_val, y_val: the validation rows, each with a weight of 1; then all rows of X train.

        Raises:
            InputError: a setting out of range, text in y, one group only, X_val without y_val, or
                no row to train or to validate on with a number and a weight (it is a ValueError).
            FloatingPointError: a loss became NaN or infinite.
        """
        import jax

        from jaxreg.head import fit
        from jaxreg.head.state import Data, init_state, prepare

        if y is None:
            raise ValueError("requires y to be passed, but the target y is None")
        fewest = 2 if self.head == "blend" else 1  # one row varies in no direction
        X = validate_data(self, X, dtype=FEATURES, ensure_min_samples=fewest)
        y = _targets(X, y)
        weights = _check_sample_weight(sample_weight, X, dtype=np.float64, ensure_non_negative=True)
        random = check_random_state(self.random_state)
        config = self._config(seed=int(random.randint(2**31)))
        self._one_target = y.ndim == 1
        given = y.reshape(len(y), -1)
        targets = given.astype(np.float64)
        names = ["y"] if self._one_target else [f"y[:, {i}]" for i in range(targets.shape[1])]
        for name, own, values in zip(names, given.T, targets.T, strict=True):
            check_exact(name, values, lambda own=own: len(np.unique(own)))
        known = np.flatnonzero(~np.isnan(targets).all(axis=1))
        if X_val is not None or y_val is not None:
            X, targets, rows, validation = self._with_validation(X, targets, groups, X_val, y_val)
            weights = np.concatenate([weights, np.ones(len(X) - len(weights))])
            rows = known
        else:
            its = None if groups is None else _groups_of(known, groups, len(y))
            rows, validation = (known[some] for some in self._split(len(known), its, random))
        types = config.target_types(targets.shape[1])
        check_bounds(names, types, targets)
        targets = around(types, targets)
        rows = rows[weights[rows] > 0]
        each = entry_weights(targets, weights)
        _check_weights(names, each[rows], each[validation])
        X, center = self._as_float32(X, rows)
        both = np.concatenate([weights[rows], weights[validation]])
        data = Data.of(X[rows], targets[rows], X[validation], targets[validation], both)
        mean, std = center_and_std(types, targets[rows])
        check_range(names, targets, mean, std, scaled=config.scale_target)
        config = config.with_thresholds(std.tolist())
        config = replace(config, components=config.components_of(len(rows), X.shape[1]))
        state = init_state(config, data)
        data = jax.device_put(prepare(config, state, data))
        state, history = fit.make_fit(config)(state, data, config.epochs)
        self.n_iter_ = int(state.epoch)
        self.best_epoch_ = int(state.best_epoch)
        self.history_ = {
            name: np.asarray(values)[: self.n_iter_].tolist()
            for name, values in history._asdict().items()
        }
        if not state.finite:
            raise FloatingPointError(
                f"the loss is not finite at epoch {self.n_iter_}; try a lower learning_rate"
            )
        self.params_, scalers = jax.device_get((state.best_params, state.scalers))
        of_given = scalers.features._replace(mean=scalers.features.mean + center)
        self.scalers_ = scalers._replace(features=of_given)
        return self

    def predict(self, X: Any) -> np.ndarray:
        """Predictions of X (rows, features), float64: (rows,) or (rows, targets), as y was."""
        check_is_fitted(self)
        import jax

        from jaxreg.head.apply import predict_rows

        X = validate_data(self, X, dtype=FEATURES, reset=False)
        # In float64 on the host a row's prediction does not depend, to 1e-7, on the rows beside it.
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            params, scalers = jax.tree.map(np.float64, (self.params_, self.scalers_))
            predictions = predict_rows(params, scalers, self._config(seed=0), X)
        return predictions[:, 0] if self._one_target else predictions

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """R² of predictions, the mean over targets, as scikit-learn's.

        That of a circular target is 1 − Σ d² / Σ c², with the distance d to the prediction and c to
        the circular mean.
        """
        y, predictions = (np.reshape(one, (len(X), -1)) for one in (y, self.predict(X)))
        types, units = self._config(seed=0).target_types(y.shape[1]), np.ones(y.shape[1])
        if not any(kind.circular for kind in types):
            return super().score(X, y, sample_weight)
        weights = None if sample_weight is None else np.outer(sample_weight, units)
        return scores(y, predictions, Loss(units, units, types), weights)["r2"] or 0.0

    def _as_float32(self, X: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """X for the head, and what was subtracted from its columns before float32 rounds them.

        Only the scaling of features lets the head do without their means.
        """
        center = np.zeros(X.shape[1])
        if X.dtype != np.float64:
            return X, center
        if self.scale_features:
            center = X[rows].mean(axis=0)
        with np.errstate(over="ignore"):
            X = (X - center[None, :]).astype(np.float32)
        if not np.isfinite(X).all():
            raise InputError("X holds numbers beyond float32", expected=f"at most {LARGEST:g}")
        return X, center

    def _config(self, seed: int) -> HeadConfig:
        if self.head == "ridge":
            raise InputError(
                "head='ridge'", expected="mlp or blend", remedy="use sklearn.linear_model.RidgeCV"
            )
        settings: dict[str, Any] = self.get_params()
        del settings["validation_fraction"], settings["random_state"]
        hidden = self.hidden
        settings["hidden"] = tuple(hidden) if isinstance(hidden, Sequence) else (hidden,)
        kinds = self.target_type
        settings["target_type"] = (kinds,) if isinstance(kinds, str) else tuple(kinds)
        if isinstance(self.huber_delta, Sequence):
            settings["huber_delta"] = tuple(self.huber_delta)
        return HeadConfig(**settings, seed=seed)

    def _split(self, rows: int, groups: Any, random: np.random.RandomState) -> tuple[Any, Any]:
        share = float(self.validation_fraction)
        if groups is not None:
            if len(np.unique(groups)) < 2:
                raise InputError("groups has one value", expected="two groups or more")
            drawing = GroupShuffleSplit(1, test_size=share, random_state=random)
            return next(drawing.split(np.arange(rows), groups=groups))
        if rows < _FEWEST_TO_SPLIT:
            return np.arange(rows), np.arange(rows)
        kept, validation = train_test_split(np.arange(rows), test_size=share, random_state=random)
        return kept, validation

    def _with_validation(
        self, X: np.ndarray, y: np.ndarray, groups: Any, X_val: Any, y_val: Any
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """All rows one after another, and the numbers of those that train and that validate."""
        if X_val is None or y_val is None or groups is not None:
            raise InputError("X_val, y_val or groups alone", expected="X_val and y_val, or groups")
        X_val = validate_data(self, X_val, dtype=FEATURES, reset=False)
        y_val = _targets(X_val, y_val).astype(np.float64).reshape(len(X_val), -1)
        if y_val.shape[1] != y.shape[1]:
            raise InputError(f"y_val of {y_val.shape[1]} targets", expected=f"{y.shape[1]}, as y")
        rows = np.arange(len(X) + len(X_val))
        both = np.concatenate([X, X_val]), np.concatenate([y, y_val])
        return *both, rows[: len(X)], rows[len(X) :]

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags


def _targets(X: np.ndarray, y: Any) -> np.ndarray:
    """y as numbers, NaN where one is missing; an array of as many rows as X."""
    _refuse_text(y)
    gaps: Any = "allow-nan"
    y = check_array(y, dtype="numeric", ensure_2d=False, ensure_all_finite=gaps, input_name="y")
    check_consistent_length(X, y)  # before reshape, which would mix rows
    return y


def _groups_of(rows: np.ndarray, groups: Any, count: int) -> np.ndarray:
    """The groups of some of the rows, of which there are `count`."""
    groups = column_or_1d(groups)
    check_consistent_length(np.arange(count), groups)
    return groups[rows]


def _check_weights(names: Sequence[str], train: np.ndarray, validation: np.ndarray) -> None:
    """Raise InputError if a target has no weight in the training rows, or none has in the others.

    Args:
        names: of the targets.
        train, validation: (rows, targets) as `entry_weights`.
    """
    for name, own in zip(names, train.T, strict=True):
        if not (own > 0).any():
            raise InputError(
                f"no row to train on has a number for {name} and a weight above 0",
                expected="at least one",
            )
    if not (validation > 0).any():
        raise InputError(
            "no row to validate on has a number and a weight above 0", expected="at least one"
        )


def _refuse_text(y: Any) -> None:
    """Raise InputError for text in y: scikit-learn reads "1.5" as a number."""
    values = np.asarray(y)
    words = values.ravel() if values.dtype.kind in "OUST" else ()
    text = next((value for value in words if isinstance(value, str | bytes)), None)
    if text is not None:
        raise InputError(f"y holds text, as {str(text)!r}", expected="numbers")
