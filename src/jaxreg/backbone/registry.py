"""The networks of keras.applications: all facts that are needed before Keras is loaded."""

import re
from dataclasses import dataclass
from typing import Literal

from jaxreg.errors import InputError, nearest

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


def _backbone(
    constructor: str,
    last_layer: str,
    size: int,
    smallest: int,
    pixels: Range,
    path: str,
    digest: str | None,
    name: str | None = None,
) -> Backbone:
    """`@` in a path stands for the usual end of a file's name."""
    path = path.replace("@", "_weights_tf_dim_ordering_tf_kernels_notop.h5")
    folder = "keras-applications" if path.startswith("efficientnetb") else _FOLDER
    file = KerasFile(name or path.rpartition("/")[2], f"{_SITE}{folder}/{path}", digest)
    return Backbone(constructor, last_layer, size, smallest, pixels, file)


# read from Keras 3.15 by building each; a slow test compares them with the Keras that is installed
# fmt: off
BACKBONES = {
    "convnext_base": _backbone("ConvNeXtBase", "layer_normalization", 224, 32, "none",
        "convnext/convnext_base_notop.h5",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45"),
    "convnext_large": _backbone("ConvNeXtLarge", "layer_normalization", 224, 32, "none",
        "convnext/convnext_large_notop.h5",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd"),
    "convnext_small": _backbone("ConvNeXtSmall", "layer_normalization", 224, 32, "none",
        "convnext/convnext_small_notop.h5",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab"),
    "convnext_tiny": _backbone("ConvNeXtTiny", "layer_normalization", 224, 32, "none",
        "convnext/convnext_tiny_notop.h5",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1"),
    "convnext_xlarge": _backbone("ConvNeXtXLarge", "layer_normalization", 224, 32, "none",
        "convnext/convnext_xlarge_notop.h5",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05"),
    "densenet121": _backbone("DenseNet121", "relu", 224, 32, "torch",
        "densenet/densenet121@", "30ee3e1110167f948a6b9946edeeb738"),
    "densenet169": _backbone("DenseNet169", "relu", 224, 32, "torch",
        "densenet/densenet169@", "b8c4d4c20dd625c148057b9ff1c1176b"),
    "densenet201": _backbone("DenseNet201", "relu", 224, 32, "torch",
        "densenet/densenet201@", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    "efficientnet_b0": _backbone("EfficientNetB0", "top_activation", 224, 32, "none",
        "efficientnetb0_notop.h5", "50bc09e76180e00e4465e1a485ddc09d"),
    "efficientnet_b1": _backbone("EfficientNetB1", "top_activation", 240, 32, "none",
        "efficientnetb1_notop.h5", "74c4e6b3e1f6a1eea24c589628592432"),
    "efficientnet_b2": _backbone("EfficientNetB2", "top_activation", 260, 32, "none",
        "efficientnetb2_notop.h5", "111f8e2ac8aa800a7a99e3239f7bfb39"),
    "efficientnet_b3": _backbone("EfficientNetB3", "top_activation", 300, 32, "none",
        "efficientnetb3_notop.h5", "af6d107764bb5b1abb91932881670226"),
    "efficientnet_b4": _backbone("EfficientNetB4", "top_activation", 380, 32, "none",
        "efficientnetb4_notop.h5", "ebc24e6d6c33eaebbd558eafbeedf1ba"),
    "efficientnet_b5": _backbone("EfficientNetB5", "top_activation", 456, 32, "none",
        "efficientnetb5_notop.h5", "38879255a25d3c92d5e44e04ae6cec6f"),
    "efficientnet_b6": _backbone("EfficientNetB6", "top_activation", 528, 32, "none",
        "efficientnetb6_notop.h5", "9ecce42647a20130c1f39a5d4cb75743"),
    "efficientnet_b7": _backbone("EfficientNetB7", "top_activation", 600, 32, "none",
        "efficientnetb7_notop.h5", "cbcfe4450ddf6f3ad90b1b398090fe4a"),
    "efficientnet_v2_b0": _backbone("EfficientNetV2B0", "top_activation", 224, 32, "none",
        "efficientnet_v2/efficientnetv2-b0_notop.h5", "893217f2bb855e2983157299931e43ff"),
    "efficientnet_v2_b1": _backbone("EfficientNetV2B1", "top_activation", 240, 32, "none",
        "efficientnet_v2/efficientnetv2-b1_notop.h5", "0e80663031ca32d657f9caa404b6ec37"),
    "efficientnet_v2_b2": _backbone("EfficientNetV2B2", "top_activation", 260, 32, "none",
        "efficientnet_v2/efficientnetv2-b2_notop.h5", "1dfe2e7a5d45b6632553a8961ea609eb"),
    "efficientnet_v2_b3": _backbone("EfficientNetV2B3", "top_activation", 300, 32, "none",
        "efficientnet_v2/efficientnetv2-b3_notop.h5", "f6abf7b5849ac99a89b50dd3fd532856"),
    "efficientnet_v2_l": _backbone("EfficientNetV2L", "top_activation", 480, 32, "none",
        "efficientnet_v2/efficientnetv2-l_notop.h5", "b0b66b5c863aef5b46e8608fe1711615"),
    "efficientnet_v2_m": _backbone("EfficientNetV2M", "top_activation", 480, 32, "none",
        "efficientnet_v2/efficientnetv2-m_notop.h5", "1b8dc055df72dde80d614482840fe342"),
    "efficientnet_v2_s": _backbone("EfficientNetV2S", "top_activation", 384, 32, "none",
        "efficientnet_v2/efficientnetv2-s_notop.h5", "af0682fb74e8c54910f2d4393339c070"),
    "inception_resnet_v2": _backbone("InceptionResNetV2", "conv_7b_ac", 299, 75, "tf",
        "inception_resnet_v2/inception_resnet_v2@", "d19885ff4a710c122648d3b5c3b684e4"),
    "inception_v3": _backbone("InceptionV3", "mixed10", 299, 75, "tf",
        "inception_v3/inception_v3@", "bcbd6486424b2319ff4ef7d526e38f63"),
    "mobilenet": _backbone("MobileNet", "conv_pw_13_relu", 224, 32, "tf",
        "mobilenet/mobilenet_1_0_224_tf_no_top.h5", None),
    "mobilenet_v2": _backbone("MobileNetV2", "out_relu", 224, 32, "tf",
        "mobilenet_v2/mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5", None),
    "mobilenet_v3_large": _backbone("MobileNetV3Large", "activation_19", 224, 32, "none",
        "mobilenet_v3/weights_mobilenet_v3_large_224_1.0_float_no_top_v2.h5",
        "07fb09a5933dd0c8eaafa16978110389"),
    "mobilenet_v3_small": _backbone("MobileNetV3Small", "activation_17", 224, 32, "none",
        "mobilenet_v3/weights_mobilenet_v3_small_224_1.0_float_no_top_v2.h5",
        "d3e8ec802a04aa4fc771ee12a9a9b836"),
    "nasnet_large": _backbone("NASNetLarge", "activation_259", 331, 32, "tf",
        "nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5", "nasnet_large_no_top.h5"),
    "nasnet_mobile": _backbone("NASNetMobile", "activation_187", 224, 32, "tf",
        "nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63", "nasnet_mobile_no_top.h5"),
    "resnet101": _backbone("ResNet101", "conv5_block3_out", 224, 32, "caffe",
        "resnet/resnet101@", "88cf7a10940856eca736dc7b7e228a21"),
    "resnet101_v2": _backbone("ResNet101V2", "post_relu", 224, 32, "tf",
        "resnet/resnet101v2@", "c0ed64b8031c3730f411d2eb4eea35b5"),
    "resnet152": _backbone("ResNet152", "conv5_block3_out", 224, 32, "caffe",
        "resnet/resnet152@", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    "resnet152_v2": _backbone("ResNet152V2", "post_relu", 224, 32, "tf",
        "resnet/resnet152v2@", "ed17cf2e0169df9d443503ef94b23b33"),
    "resnet50": _backbone("ResNet50", "conv5_block3_out", 224, 32, "caffe",
        "resnet/resnet50@", "4d473c1dd8becc155b73f8504c6f6626"),
    "resnet50_v2": _backbone("ResNet50V2", "post_relu", 224, 32, "tf",
        "resnet/resnet50v2@", "fac2f116257151a9d068a22e544a4917"),
    "vgg16": _backbone("VGG16", "block5_pool", 224, 32, "caffe",
        "vgg16/vgg16@", "6d6bbae143d832006294945121d1f1fc"),
    "vgg19": _backbone("VGG19", "block5_pool", 224, 32, "caffe",
        "vgg19/vgg19@", "253f8cb515780f3b799900260a226db6"),
    "xception": _backbone("Xception", "block14_sepconv2_act", 299, 71, "tf",
        "xception/xception@", "b0042744bf5b25fce3cb969f33bebb97"),
}
# fmt: on
"""By the name that `--backbone` takes and the recipe keeps."""


def backbone_name(asked: str) -> str:
    """The name of a backbone in BACKBONES, also from Keras' own spelling, as MobileNetV2.

    Raises:
        InputError: there is no such backbone; the message has the nearest name.
    """
    plain = {re.sub("_", "", name): name for name in BACKBONES}
    found = plain.get(re.sub("[_-]", "", asked).lower())
    if found is None:
        raise InputError(
            f"no backbone {asked!r}",
            expected="a network of keras.applications: " + ", ".join(BACKBONES),
            remedy=nearest(asked, [*BACKBONES, *plain]) or "",
        )
    return found
