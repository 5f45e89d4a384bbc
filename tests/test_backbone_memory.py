"""What would take all memory is refused before it is taken: sizes, batches, packed networks."""

import io
import zipfile
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from jaxreg.backbone import pooling
from jaxreg.backbone.openvino_model import unpack
from jaxreg.backbone.pooling import ReadingEngine
from jaxreg.cache.recipe import Column, Recipe
from jaxreg.errors import InputError

IMAGE = np.zeros((10, 10, 3), np.uint8)


class FakeEngine(ReadingEngine):
    """Raises what a framework raises, or gives zeros."""

    error: Exception | None = None

    def read(self, images: Sequence[np.ndarray]) -> list[np.ndarray]:
        """One number per image."""
        if self.error is not None:
            raise self.error
        return [np.zeros((len(images), 1), np.float32)]


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeEngine]:
    monkeypatch.setattr(pooling, "free_memory", lambda: 10**9)

    def make(size: tuple[int, int] | None, kind: type[FakeEngine] = FakeEngine) -> FakeEngine:
        return kind(Recipe("random:0:v1", "random0", size=size), [Column()])

    return make


def test_a_size_that_does_not_fit_is_refused_before_the_network_is_built(engine) -> None:
    with pytest.raises(InputError, match=r"1 image of 5000 x 5000 .* 2.7 GB .*, and 1 GB are free"):
        engine((5000, 5000))


def test_a_batch_that_does_not_fit_is_refused(engine) -> None:
    assert engine((1000, 1000)).features([IMAGE] * 9)["identity.mixed10.avg"].shape == (9, 1)
    with pytest.raises(InputError, match=r"10 images of 1000 x 1000 [^$]*try: .*--batch-size"):
        engine((1000, 1000)).features([IMAGE] * 10)
    large = np.zeros((3000, 5000, 3), np.uint8)
    with pytest.raises(InputError, match="1 image of 3000 x 5000"):
        engine(None).features([IMAGE, large])


def test_an_engine_that_computes_a_few_at_once_may_have_larger_batches(engine) -> None:
    class Few(FakeEngine):
        at_once = 8

    assert engine((1000, 1000), Few).features([IMAGE] * 100)
    with pytest.raises(InputError, match="8 images of 1100 x 1100"):
        engine((1100, 1100), Few)


def test_memory_of_an_accelerator_is_its_own(engine) -> None:
    class Elsewhere(FakeEngine):
        on_cpu = False

    assert engine((5000, 5000), Elsewhere).features([IMAGE] * 9)


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("Exception from src/inference: std::bad_alloc"),
        RuntimeError("Check 'ptr' failed: Failed to allocate 76707867648 bytes of memory"),
        RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 9 bytes"),
        type("ResourceExhaustedError", (Exception,), {})("OOM when allocating tensor"),
    ],
)
def test_a_framework_without_memory_is_one_message(engine, error: Exception) -> None:
    made = engine((75, 75))
    made.error = error
    with pytest.raises(InputError, match="not enough memory for 2 images of 75 x 75 pixels"):
        made.features([IMAGE] * 2)
    made.error = RuntimeError("something else")
    with pytest.raises(RuntimeError, match="something else"):
        made.features([IMAGE])


def packed(*members: tuple[str, bytes], packing: int = zipfile.ZIP_STORED) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", packing) as archive:
        for name, part in members:
            archive.writestr(name, part)
    return content.getvalue()


def test_a_packed_network_that_jaxreg_did_not_pack() -> None:
    class Core:
        def read_model(self, xml: bytes, weights: bytes) -> tuple[bytes, bytes]:
            if xml == b"bad":
                raise RuntimeError("Check 'pugi::status_ok' failed")
            return xml, weights

    members = ("model.xml", b"<net/>"), ("model.bin", b"1234")
    assert unpack(Core(), packed(*members)) == (b"<net/>", b"1234")
    sound = packed(*members)
    encrypted = bytearray(sound)
    encrypted[sound.index(b"PK\x01\x02") + 8] |= 1
    for content, said in (
        (packed(*members, packing=zipfile.ZIP_DEFLATED), "compressed or encrypted"),
        (packed(*members, packing=zipfile.ZIP_LZMA), "compressed or encrypted"),
        (bytes(encrypted), "compressed or encrypted"),
        (packed(members[0]), "model.bin"),
        (sound[:-30], "not a zip file"),
        (sound.replace(b"1234", b"1235"), "Bad CRC-32"),
        (packed(("model.xml", b"bad"), members[1]), "status_ok"),
    ):
        with pytest.raises(InputError, match=rf"network of OpenVINO cannot be read: .*{said}"):
            unpack(Core(), content)
