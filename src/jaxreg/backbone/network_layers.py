"""What a network that brings its weights says of its layers: names, shapes, pools that fit."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from jaxreg.errors import InputError

POOLS = {2: ("none",), 3: ("cls", "mean"), 4: ("avg", "max", "grid:RxC")}
"""The pools of a layer by the number of its axes: vectors, tokens, maps."""

DEFAULT_POOL = {2: "none", 4: "avg"}  # of tokens nobody can know: the first may be like the rest

_LATER = ("prefix_tokens", "channels_last", "colours")  # fields with a value where absent
_LONGEST = 100  # characters of a name; a folder is named after it
_SHOWN = 6  # inner layers in a message


@dataclass(frozen=True)
class NamedLayer:
    """A tensor of a network that can be read: floats, one row for each image."""

    layer: str  # its name in columns: letters, digits, underscores and dashes
    names: tuple[
        str, ...
    ]  # its own: in an ONNX file of the tensor and its node; the first is shown
    shape: tuple[int | None, ...]  # with the batch first; None where it is open
    output: int | None  # its place among the declared outputs

    @property
    def said(self) -> str:
        """The name and the shape, for people."""
        own = "" if self.names[0] == self.layer else f" ({self.names[0]})"
        return f"{self.layer}{own} {shape_text(self.shape)}"


@dataclass(frozen=True)
class NetworkFacts:
    """What an ONNX file or a KerasHub preset says of itself."""

    size: tuple[int | None, int | None]  # pixels, height and width; None where any will do
    uint8: bool  # the input takes whole pixels from 0 to 255
    layers: tuple[NamedLayer, ...]  # from the image on; at least one
    prefix_tokens: int | None = None  # before those of patches, the first is of the class
    channels_last: bool = False  # all maps are so; else their shapes tell (`map_axes`)
    colours: int = 3  # the axis of red, green and blue in the input of the file itself

    @property
    def outputs(self) -> list[NamedLayer]:
        """In the order of the network."""
        found = [layer for layer in self.layers if layer.output is not None]
        return sorted(found, key=lambda layer: layer.output or 0)

    def axes(self, layer: NamedLayer) -> tuple[int, int, int]:
        """The axes of rows, columns and channels of a layer that is a map."""
        return (1, 2, 3) if self.channels_last else map_axes(layer.shape, self.size)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "NetworkFacts":
        layers = (
            NamedLayer(x["layer"], tuple(x["names"]), tuple(x["shape"]), x["output"])
            for x in fields["layers"]
        )
        height, width = fields["size"]
        more = {name: fields[name] for name in _LATER if name in fields}
        return cls((height, width), fields["uint8"], tuple(layers), **more)


def shape_text(shape: Iterable[int | None]) -> str:
    """As `(?, 40, ?, ?)`."""
    return f"({', '.join('?' if side is None else str(side) for side in shape)})"


def safe_layers(names: Sequence[str]) -> list[str]:
    """For each tensor's name the layer's name in columns and folders; all are different.

    A name of ASCII letters, digits, underscores and dashes stays. Any run of other characters
    becomes one underscore, those at the ends vanish. Where two names would be equal, and where one
    is too long, a dash and the first 8 digits of the SHA-256 of the file's name follow.
    """
    wanted = [_plain(name) for name in names]
    times = Counter(wanted)
    found = []
    for name, safe in zip(names, wanted, strict=True):
        repeated = safe != name and times[safe] > 1
        if repeated or not safe or len(safe) > _LONGEST:
            digits = hashlib.sha256(name.encode(errors="replace")).hexdigest()[:8]
            safe = f"{safe[:_LONGEST]}-{digits}".lstrip("-")
        found.append(safe)
    return found


def _plain(name: str) -> str:
    if re.fullmatch("[A-Za-z0-9_-]+", name):
        return name
    return re.sub("[^A-Za-z0-9_-]+", "_", name).strip("_")


def find_layer(facts: NetworkFacts, asked: str, said: str) -> NamedLayer:
    """The layer of that name, of its own or of the file's.

    Raises:
        InputError: there is none; the message lists the outputs, then inner layers.
    """
    ways: list[Callable[[NamedLayer], Sequence[str]]] = [
        lambda layer: [layer.layer],
        lambda layer: layer.names[:1],
        lambda layer: layer.names,  # a node may have the name of another one's tensor
    ]
    for names_of in ways:
        for layer in facts.layers:
            if asked in names_of(layer):
                return layer
    near = " or ".join(_near(facts, asked))
    inner = [layer for layer in facts.layers if layer.output is None]
    step = max(1, -(-len(inner) // _SHOWN))
    some = ", ".join(layer.said for layer in inner[::step])
    more = f", and {len(inner) - len(inner[::step])} more" if step > 1 else ""
    raise InputError(
        f"{said} has no layer {asked!r}",
        expected=f"an output: {', '.join(layer.said for layer in facts.outputs) or 'none'}; "
        f"or an inner layer: {some or 'none'}{more}",
        remedy=f"use the layer {near}" if near else "",
    )


def _near(facts: NetworkFacts, asked: str, most: int = 3) -> list[str]:
    """The layers whose names hold what was asked, else those whose names are most like it."""
    names = {name.lower(): x.layer for x in facts.layers for name in (x.layer, *x.names)}
    found = [layer for name, layer in names.items() if asked and asked.lower() in name]
    found += [names[name] for name in get_close_matches(asked.lower(), names, most)]
    return list(dict.fromkeys(found))[:most]


def check_pool(pool: str, name: str, shape: Sequence[int | None]) -> None:
    """Raise InputError for a pool that does not fit the shape of its layer."""
    fits = POOLS[len(shape)]
    if pool not in fits and not (pool.startswith("grid:") and "grid:RxC" in fits):
        raise InputError(
            f"--pool {pool} on {name}, whose shape is {shape_text(shape)}",
            expected=" or ".join(fits),
        )


def map_axes(shape: Sequence[int | None], size: Sequence[int | None]) -> tuple[int, int, int]:
    """The axes of rows, columns and channels of a map, for images of a height and width.

    In both layouts rows and columns are to each other as height and width, up to a row or column.
    Where this holds for both or for none, channels come first, as in ONNX's own operations.
    """
    first, last = (2, 3, 1), (1, 2, 3)
    if not _fits(shape, first, size) and _fits(shape, last, size):
        return last
    return first


def _fits(
    shape: Sequence[int | None], axes: tuple[int, int, int], size: Sequence[int | None]
) -> bool:
    rows, columns, channels = (shape[axis] for axis in axes)
    height, width = size
    if channels is None:
        return False
    if rows is None or columns is None or height is None or width is None:
        return (rows is None) == (height is None) and (columns is None) == (width is None)
    return abs(rows * width - columns * height) <= max(height, width)
