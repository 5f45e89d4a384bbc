"""Every kind of weights file fills every array of the network, or is refused."""

import os
from pathlib import Path

import numpy as np
import pytest

from jaxreg.backbone.network import build_network, set_weights
from jaxreg.backbone.weight_files import Slot, read_arrays
from jaxreg.backbone.weights import WeightsSource
from jaxreg.errors import InputError
from typed import known_weights

# get_weights and predict of Keras 3.15 on NumPy 2; jaxreg itself calls neither
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


SAVE = r'model\.get_layer\("inception_v3"\)\.save_weights\("x\.weights\.h5"\)'


def with_top(keras, trained):
    """The backbone and Keras' own top of 1,000 classes (built on the same layers, to be quick)."""
    pooled = keras.layers.GlobalAveragePooling2D(name="avg_pool")(trained.output)
    top = keras.layers.Dense(1000, activation="softmax", name="predictions")
    return keras.Model(trained.input, top(pooled), name="inception_v3")


def sequential(keras, trained):
    """As in the original program: the backbone as a layer, and a head."""
    layers = keras.layers
    return keras.Sequential([trained, layers.GlobalAveragePooling2D(), layers.Dense(1)])


def fine_tuned(keras, trained):
    """The same, first half frozen: `.h5` then stores the second half's arrays first."""
    for layer in trained.layers[:150]:
        layer.trainable = False
    return sequential(keras, trained)


def functional(keras, trained):
    trained.trainable = False
    inputs = keras.Input((96, 96, 3))
    pooled = keras.layers.GlobalMaxPooling2D()(trained(inputs / 127.5 - 1))
    return keras.Model(inputs, keras.layers.Dense(1)(pooled))


def flat(keras, trained):
    """A head that grew on the backbone's output, with a convolution of its own."""
    own = keras.layers.Conv2D(8, 1)(trained.output)
    return keras.Model(trained.input, keras.layers.GlobalAveragePooling2D()(own))


def save(model, path):
    if path.name == "legacy.h5":  # weights alone in the old format, like Keras' ImageNet file
        import h5py
        from keras.src.legacy.saving.legacy_h5_format import save_weights_to_hdf5_group

        with h5py.File(path, "w") as file:
            save_weights_to_hdf5_group(file, model)
    elif path.name.endswith(".weights.h5"):
        model.save_weights(path)
    else:
        model.save(path)


def refill(blank, path) -> list[np.ndarray]:
    blank.set_weights([np.full(variable.shape, np.nan) for variable in blank.weights])
    set_weights(blank, known_weights(str(path)))
    return blank.get_weights()


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        *[(None, name) for name in ("x.weights.h5", "x.h5", "x.keras", "legacy.h5")],
        *[(with_top, name) for name in ("x.weights.h5", "x.h5", "x.keras")],
        *[(sequential, name) for name in ("x.weights.h5", "x.h5", "x.keras", "legacy.h5")],
        *[(fine_tuned, name) for name in ("x.h5", "x.keras")],
        *[(functional, name) for name in ("x.weights.h5", "x.h5")],
        *[(flat, name) for name in ("x.weights.h5", "x.h5")],
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_every_array_is_set_from_every_kind_of_file(keras, trained, blank, tmp_path, owner, name):
    wanted = trained.get_weights()  # of the model that writes the file
    try:
        save(owner(keras, trained) if owner else trained, tmp_path / name)
    finally:
        trained.trainable = True
    got = refill(blank, tmp_path / name)
    (tmp_path / name).unlink()  # 90 MB
    assert len(got) == len(wanted) == 376
    assert all(map(np.array_equal, got, wanted))


def test_really_trained_weights_are_what_keras_loads(trained_weights, keras, blank):
    got = refill(blank, trained_weights)
    blank.load_weights(trained_weights)
    assert all(map(np.array_equal, got, blank.get_weights()))


def test_a_file_that_is_no_inception_or_no_file_of_keras(keras, trained, blank, tmp_path):
    other = tmp_path / "mobile.weights.h5"
    keras.applications.MobileNet(
        alpha=0.25, input_shape=(32, 32, 3), include_top=False, weights=None
    ).save_weights(other)
    with pytest.raises(InputError, match=rf"supplies \d of the 376 arrays .*\n.*\n.*{SAVE}"):
        refill(blank, other)

    text = tmp_path / "text.h5"
    text.write_text("no weights at all")
    with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
        refill(blank, text)
    with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
        refill(blank, text.rename(tmp_path / "text.keras"))

    for name in ("cut.weights.h5", "cut.keras"):
        save(trained, tmp_path / name)
        os.truncate(tmp_path / name, 50_000_000)
        with pytest.raises(InputError, match="supplies 0 of the 376 arrays"):
            refill(blank, tmp_path / name)


def test_one_layer_of_another_shape(keras, blank, trained, tmp_path):
    import h5py

    path = tmp_path / "x.weights.h5"
    trained.save_weights(path)
    with h5py.File(path, "r+") as file:
        del file["layers/conv2d_93/vars/0"]
        file["layers/conv2d_93/vars/0"] = np.zeros((1, 1, 8, 192), np.float32)
        del file["layers/batch_normalization_7/vars/2"]
    with pytest.raises(InputError, match="supplies 372 of the 376 arrays"):
        refill(blank, path)


def test_a_model_with_code_in_it(keras, blank, tmp_path):
    class Own(keras.layers.Layer):
        def call(self, x):
            return x

    # the old format does not say whose class a layer is; nothing of it is run either way
    for layer, name, what in [
        (keras.layers.Lambda(lambda x: x / 255), "x.keras", "a Lambda"),
        (keras.layers.Lambda(lambda x: x / 255), "x.h5", "a Lambda"),
        (Own(), "x.keras", "Own"),
    ]:
        model = keras.Sequential([keras.Input((8, 8, 3)), layer, keras.layers.Conv2D(1, 1)])
        model.save(tmp_path / name)
        with pytest.raises(InputError, match=rf"0 of the 376 .*holds {what}[^$]*{SAVE}"):
            refill(blank, tmp_path / name)


def tiny_file(path: Path, *kernels: np.ndarray) -> WeightsSource:
    """Each kernel the only layer of a model of its own."""
    import h5py

    with h5py.File(path, "w") as file:
        for number, kernel in enumerate(kernels):
            file[f"model_{number}/layers/conv2d/vars/0"] = kernel
    source = known_weights(str(path))
    assert source is not None
    return source


def test_what_else_may_be_wrong_with_a_file(tmp_path):
    slot = Slot("conv2d_5", "convolution", ((1, 1, 2, 2),))
    kernel = np.ones((1, 1, 2, 2))
    path = tmp_path / "x.weights.h5"

    def read(*kernels: np.ndarray):
        return read_arrays(path, tiny_file(path, *kernels).identity, [slot])

    assert np.array_equal(read(kernel)["conv2d_5"][0], kernel)
    with pytest.raises(InputError, match=r"1 of the 1 .* more than once"):
        read(kernel, kernel)
    with pytest.raises(InputError, match=r"0 of the 1 .* NaN"):
        read(kernel * np.nan)
    with pytest.raises(InputError, match=r"0 of the 1 .* changed"):
        read_arrays(path, "0" * 64, [slot])


def test_random_weights_are_drawn_in_order_of_creation(keras):
    network = build_network("inception_v3", ["mixed10"], known_weights("random:3"))
    kernels = sorted(
        (layer for layer in network.layers if isinstance(layer, keras.layers.Conv2D)),
        key=lambda layer: int([*layer.name.split("_"), "0"][1]),
    )
    generator = np.random.Generator(np.random.PCG64(3))
    for layer in kernels:  # the rule of docs/weights.md, with Keras' own fans
        shape = layer.kernel.shape
        fan_in, fan_out = shape[0] * shape[1] * shape[2], shape[0] * shape[1] * shape[3]
        limit = (6 / (fan_in + fan_out)) ** 0.5
        wanted = generator.uniform(-limit, limit, shape).astype(np.float32)
        assert np.array_equal(layer.kernel.numpy(), wanted)
    assert len(kernels) == 94
    for layer in network.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            beta, mean, variance = layer.get_weights()
            assert not beta.any()
            assert not mean.any()
            assert (variance == 1).all()
