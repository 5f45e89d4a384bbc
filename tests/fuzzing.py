"""Odd input by seed: damaged bytes, unexpected values, and what is done with them."""

import os
import random
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from jaxreg.cache.dataset_table import make_dataset
from jaxreg.cache.datasets import read_dataset, write_dataset
from jaxreg.cache.recipe import Column
from jaxreg.cache.store import Cache
from jaxreg.errors import InputError, JaxregError
from jaxreg.experiment.choose import choose_targets, numbers
from jaxreg.experiment.choose_split import places
from jaxreg.extract_config import ExtractConfig, SourceOptions
from jaxreg.sources import open_source, pixels
from jaxreg.sources.examples import Examples
from jaxreg.sources.pixels import UnusableImage
from jaxreg.splits import split_folds, split_rows
from jaxreg.train_config import TrainConfig

LONG = "x" * 300
OUR_FAULTS = (LookupError, TypeError, AttributeError, AssertionError, NameError, StopIteration)
ODD_NAMES = (
    *("", " ", ".", "..", "/", "-", "a/b", "../a", "a\0b", "a\nb", "\ud800", "ä" * 100, LONG),
    *("\U0001f600" * 80, "~nobody/x", "con", "a b", "--x", "%s{0}", "x" * 5000, "y/" * 3000 + "z"),
)
"""Names that some file system, shell, encoding or parser does not take."""

ODD_NUMBERS = (
    *("0", "-1", "1", "2", "99999999999999999999", "1e30", "1e400", "nan", "inf", "-inf", "0.5"),
    *("2147483648", "4294967296", "9223372036854775807", "1e-320", "-0.0", "1_000", "\uff10\uff11"),
)


def damaged(content: bytes, rng: random.Random) -> bytes:
    """The content with a few bytes changed, left out, put in or repeated, or with its end cut."""
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        at = rng.randrange(len(data)) if data else 0
        if rng.random() < 0.3:  # headers are where structure is
            at = min(at, rng.randrange(200))
        until = at + rng.choice((1, 1, 2, 4, 16, 200))
        kind = rng.randrange(6)
        if kind == 0:
            data[at:until] = bytes(
                rng.choice((0, 255, rng.randrange(256))) for _ in range(until - at)
            )
        elif kind == 1 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2:
            del data[at:until]
        elif kind == 3:
            data[at:at] = rng.randbytes(until - at)
        elif kind == 4:
            data[at:at] = data[at:until]
        else:
            del data[at:]
    return bytes(data)


def odd_json(rng: random.Random, depth: int = 0) -> Any:
    """A value that JSON holds and that few programs expect."""
    plain = (
        *(None, True, False, 0, -1, 1, 2**53 + 1, 2**63, -(2**70), 1.5, 1e308, float("nan")),
        *(float("inf"), "", "x", "\ud800", "a\0b", "12", "2024-05-06", LONG, [], {}, [1], {"a": 1}),
    )
    if depth < 2 and rng.random() < 0.2:
        inner = [odd_json(rng, depth + 1) for _ in range(rng.randrange(4))]
        return inner if rng.random() < 0.5 else dict(zip("abcd", inner, strict=False))
    return rng.choice(plain)


def changed(value: Any, rng: random.Random) -> Any:
    """JSON with one of its values, at any depth, replaced or left out."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        name = rng.choice(list(value))
        left = {key: part for key, part in value.items() if key != name}
        return left if rng.random() < 0.15 else {**left, name: changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.7:
        at = rng.randrange(len(value))
        return [
            *value[:at],
            *([] if rng.random() < 0.2 else [changed(value[at], rng)]),
            *value[at + 1 :],
        ]
    return odd_json(rng)


def survives(call: Callable[[], Any]) -> Any:
    """What a call returns; None if it ends by an error for the user.

    A message that was made of an exception which only a fault in jaxreg can raise is none.
    """
    try:
        return call()
    except JaxregError as error:
        cause = error.__cause__
        if isinstance(cause, OUR_FAULTS) and f"{type(cause).__name__}: " in str(error):
            frame = traceback.extract_tb(cause.__traceback__)[-1]
            assert f"{os.sep}jaxreg{os.sep}" not in frame.filename, f"{cause!r} at {frame}"
        return None


def use_source(spec: Path | str, options: SourceOptions, folder: Path) -> Examples | None:
    """Open a source, decode its images, keep it as a dataset and make arrays and splits of it."""
    examples = survives(lambda: open_source(spec, options))
    if examples is not None:
        survives(lambda: _use(examples, options, folder))
    return examples


def _use(examples: Examples, options: SourceOptions, folder: Path) -> None:
    digests: list[str | None] = []
    for place in range(len(examples)):
        try:
            content = pixels.read(examples.images[place])
            pixels.decode(content)
            digests.append(pixels.digest(content))
        except (UnusableImage, InputError):
            digests.append(f"{place:064x}")  # as if it could be used: its row is what counts
    cache, column = Cache(folder / "cache"), Column()
    made = make_dataset(
        "odd",
        examples,
        digests,
        feature_set="none",
        columns=[column],
        opened="odd",
        options=options,
        settings=ExtractConfig(),
    )
    write_dataset(cache, made)
    dataset = read_dataset(cache, "odd")
    assert dataset.ids == list(examples.ids)
    assert dataset.extract_command()
    survives(lambda: choose_targets(cache, dataset, TrainConfig()))
    for name in dataset.numeric_columns:
        values = survives(lambda name=name: numbers(dataset, name))
        assert values is None or (values.dtype == np.float64 and len(values) == len(dataset))
    common: Any = {"digests": dataset.digests, "ids": dataset.ids, **places(dataset), "seed": 0}
    common |= {"validation": 0.2, "gap": 0.01}
    columns = [f"group:{name}" for name in dataset.table.column_names]
    for kind in ("hash", "tail", "blocks", "blocks:3", *columns[:20]):
        survives(lambda kind=kind: split_rows(kind, test=0.1, **common))
        survives(lambda kind=kind: split_folds(3, kind, **common))
