"""Checkpoints of a training's state: Orbax, in the background, each proved whole by its digests.

`checkpoints/<epoch>/` is Orbax's, with a folder for each part of a state: `head` is what predicts,
`training` is what only a training that goes on needs. `<epoch>.json` beside it says of which run
and which format the state is, and holds the SHA-256 of its files; it is written last, so a
checkpoint without one, or with other bytes, is not whole.
"""

import shutil
import time
from collections.abc import Callable, Container, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
from orbax.checkpoint import v1 as ocp

from jaxreg.common.files import file_sha256, make_folder
from jaxreg.common.json_files import read_json, write_json
from jaxreg.errors import InputError
from jaxreg.training.resume import Record, refuse_differences

STATE_FORMAT = {"mlp": 6, "ridge": 6, "blend": 7}
"""By head; goes up with every change of what its state is or how training goes on from one.
Releases that share it go on with each other's runs; another one's is refused, for its bits would be
others. Finished runs of any number predict, and are diagnosed."""

KEPT = 2  # checkpoints while a run trains: a damaged latest falls back to the one before it
COST = 0.03  # a save takes at most so much of the time since the one before it
FIRST_SAVE = 0.03, 1e-8  # seconds, and seconds per byte, that the first save is expected to take

PARTS = ("head", "training")
_LATER = "['blend']['even']"  # since format 7 of a blend
_TRAINING = (".params", ".opt_state")  # names of leaves; everything else is part of `head`


_PROOF = {"state": int, "jaxreg": str, "run": Record, "files": dict[str, str], "history": str}


class Saved(NamedTuple):
    """A checkpoint that was read."""

    epoch: int
    state: Any
    history: str  # the text of history.csv up to this epoch


class Checkpoints:
    """The stream of states of a run in `folder`; `record` is its config.json."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder.absolute()
        self.record = record
        self._thread = ThreadPoolExecutor(1, "checkpoint")
        self._saving: Future[None] | None = None
        self._began = time.perf_counter()
        self._seconds = 0.0  # that the last save took; 0 before the first one
        self._damaged: set[int] = set()  # epochs whose checkpoints `load` passed over
        self._latest = -1  # the epoch of the state that was saved or loaded last

    def due(self, state: Any) -> bool:
        """Whether a save now takes at most `COST` of the time since the last one."""
        if self._saving is not None and not self._saving.done():
            return False
        fixed, per_byte = FIRST_SAVE
        expected = self._seconds or fixed + per_byte * sum(x.nbytes for x in jax.tree.leaves(state))
        return expected <= COST * (time.perf_counter() - self._began)

    def save(self, epoch: int, state: Any, history: str = "") -> None:
        """Begin to save a pytree of arrays; it is copied first, so its buffers may be donated.

        `history` is the text of history.csv up to this epoch. The state that was saved or loaded
        last is not saved again.
        """
        self.wait()
        if epoch == self._latest:
            return
        self._latest = epoch
        self._began = time.perf_counter()
        parts = _parts({name: np.array(leaf) for name, leaf in _named_leaves(state)})
        self._saving = self._thread.submit(self._save, epoch, parts, history)

    def keep_latest(self) -> None:
        """Finish the save that is under way, then remove the checkpoints before it."""
        self.wait()
        self._keep_only([self._latest])

    def wait(self) -> None:
        """Finish the save that is under way.

        Raises:
            InputError: it could not be written.
        """
        saving, self._saving = self._saving, None
        if saving is not None:
            saving.result()

    def _save(self, epoch: int, parts: dict[str, dict[str, np.ndarray]], history: str) -> None:
        """In the background: Orbax, then the digests that make it count, then the old ones go."""
        self._drop(epoch)  # left behind by a run that was killed before its digests were written
        try:
            make_folder(self.folder)
            with _quiet():
                ocp.save_checkpointables(str(self._path(epoch)), parts)
            digests = _digests(self._path(epoch), PARTS)
        except (OSError, ValueError) as error:  # tensorstore reports a full disk as ValueError
            raise InputError(
                f"cannot write the checkpoint {self._path(epoch)}: {str(error)[:80]}",
                remedy="free some space, and add --resume",
            ) from error
        proof = {
            "state": _state_format(self.record),
            "jaxreg": version("jaxreg"),
            "run": self.record,
            "files": digests,
            "history": history,
        }
        write_json(self._proof(epoch), proof)
        # later ones are damaged: this run went on from before them
        self._damaged.discard(epoch)
        whole = [known for known in self.epochs() if known <= epoch and known not in self._damaged]
        self._keep_only(whole[-KEPT:])
        self._seconds = time.perf_counter() - self._began

    def _keep_only(self, kept: Sequence[int]) -> None:
        folders = {int(path.name) for path in self.folder.iterdir() if path.name.isdecimal()}
        for old in {*folders, *self.epochs()} - {*kept}:
            self._drop(old)

    def _drop(self, epoch: int) -> None:
        self._proof(epoch).unlink(missing_ok=True)
        shutil.rmtree(self._path(epoch), ignore_errors=True)

    def epochs(self) -> list[int]:
        """The epochs after which there is a finished checkpoint, whole or damaged, in order."""
        return sorted(
            int(path.stem) for path in self.folder.glob("*.json") if path.stem.isdecimal()
        )

    def files_to_predict(self) -> list[Path]:
        """The files of the latest checkpoint, whole or damaged, that predicting needs."""
        latest = self.epochs()[-1:]
        heads = [self._path(e) / name for e in latest for name in _digests(self._path(e), ["head"])]
        return [*map(self._proof, latest), *heads]

    def load(
        self, template: Any, warn: Callable[[str], None], *, goes_on: bool = False
    ) -> Saved | None:
        """The latest whole checkpoint, None if there is none.

        Args:
            template: a pytree like the one saved; only its structure, shapes and dtypes matter.
                Without `params` and `opt_state` nothing of the part `training` is read.
            warn: gets a line for each damaged checkpoint that is passed over.
            goes_on: whether training goes on from it.

        Raises:
            InputError: the checkpoint is of another run, its arrays are not those of the template,
                or training goes on from it and its state is of another format; what differs is
                named.
        """
        epochs, wanted = self.epochs(), _parts(dict(_named_leaves(template)))
        for epoch in reversed(epochs):
            path = self._path(epoch)
            proof = self._whole_proof(epoch, wanted)
            if proof is None:
                use = "the one before it is used" if epoch > epochs[0] else "training starts again"
                warn(f"checkpoint {path} is damaged; {use}")
                self._damaged.add(epoch)
                continue
            if goes_on:  # a head predicts whatever comes after it
                _check_format(path, proof)
            refuse_differences(proof["run"], self.record, f"checkpoint {path}")
            later: dict[str, Any] = {}
            for part, leaves in wanted.items():  # of one part alone: others may be damaged
                there = ocp.metadata(str(path), part).metadata
                later |= {} if goes_on else _later(leaves, there)
                wanted[part] = {name: leaf for name, leaf in leaves.items() if name not in later}
                _compare(path, there, wanted[part])
            abstract = {
                part: {name: np.empty(np.shape(x), x.dtype) for name, x in leaves.items()}
                for part, leaves in wanted.items()
            }
            found = ocp.load_checkpointables(str(path), abstract)
            leaves = {name: leaf for part in found.values() for name, leaf in part.items()} | later
            structure = jax.tree.structure(template)
            names = [name for name, _ in _named_leaves(template)]
            state = jax.tree.unflatten(structure, [leaves[name] for name in names])
            self._latest = epoch
            return Saved(epoch, state, proof["history"])
        return None

    def damaged(self) -> list[Path]:
        """The checkpoints that are not what was saved."""
        return [
            self._path(epoch) for epoch in self.epochs() if self._whole_proof(epoch, PARTS) is None
        ]

    def _whole_proof(self, epoch: int, parts: Container[str]) -> dict[str, Any] | None:
        """What stands beside a checkpoint, None if that or one of these parts is damaged."""
        try:
            proof = read_json(self._proof(epoch), _PROOF, expected="", again="")
            others = tuple(f"{part}/" for part in PARTS if part not in parts)
            files = {n: digest for n, digest in proof["files"].items() if not n.startswith(others)}
            there = _digests(self._path(epoch), parts)
            # a file beside them, as a file manager leaves it, is no damage
            return proof if files.items() <= there.items() else None
        except (OSError, InputError):
            return None

    def _path(self, epoch: int) -> Path:
        return self.folder / f"{epoch:06d}"

    def _proof(self, epoch: int) -> Path:
        return self.folder / f"{epoch:06d}.json"


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence Orbax, which logs the traceback of each error that it raises."""
    from absl import logging

    before = logging.get_verbosity()
    logging.set_verbosity(logging.FATAL)
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _named_leaves(state: Any) -> list[tuple[str, Any]]:
    """Names as `.params['output']['bias']`: what an error can point at."""
    return [(jax.tree_util.keystr(path), leaf) for path, leaf in jax.tree.leaves_with_path(state)]


def _parts(leaves: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts of a state that have leaves."""
    parts: dict[str, dict[str, Any]] = {}
    for name, leaf in leaves.items():
        part = "training" if name.startswith(_TRAINING) else "head"
        parts.setdefault(part, {})[name] = leaf
    return parts


def _later(wanted: dict[str, Any], there: Container[str]) -> dict[str, Any]:
    """Zeros for what states of earlier formats lack, and only a training needs."""
    lacks = [name for name in wanted if name.endswith(_LATER) and name not in there]
    return {name: np.zeros(wanted[name].shape, wanted[name].dtype) for name in lacks}


def _digests(folder: Path, parts: Container[str]) -> dict[str, str]:
    """The SHA-256 of the files of some parts, and of those that stand beside the parts."""
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {
        path.as_posix(): file_sha256(folder / path)
        for path in files
        if len(path.parts) == 1 or path.parts[0] in parts
    }


def _state_format(record: Record) -> int:
    """That of the head of a run."""
    return STATE_FORMAT[record["settings"]["head"]]


def _check_format(path: Path, proof: dict[str, Any]) -> None:
    own = _state_format(proof["run"])
    if proof["state"] != own:
        there, here = proof["jaxreg"], version("jaxreg")
        again = "--overwrite in place of --resume, which trains the run from its first epoch"
        raise InputError(
            f"{path} is a state of format {proof['state']}, by jaxreg {there}",
            expected=f"format {own}, as jaxreg {here} writes it",
            remedy=again if there == here else f"pip install jaxreg=={there}",
        )


def _compare(path: Path, there: dict[str, Any], wanted: dict[str, Any]) -> None:
    if names := sorted(there.keys() ^ wanted.keys()):
        raise InputError(
            f"{path} and this run differ in which arrays there are: {names[0]}",
            expected="a checkpoint of the same head, by the same version of jaxreg",
        )
    for name, leaf in wanted.items():
        found = tuple(there[name].shape), np.dtype(there[name].dtype)
        if found != (np.shape(leaf), leaf.dtype):
            raise InputError(
                f"{path} has {name} of shape {found[0]} and {found[1]}",
                expected=f"shape {np.shape(leaf)} and {leaf.dtype}, as these features and settings",
            )
