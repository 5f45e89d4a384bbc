"""A run as one file: what predicts, what it scored, and its report. Docs: docs/give-away.md."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxreg.cache.store import Cache
from jaxreg.common.files import open_regular
from jaxreg.common.json_files import reason_of
from jaxreg.common.stored_zip import pack, unpack
from jaxreg.errors import InputError
from jaxreg.training.checkpoint import Checkpoints
from jaxreg.training.interval_file import INTERVALS
from jaxreg.training.run_directory import RunDirectory
from jaxreg.training.run_recipes import features_of

SUFFIX = ".zip"
MOST_BYTES = 4_000_000_000  # of a bundle; heads have some MB
NETWORK = "quantized.zip"  # the quantized network of an int8 run

_MEMBER = re.compile(
    r"config\.json|summary\.json|report\.html|intervals\.npz|quantized\.zip"
    r"|checkpoints/\d{6,}\.json|checkpoints/\d{6,}(/[\w.-]*\w[\w.-]*)+",
    re.ASCII,
)


def pack_run(directory: RunDirectory) -> bytes:
    """The bundle of a finished run: no optimizer, no cache, no images but those of the report.

    Raises:
        InputError: the run is not finished or is damaged; its cache lacks the quantized network.
    """
    path, summary, config = (
        directory.path.absolute(),
        directory.read_finished(),
        directory.read_config(),
    )
    checkpoints = Checkpoints(directory.checkpoints, config)
    files = [path / "config.json", path / "summary.json", *checkpoints.files_to_predict()]
    contents = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    for name in ("report.html", INTERVALS):
        if name in summary["files"]:
            contents[name] = directory.read_checked(name, summary)
    quantized = [one for one in features_of(config).networks if one.quantized is not None]
    if len(quantized) > 1:
        names = " and ".join(one.feature_set for one in quantized)
        raise InputError(
            f"{path} has columns of two int8 networks ({names}), and a bundle holds one",
            remedy="copy the run and its cache (docs/cache.md)",
        )
    if quantized:
        contents[NETWORK] = Cache(directory.cache()).quantized_model(quantized[0]) or b""
    return pack(contents)


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """A folder with the files of a bundle, until the block ends.

    Raises:
        InputError: it cannot be read, or `pack_run` did not make it.
    """
    try:
        with open_regular(path, MOST_BYTES) as file:
            files = unpack(file.read())
        if foreign := [name for name in files if not _MEMBER.fullmatch(name)]:
            raise ValueError(f"it holds {foreign[0]!r}")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is damaged or is no bundle: {reason_of(error)}",
            expected="a file that jaxreg bundle wrote",
        ) from error
    with tempfile.TemporaryDirectory(prefix="jaxreg-bundle-") as folder:
        try:
            for name, content in files.items():
                target = Path(folder, name)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(content)
        except OSError as error:  # names that no folder can hold, or no space
            raise InputError(f"{path} cannot be unpacked: {error.strerror}") from error
        yield Path(folder)
