"""Reads the backbone's arrays from the files Keras writes, and proves that none is missing.

Keras silently loads nothing from several of these files. So this module reads plain copies of them,
with h5py alone. It never runs or deserializes anything in a file.
"""

import itertools
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import h5py
import numpy as np

from jaxreg.backbone.plain_hdf5 import UnusableFile
from jaxreg.backbone.weight_copy import plain_copy
from jaxreg.errors import InputError

Kind = Literal["convolution", "normalization"]

_EXPECTED = (
    "InceptionV3 as Keras saves it (.weights.h5, .h5, .keras), with or without its top, "
    "or a model that holds it as one layer"
)
_REMEDY = 'save the backbone alone: model.get_layer("inception_v3").save_weights("x.weights.h5")'


class _Unusable(UnusableFile):
    """The reason why a file cannot supply the backbone, and how many arrays it could supply."""

    def __init__(self, reason: str, supplied: int) -> None:
        super().__init__(reason)
        self.supplied = supplied


@dataclass(frozen=True)
class Slot:
    """One layer of the network that needs arrays."""

    name: str  # the layer's, in the network that was built
    kind: Kind
    shapes: tuple[tuple[int, ...], ...]  # (kernel,), or (beta, moving mean, moving variance)

    @property
    def number(self) -> int:
        """The number Keras gave the layer when it was created: 0 for `conv2d`, 7 for `conv2d_7`."""
        return _number(self.name)


@dataclass(frozen=True)
class _Stack:
    """Layers found together in a file."""

    layers: dict[Kind, list[list[h5py.Dataset]]]  # each layer's arrays, in the order of a Slot
    by_creation: bool  # sorted by the layers' own numbers, not as in model.layers


def read_arrays(path: Path, identity: str, slots: Sequence[Slot]) -> dict[str, list[np.ndarray]]:
    """The arrays of every slot, float32, by the slot's name.

    Args:
        path: a `.weights.h5`, `.h5` or `.keras` file.
        identity: the SHA-256 the file is known by, 64 hex.
        slots: the network's layers with weights, in the order of `model.layers`.

    Raises:
        InputError: the file has changed, is damaged, holds code, or lacks an array; the message has
            the number of arrays that it could supply.
    """
    try:
        with plain_copy(path, identity) as copy, h5py.File(copy, "r") as file:
            return _read(_stacks(file), slots)
    except UnusableFile as error:
        reason, supplied = str(error), getattr(error, "supplied", 0)
    except (OSError, LookupError, RuntimeError, ValueError) as error:
        reason, supplied = f"damaged, or no file of Keras ({' '.join(str(error).split())})", 0
    raise InputError(
        f"{path} supplies {supplied} of the {_count(slots)} arrays of the backbone: {reason}",
        expected=_EXPECTED,
        remedy=_REMEDY,
    )


def _read(stacks: Sequence[_Stack], slots: Sequence[Slot]) -> dict[str, list[np.ndarray]]:
    total = _count(slots)
    matches = [_match(stack, slots) for stack in stacks]
    supplied = [sum(map(_agreeing, match)) for match in matches]
    if total not in supplied:
        raise _Unusable("the rest are absent or of another shape", max(supplied, default=0))
    if supplied.count(total) > 1:
        raise _Unusable("it holds the backbone more than once", total)
    arrays = {
        slot.name: [np.asarray(dataset, np.float32) for dataset in datasets]
        for slot, datasets in matches[supplied.index(total)]
    }
    finite = sum(bool(np.isfinite(array).all()) for layer in arrays.values() for array in layer)
    if finite < total:
        raise _Unusable("the rest hold NaN or infinity", finite)
    return arrays


def _count(slots: Sequence[Slot]) -> int:
    return sum(len(slot.shapes) for slot in slots)


def _match(stack: _Stack, slots: Sequence[Slot]) -> list[tuple[Slot, list[h5py.Dataset]]]:
    """Each slot with the arrays in its place; layers after the backbone's last are a head's."""
    if stack.by_creation:
        slots = sorted(slots, key=lambda slot: slot.number)
    found = {kind: iter(layers) for kind, layers in stack.layers.items()}
    return [(slot, next(found.get(slot.kind, iter(())), [])) for slot in slots]


def _agreeing(match: tuple[Slot, list[h5py.Dataset]]) -> int:
    """How many arrays of one layer have the right shape. None is read before all agree."""
    slot, datasets = match
    if len(datasets) != len(slot.shapes):
        return 0
    return sum(
        dataset.shape == shape and dataset.dtype.kind == "f"
        for dataset, shape in zip(datasets, slot.shapes, strict=True)
    )


def _stacks(file: h5py.File) -> list[_Stack]:
    if "model_weights" in file:
        return _legacy_stacks(_group(file, "model_weights"))
    if "layer_names" in file.attrs or "layer_names0" in file.attrs:
        return _legacy_stacks(file)
    return _keras3_stacks(file)


def _keras3_stacks(file: h5py.File) -> list[_Stack]:
    """`.weights.h5` and `.keras`: a group per layer, named by class and place in model.layers.

    So `layers/conv2d_5/vars/0` is the kernel of the sixth Conv2D of `model.layers`, whatever that
    layer's own name; those of an inner model lie in its own group (keras/src/saving/saving_lib.py).
    """
    parents: dict[str, dict[str, h5py.Group]] = defaultdict(dict)

    def visit(path: str, item: h5py.Group | h5py.Dataset) -> None:
        parent, _, name = path.rpartition("/")
        if isinstance(item, h5py.Group) and "vars" in item and _kind_by_name(name):
            parents[parent][name] = _group(item, "vars")

    file.visititems(visit)
    stacks = []
    for variables in parents.values():
        layers: dict[Kind, list[list[h5py.Dataset]]] = defaultdict(list)
        for name, group in sorted(variables.items(), key=lambda item: _number(item[0])):
            if kind := _kind_by_name(name):
                keys = sorted(map(str, group), key=int)
                layers[kind].append([_dataset(group, key) for key in keys])
        stacks.append(_Stack(layers, by_creation=False))
    return stacks


def _kind_by_name(name: str) -> Kind | None:
    kinds: dict[str, Kind] = {"conv2d": "convolution", "batch_normalization": "normalization"}
    return kinds.get(re.sub(r"_\d+$", "", name))


def _legacy_stacks(root: h5py.Group) -> list[_Stack]:
    """Older `.h5`: `layer_names` in the order of model.layers; an inner model is one such layer.

    An inner model's arrays stand trainable first, then frozen, so only its layers' own names tell
    their order (keras/src/legacy/saving/legacy_h5_format.py).
    """
    outer: dict[Kind, list[list[h5py.Dataset]]] = defaultdict(list)
    stacks = [_Stack(outer, by_creation=False)]
    for name in _names(root, "layer_names"):
        inner = _legacy_layers(_group(root, name))
        if len(inner) == 1:
            [datasets] = inner.values()
            outer[_kind_by_rank(datasets)].append(datasets)
        elif inner:
            layers: dict[Kind, list[list[h5py.Dataset]]] = defaultdict(list)
            for layer in sorted(inner, key=_number):
                layers[_kind_by_rank(inner[layer])].append(inner[layer])
            stacks.append(_Stack(layers, by_creation=True))
    return stacks


def _legacy_layers(group: h5py.Group) -> dict[str, list[h5py.Dataset]]:
    """Each convolution and normalization in a group, by name, with its arrays in a Slot's order."""
    layers: dict[str, list[h5py.Dataset]] = defaultdict(list)
    for name in _names(group, "weight_names"):
        layers[name.rpartition("/")[0]].append(_dataset(group, name))
    return {
        layer: datasets
        for layer, datasets in layers.items()
        if datasets[0].ndim == 4 or [dataset.ndim for dataset in datasets] == [1, 1, 1]
    }


def _kind_by_rank(datasets: Sequence[h5py.Dataset]) -> Kind:
    return "convolution" if datasets[0].ndim == 4 else "normalization"


def _names(group: h5py.Group, attribute: str) -> list[str]:
    """A list of names; a long one is spread over attributes with a number at the end."""
    numbered = itertools.takewhile(
        group.attrs.__contains__, (f"{attribute}{part}" for part in itertools.count())
    )
    parts = [attribute] if attribute in group.attrs else numbered
    names = [name for part in parts for name in np.asarray(group.attrs[part])]
    return [_text(name) for name in names]


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _group(parent: h5py.Group, name: str) -> h5py.Group:
    if not isinstance(item := parent[name], h5py.Group):
        raise UnusableFile(f"{name} is not a group of arrays")
    return item


def _dataset(parent: h5py.Group, name: str) -> h5py.Dataset:
    if not isinstance(item := parent[name], h5py.Dataset):
        raise UnusableFile(f"{name} is not an array")
    return item


def _number(name: str) -> int:
    digits = re.search(r"_(\d+)$", name)
    return int(digits[1]) if digits else 0
