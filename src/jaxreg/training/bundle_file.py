"""A run as one file: what predicts, what it scored, and its report. Docs: docs/give-away.md."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from jaxreg.cache.recipe import Recipe
from jaxreg.cache.store import Cache
from jaxreg.common.files import open_regular
from jaxreg.common.stored_zip import pack, unpack
from jaxreg.errors import InputError
from jaxreg.training.run_directory import RunDirectory

SUFFIX = ".zip"
MOST_BYTES = 4_000_000_000  # of a bundle; heads have some MB
NETWORK = "quantized.zip"  # the quantized network of an int8 run

_MEMBER = re.compile(
    r"config\.json|summary\.json|report\.html|quantized\.zip"
    r"|checkpoints/\d{6}\.json|checkpoints/\d{6}(/[\w.-]*\w[\w.-]*)+",
    re.ASCII,
)


def pack_run(directory: RunDirectory) -> bytes:
    """The bundle of a finished run: no optimizer, no features, no images but those of the report.

    Raises:
        InputError: the run is not finished or is damaged; its cache lacks the quantized network.
    """
    path, config = directory.path, directory.read_config()
    if directory.read_summary() is None:
        raise InputError(f"{path} is not finished", remedy=f"jaxreg train --run {path} --resume")
    if faults := [text for text in directory.faults() if "report.html" in text]:
        raise InputError(faults[0], remedy=directory.again())
    proofs = sorted(directory.checkpoints.glob("*.json"))[-1:]
    parts = [p.with_suffix("") for p in proofs]
    inside = [file for part in parts for file in sorted(part.rglob("*")) if file.is_file()]
    states = [f for part in parts for f in inside if f.relative_to(part).parts[0] != "training"]
    files = [path / name for name in ("config.json", "summary.json", "report.html")]
    files += [*proofs, *states]
    contents = {file.relative_to(path).as_posix(): file.read_bytes() for file in files}
    recipe = Recipe.from_json(
        config["recipe"], config["weights_tag"], config["settings"]["feature_set"] or ""
    )
    if recipe.quantized is not None:
        contents[NETWORK] = Cache(directory.cache()).quantized_model(recipe) or b""
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
            f"{path} is damaged or is no bundle: {getattr(error, 'strerror', None) or error}",
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
