"""Whether curves equal those of Keras: `python studies/keras_parity.py --weights FILE`.

Both programs of the original discussion are trained, on features of an InceptionV3. The question's
program trains on the drawn road (its targets have negative values), the answer's on scikit-learn's
handwritten digits (the square of the digit, as with MNIST). Without dropout Keras and jaxreg get
the same weights and the same order of rows, and the largest difference is printed. With dropout
each draws its own, a few seeds each.

    python studies/keras_parity.py --weights FILE --picture docs/keras-parity.png
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxreg import extract_features
from jaxreg.cache.datasets import read_dataset
from jaxreg.cache.store import Cache
from jaxreg.head.fit import make_fit, order_of
from jaxreg.head.state import Data, State, init_state
from jaxreg.train_config import PRESETS, HeadConfig

BLUE, GREY = "#0072B2", "#B0B4BA"
SIZE = (150, 150)  # pixels: a quarter of the work of 299 x 299

Curves = dict[str, np.ndarray]
"""`loss` and `val_loss`, one value per epoch."""


class Program(NamedTuple):
    preset: str
    title: str
    data: Data


def programs(cache: Path, weights: str, rows: int) -> list[Program]:
    """Both programs with their features, the last fifth of the rows to validate."""
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    archive = cache / "digits.npz"
    archive.parent.mkdir(parents=True, exist_ok=True)
    images = (digits.images * 255 / 16).round().astype(np.uint8)[:rows]
    np.savez(archive, images=images, targets=np.square(digits.target[:rows]).astype(np.float32))
    sources = [
        ("question", "road, steering", f"road:{rows}", "keras"),
        ("answer", "handwritten digits, squared", archive, "unit"),
    ]
    found = []
    for preset, title, source, preprocess in sources:
        extract_features(
            source, name=preset, cache=cache, weights=weights, size=SIZE, preprocess=preprocess
        )
        dataset = read_dataset(Cache(cache), preset)
        x = Cache(cache).read(dataset.feature_set, dataset.columns, dataset.digests)
        y = dataset.table[dataset.targets[0]].to_numpy().astype(np.float32)[:, None]
        cut = int(len(x) * 0.8)  # Keras' validation_split=0.2, and --split tail
        found.append(Program(preset, title, Data.of(x[:cut], y[:cut], x[cut:], y[cut:])))
    return found


def settings(preset: str, **changed: Any) -> HeadConfig:
    names = HeadConfig.__dataclass_fields__
    head = {name: value for name, value in PRESETS[preset].items() if name in names}
    return HeadConfig(**head, keep_going=True, **changed)


def jaxreg_curves(config: HeadConfig, data: Data) -> Curves:
    _, history = make_fit(config)(init_state(config, data), data, config.epochs)
    return {"loss": np.asarray(history.loss), "val_loss": np.asarray(history.val_loss)}


def keras_curves(config: HeadConfig, data: Data, state: State | None = None) -> Curves:
    """Keras' `fit`; with a state from its weights, in the order of rows in which jaxreg goes."""
    import keras

    keras.utils.set_random_seed(config.seed)
    layers: list[Any] = [keras.Input((data.x.shape[1],))]
    for i, units in enumerate(config.hidden):
        layers.append(keras.layers.Dense(units, "relu"))
        if i % 2 == 1:
            layers.append(keras.layers.Dropout(config.dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(1, config.output_activation)])
    decay = keras.optimizers.schedules.ExponentialDecay(
        config.learning_rate, config.decay_steps, config.decay_rate
    )
    adam: Any = keras.optimizers.Adam  # it takes schedules, too
    delta = config.huber_delta
    assert isinstance(delta, float)
    model.compile(adam(decay), keras.losses.Huber(delta=delta))
    rows, validation = data.train.real, (data.x[data.validation.real], data.y[data.validation.real])
    common = {"batch_size": config.batch_size, "validation_data": validation, "verbose": 0}
    if state is None:
        history = model.fit(data.x[rows], data.y[rows], epochs=config.epochs, **common).history
        return {name: np.array(values) for name, values in history.items()}
    ours = [*state.params["hidden"].values(), state.params["output"]]
    model.set_weights([np.asarray(layer[part]) for layer in ours for part in ("kernel", "bias")])
    logs = []
    for epoch in range(config.epochs):
        order = order_of(state.key, jax.numpy.int32(epoch), data.train, data.views).numbers
        logs.append(model.fit(data.x[order], data.y[order], shuffle=False, **common).history)
    return {name: np.array([log[name][0] for log in logs]) for name in ("loss", "val_loss")}


def differences(ours: Curves, theirs: Curves) -> str:
    """The largest relative difference of each curve."""
    return ", ".join(
        f"{name} {np.max(np.abs(ours[name] - theirs[name]) / np.abs(theirs[name])):.1e}"
        for name in ("loss", "val_loss")
    )


def draw(axes: Any, pairs: list[tuple[Curves, Curves]], title: str) -> None:
    """jaxreg's curves, thin, over Keras', thick."""
    for number, (ours, theirs) in enumerate(pairs):
        epochs = np.arange(1, len(ours["loss"]) + 1)
        for name, mark in (("loss", "o"), ("val_loss", "s")):
            label = {"val_loss": "validation", "loss": "training"}[name]
            told = {} if number else {"label": f"Keras, {label}"}
            axes.plot(epochs, theirs[name], color=GREY, lw=3.5, marker=mark, ms=4, **told)
            told = {} if number else {"label": f"jaxreg, {label}"}
            axes.plot(epochs, ours[name], color=BLUE, lw=1.1, marker=mark, ms=2, **told)
    axes.set(title=title, xlabel="epoch", ylabel="loss")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--weights", default="imagenet", help="of InceptionV3, as for extract")
    parser.add_argument("--cache", type=Path, help="a folder that keeps the features")
    parser.add_argument("--picture", type=Path, default=Path("keras-parity.png"))
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--seeds", type=int, default=3, help="trainings of each with dropout")
    arguments = parser.parse_args()

    from matplotlib.figure import Figure
    from matplotlib.ticker import LogFormatter

    figure = Figure(figsize=(9, 6.5), layout="constrained")
    grid = figure.subplots(2, 2)
    with tempfile.TemporaryDirectory() as scratch:
        both = programs(arguments.cache or Path(scratch), arguments.weights, arguments.rows)
    for (above, below), program in zip(grid.T, both, strict=True):
        data, length = program.data, {"epochs": arguments.epochs}
        exact = settings(program.preset, dropout=0.0, **length)
        theirs = keras_curves(exact, data, init_state(exact, data))
        ours = jaxreg_curves(exact, data)
        print(f"{program.preset}, no dropout: {differences(ours, theirs)}", flush=True)
        draw(above, [(ours, theirs)], f"{program.preset} ({program.title})\nno dropout")

        pairs = []
        config = settings(program.preset, **length)
        for seed in range(arguments.seeds):
            config = replace(config, seed=seed)
            pairs.append((jaxreg_curves(config, data), keras_curves(config, data)))
        draw(below, pairs, f"dropout {config.dropout}, {arguments.seeds} seeds of each")
        below.set_yscale("log")  # a first epoch at the question's rate may lose a hundredfold
        below.yaxis.set_major_formatter(LogFormatter())
        below.yaxis.set_minor_formatter(LogFormatter())
        for who, column in (("jaxreg", 0), ("Keras", 1)):
            last = [pair[column]["val_loss"][-1] for pair in pairs]
            told = " ".join(f"{value:.4g}" for value in sorted(last))
            print(f"{program.preset}, dropout: last validation losses of {who}: {told}", flush=True)
    figure.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    figure.savefig(arguments.picture, dpi=90)


if __name__ == "__main__":
    main()
