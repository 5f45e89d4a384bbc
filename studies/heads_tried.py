"""The heads of `python studies/best_head.py`. Those that lost are in no other place."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from jaxreg.experiment.arrays import Experiment
from jaxreg.splits.held_out_groups import some_of
from jaxreg.train_config import HeadConfig

if TYPE_CHECKING:
    from jaxreg.experiment.members import RidgeBaseline
    from jaxreg.head.state import Data, State


class Fold(NamedTuple):
    """One training: what a candidate is given. Rows are numbers into x and y."""

    x: np.ndarray  # (rows, columns) as stored
    y: np.ndarray  # (rows, 1)
    experiment: Experiment
    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    config: HeadConfig


class Outcome(NamedTuple):
    """What a candidate comes to in a fold."""

    validation: float  # MAE on the validation rows, of a head that has not seen them
    kept: np.ndarray  # (rows, 1) predictions of the head to keep


def ridge(fold: Fold) -> Outcome:
    """Alpha by the groups of the split; predictions of validation rows are out-of-fold."""
    baseline = _baseline(fold)
    assert baseline.out_of_fold is not None
    return Outcome(_validation(fold, baseline.out_of_fold), baseline.predictions)


def _baseline(fold: Fold) -> "RidgeBaseline":
    from jaxreg.experiment.members import fit_ridge

    config = replace(fold.experiment.config, head="blend")  # which wants out-of-fold predictions
    baseline = fit_ridge(replace(fold.experiment, config=config), in_fold=True)
    assert baseline is not None
    return baseline


def left_by_ridge(fold: Fold) -> float:
    """Mean squared error of a ridge on groups of the training and validation rows, left out."""
    from jaxreg.head.target_ridges import left_out

    baseline = _baseline(fold)
    assert baseline.groups is not None
    y = fold.y[baseline.rows]
    predicted = left_out(baseline.solved, fold.x[baseline.rows], y, baseline.groups)
    return float(np.nanmean(np.square(predicted - y)))


def ridge_alone(fold: Fold) -> Outcome:
    """Alpha by leaving out each row alone."""
    both = np.union1d(fold.train, fold.validation)
    without = _ridge(fold, fold.train, alone=True)
    return Outcome(_validation(fold, without), _ridge(fold, both, alone=True))


def _validation(fold: Fold, predicted: np.ndarray) -> float:
    return float(np.abs(predicted[fold.validation] - fold.y[fold.validation]).mean())


def _ridge(fold: Fold, rows: np.ndarray, *, alone: bool = False) -> np.ndarray:
    from jaxreg.head import scaling
    from jaxreg.head.apply import predict_rows
    from jaxreg.head.ridge import decompose, solve
    from jaxreg.head.scaling import Scalers

    scaler = scaling.feature_scaler(fold.x[fold.train])
    eigen = decompose(scaler, fold.x[rows], fold.y[rows])
    groups = None if alone else some_of(fold.experiment.groups(rows))
    solved = solve(eigen, fold.x[rows], fold.y[rows], groups=groups)
    scalers = Scalers(scaler, scaling.unscaled_targets(1))
    return predict_rows(eigen.head(solved, scalers), scalers, HeadConfig(hidden=()), fold.x)


def head(seeds: int = 1, **settings: Any) -> Callable[[Fold], Outcome]:
    """The head of `jaxreg.head` with these settings, the mean of some seeds."""

    def run(fold: Fold) -> Outcome:
        each = [_head(fold, replace(fold.config, seed=seed, **settings)) for seed in range(seeds)]
        errors, kept = zip(*each, strict=True)
        return Outcome(float(np.mean(errors)), np.mean(kept, axis=0))

    return run


def _head(fold: Fold, config: HeadConfig) -> Outcome:
    from jaxreg.head.apply import predict_rows
    from jaxreg.head.fit import make_fit

    config, state, rows = _prepared(fold, config)
    state, history = make_fit(config)(state, rows, config.epochs)
    predicted = predict_rows(state.best_params, state.scalers, config, fold.x)
    # as it was seen then: the ridge that a blend keeps has seen the validation rows
    return Outcome(float(np.asarray(history.val_mae)[int(state.best_epoch) - 1]), predicted)


def _prepared(fold: Fold, config: HeadConfig) -> "tuple[HeadConfig, State, Data]":
    from jaxreg.entry_weights import entry_weights
    from jaxreg.head.state import Data, Rows, init_state, prepare

    columns = fold.x.shape[1]
    config = replace(config, components=config.components_of(len(fold.train), columns))
    validation, out_of_fold, solved, groups = Rows.of(fold.validation), None, None, None
    if config.head == "blend":
        baseline = _baseline(fold)
        out_of_fold, solved = baseline.out_of_fold, baseline.solved
        groups = baseline.validation_groups
    sides = Rows.of(fold.train), validation
    data = Data(fold.x, fold.y, *sides, np.zeros(1, np.int32), entry_weights(fold.y))
    state = init_state(config, data, solved, groups)
    return config, state, prepare(config, state, data, out_of_fold)


def trained(**ways: float) -> Callable[[Fold], Outcome]:
    """The MLP on 128 components at a rate of 1e-3, trained in some other way."""

    def run(fold: Fold) -> Outcome:
        from jaxreg.head.apply import predict_rows
        from training_tried import Ways, train

        asked = replace(fold.config, components=128, learning_rate=1e-3)
        config, state, rows = _prepared(fold, asked)
        lowest, params = train(config, Ways(**ways), state, rows)
        return Outcome(lowest, predict_rows(params, state.scalers, config, fold.x))

    return run


def residual(**settings: Any) -> Callable[[Fold], Outcome]:
    """An MLP on what a ridge leaves of the training rows, added to it."""

    def run(fold: Fold) -> Outcome:
        line = _ridge(fold, fold.train)
        left = _head(fold._replace(y=fold.y - line), replace(fold.config, **settings))
        return Outcome(left.validation, left.kept + line)

    return run


def kernel(name: str, reach: float) -> Callable[[Fold], Outcome]:
    """scikit-learn's KernelRidge on the scaled columns, alpha by the groups of the split."""

    def run(fold: Fold) -> Outcome:
        both = np.union1d(fold.train, fold.validation)
        without = _kernel(fold, fold.train, name, reach)
        return Outcome(_validation(fold, without), _kernel(fold, both, name, reach))

    return run


def _kernel(fold: Fold, rows: np.ndarray, name: str, reach: float) -> np.ndarray:
    from sklearn.kernel_ridge import KernelRidge
    from sklearn.metrics.pairwise import pairwise_kernels

    from jaxreg.head import scaling

    z = scaling.scale_rows(scaling.feature_scaler(fold.x[fold.train]), fold.x).astype(np.float64)
    # of a column the expected squared distance is 2: so `reach` is about the exponent of strangers
    gamma = reach / (2 * z.shape[1]) if name == "rbf" else reach / (1.1 * z.shape[1])
    products = pairwise_kernels(z, z[rows], metric=name, gamma=gamma, n_jobs=1)
    own, y = products[rows], fold.y[rows].astype(np.float64)
    groups = fold.experiment.groups(rows) or []
    values, along = np.linalg.eigh(own)
    errors = {}
    for alpha in np.logspace(-3, 1, 9):
        hat = along * (values / (values + alpha)) @ along.T
        left = y - y.mean() - hat @ (y - y.mean())
        # the errors of a fit without the group, as for a ridge: (I - H)^-1 e
        wrong = [
            np.linalg.solve(np.eye(len(one.rows)) - hat[np.ix_(one.rows, one.rows)],
                            left[one.rows])[one.scored]
            for one in groups
        ]  # fmt: skip
        errors[alpha] = float(np.square(np.concatenate(wrong)).sum())
    best = KernelRidge(alpha=min(errors, key=lambda s: errors[s]), kernel="precomputed")
    return best.fit(own, y - y.mean()).predict(products) + y.mean()


def with_past(frames: int, candidate: Callable[[Fold], Outcome]) -> Callable[[Fold], Outcome]:
    """The columns of the frame so long before beside the frame's own: for who may look back."""

    def run(fold: Fold) -> Outcome:
        before = np.maximum(np.arange(len(fold.x)) - frames, 0)  # rows are in the source's order
        x = np.concatenate([fold.x, fold.x[before]], axis=1)
        return candidate(fold._replace(x=x, experiment=replace(fold.experiment, x=x)))

    return run


def smoothed(frames: int) -> Callable[[Fold], Outcome]:
    """The mean of what a ridge says of the last frames: for who may look back."""

    def even(predicted: np.ndarray) -> np.ndarray:
        before = [np.maximum(np.arange(len(predicted)) - i, 0) for i in range(frames)]
        return np.mean([predicted[rows] for rows in before], axis=0)

    def run(fold: Fold) -> Outcome:
        baseline = _baseline(fold)
        assert baseline.out_of_fold is not None
        return Outcome(_validation(fold, even(baseline.out_of_fold)), even(baseline.predictions))

    return run


BLEND: dict[str, Any] = {"head": "blend", "learning_rate": 1e-3, "min_delta": 0.0}
HEADS: dict[str, Callable[[Fold], Outcome]] = {
    "mlp (original)": head(),
    "mlp, rate 1e-3": head(learning_rate=1e-3, min_delta=0.0),
    "mlp, 32 components": head(components=32, min_delta=0.0),
    "mlp, 128 components, rate 1e-3": head(components=128, learning_rate=1e-3, min_delta=0.0),
    "ridge, rows alone": ridge_alone,
    "ridge": ridge,
    "mlp, 128, weight decay 0.1": trained(decay=0.1),
    "mlp, 128, a fifth of the inputs dropped": trained(dropped=0.2),
    "mlp, 128, averaged weights": trained(average=0.99),
    "mlp on the ridge's residual": residual(components=128, learning_rate=1e-3, min_delta=0.0),
    "blend": head(**BLEND),
    "blend, 32 components": head(**BLEND, components=32),
    "blend, rate 1e-4": head(**{**BLEND, "learning_rate": 1e-4}),
    "blend, batch 128, rate 2e-3": head(**{**BLEND, "batch_size": 128, "learning_rate": 2e-3}),
    "blend, 64-64": head(**BLEND, hidden=(64, 64)),
    "blend, 1024": head(**BLEND, hidden=(1024,)),
    "blend, dropout 0.5": head(**BLEND, dropout=0.5),
    "blend, three seeds": head(3, **BLEND),
}
KERNELS: dict[str, Callable[[Fold], Outcome]] = {
    "kernel ridge, rbf": kernel("rbf", 0.5),
    "kernel ridge, laplacian": kernel("laplacian", 0.5),
    "ridge, and 5 frames before": with_past(5, ridge),
    "ridge, mean of the last 3 frames": smoothed(3),
}
