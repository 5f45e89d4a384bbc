"""A run as one Keras model: images in, numbers in target units out."""

from typing import TYPE_CHECKING, Any

from jaxreg.artefact.keras_head import target_values
from jaxreg.artefact.keras_network import feature_values
from jaxreg.backbone.network import plain_float32, start_keras
from jaxreg.common.steps import step
from jaxreg.extraction.run_networks import RunNetworks

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun


def keras_model(run: "TrainedRun", networks: RunNetworks) -> Any:
    """Images uint8 (rows, height, width, 3) of any one size to numbers (rows, targets).

    The numbers are those of `run.predict`, in target units, float32 or float64 as there. Every
    layer is built into Keras, or into KerasHub for its presets.

    Raises:
        InputError, UnavailableError: as `network_model`.
    """
    start_keras()
    import keras

    with step("building the model"), plain_float32():
        images = keras.Input((None, None, 3), dtype="uint8", name="images")
        values = target_values(run, feature_values(run, networks, images))
        model = keras.Model(images, values, name="jaxreg_model")
    model.trainable = False
    return model
