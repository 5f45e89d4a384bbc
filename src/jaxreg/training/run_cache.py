"""The cache of a run: how config.json names it, and where it is found again."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxreg.cache.cache_url import is_url
from jaxreg.cache.object_store import place_of
from jaxreg.errors import InputError


def name_for(root: str, run: Path) -> str:
    """A cache as config.json names it: a folder by its path from the run, a URL as it is."""
    place = place_of(root)
    return root if is_url(place) else os.path.relpath(place, run.resolve())


def find_cache(run: Path, record: Mapping[str, Any]) -> Path | str:
    """The folder with the features of a run, or at least with its dataset; or the URL.

    If neither is in the folder that config.json names, a folder of its name beside the run, or
    beside the folder of runs, is taken.

    Args:
        run: the directory of the run.
        record: its config.json.

    Raises:
        InputError: there is none in any of these places.
    """
    if is_url(record["cache"]):
        return record["cache"]
    named = run / record["cache"]
    above = run.resolve().parents[:2] if named.name not in ("", "..") else ()
    places = [named, *(place / named.name for place in above)]
    features = Path("features", str(record["settings"]["feature_set"]))
    for inside in (features, Path("datasets", f"{record['dataset']}.parquet")):
        for folder in places:
            if (folder / inside).exists():
                return folder.resolve()
    raise InputError(
        f"the cache of {run} is not in {os.path.normpath(named)}",
        expected=" or ".join(["it there", *(str(place / named.name) for place in above)]),
        remedy="--cache FOLDER",
    )
