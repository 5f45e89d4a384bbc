"""The faults: each a function that plants one, at strength 0, 1 or 2."""

from collections.abc import Callable
from dataclasses import dataclass

import jax
import numpy as np
import pyarrow as pa

from faults.made import Made, Shape, photos, shown, smooth, train, video
from jaxreg.head import mlp, scaling
from jaxreg.head.apply import activations
from jaxreg.head.rates import static_config
from jaxreg.head.scaling import Scalers
from jaxreg.head.state import INIT, key_for
from jaxreg.side_columns import SideColumn

Plant = Callable[[Made, int, np.random.Generator], Made]
Base = Callable[[Shape, int], Made]


@dataclass(frozen=True)
class Kind:
    """One kind of fault."""

    name: str
    cause: str  # the code that has to be named first
    plant: Plant
    base: Base


KINDS: dict[str, Kind] = {}
HOUR = SideColumn("hour", "number", False, 12.0, 7.0)


def fault(cause: str, base: Base = photos) -> Callable[[Plant], Plant]:
    """Put the function below into the catalogue."""

    def note(plant: Plant) -> Plant:
        name = plant.__name__.replace("_", "-")
        KINDS[name] = Kind(name, cause, plant, base)
        return plant

    return note


def _unscaled(made: Made) -> Made:
    return made.set(scale_features=False)


# ---- the output


@fault("output-bounded")
def relu_over_negative_targets(made: Made, strength: int, rng) -> Made:
    share = (0.1, 0.4, 0.7)[strength]
    y = made.y - np.quantile(made.y, share)
    return made.but(y=y.astype(np.float32)).set(output_activation="relu")


@fault("output-bounded", video)
def question(made: Made, strength: int, rng) -> Made:
    rate = (0.03, 0.1, 0.3)[strength]
    return made.set(
        output_activation="relu", learning_rate=rate, scale_features=False, scale_target=False
    )


@fault("dead-output")
def relu_dead_from_the_start(made: Made, strength: int, rng) -> Made:
    """Features with a common offset, unscaled, and first weights that make all outputs negative."""
    x = made.x + np.float32((3, 6, 12)[strength])
    y = np.exp(made.y / 2)
    made = made.but(x=x, y=y).set(
        output_activation="relu", scale_features=False, scale_target=False, dropout=0.0
    )
    plain = Scalers(scaling.identity_scaler(x.shape[1]), scaling.unscaled_targets(1))
    for seed in range(100, 200):
        key = key_for(jax.random.key_data(jax.random.key(seed)), INIT)
        params = mlp.init(key, x.shape[1], static_config(made.config), 1)
        if activations(params, plain, made.config, x).raw.max() < -0.2:
            return made.set(seed=seed)
    raise AssertionError("no first weights of that kind")


# ---- the rate


@fault("learning-rate-high")
def rate_high(made: Made, strength: int, rng) -> Made:
    return made.set(learning_rate=(0.03, 0.1, 1.0)[strength])


@fault("learning-rate-high", video)
def rate_high_on_video(made: Made, strength: int, rng) -> Made:
    return made.set(learning_rate=(0.05, 0.3, 3.0)[strength], scale_target=False)


@fault("learning-rate-low")
def rate_low(made: Made, strength: int, rng) -> Made:
    return made.set(learning_rate=(1e-5, 1e-6, 1e-7)[strength])


@fault("learning-rate-low", video)
def rate_low_on_video(made: Made, strength: int, rng) -> Made:
    return made.set(learning_rate=(1e-5, 2e-6, 1e-7)[strength], keep_going=True)


@fault("learning-rate-low")
def rate_decays(made: Made, strength: int, rng) -> Made:
    return made.set(decay_steps=1, decay_rate=(0.95, 0.8, 0.5)[strength])


# ---- the features


@fault("inputs-unscaled")
def features_vanish(made: Made, strength: int, rng) -> Made:
    return _unscaled(made.but(x=made.x * np.float32((1e-3, 1e-4, 1e-5)[strength])))


@fault("inputs-unscaled", video)
def features_explode(made: Made, strength: int, rng) -> Made:
    return _unscaled(made.but(x=made.x * np.float32((100, 1000, 1e4)[strength])))


@fault("inputs-unscaled")
def features_far_from_zero(made: Made, strength: int, rng) -> Made:
    return _unscaled(made.but(x=made.x + np.float32((30, 300, 3000)[strength])))


@fault("columns-constant")
def columns_constant(made: Made, strength: int, rng) -> Made:
    x = made.x.copy()
    columns = rng.permutation(x.shape[1])[: int((0.3, 0.5, 0.7)[strength] * x.shape[1])]
    x[:, columns] = x[0, columns]
    return made.but(x=x)


@fault("inputs-identical")
def black_images(made: Made, strength: int, rng) -> Made:
    """Other bytes each, the same features."""
    x = made.x.copy()
    black = rng.permutation(len(x))[: int((0.5, 0.8, 1.0)[strength] * len(x))]
    x[black] = x[0]
    return made.but(x=x)


@fault("inputs-identical", video)
def images_almost_black(made: Made, strength: int, rng) -> Made:
    x = made.x[:1] + (made.x - made.x[:1]) * np.float32((3e-6, 1e-6, 3e-7)[strength])
    return made.but(x=x)


@fault("inputs-identical")
def one_file_repeated(made: Made, strength: int, rng) -> Made:
    x, digests = made.x.copy(), list(made.digests)
    for row in rng.permutation(len(x))[: int((0.4, 0.7, 0.95)[strength] * len(x))]:
        x[row], digests[row] = x[0], digests[0]
    return made.but(x=x, digests=digests)


@fault("inputs-heavy-tailed")
def heavy_tails(made: Made, strength: int, rng) -> Made:
    """A few validation rows with some columns far out, which unscaled features keep."""
    x = made.x.copy()
    rows = rng.permutation(made.side("validation"))[: len(made.side("validation")) // 50]
    columns = rng.permutation(x.shape[1])[: x.shape[1] // 8]
    x[np.ix_(rows, columns)] *= np.float32((100, 300, 1000)[strength])
    return _unscaled(made.but(x=x))


@fault("non-finite")
def features_overflow(made: Made, strength: int, rng) -> Made:
    return _unscaled(made.but(x=made.x * np.float32((3e36, 1e37, 3e37)[strength])))


@fault("random-weights")
def weights_never_trained(made: Made, strength: int, rng) -> Made:
    """Features as random weights give them: small, around a large common value."""
    size = np.float32((1e-2, 1e-3, 3e-4)[strength])
    return made.but(x=1 + made.x * size, random_seed=0)


# ---- the targets


@fault("target-constant")
def target_constant(made: Made, strength: int, rng) -> Made:
    return made.but(y=np.full_like(made.y, (0.0, 3.0, 1000.0)[strength]))


@fault("target-scale")
def target_tiny(made: Made, strength: int, rng) -> Made:
    y = made.y * np.float32((0.05, 0.01, 0.002)[strength])
    return made.but(y=y).set(learning_rate=1e-4, huber_delta=0.5, min_delta=3e-4)


@fault("target-scale", video)
def target_huge_and_unscaled(made: Made, strength: int, rng) -> Made:
    y = made.y * np.float32((1e3, 1e4, 1e5)[strength])
    return made.but(y=y).set(scale_target=False, learning_rate=1e-4)


@fault("target-scale")
def target_far_from_zero(made: Made, strength: int, rng) -> Made:
    y = made.y + np.float32((100, 1e3, 1e4)[strength])
    return made.but(y=y).set(scale_target=False)


@fault("targets-outliers")
def targets_with_outliers(made: Made, strength: int, rng) -> Made:
    y = made.y.copy()
    y[rng.permutation(len(y))[: len(y) // 100]] *= np.float32((100, 500, 5000)[strength])
    return made.but(y=y)


@fault("targets-outliers", video)
def missing_told_by_999(made: Made, strength: int, rng) -> Made:
    y = made.y.copy()
    y[rng.permutation(len(y))[: int((0.01, 0.03, 0.06)[strength] * len(y))]] = -999
    return made.but(y=y)


@fault("targets-at-both-ends")
def angle_in_degrees(made: Made, strength: int, rng) -> Made:
    """Headings from 0 to 360: images at 1 and at 359 degrees are alike."""
    angle = rng.uniform(0, 360, len(made.y))
    x = shown(rng, made, np.cos(np.radians(angle)), np.sin(np.radians(angle)))
    x += (0.2, 0.5, 1.0)[strength] * rng.normal(size=made.x.shape).astype(np.float32)
    made = made.but(x=x, y=angle[:, None].astype(np.float32))
    return made.set(huber_delta=50.0, min_delta=3.0)


@fault("targets-at-bound")
def share_cut_at_its_bounds(made: Made, strength: int, rng) -> Made:
    """A share with many rows exactly at 0 and at 1, of features that go on beyond."""
    turn = rng.normal(size=len(made.y))
    x = shown(rng, made, turn, 0.05 * rng.normal(size=len(turn)))
    y = np.clip(0.5 + (0.5, 0.6, 0.7)[strength] * turn, 0, 1)
    return made.but(x=x, y=y[:, None].astype(np.float32))


@fault("linear-is-better")
def target_is_linear(made: Made, strength: int, rng) -> Made:
    y = made.x @ rng.normal(size=(made.x.shape[1], 1))
    y = (y - y.mean()) / y.std() + (0.3, 0.1, 0.0)[strength] * rng.normal(size=made.y.shape)
    return made.but(y=y.astype(np.float32))


@fault("predictions-out-of-range")
def images_far_out(made: Made, strength: int, rng) -> Made:
    """Three validation images like those of the highest targets, only more so; and a ridge."""
    x, validation = made.x.copy(), made.side("validation")
    highest = validation[np.argsort(made.y[validation, 0])[-3:]]
    x[highest] += ((1, 3, 9)[strength] * (x[highest] - x.mean(axis=0))).astype(np.float32)
    return made.but(x=x).set(head="ridge")


# ---- side columns


@fault("side-columns-alone")
def side_column_is_the_target(made: Made, strength: int, rng) -> Made:
    """Measured with the target, and less exactly."""
    noise = (0.5, 0.05, 0.01)[strength] * rng.normal(size=len(made.y))
    table = pa.table({"other": made.y[:, 0] + noise, "hour": rng.integers(0, 24, len(made.y))})
    return made.with_side(table, SideColumn("other", "number", False), HOUR)


@fault("side-columns-alone")
def side_column_is_a_code_of_the_target(made: Made, strength: int, rng) -> Made:
    """Numbers of classes that somebody made from the target: a ridge sees nothing in them."""
    classes = (4, 12, 20)[strength]
    ends = np.quantile(made.y, np.linspace(0, 1, classes + 1)[1:-1])
    code = rng.permutation(classes)[np.searchsorted(ends, made.y[:, 0])]
    table = pa.table({"code": code, "hour": rng.integers(0, 24, len(made.y))})
    return made.with_side(table, SideColumn("code", "number", False), HOUR)


# ---- labels


@fault("labels-unrelated")
def labels_shuffled(made: Made, strength: int, rng) -> Made:
    y = made.y.copy()
    some = rng.permutation(len(y))[: int((0.8, 0.97, 1.0)[strength] * len(y))]
    y[some] = y[rng.permutation(some)]
    return made.but(y=y)


@fault("labels-unrelated", video)
def labels_of_another_drive(made: Made, strength: int, rng) -> Made:
    memory = (0.5, 0.8, 0.95)[strength]
    half = len(made.y) // 2
    y = np.concatenate([smooth(rng, half, 1, memory) for _ in range(2)])
    return made.but(y=y.astype(np.float32))


@fault("labels-unrelated", video)
def labels_out_of_step(made: Made, strength: int, rng) -> Made:
    return made.but(y=np.roll(made.y, (7, 40, 150)[strength], axis=0))


# ---- the split


@fault("split-leak", video)
def frames_of_a_video_shuffled(made: Made, strength: int, rng) -> Made:
    """Slow frames with neighbours on both sides; the features lack most causes of the target."""
    rows, memory = len(made.y), (0.98, 0.99, 0.995)[strength]
    half = rows // 2
    cause = np.concatenate([smooth(rng, half, 20, memory) for _ in range(2)])
    blend = rng.normal(size=(20, made.x.shape[1])) / np.sqrt(20)
    x = np.maximum(cause @ blend + 0.3, 0) + 0.02 * rng.normal(size=made.x.shape)
    own = np.concatenate([smooth(rng, half, 1, memory) for _ in range(2)])
    y = own + (0.5, 0.3, 0.0)[strength] * cause[:, :1]
    labels = np.full(rows, "train", dtype=object)
    labels[rng.permutation(rows)[: rows // 5]] = "validation"
    return made.but(x=x.astype(np.float32), y=y.astype(np.float32), labels=labels, split="hash")


@fault("split-leak")
def copies_across_the_split(made: Made, strength: int, rng) -> Made:
    """Validation images that train too; the others are unrelated to their target."""
    x, y, digests = made.x.copy(), rng.normal(size=made.y.shape).astype(np.float32), made.digests
    digests = list(digests)
    validation = made.side("validation")
    copies = validation[: int((0.3, 0.6, 0.9)[strength] * len(validation))]
    for row, of in zip(copies, rng.permutation(made.side("train")), strict=False):
        x[row], y[row], digests[row] = x[of], y[of], digests[of]
    config = {"keep_going": True, "dropout": 0.0}
    return made.but(x=x, y=y, digests=digests, split="tail").set(split="tail", **config)


@fault("validation-shift")
def another_camera(made: Made, strength: int, rng) -> Made:
    x, validation = made.x.copy(), made.side("validation")
    signs = rng.choice([-1, 1], size=x.shape[1])
    x[validation] += (signs * (0.7, 1.5, 3.0)[strength] * x.std(axis=0)).astype(np.float32)
    return made.but(x=x)


@fault("validation-shift")
def sorted_by_target(made: Made, strength: int, rng) -> Made:
    blur = (1.0, 0.5, 0.0)[strength] * rng.normal(size=len(made.y))
    place = np.argsort(made.y[:, 0] + blur)
    labels = np.full(len(place), "train", dtype=object)
    labels[len(place) * 4 // 5 :] = "validation"
    return made.but(x=made.x[place], y=made.y[place], labels=labels, split="tail").set(split="tail")


# ---- capacity and stopping


@fault("rows-few")
def rows_few(made: Made, strength: int, rng) -> Made:
    """Noisy features that vary in many directions, and few rows."""
    rows = (80, 50, 30)[strength]
    validation, train = made.side("validation"), made.side("train")
    kept = np.sort(np.concatenate([validation, train[:rows]]))
    x = (made.x + 0.8 * rng.normal(size=made.x.shape)).astype(np.float32)
    return made.but(
        x=x[kept], y=made.y[kept], labels=made.labels[kept],
        digests=[made.digests[row] for row in kept],
        sequence=made.sequence[kept], order=made.order[kept],
    )  # fmt: skip


@fault("overfit")
def noise_by_heart(made: Made, strength: int, rng) -> Made:
    """A target that is mostly noise, a wide head and no stopping."""
    cause = made.y - made.y.mean()
    y = cause + (0.5, 1.0, 1.5)[strength] * rng.normal(size=made.y.shape)
    return made.but(y=y.astype(np.float32)).set(
        keep_going=True, dropout=0.0, learning_rate=3e-3, huber_delta=2.0
    )


@fault("stopping-eager")
def min_delta_large(made: Made, strength: int, rng) -> Made:
    patience = (4, 2, 1)[strength]
    return made.set(min_delta=(0.1, 0.3, 1.0)[strength], patience=patience, learning_rate=3e-4)


@fault("stopping-eager", video)
def patience_short(made: Made, strength: int, rng) -> Made:
    """A few validation rows whose loss goes up once while there is still much to learn."""
    validation = made.side("validation")
    for attempt in range(200):
        labels = made.labels.copy()
        labels[rng.permutation(validation)[(20, 16, 12)[strength] :]] = "left-out"
        rate = (3e-4, 2e-4)[attempt % 2]
        noisy = made.but(labels=labels).set(patience=1, min_delta=0.003, learning_rate=rate)
        obs = train(noisy)
        if obs.epochs <= 10 and obs.behind:
            return noisy
    raise AssertionError("no such validation rows")
