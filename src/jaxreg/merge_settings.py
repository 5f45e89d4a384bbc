"""Which settings win: flags and keywords, then `--config`, then `--preset`, then the rest.

The rest are the defaults, or with `--resume` the settings of the run.
"""

import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jaxreg.common.json_files import FORMAT, content_digest, load_json, reason_of
from jaxreg.config_io import fields_of
from jaxreg.errors import InputError, nearest_option
from jaxreg.train_config import PRESETS, HeadConfig


def merge(
    *,
    resumed: Mapping[str, Any] | None = None,
    preset: Mapping[str, Any] | None = None,
    file: Mapping[str, Any] | None = None,
    given: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """All that was said of some settings; a later one of these sources wins.

    This is the one place that decides for the command line, the Python API, `--config`,
    `--preset` and `--resume`. What nobody said is left out: the settings class has the default.

    Args:
        resumed: the settings of a run that goes on.
        preset: as `preset_settings` gives them.
        file: the settings of a `--config` file.
        given: flags, or keywords of the Python API.

    Raises:
        InputError: one source has columns as well as layers or a pool, which say the same.
    """
    merged: dict[str, Any] = {}
    for said in (preset or {}, file or {}, given or {}):
        parts = [name for name in ("layers", "pool") if said.get(name)]
        if said.get("columns") and parts:
            others = " and ".join(f"--{name}" for name in parts)
            raise InputError(
                f"--columns with {others}",
                expected="--columns, which names a pool with each layer, or --layers and --pool",
                remedy=f"leave out --columns, or leave out {others}",
            )
        for name in ("layers", "pool") if said.get("columns") else ("columns",) if parts else ():
            merged.pop(name, None)
        if said.get("loss", "huber") != "huber":
            merged.pop("huber_delta", None)  # of another loss
        merged |= said
    if resumed is not None:
        own: dict[str, Any] = {"layers": (), "pool": None} if merged.get("columns") else {}
        if merged.get("loss", "huber") != "huber":
            own["huber_delta"] = None
        merged = {**resumed, **own, **merged}
    return merged


def preset_settings(preset: str | None) -> dict[str, Any]:
    """The settings of a preset of `train`, nothing for None.

    Of the head, every setting that any preset decides is in it, so that `--resume` with another
    preset is another run.

    Raises:
        InputError: there is no such preset.
    """
    if preset is None:
        return {}
    check_preset(preset, PRESETS)
    head = fields_of(HeadConfig, HeadConfig())
    decided = {name for said in PRESETS.values() for name in said if name in head}
    return {**{name: head[name] for name in decided}, **PRESETS[preset]}


def check_preset(preset: str, presets: Mapping[str, Any]) -> None:
    """Raise InputError if there is no such preset; the nearest is named."""
    if preset not in presets:
        raise InputError(
            f"no preset {preset!r}",
            expected=" or ".join(presets),
            remedy=nearest_option("--preset", preset, presets),
        )


def read_settings(path: Path) -> dict[str, Any]:
    """The settings in a `--config` file: `asked` of a run, or `settings` of a hand-written file.

    Raises:
        InputError: it is absent, not JSON, of another format, has no settings, or was changed
            since its SHA-256 was written.
    """
    expected = f'a JSON file {{"format": {FORMAT}, "settings": {{…}}}}, or a run\'s config.json'
    try:
        content = load_json(path)
    except FileNotFoundError:
        raise InputError(f"no {path}", expected=expected) from None
    except (OSError, ValueError) as error:
        what = f"{path} cannot be read: {reason_of(error)}"
        raise InputError(what, expected=expected) from None
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputError(f"{path} is not of format {FORMAT}", expected=expected)
    if content.get("sha256", digest := content_digest(content)) != digest:
        raise InputError(
            f"{path} is damaged, or was changed: its SHA-256 is not that of its content",
            remedy="take the line sha256 out of it, if you changed the file yourself",
        )
    settings = content.get("asked", content.get("settings"))
    if not isinstance(settings, dict):
        found = reprlib.repr(settings)
        raise InputError(f"the settings in {path} are {found}", expected=expected)
    return settings
