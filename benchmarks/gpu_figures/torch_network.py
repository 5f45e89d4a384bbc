"""InceptionV3 in compiled torch, the peer of benchmarks/gpu.py for extraction."""

import functools
import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any


def lacking() -> str | None:
    """What is not installed, in words."""
    lacks = [each for each in ("torch", "torchvision") if importlib.util.find_spec(each) is None]
    return f"no {' and no '.join(lacks)} here" if lacks else None


def inception(quick: bool) -> Iterator[dict[str, Any]]:
    """Images/s of torchvision's InceptionV3 up to its pooled features, batches on the device."""
    import torch
    import torchvision

    cuda = torch.cuda.is_available()
    device = torch.device("cuda" if cuda else "cpu")
    versions = {"torch": torch.__version__, "torchvision": torchvision.__version__}
    name = torch.cuda.get_device_name() if cuda else "cpu"
    yield {"device": name, "versions": versions}
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    side, batch = (75, 2) if quick else (299, 256 if cuda else 32)
    for kind, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16)]:
        network = torchvision.models.inception_v3(
            weights=None, aux_logits=False, init_weights=False, transform_input=False
        )
        network.fc = torch.nn.Identity()
        layout: Any = torch.channels_last
        network = network.eval().to(device, dtype).to(memory_format=layout)
        images = torch.rand(batch, 3, side, side, device=device, dtype=dtype)
        images = images.contiguous(memory_format=layout)
        compute = functools.partial(torch.compile(network), images)
        with torch.inference_mode():
            rate = batch / _seconds(compute, torch.cuda.synchronize if cuda else nothing)
        yield {
            "what": f"torch compiled, {kind}, batch on the device", "value": rate,
            "unit": "images/s",
        }  # fmt: skip


def nothing() -> None:
    """On a CPU no call is still under way."""


def _seconds(act: Callable[[], object], wait: Callable[[], None]) -> float:
    """Median seconds of a call, ten in a row, after one that compiles."""
    act()
    rounds = []
    for _round in range(3):
        wait()
        start = time.perf_counter()
        for _call in range(10):
            act()
        wait()
        rounds.append((time.perf_counter() - start) / 10)
    return statistics.median(rounds)
