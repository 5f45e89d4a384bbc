"""`--backbone keras_hub:NAME` or `keras_hub:FOLDER` → a preset in a folder, downloaded by name."""

import os
from pathlib import Path
from urllib.parse import urlsplit

from jaxreg.backbone.hub_facts import image_presets
from jaxreg.backbone.hub_network import MISSING, check_hub
from jaxreg.backbone.hub_preset import CONFIG, CONVERTER, WEIGHTS, preset_in
from jaxreg.backbone.registry import HUB
from jaxreg.backbone.weights import WeightsSource
from jaxreg.common.files import safe_name
from jaxreg.common.steps import step
from jaxreg.errors import InputError, UnavailableError, nearest
from jaxreg.sources.naming import neighbour

_KAGGLE = "kaggle://"
_ABSENT = ("404 Client Error", "is not present in the model files")  # what Kaggle says of a file


def identify_preset(asked: str) -> WeightsSource:
    """A preset, given as `NAME`, `FOLDER` or `keras_hub:` and one of both.

    A name that is no folder here is one of KerasHub's, which is downloaded if it is not on this
    machine.

    Raises:
        InputError: there is no such folder or preset, it is damaged, or KerasHub is not installed.
        UnavailableError: it cannot be downloaded.
    """
    asked = asked.removeprefix(f"{HUB}:")
    check_hub()
    folder = Path(os.path.expanduser(asked))
    if not os.path.isdir(folder):
        folder = _folder_of(asked)
        return WeightsSource(preset_in(folder).identity, safe_name(asked), folder)
    return WeightsSource(preset_in(folder).identity, safe_name(folder.resolve().name), folder)


def _folder_of(name: str) -> Path:
    """The folder that KerasHub's download keeps a preset in.

    Raises:
        InputError: KerasHub has no image preset of this name.
        UnavailableError: it cannot be downloaded.
    """
    if "://" in name or "/" in name or os.sep in name or name.startswith((".", "~")):
        remedy = neighbour("--backbone", Path(os.path.expanduser(name)))
        raise InputError(
            f"no folder {name}",
            expected=f"--backbone {HUB}: and the name of a preset, or a folder that "
            "backbone.save_to_preset has written",
            remedy=remedy.replace("--backbone ", f"--backbone {HUB}:"),
        )
    presets = image_presets()
    handle = presets.get(name)
    if handle is None:
        images = [known for known, place in presets.items() if place is not None]
        what = "is not of images alone" if name in presets else "is unknown to KerasHub"
        near = nearest(name, images)
        raise InputError(
            f"the preset {name!r} {what}",
            expected=f"one of {len(images)} presets of image models, such as dinov2_base, "
            "resnet_50_imagenet or vit_base_patch16_224_imagenet",
            remedy=f"--backbone {HUB}:{near}" if near else "",
        )
    return _download(name, handle.removeprefix(_KAGGLE))


def _download(name: str, handle: str) -> Path:
    """Kaggle's own download, as KerasHub uses it; it takes its cache where it has the files."""
    try:
        import kagglehub
        from kagglehub.cache import get_cached_path
        from kagglehub.handle import parse_model_handle
    except ImportError as error:
        raise InputError(f"kagglehub cannot be imported: {error}", remedy=MISSING) from error
    place = Path(get_cached_path(parse_model_handle(handle), None))
    try:
        with step(f"downloading {name} from Kaggle"):
            folders = [
                Path(kagglehub.model_download(handle, file)).parent for file in (CONFIG, WEIGHTS)
            ]
            try:
                kagglehub.model_download(handle, CONVERTER)
            except Exception as error:  # not every preset has one
                if not any(text in str(error) for text in _ABSENT):
                    raise
    except Exception as error:  # requests', Kaggle's own, and those of the file system
        raise UnavailableError(
            f"the KerasHub preset {name} cannot be downloaded: {_reason(error)}",
            expected=f"its files in {place}, where KerasHub looks for them",
            remedy="save it where Kaggle can be reached (docs/keras-hub.md), and use the folder: "
            f"--backbone {HUB}:FOLDER",
        ) from error
    return folders[0]


def _reason(error: Exception) -> str:
    """Of what requests or Kaggle raise."""
    address = getattr(getattr(error, "request", None), "url", None)
    if isinstance(error, ConnectionError | OSError) and isinstance(address, str):
        return f"{urlsplit(address).hostname} cannot be reached"
    return " ".join(str(error).split())[:200] or type(error).__name__
