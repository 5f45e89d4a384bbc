"""The scikit-learn estimator, against scikit-learn's own checks."""

import pickle
from collections.abc import Callable

import numpy as np
import pytest
import sklearn
from sklearn.datasets import make_regression
from sklearn.metrics import r2_score
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator, parametrize_with_checks

from jaxreg.errors import InputError
from jaxreg.estimator import HeadRegressor
from jaxreg.head.state import Data
from typed import fresh

SMALL = HeadRegressor(hidden=(8,), epochs=60, learning_rate=0.03, random_state=0)
X, Y = map(np.asarray, make_regression(120, 6, n_targets=2, noise=1.0, random_state=0)[:2])


# scikit-learn compares a row of weight 2 with two rows. Batches of 32 rows then hold other rows,
# and other rows validate.
EXPECTED = {"check_sample_weight_equivalence_on_dense_data": "two rows are not a row of weight 2"}


@parametrize_with_checks([SMALL], expected_failed_checks=lambda estimator: EXPECTED)
def test_scikit_learn_check(estimator: HeadRegressor, check: Callable) -> None:
    check(estimator)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.SkipTestWarning")
def test_the_defaults_pass_every_check_too() -> None:
    check_estimator(HeadRegressor(), expected_failed_checks=EXPECTED)


def test_it_learns_and_tells_its_history() -> None:
    model = fresh(SMALL).set_params(epochs=200, patience=200).fit(X, Y[:, 0])
    assert model.score(X, Y[:, 0]) > 0.9
    assert model.n_iter_ == len(model.history_["val_loss"]) == 200
    assert model.best_epoch_ == 1 + int(np.argmin(model.history_["val_loss"]))


def test_predictions_have_the_shape_of_y_and_float64() -> None:
    for y, shape in [(Y[:, 0], (120,)), (Y[:, :1], (120, 1)), (Y, (120, 2))]:
        pred = fresh(SMALL).fit(X, y).predict(X)
        assert (pred.shape, pred.dtype) == (shape, np.float64)


def test_float16_features_are_taken_as_they_are() -> None:
    half = X.astype(np.float16)
    one, other = (fresh(SMALL).fit(a, Y).predict(a) for a in (half, half.astype(np.float32)))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-3)


def test_components_are_its_input() -> None:
    model = fresh(SMALL).set_params(components=4, epochs=200, patience=200).fit(X, Y)
    assert model.params_["hidden"]["layer_0"]["kernel"].shape == (4, 8)
    assert (model.predict(X).shape, model.predict(X).dtype) == ((120, 2), np.float64)
    with pytest.raises(InputError, match=r"--components 7[\s\S]*at most 6"):
        fresh(SMALL).set_params(components=7).fit(X, Y)


def test_a_blend_with_a_ridge() -> None:
    # a linear problem: the ridge has nearly all of it, and the MLP alone is far behind
    model = fresh(SMALL).set_params(head="blend").fit(X, Y)
    assert model.params_["blend"]["share"].min() > 0.9
    assert model.score(X, Y) > max(0.99, fresh(SMALL).fit(X, Y).score(X, Y))
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        fresh(SMALL).set_params(head="blend").fit(X[:1], Y[:1])
    with pytest.raises(InputError, match="RidgeCV"):
        fresh(SMALL).set_params(head="ridge").fit(X, Y)


def test_too_few_rows_to_spare_any_are_validation_themselves() -> None:
    model = fresh(SMALL).fit(X[:4], Y[:4, 0])
    pred = model.predict(X[:4])
    best = min(model.history_["val_mae"])
    lowest = model.history_["val_mae"][model.best_epoch_ - 1]
    # the validation error is the error on the very rows
    assert np.abs(pred - Y[:4, 0]).mean() == pytest.approx(lowest, rel=1e-4)
    assert best <= lowest


def test_pipeline_and_search() -> None:
    pipe = make_pipeline(StandardScaler(), fresh(SMALL))
    search = GridSearchCV(pipe, {"headregressor__learning_rate": [1e-9, 0.03]}, cv=2)
    search.fit(X, Y[:, 0])
    assert search.best_params_ == {"headregressor__learning_rate": 0.03}
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    np.testing.assert_array_equal(again.predict(X), search.predict(X))


def test_random_state_decides_everything_random() -> None:
    first, same, other = (
        fresh(SMALL).set_params(random_state=seed).fit(X, Y).predict(X) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_bad_settings_and_dead_trainings_say_so() -> None:
    with pytest.raises(InputError, match="dropout is 1"):
        HeadRegressor(dropout=1).fit(X, Y)
    with pytest.raises(FloatingPointError, match="not finite at epoch 1"):
        fresh(SMALL).set_params(learning_rate=1e38).fit(X, Y)


@pytest.mark.parametrize("settings", [{}, {"head": "blend"}, {"components": 6}])
def test_an_offset_of_x_changes_nothing(settings: dict) -> None:
    rows = np.random.default_rng(0).normal(size=(150, 6))
    y = rows[:, 0] - 0.5 * rows[:, 1]
    model = fresh(SMALL).set_params(**settings)
    base = fresh(model).fit(rows[:100], y[:100]).score(rows[100:], y[100:])
    assert base > 0.9
    for far in (1e3, -1e6, 1e6 * np.arange(6)):  # std, for all columns or one for each
        moved = rows + far
        found = fresh(model).fit(moved[:100], y[:100])
        assert found.score(moved[100:], y[100:]) == pytest.approx(base, abs=1e-3)
        first = StandardScaler().fit(moved[:100])  # as scikit-learn scales them
        theirs = fresh(model).fit(first.transform(moved[:100]), y[:100])
        score = theirs.score(first.transform(moved[100:]), y[100:])
        assert score == pytest.approx(base, abs=0.02)  # another std for each column


def test_rows_of_a_group_never_both_train_and_validate(monkeypatch) -> None:
    groups = np.repeat(np.arange(12), 10)
    seen: list[tuple[set, set]] = []
    of = Data.of

    def watched(x, y, validation_x, validation_y, weights):
        place = {
            row.tobytes(): group for row, group in zip(X.astype(np.float32), groups, strict=True)
        }
        train, held_out = (
            {place.get(row.tobytes()) for row in np.asarray(rows, np.float32)}
            for rows in (x, validation_x)
        )
        seen.append((train, held_out))
        return of(x, y, validation_x, validation_y, weights)

    monkeypatch.setattr(Data, "of", watched)
    model = fresh(SMALL).set_params(scale_features=False)
    model.fit(X, Y, groups=groups)
    train, validation = seen[0]
    assert None not in train | validation
    assert not train & validation
    assert len(validation) == 3  # GroupShuffleSplit rounds 0.2 of 12 groups up
    with pytest.raises(InputError, match="groups has one value"):
        model.fit(X, Y, groups=np.zeros(120))
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(X, Y, groups=groups[:-1])


def test_a_search_routes_the_groups() -> None:
    groups = np.repeat(np.arange(12), 10)
    with sklearn.config_context(enable_metadata_routing=True):
        model = fresh(SMALL).set_fit_request(groups=True)
        splitter = GroupKFold(3).set_split_request(groups=True)
        found = cross_val_score(model, X, Y[:, 0], cv=splitter, params={"groups": groups})
    assert len(found) == 3


def test_validation_rows_of_choice() -> None:
    """Early stopping follows their loss, which far below delta is half the squared error."""
    model = fresh(SMALL).set_params(patience=1000, huber_delta=1e9)
    model.fit(X[:80], Y[:80], X_val=X[80:], y_val=Y[80:])
    std = Y[:80].std(axis=0)
    error = (model.predict(X[80:]) - Y[80:]) / std
    best = model.history_["val_loss"][model.best_epoch_ - 1]
    assert best == pytest.approx(0.5 * np.mean(error**2), rel=1e-3)
    for wrong in (
        {"X_val": X[80:]},
        {"y_val": Y[80:]},
        {"X_val": X[80:], "y_val": Y[80:, 0]},
        {"X_val": X[80:], "y_val": Y[80:], "groups": np.arange(80)},
        {"X_val": X[80:, :3], "y_val": Y[80:]},
        {"X_val": X[80:], "y_val": Y[81:]},
        {"X_val": X[100:], "y_val": Y[80:].reshape(20, 4)[:, :2].repeat(2, axis=0)},
        {"X_val": X[100:], "y_val": Y[110:].reshape(-1)},
    ):
        with pytest.raises(ValueError, match=r"X_val|y_val|X has 3 features|reshape|inconsistent"):
            fresh(SMALL).fit(X[:80], Y[:80], **wrong)


def test_text_is_no_target_and_one_number_is_one_layer() -> None:
    for y in (Y[:, 0].astype(str), Y[:, 0].astype(str).astype(object), Y[:, 0].astype("S9")):
        with pytest.raises(InputError, match="y holds text, as "):
            fresh(SMALL).fit(X, y)
    one, other = (fresh(SMALL).set_params(hidden=h).fit(X, Y) for h in (8, (8,)))
    np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_gaps_and_weights() -> None:
    y, weights = Y.copy(), np.random.default_rng(0).uniform(0.1, 4, 120)
    y[::3, 0] = np.nan
    y[5] = np.nan  # no target at all
    long = {"epochs": 200, "patience": 200}
    model = fresh(SMALL).set_params(**long).fit(X, y, weights)
    assert r2_score(Y, model.predict(X)) > 0.9
    times = fresh(SMALL).set_params(**long).fit(X, y, 1024 * weights)
    np.testing.assert_array_equal(model.predict(X), times.predict(X))
    assert not np.allclose(model.predict(X), fresh(SMALL).set_params(**long).fit(X, y).predict(X))
    # a row without any target, or without a weight, is as good as absent
    one = fresh(SMALL).fit(X[:100], y[:100], X_val=X[100:], y_val=Y[100:])
    other = np.delete(np.arange(100), 5)
    two = fresh(SMALL).fit(X[other], y[other], X_val=X[100:], y_val=Y[100:])
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    none = np.where(np.arange(100) == 7, 0.0, 2.0)
    one = fresh(SMALL).fit(X[:100], Y[:100], none, X_val=X[100:], y_val=Y[100:])
    other = np.delete(np.arange(100), 7)
    two = fresh(SMALL).fit(X[other], Y[other], X_val=X[100:], y_val=Y[100:])
    assert one.history_["loss"] == two.history_["loss"]


def test_bad_gaps_and_weights() -> None:
    with pytest.raises(ValueError, match="Negative values in data passed to `sample_weight`"):
        fresh(SMALL).fit(X, Y, -np.ones(120))
    with pytest.raises(ValueError, match="at least one non-zero number"):
        fresh(SMALL).fit(X, Y, np.zeros(120))
    y = Y.copy()
    y[:, 1] = np.nan
    with pytest.raises(InputError, match=r"no row to train on has a number for y\[:, 1\]"):
        fresh(SMALL).fit(X, y)
    with pytest.raises(InputError, match="no row to validate on has a number"):
        fresh(SMALL).fit(X, Y, X_val=X[:5], y_val=np.full((5, 2), np.nan))


def test_an_angle_and_a_share_have_their_types() -> None:
    x = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
    angle = np.degrees(np.arctan2(x[:, 1], x[:, 0]))  # from −180 on
    y = np.stack([angle, np.clip(0.5 + x[:, 2], 0, 1)], axis=1)
    model = HeadRegressor(
        hidden=(16, 8), epochs=40, learning_rate=0.01, random_state=0,
        target_type=("circular:360", "bounded:0:1"),
    ).fit(x, y)  # fmt: skip
    predictions = model.predict(x)
    assert ((predictions[:, 0] >= 0) & (predictions[:, 0] < 360)).all()
    assert ((predictions[:, 1] >= 0) & (predictions[:, 1] <= 1)).all()
    apart = np.angle(np.exp(1j * np.radians(predictions[:, 0] - angle)), deg=True)
    center = np.angle(np.exp(1j * np.radians(angle)).mean())
    spread = np.angle(np.exp(1j * (np.radians(angle) - center)), deg=True)
    share = y[:, 1] - predictions[:, 1]
    both = [1 - (apart**2).mean() / (spread**2).mean(), 1 - (share**2).mean() / y[:, 1].var()]
    assert model.score(x, y) == pytest.approx(np.mean(both), rel=1e-6)
    assert min(both) > 0.5
    with pytest.raises(ValueError, match=r"y is 1.5 in row 2, out of bounded:0:1"):
        HeadRegressor(target_type="bounded:0:1").fit(x[:8], [0, 0.5, 1.5, 1, 0, 1, 0, 1])
