"""Runs as event files, which TensorBoard shows. TensorFlow is not imported."""

import io
import struct
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from jaxreg.common.files import make_folder, remove, write_whole
from jaxreg.common.steps import counted
from jaxreg.errors import InputError
from jaxreg.tracking.flat_values import Plain
from jaxreg.tracking.logged_run import LoggedRun, Training, Trial, encodable
from jaxreg.tracking.tracker import Logged, require_extra

_MARK = ".jaxreg."  # in the names of the files that jaxreg wrote


def write_event_files(run: LoggedRun, folder: Path, *, overwrite: bool = False) -> Logged:
    """Write a run below a folder of TensorBoard, each member and each trial into a folder there.

    The file of the run itself comes last. So a run whose file is there is whole.

    Args:
        run: what to write.
        folder: that TensorBoard is given.
        overwrite: replace what was written of a run of this name.

    Raises:
        InputError: the tensorboard package is not installed; the files of another run are in the
            way; the folder cannot be written.
    """
    require_extra("tensorboard", "tensorboard")
    place = folder / encodable(run.name)
    own = f"{_MARK}{run.digest[:16]}"
    there = list(place.rglob(f"events.out.tfevents.*{_MARK}*")) if place.is_dir() else []
    if not overwrite:
        if any(file.parent == place and file.name.endswith(own) for file in there):
            return Logged(str(run.path), str(place), False, len(run.trials))
        if any(not file.name.endswith(own) for file in there):
            raise InputError(
                f"{place} has another training, or another run of this name",
                expected="a folder in which no other run has the name",
                remedy="add --overwrite to replace it, or use another --out",
            )
    for file in there if overwrite else ():
        remove(file)
    make_folder(place)
    name = f"events.out.tfevents.{int(run.started)}{own}"
    for trial in counted("writing trials", run.trials, "trials"):
        write_whole(place / "trials" / trial.name / name, _trial_file(run, trial))
    for training in run.trainings:
        if training.name:
            write_whole(place / training.name / name, _member_file(run, training))
    write_whole(place / name, _run_file(run))
    return Logged(str(run.path), str(place), True, len(run.trials))


def _run_file(run: LoggedRun) -> bytes:
    file = _EventFile(run.started)
    file.add_settings(run.name, run.parameters, run.started)
    for training in run.trainings:
        if not training.name:
            _add_epochs(file, training)
    for name, value in run.scores.items():
        file.add_scalar(name if "/" in name else f"score/{name}", value, 0, run.ended)
    lines = [f"| {name} | {_cell(text)} |" for name, text in run.tags.items()]
    file.add_text("verdict", run.note, run.ended)
    file.add_text("about", "\n".join(["| what | value |", "|---|---|", *lines]), run.ended)
    for path in run.files:
        if path.suffix == ".png":
            file.add_image(f"plots/{encodable(path.stem)}", path.read_bytes(), run.ended)
    file.add_end(failed=False, time=run.ended)
    return file.content()


def _member_file(run: LoggedRun, training: Training) -> bytes:
    file = _EventFile(run.started)
    _add_epochs(file, training)
    for name, value in training.scores.items():
        file.add_scalar(f"score/{name}", value, 0, run.ended)
    return file.content()


def _trial_file(run: LoggedRun, trial: Trial) -> bytes:
    file = _EventFile(run.started)
    ended = run.started + trial.seconds
    file.add_settings(f"{run.name}/{trial.name}", trial.described, run.started)
    for name, value in trial.scores.items():
        file.add_scalar(name if "/" in name else f"score/{name}", value, 0, ended)
    file.add_end(failed=trial.status == "failed", time=ended)
    return file.content()


def _add_epochs(file: "_EventFile", training: Training) -> None:
    for epoch in training.epochs:
        for name, value in epoch.values.items():
            file.add_scalar(f"epoch/{name}", value, epoch.number, epoch.time)


def _cell(text: str) -> str:
    """A text as a cell of a Markdown table, in which nothing is HTML."""
    plain = " ".join(text.split()).replace("&", "&amp;").replace("<", "&lt;")
    return plain.replace("|", "\\|")


def _messages(name: str) -> ModuleType:
    """A module of messages, which protobuf makes when it is imported: no type checker sees them."""
    return import_module(f"tensorboard.{name}_pb2")


class _EventFile:
    """An event file in memory."""

    def __init__(self, time: float) -> None:
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event = _messages("compat.proto.event").Event
        self._summary = _messages("compat.proto.summary").Summary
        self._buffer = io.BytesIO()
        self._writer = RecordWriter(self._buffer)
        self._add(self._event(wall_time=time, file_version="brain.Event:2"))

    def content(self) -> bytes:
        return self._buffer.getvalue()

    def add_scalar(self, tag: str, value: float, step: int, time: float) -> None:
        one = self._summary.Value(tag=encodable(tag), simple_value=value)
        summary = self._summary(value=[one])
        self._add(self._event(wall_time=time, step=step, summary=summary))

    def add_text(self, tag: str, text: str, time: float) -> None:
        from tensorboard.plugins.text import metadata

        tensor = _messages("compat.proto.tensor").TensorProto(
            dtype=_messages("compat.proto.types").DT_STRING,
            string_val=[text.encode()],
            tensor_shape=_messages("compat.proto.tensor_shape").TensorShapeProto(),
        )
        about = metadata.create_summary_metadata(display_name=tag, description="")
        one = self._summary.Value(tag=tag, metadata=about, tensor=tensor)
        self._add(self._event(wall_time=time, summary=self._summary(value=[one])))

    def add_image(self, tag: str, png: bytes, time: float) -> None:
        width, height = struct.unpack(">II", png[16:24])  # the header of every PNG
        image = self._summary.Image(
            encoded_image_string=png, width=width, height=height, colorspace=4
        )
        one = self._summary.Value(tag=tag, image=image)
        self._add(self._event(wall_time=time, summary=self._summary(value=[one])))

    def add_settings(self, group: str, settings: Mapping[str, Plain], time: float) -> None:
        """A row of the table HPARAMS."""
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        plain = {
            encodable(name): encodable(value) if isinstance(value, str) else value
            for name, value in settings.items()
        }
        summary = hparams_pb(plain, trial_id=encodable(group), start_time_secs=time)
        self._add(self._event(wall_time=time, summary=summary))

    def add_end(self, *, failed: bool, time: float) -> None:
        """The status of that row."""
        from tensorboard.plugins.hparams import metadata

        status, kinds = _messages("plugins.hparams.api"), _messages("plugins.hparams.plugin_data")
        code = status.STATUS_FAILURE if failed else status.STATUS_SUCCESS
        info = kinds.SessionEndInfo(status=code, end_time_secs=time)
        data = kinds.HParamsPluginData(session_end_info=info)
        one = self._summary.Value(
            tag=metadata.SESSION_END_INFO_TAG,
            metadata=metadata.create_summary_metadata(data),
            tensor=metadata.NULL_TENSOR,
        )
        self._add(self._event(wall_time=time, summary=self._summary(value=[one])))

    def _add(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())
