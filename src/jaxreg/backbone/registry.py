"""The networks of keras.applications: all facts that are needed before Keras is loaded."""

import re
from dataclasses import dataclass
from typing import Literal

from jaxreg.cache.recipe import HUB, ONNX
from jaxreg.errors import InputError, nearest_option

Range = Literal["tf", "torch", "caffe", "none"]
"""The pixels that a network expects, in the words of keras.applications.imagenet_utils.

tf: x / 127.5 - 1. torch: (x / 255 - ImageNet's mean) / ImageNet's std. caffe: BGR - ImageNet's
mean. none: 0..255, because the network's first layers preprocess.
"""

_SITE = "https://storage.googleapis.com/"
_FOLDER = "tensorflow/keras-applications"


@dataclass(frozen=True)
class KerasFile:
    """A file of ImageNet weights, without its top, as Keras publishes it."""

    name: str  # in the folder `models` of Keras' own cache
    url: str
    hash: str | None  # MD5 or SHA-256 by which Keras checks the download, if it has one


@dataclass(frozen=True)
class Backbone:
    """A network of keras.applications."""

    constructor: str  # its name there
    last_layer: str  # the last layer with rows and columns: the default layer
    size: int  # pixels each way, unless --size is given
    smallest: int  # pixels each way that it needs
    range: Range
    imagenet: KerasFile


def _family(
    names: str,
    constructors: str,
    last_layer: str,
    pixels: Range,
    paths: str,
    members: dict[str, tuple[int, str | None]],
    smallest: int = 32,
) -> dict[str, Backbone]:
    """Networks that differ in size and hash; `{}` is the member, `@` a file's usual end."""
    found = {}
    for member, (size, digest) in members.items():
        name, path = (text.format(member.lower()) for text in (names, paths))
        path = path.replace("@", "_weights_tf_dim_ordering_tf_kernels_notop.h5")
        folder = "keras-applications" if path.startswith("efficientnetb") else _FOLDER
        # Keras keeps NASNet's files under names of its own
        file = f"{name}_no_top.h5" if name.startswith("nasnet") else path.rpartition("/")[2]
        weights = KerasFile(file, f"{_SITE}{folder}/{path}", digest)
        constructor = constructors.format(member)
        found[name] = Backbone(constructor, last_layer, size, smallest, pixels, weights)
    return found


# read from Keras 3.15 by building each; a slow test compares them with the Keras that is installed
# fmt: off
_FAMILIES = (
    _family("convnext_{}", "ConvNeXt{}", "layer_normalization", "none",
            "convnext/convnext_{}_notop.h5", {
        "Base": (224, "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
        "Large": (224, "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
        "Small": (224, "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
        "Tiny": (224, "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
        "XLarge": (224, "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    }),
    _family("densenet{}", "DenseNet{}", "relu", "torch", "densenet/densenet{}@", {
        "121": (224, "30ee3e1110167f948a6b9946edeeb738"),
        "169": (224, "b8c4d4c20dd625c148057b9ff1c1176b"),
        "201": (224, "c13680b51ded0fb44dff2d8f86ac8bb1"),
    }),
    _family("efficientnet_{}", "EfficientNet{}", "top_activation", "none",
            "efficientnet{}_notop.h5", {
        "B0": (224, "50bc09e76180e00e4465e1a485ddc09d"),
        "B1": (240, "74c4e6b3e1f6a1eea24c589628592432"),
        "B2": (260, "111f8e2ac8aa800a7a99e3239f7bfb39"),
        "B3": (300, "af6d107764bb5b1abb91932881670226"),
        "B4": (380, "ebc24e6d6c33eaebbd558eafbeedf1ba"),
        "B5": (456, "38879255a25d3c92d5e44e04ae6cec6f"),
        "B6": (528, "9ecce42647a20130c1f39a5d4cb75743"),
        "B7": (600, "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    }),
    _family("efficientnet_v2_{}", "EfficientNetV2{}", "top_activation", "none",
            "efficientnet_v2/efficientnetv2-{}_notop.h5", {
        "B0": (224, "893217f2bb855e2983157299931e43ff"),
        "B1": (240, "0e80663031ca32d657f9caa404b6ec37"),
        "B2": (260, "1dfe2e7a5d45b6632553a8961ea609eb"),
        "B3": (300, "f6abf7b5849ac99a89b50dd3fd532856"),
        "L": (480, "b0b66b5c863aef5b46e8608fe1711615"),
        "M": (480, "1b8dc055df72dde80d614482840fe342"),
        "S": (384, "af0682fb74e8c54910f2d4393339c070"),
    }),
    _family("inception_resnet_v2", "InceptionResNetV2", "conv_7b_ac", "tf",
            "inception_resnet_v2/inception_resnet_v2@",
            {"": (299, "d19885ff4a710c122648d3b5c3b684e4")}, smallest=75),
    _family("inception_v3", "InceptionV3", "mixed10", "tf", "inception_v3/inception_v3@",
            {"": (299, "bcbd6486424b2319ff4ef7d526e38f63")}, smallest=75),
    _family("mobilenet", "MobileNet", "conv_pw_13_relu", "tf",
            "mobilenet/mobilenet_1_0_224_tf_no_top.h5", {"": (224, None)}),
    _family("mobilenet_v2", "MobileNetV2", "out_relu", "tf",
            "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
            {"": (224, None)}),
    _family("mobilenet_v3_{}", "MobileNetV3{}", "activation_19", "none",
            "mobilenet_v3/weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5",
            {"Large": (224, "07fb09a5933dd0c8eaafa16978110389")}),
    _family("mobilenet_v3_{}", "MobileNetV3{}", "activation_17", "none",
            "mobilenet_v3/weights_mobilenet_v3_{}_224_1.0_float_no_top_v2.h5",
            {"Small": (224, "d3e8ec802a04aa4fc771ee12a9a9b836")}),
    _family("nasnet_{}", "NASNet{}", "activation_259", "tf", "nasnet/NASNet-{}-no-top.h5",
            {"Large": (331, "d81d89dc07e6e56530c4e77faddd61b5")}),
    _family("nasnet_{}", "NASNet{}", "activation_187", "tf", "nasnet/NASNet-{}-no-top.h5",
            {"Mobile": (224, "1ed92395b5b598bdda52abe5c0dbfd63")}),
    _family("resnet{}", "ResNet{}", "conv5_block3_out", "caffe", "resnet/resnet{}@", {
        "50": (224, "4d473c1dd8becc155b73f8504c6f6626"),
        "101": (224, "88cf7a10940856eca736dc7b7e228a21"),
        "152": (224, "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    }),
    _family("resnet{}_v2", "ResNet{}V2", "post_relu", "tf", "resnet/resnet{}v2@", {
        "50": (224, "fac2f116257151a9d068a22e544a4917"),
        "101": (224, "c0ed64b8031c3730f411d2eb4eea35b5"),
        "152": (224, "ed17cf2e0169df9d443503ef94b23b33"),
    }),
    _family("vgg{}", "VGG{}", "block5_pool", "caffe", "vgg{0}/vgg{0}@", {
        "16": (224, "6d6bbae143d832006294945121d1f1fc"),
        "19": (224, "253f8cb515780f3b799900260a226db6"),
    }),
    _family("xception", "Xception", "block14_sepconv2_act", "tf", "xception/xception@",
            {"": (299, "b0042744bf5b25fce3cb969f33bebb97")}, smallest=71),
)
# fmt: on
BACKBONES = dict(sorted(item for family in _FAMILIES for item in family.items()))
"""By the name that `--backbone` takes and the recipe keeps."""


_GIVEN = {
    ONNX: "onnx: and a file, as onnx:vit.onnx",
    HUB: "keras_hub: and a preset or a folder, as keras_hub:dinov2_base",
}


def given_network(asked: str) -> str | None:
    """ONNX or HUB for a network that brings its weights; None for one of keras.applications.

    Raises:
        InputError: no file or preset is named.
    """
    kind, _, place = asked.partition(":")
    if kind not in _GIVEN:
        return None
    if not place:
        raise InputError(f"--backbone {asked}", expected=_GIVEN[kind])
    return kind


def smallest_side(backbone: str) -> int:
    """Pixels each way that the network needs. ONNX files and presets do not say it."""
    return BACKBONES[backbone].smallest if backbone in BACKBONES else 1


def backbone_name(asked: str) -> str:
    """The name of a backbone in BACKBONES, also from Keras' own spelling, as MobileNetV2.

    It is ONNX for `onnx:FILE`, and HUB for `keras_hub:PRESET`.

    Raises:
        InputError: there is no such backbone; the message has the nearest name.
    """
    if (given := given_network(asked)) is not None:
        return given
    if asked.endswith(".onnx"):
        raise InputError(f"no backbone {asked!r}", remedy=f"--backbone onnx:{asked}")
    plain = {name.replace("_", ""): name for name in BACKBONES}
    found = plain.get(re.sub("[_-]", "", asked).lower())
    if found is None:
        raise InputError(
            f"no backbone {asked!r}",
            expected="a network of keras.applications: " + ", ".join(BACKBONES),
            remedy=nearest_option("--backbone", asked, [*BACKBONES, *plain]),
        )
    return found
