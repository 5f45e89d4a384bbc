"""What an ONNX file is made of, before a library reads it: one file, and one model.

The numbers of the fields are those of onnx.proto (https://github.com/onnx/onnx); the encoding is
that of protocol buffers.
"""

from typing import Any

from jaxreg.backbone.plain_hdf5 import UnusableFile

MOST_PARTS = 3_000_000
"""Fields of all messages in a file. A network of 1,500 operations has some 30,000."""

MOST_DEPTH = 60  # messages within each other

PARTS: dict[str, dict[int, str]] = {
    "ModelProto": {7: "GraphProto", 20: "TrainingInfoProto", 25: "FunctionProto"},
    "TrainingInfoProto": {1: "GraphProto", 2: "GraphProto"},
    "FunctionProto": {7: "NodeProto", 11: "AttributeProto"},
    "GraphProto": {1: "NodeProto", 5: "TensorProto", 15: "SparseTensorProto"},
    "NodeProto": {5: "AttributeProto"},
    "AttributeProto": {
        5: "TensorProto",
        6: "GraphProto",
        10: "TensorProto",
        11: "GraphProto",
        22: "SparseTensorProto",
        23: "SparseTensorProto",
    },
    "SparseTensorProto": {1: "TensorProto", 2: "TensorProto"},
    "TensorProto": {},
}
"""Of each message the fields that hold a tensor, or lead to one."""

IR_VERSION, GRAPH = 1, 7  # of ModelProto
EXTERNAL_DATA, DATA_LOCATION = 13, 14  # of TensorProto

EXTERNAL = (
    "its numbers are in another file (external data), which the SHA-256 of this one does not cover"
)

_OTHERS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file, as Keras writes it: --weights FILE takes it",
    b"PK\x03\x04": "a zip",
    b"version https://git-lfs": "a pointer of Git LFS: git lfs pull gets the file itself",
    b"<?xml": "a model of OpenVINO, or other XML",
}


def check_onnx(content: bytes) -> None:
    """Raise UnusableFile for what is no ONNX model, or is not whole without another file.

    Nothing is decoded but the numbers and lengths of fields.
    """
    for start, what in _OTHERS.items():
        if content.startswith(start):
            raise UnusableFile(f"no ONNX model: it is {what}")
    found = _Found(content)
    found.look()
    if not {IR_VERSION, GRAPH} <= found.of_model:
        raise UnusableFile("no ONNX model: it has no graph, or does not say its version")


class _Found:
    """The messages of a file that are still to be looked at."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.waiting = [("ModelProto", 0, len(content), 0)]  # message, begin, end, depth
        self.of_model: set[int] = set()
        self.parts = 0

    def look(self) -> None:
        while self.waiting:
            message, begin, end, depth = self.waiting.pop()
            if depth > MOST_DEPTH:
                raise UnusableFile(f"it holds more than {MOST_DEPTH} messages within each other")
            at = begin
            while at < end:
                at = self._field(message, at, end, depth)

    def _field(self, message: str, at: int, end: int, depth: int) -> int:
        """Look at one field; returns where the next one begins."""
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise UnusableFile(f"it holds more than {MOST_PARTS:,} parts")
        tag, at = self._number(at, end)
        number, kind = tag >> 3, tag & 7
        value: Any = None
        begin = at
        if kind == 0:
            value, at = self._number(at, end)
        elif kind == 2:
            length, begin = self._number(at, end)
            at = begin + length
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        if number == 0 or kind not in (0, 1, 2, 5) or at > end:
            raise UnusableFile("damaged, or no ONNX model")
        if message == "ModelProto":
            self.of_model.add(number)
        if message == "TensorProto" and (
            number == EXTERNAL_DATA or (number == DATA_LOCATION and value)
        ):
            raise UnusableFile(EXTERNAL)
        if kind == 2 and (inner := PARTS[message].get(number)):
            self.waiting.append((inner, begin, at, depth + 1))
        return at

    def _number(self, at: int, end: int) -> tuple[int, int]:
        """A number of variable length, and where it ends."""
        value = 0
        for shift in range(0, 70, 7):
            if at >= end:
                break
            byte = self.content[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                return value, at
        raise UnusableFile("damaged, or no ONNX model")
