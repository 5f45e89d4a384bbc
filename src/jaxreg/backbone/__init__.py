"""uint8 images → pooled features of a frozen network. Only this package builds Keras networks."""

from jaxreg.backbone.download import download_imagenet
from jaxreg.backbone.engine import ENGINES, Engine, choose_engine, load_engine
from jaxreg.backbone.int8 import CALIBRATION_IMAGES, quantized_network
from jaxreg.backbone.network import check_layers

__all__ = [
    "CALIBRATION_IMAGES",
    "ENGINES",
    "Engine",
    "check_layers",
    "choose_engine",
    "download_imagenet",
    "load_engine",
    "quantized_network",
]
