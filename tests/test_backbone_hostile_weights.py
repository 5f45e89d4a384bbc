"""Weights files that reach outside, declare too much, or are damaged: one message, no crash."""

import hashlib
import io
import json
import os
import select
import signal
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import numpy as np
import pytest

from jaxreg.backbone import checked_process, weight_copy
from jaxreg.backbone.registry import BACKBONES
from jaxreg.backbone.weight_files import Slot, read_arrays
from jaxreg.backbone.weight_loading import load_file
from jaxreg.backbone.weights import identify_weights
from jaxreg.errors import InputError

SLOT = Slot("conv2d_5", "convolution", ((4, 4, 2, 3),))
KERNEL = np.arange(96, dtype=np.float32).reshape(SLOT.shapes[0])
PLACE = "layers/conv2d/vars/0"

Make = Callable[[h5py.File], object]


def hdf5(make: Make, **options: Any) -> bytes:
    content = io.BytesIO()
    with h5py.File(content, "w", **options) as file:
        make(file)
    return content.getvalue()


def read(path: Path, content: bytes) -> np.ndarray:
    path.write_bytes(content)
    return read_arrays(path, hashlib.sha256(content).hexdigest(), [SLOT])[SLOT.name][0]


def keras_zip(hdf5_content: bytes, config: bytes = b"{}", packing: int = 0) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive:
        archive.writestr("config.json", config)
        archive.writestr("model.weights.h5", hdf5_content)
    return content.getvalue()


def plain(file: h5py.File) -> None:
    file[PLACE] = KERNEL


def external(file: h5py.File) -> None:
    file.create_dataset(PLACE, KERNEL.shape, "f4", external=[("/etc/passwd", 0, KERNEL.nbytes)])


def external_beside(file: h5py.File) -> None:
    """In a place that no layer needs."""
    plain(file)
    file.create_dataset("optimizer/0", (4,), "f4", external=[("/etc/passwd", 0, 16)])


def virtual(source: str) -> Make:
    def make(file: h5py.File) -> None:
        layout = h5py.VirtualLayout(KERNEL.shape, "f4")
        layout[...] = h5py.VirtualSource(source, PLACE, KERNEL.shape)
        file.create_virtual_dataset(PLACE, layout)

    return make


def linked(link: object) -> Make:
    def make(file: h5py.File) -> None:
        file.create_group("layers/conv2d/vars")
        file[PLACE] = link

    return make


def cycle(file: h5py.File) -> None:
    plain(file)
    file["layers/conv2d/again"] = file["layers"]


def two_names(file: h5py.File) -> None:
    plain(file)
    file["layers/conv2d_1/vars/0"] = file[PLACE]


def of_type(dtype: object) -> Make:
    return lambda file: file.create_dataset(PLACE, (2,), dtype=dtype)


def odd_float(file: h5py.File) -> None:
    """Another exponent than NumPy's: HDF5 would give other numbers than those in the file."""
    file.create_group("layers/conv2d/vars")
    numbers = h5py.h5t.IEEE_F32LE.copy()
    numbers.set_ebias(51)
    space = h5py.h5s.create_simple(KERNEL.shape)
    array = h5py.h5d.create(file.id, PLACE.encode(), numbers, space)
    array.write(h5py.h5s.ALL, h5py.h5s.ALL, KERNEL, mtype=h5py.h5t.IEEE_F32LE)


def named_type(file: h5py.File) -> None:
    plain(file)
    file["type"] = np.dtype("f4")


def sparse(file: h5py.File) -> None:
    """Of 4 chunks one is there."""
    array = file.create_dataset(PLACE, (4, 10), "f4", chunks=(1, 10))
    array[0] = 1


def never_written(file: h5py.File) -> None:
    file.create_dataset(PLACE, KERNEL.shape, "f4")


def packed(file: h5py.File) -> None:
    file.create_dataset(PLACE, data=KERNEL, chunks=KERNEL.shape, compression="gzip")


def packed_too_short(file: h5py.File) -> None:
    """HDF5 would give whatever was in memory for the rest."""
    packed(file)
    file[PLACE].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(b"1234"))


def packed_bomb(file: h5py.File) -> None:
    """A chunk of 384 bytes that unpacks to 100 MB."""
    packed(file)
    file[PLACE].id.write_direct_chunk((0, 0, 0, 0), zlib.compress(bytes(10**8), 1))


def packed_zeros(file: h5py.File) -> None:
    """100 MB in half a megabyte, as declared."""
    options = {"compression": "gzip", "chunks": (25_000_000,)}
    array = file.create_dataset(PLACE, (25_000_000,), "f4", **options)
    array.id.write_direct_chunk((0,), zlib.compress(bytes(10**8), 1))


def other_filter(file: h5py.File) -> None:
    file.create_dataset(PLACE, data=KERNEL.astype("i4"), chunks=True, scaleoffset=7)


def short_chunk(file: h5py.File) -> None:
    array = file.create_dataset(PLACE, KERNEL.shape, "f4", chunks=KERNEL.shape)
    array.id.write_direct_chunk((0, 0, 0, 0), b"1234")


def deep(file: h5py.File) -> None:
    plain(file)
    file.create_group("/".join(["g"] * 150))


def attribute(value: object) -> Make:
    return lambda file: file.attrs.__setitem__("layer_names", value)


HOSTILE: dict[str, tuple[Make, str]] = {
    "external": (external, f"{PLACE} keeps its numbers in another file"),
    "external_beside": (external_beside, "optimizer/0 keeps its numbers in another file"),
    "virtual": (virtual("/etc/other.h5"), f"{PLACE} is a view of other arrays"),
    "virtual_of_itself": (virtual("."), f"{PLACE} is a view of other arrays"),
    "soft_loop": (linked(h5py.SoftLink("/" + PLACE)), f"{PLACE} is a link"),
    "external_link": (linked(h5py.ExternalLink("/etc/a.h5", "/x")), f"{PLACE} is a link"),
    "cycle": (cycle, "is the same object as another name"),
    "two_names": (two_names, "is the same object as another name"),
    "references": (of_type(h5py.ref_dtype), "does not hold plain numbers"),
    "regions": (of_type(h5py.regionref_dtype), "does not hold plain numbers"),
    "lists": (of_type(h5py.vlen_dtype(np.float32)), "does not hold plain numbers"),
    "records": (of_type(np.dtype([("a", "f4")])), "does not hold plain numbers"),
    "odd_float": (odd_float, "does not hold plain numbers"),
    "texts": (of_type(h5py.string_dtype()), "does not hold plain numbers"),
    "named_type": (named_type, "type is neither a group nor an array"),
    "no_shape": (lambda file: file.create_dataset(PLACE, data=h5py.Empty("f4")), "without a shape"),
    "sparse": (sparse, "does not have all its numbers in the file"),
    "never_written": (never_written, "does not have all its numbers in the file"),
    "declares_more": (
        lambda file: file.create_dataset(PLACE, (10**12,), "f4"),
        "declares 4,000,000,000,000 bytes, and the file has",
    ),
    "packed_too_short": (packed_too_short, "does not have all its numbers in the file"),
    "packed_bomb": (packed_bomb, "does not have all its numbers in the file"),
    "packed_zeros": (packed_zeros, "declares 100,000,000 bytes, and the file has"),
    "other_filter": (other_filter, r"is packed by the filters \[6\]"),
    "short_chunk": (short_chunk, "does not have all its numbers in the file"),
    "deep": (deep, "more than 100 groups within each other"),
    "name_of_bytes": (lambda file: file.create_group(b"\xff\xfe"), "UnicodeDecodeError"),
    "number_as_names": (attribute(3), "layer_names is no text"),
    "text_as_names": (attribute("conv2d"), "layer_names is no list of names"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_only_plain_arrays_in_the_file_are_read(tmp_path: Path, name: str) -> None:
    make, said = HOSTILE[name]
    with pytest.raises(InputError, match=rf"supplies 0 of the 1 arrays of the backbone: .*{said}"):
        read(tmp_path / "x.weights.h5", hdf5(make))


def test_what_is_checked_in_hdf5_is_checked_in_a_keras_file(tmp_path: Path) -> None:
    for name in ("external", "virtual", "cycle"):
        make, said = HOSTILE[name]
        with pytest.raises(InputError, match=said):
            read(tmp_path / "x.keras", keras_zip(hdf5(make)))


def test_chunks_and_a_packed_keras_file_are_read(tmp_path: Path) -> None:
    ways: list[dict[str, Any]] = [
        {},
        {"fletcher32": True},
        {"compression": "gzip", "shuffle": True},
        {"compression": "gzip", "fletcher32": True},
    ]
    for options in ways:
        chunked = {"chunks": (3, 2, 2, 2), **options}
        content = hdf5(lambda file, o=chunked: file.create_dataset(PLACE, data=KERNEL, **o))
        assert np.array_equal(read(tmp_path / "x.weights.h5", content), KERNEL)
    for packing in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA):
        content = keras_zip(hdf5(plain), packing=packing)
        assert np.array_equal(read(tmp_path / "x.keras", content), KERNEL)


def test_other_bytes_before_the_file(tmp_path: Path) -> None:
    content = hdf5(plain, userblock_size=512)
    with pytest.raises(InputError, match="begins as neither HDF5 nor a zip"):
        read(tmp_path / "x.h5", content)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (b"[]", "not the object that Keras writes"),
        (b"null", "not the object that Keras writes"),
        (b'"model"', "not the object that Keras writes"),
        (b"{", "no file of Keras"),
        (b"[" * 100_000, "more than 100 brackets"),
        (b'{"module": {"a": 1}, "class_name": []}', "a custom object"),
    ],
)
def test_a_config_that_is_not_what_keras_writes(tmp_path: Path, config: bytes, said: str) -> None:
    with pytest.raises(InputError, match=f"supplies 0 of the 1 .*{said}"):
        read(tmp_path / "x.keras", keras_zip(hdf5(plain), config))


def test_a_keras_file_that_unpacks_to_more_than_weights_do(tmp_path: Path) -> None:
    content = keras_zip(bytes(10**8), packing=zipfile.ZIP_DEFLATED)
    assert len(content) < 200_000
    with pytest.raises(InputError, match=r"h5 in it unpacks to 100.0 MB; more than \d+.\d MB are"):
        read(tmp_path / "x.keras", content)


def test_keras_itself_gets_a_plain_copy(tmp_path: Path) -> None:
    """For the other backbones Keras loads the file."""
    loaded: list[np.ndarray] = []

    def load_weights(path: Path) -> None:
        assert path.name == "x.weights.h5"
        with h5py.File(path) as file:
            loaded.append(np.asarray(file[PLACE]))

    model = SimpleNamespace(weights=[], layers=[], load_weights=load_weights)
    for name, content in (("a.keras", keras_zip(hdf5(plain))), ("b.weights.h5", hdf5(external))):
        (tmp_path / name).write_bytes(content)
        weights = identify_weights(str(tmp_path / name))
        assert weights is not None
        if name == "a.keras":
            load_file(model, BACKBONES["mobilenet"], weights)
            continue
        with pytest.raises(InputError, match=f"MobileNet: /{PLACE} keeps its numbers in another"):
            load_file(model, BACKBONES["mobilenet"], weights)
    assert len(loaded) == 1
    assert np.array_equal(loaded[0], KERNEL)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs FIFOs")
def test_special_files_and_files_over_the_limit_are_no_weights(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.h5")
    (tmp_path / "zero.keras").symlink_to("/dev/zero")
    (tmp_path / "loop.h5").symlink_to("loop.h5")
    with open(tmp_path / "huge.weights.h5", "wb") as file:
        file.truncate(10**13)
    for name, said in (
        ("fifo.h5", "a FIFO"),
        ("zero.keras", "a device"),
        ("loop.h5", "symbolic links"),
        ("huge.weights.h5", "it has 10.0 TB; more than 8.0 GB are refused"),
        ("x" * 300 + ".h5", "no weights file|name too long"),
    ):
        with pytest.raises(InputError, match=said):
            identify_weights(str(tmp_path / name))


def test_a_reader_that_dies_or_never_ends_is_a_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = hdf5(plain)
    (tmp_path / "dies.py").write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    (tmp_path / "never_ends.py").write_text("while True: pass")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(weight_copy, "__name__", "dies")
    with pytest.raises(InputError, match="the process that read it was ended by SIGSEGV"):
        read(tmp_path / "x.h5", content)
    monkeypatch.setattr(weight_copy, "__name__", "never_ends")
    monkeypatch.setattr(checked_process, "SECONDS", 0.5)
    with pytest.raises(InputError, match="it is not read after"):
        read(tmp_path / "x.h5", content)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize(
    ("seed", "count"), [(13, 100), pytest.param(14, 500, marks=pytest.mark.slow)]
)
def test_mutated_files_give_arrays_that_are_in_the_file_or_one_message(
    tmp_path: Path, seed: int, count: int
) -> None:
    """In another process, which forks for each file, because that is quick."""
    words = [sys.executable, __file__, str(tmp_path), str(seed), str(count)]
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(words, env={**os.environ, **path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes["read"] + outcomes["refused"] == count
    assert min(outcomes["read"], outcomes["refused"]) > count // 25


def _forked(words: list[str], **options: object) -> SimpleNamespace:
    """As `subprocess.run`, without the start of an interpreter."""
    heard, told = os.pipe()
    if not (process := os.fork()):
        os.dup2(told, 1)
        code = weight_copy.main(*words[-3:])
        sys.stdout.flush()
        os._exit(code)
    os.close(told)
    with os.fdopen(heard, "rb") as pipe:
        ended = select.select([pipe], [], [], 5)[0]  # some files keep HDF5 busy for ever
        if not ended:
            os.kill(process, signal.SIGKILL)
        said = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if not ended:
        raise subprocess.TimeoutExpired(words, 5)
    return SimpleNamespace(returncode=code, stdout=said, stderr=b"")


def _mutate(folder: Path, seed: int, count: int) -> dict[str, int]:
    checked_process.subprocess.run = _forked  # pyright: ignore[reportAttributeAccessIssue]

    def legacy(file: h5py.File) -> None:
        file.attrs["layer_names"] = [b"conv2d"]
        file["conv2d/conv2d/kernel:0"] = KERNEL
        file["conv2d"].attrs["weight_names"] = [b"conv2d/kernel:0"]

    def chunked(file: h5py.File) -> None:
        file.create_dataset(PLACE, data=KERNEL, chunks=KERNEL.shape, fletcher32=True)

    files = {
        "a.weights.h5": hdf5(plain),
        "b.h5": hdf5(legacy),
        "c.weights.h5": hdf5(chunked, libver="latest"),
        "d.keras": keras_zip(hdf5(plain)),
        "e.keras": keras_zip(hdf5(plain), packing=zipfile.ZIP_LZMA),
    }
    random = np.random.default_rng(seed)
    outcomes = {"read": 0, "refused": 0}
    for number in range(count):
        name = list(files)[number % len(files)]
        content = bytearray(files[name])
        used = np.flatnonzero(np.frombuffer(files[name], np.uint8))  # most of it is empty
        for place in random.choice(used, random.integers(1, 4)):
            content[place] = random.integers(256)
        if random.random() < 0.1:
            del content[random.integers(len(content)) :]
        try:
            array = read(folder / name, bytes(content))
        except InputError as error:
            outcomes["refused"] += "supplies 0 of the 1 arrays" in str(error)
        else:
            assert array.shape == KERNEL.shape
            assert name == "e.keras" or array.tobytes() in content
            outcomes["read"] += 1
    return outcomes


if __name__ == "__main__":
    print(json.dumps(_mutate(Path(sys.argv[1]), *map(int, sys.argv[2:]))))
