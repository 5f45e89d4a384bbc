"""ImageNet's weights through Keras' own download and cache, bounded in time and quiet."""

import shutil
import socket
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path

from jaxreg.backbone.network import start_keras
from jaxreg.backbone.weights import IMAGENET, WeightsSource, identify_weights, keras_weights_file
from jaxreg.common.steps import step
from jaxreg.errors import UnavailableError

_SILENCE = 30.0  # seconds without a byte after which the network counts as dead


def download_imagenet(
    backbone: str = "inception_v3", time_limit: float | None = None
) -> WeightsSource:
    """Fetch Keras' ImageNet weights into Keras' cache, and identify them.

    The file appears in the cache whole and checked, or not at all.

    Args:
        backbone: whose weights.
        time_limit: seconds for the whole download, without the import of Keras; None: as long as
            bytes arrive.

    Raises:
        UnavailableError: the download failed; the message has the alternatives.
        InputError: Keras publishes no such weights.
    """
    path, file = keras_weights_file(backbone), IMAGENET[backbone]
    start_keras()
    before = socket.getdefaulttimeout()
    # longer than the limit, which names its seconds
    socket.setdefaulttimeout(min(_SILENCE, 2 * time_limit if time_limit else _SILENCE))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keras writes under the final name and leaves a file that fails its check: hence a folder
        folder = Path(tempfile.mkdtemp(prefix=".download-", dir=path.parent))
        try:
            with step("downloading the ImageNet weights"):
                _within(time_limit, lambda: _fetch(backbone, folder))
            (folder / file.name).replace(path)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    except Exception as error:  # Keras raises plain Exception
        reason = " ".join(str(error).split()).removeprefix(f"URL fetch failure on {file.url}: ")
        raise UnavailableError(
            f"the ImageNet weights cannot be downloaded: {reason.removeprefix('None -- ')}",
            expected=f"Keras' file at {path}",
            remedy=f"put {file.url} there by hand, or use --weights FILE with weights that you "
            "have, or --weights random, which needs no file",
        ) from error
    finally:
        socket.setdefaulttimeout(before)
    weights = identify_weights("imagenet", backbone)
    assert weights is not None
    return weights


def _fetch(backbone: str, folder: Path) -> None:
    import keras

    file = IMAGENET[backbone]
    keras.config.disable_interactive_logging()  # no progress bar; counts in this thread alone
    keras.utils.get_file(file.name, file.url, file_hash=file.hash, cache_subdir=str(folder))


def _within(time_limit: float | None, call: Callable[[], None]) -> None:
    """Run `call` in a thread, so that a time limit holds even for a resolver that hangs in C."""
    outcome: Future[None] = Future()

    def attempt() -> None:
        try:
            outcome.set_result(call())
        except BaseException as error:
            outcome.set_exception(error)

    threading.Thread(target=attempt, name="download", daemon=True).start()
    if wait([outcome], time_limit).not_done:
        raise TimeoutError(f"not there after {time_limit:g} s")
    outcome.result()
