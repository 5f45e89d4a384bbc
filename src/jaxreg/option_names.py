"""Words of a command that it does not know: the option or the glob that they mean."""

import dataclasses
import os
import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from jaxreg.errors import InputError, nearest

_MEANT = {
    "activation": "output-activation",
    "bs": "batch-size",
    "cross-validation": "folds",
    "cv": "folds",
    "delta": "huber-delta",
    "drop": "dropout",
    "drop-rate": "dropout",
    "early-stopping": "patience",
    "features": "feature-set",
    "force": "overwrite",
    "groups": "group-column",
    "hidden-layer-sizes": "hidden",
    "image-dir": "image-root",
    "image-size": "size",
    "img-size": "size",
    "k-fold": "folds",
    "kfold": "folds",
    "label": "target",
    "labels": "target",
    "learning-rate-init": "learning-rate",
    "lr": "learning-rate",
    "max-epochs": "epochs",
    "max-iter": "epochs",
    "model": "backbone",
    "n-components": "components",
    "n-epochs": "epochs",
    "n-folds": "folds",
    "n-iter-no-change": "patience",
    "n-splits": "folds",
    "network": "backbone",
    "num-epochs": "epochs",
    "num-folds": "folds",
    "out-dir": "run",
    "out-file": "out",
    "output": "out",
    "output-dir": "run",
    "output-file": "out",
    "pca": "components",
    "pooling": "pool",
    "pretrained": "weights",
    "random-seed": "seed",
    "random-state": "seed",
    "sample-weight": "weight-column",
    "split-by": "split",
    "test-size": "test",
    "test-split": "test",
    "tol": "min-delta",
    "train-epochs": "epochs",
    "units": "hidden",
    "val": "validation",
    "val-size": "validation",
    "val-split": "validation",
    "validation-size": "validation",
    "validation-split": "validation",
    "wd": "weight-decay",
    "y": "target",
}
"""Names that Keras, PyTorch, scikit-learn and fastai have for options."""

_NUMBERS = re.compile(r"[-+]?\.?\d\S* [-+]?\.?\d\S*$")

_DEVICE = "set JAX_PLATFORMS=cpu or JAX_PLATFORMS=cuda before the command"
_NONE = {
    "alpha": "leave it out: the ridge chooses its own alpha",
    "cpu": _DEVICE,
    "cuda": _DEVICE,
    "data": "name the dataset first, without an option",
    "dataset": "name the dataset first, without an option",
    "device": _DEVICE,
    "gpu": _DEVICE,
    "gpus": _DEVICE,
    "name": "name the dataset first, without an option",
    "l2": "use --weight-decay or --dropout against overfitting",
    "optimizer": "leave it out: the MLP trains with Adam",
}
"""Names of things that are not chosen by an option, and what to do."""


def meant(name: str) -> str:
    """The option that a word of another library means, as `batch-size`; else the word itself."""
    plain = name.replace("_", "-").lower()
    return _MEANT.get(plain, plain)


def options_of(kinds: Iterable[type], own: type | None = None) -> list[str]:
    """The options of a command, as `--batch-size`, those that switch off too."""
    names = []
    for kind in (*kinds, *([own] if own else [])):
        for field in dataclasses.fields(kind):
            if field.metadata["group"] != "positional":
                name = field.name.replace("_", "-")
                names.append(f"--{name}")
                if isinstance(field.default, bool) and kind is not own:
                    names.append(f"--no-{name}")
    return names


def refuse_unknown_options(command: str, words: Sequence[str], options: Sequence[str]) -> None:
    """Raise InputError for the first option that is not of the command, with the one it means."""
    for place, word in enumerate(words):
        name, has_value, value = word.partition("=")
        if not re.match("--?[^-0-9.]", word) or word in ("-h", "-inf", "-nan"):
            continue
        name = f"--{name.lstrip('-').replace('_', '-')}"
        if word.startswith("--") and name in (*options, "--help"):
            continue
        values = [value] if has_value else _values(words[place + 1 :])
        raise InputError(
            f"jaxreg {command} has no option {word.partition('=')[0]}",
            expected=f"one of the options that jaxreg {command} --help shows",
            remedy=_remedy(command, name, values, options),
        )


def _values(words: Sequence[str]) -> list[str]:
    """The words after an option that are its values: the first, and numbers after a number."""
    values = []
    for word in words:
        if re.match("-[^0-9.]", word) or (values and not _NUMBERS.match(f"{values[0]} {word}")):
            break
        values.append(word)
    return values


def _remedy(command: str, name: str, values: Sequence[str], options: Sequence[str]) -> str:
    """The option that is meant, with its values; or who has it; "" where nobody knows."""
    from jaxreg.extract_config import ExtractConfig, RayOptions, SourceOptions
    from jaxreg.train_config import TrainConfig

    plain = name[2:].lower()
    if "--yes" in options and plain in ("y", "f", "force"):
        return "--yes"
    of = {command: options}
    if command in ("extract", "train"):
        of.setdefault("train", options_of([TrainConfig]))
        of.setdefault("extract", options_of([ExtractConfig, SourceOptions, RayOptions]))
    for meant in (name, f"--{_MEANT.get(plain, plain)}"):
        for other in of:
            if meant in of[other]:
                flag = f"--no-{meant[2:]}" in of[other] or meant.startswith("--no-")
                said = shlex.join([meant, *([] if flag else values)])
                return said if other == command else f"give {said} to jaxreg {other}"
    plain = _MEANT.get(plain, plain)
    if plain in _NONE:
        return _NONE[plain]
    if len(plain) == 1:  # as -e
        starting = [option for option in options if option.startswith(name)]
        near = starting[0][2:] if len(starting) == 1 else None
    else:
        near = nearest(plain, [option[2:] for option in options])
    flag = near is not None and (near.startswith("no-") or f"--no-{near}" in options)
    return shlex.join([f"--{near}", *([] if flag else values)]) if near else ""


def refuse_extra_words(command: str, extra: Sequence[str], words: Sequence[str]) -> None:
    """Raise InputError for words that no argument takes: files of a glob, or words too many."""
    if not extra:
        return
    kind = os.path.splitext(extra[0])[1]
    files = [word for word in words if word in extra or (word.endswith(kind) and _is_file(word))]
    if all(map(_is_file, extra)) and len(files) > len(extra):
        raise InputError(
            f"jaxreg {command} takes one source, and there are {len(files)} files: "
            f"{files[0]}, {files[1]}{', …' * (len(files) > 2)}",
            expected="one folder, one table or one glob in quotes, which the shell leaves alone",
            remedy=f"put the glob in quotes: {shlex.quote(_glob(files))}",
        )
    raise InputError(
        f"jaxreg {command} does not use {' '.join(map(shlex.quote, extra[:5]))}",
        expected="one word for each argument; an option such as --quiet stands alone",
        remedy=f"jaxreg {command} --help",
    )


def _is_file(word: str) -> bool:
    return not word.startswith("-") and os.path.isfile(word)


def _glob(files: Sequence[str]) -> str:
    """A pattern that a shell may have turned into these files."""
    try:
        folder = os.path.commonpath([os.path.dirname(file) for file in files])
    except ValueError:  # paths from the root and from here
        folder = os.path.commonpath([os.path.dirname(os.path.abspath(file)) for file in files])
    suffixes = {Path(file).suffix for file in files}
    deeper = any(os.path.dirname(file) != folder for file in files)
    name = f"*{suffixes.pop()}" if len(suffixes) == 1 else "*"
    return os.path.join(folder, "**" if deeper else "", name)
