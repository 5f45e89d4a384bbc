"""The resize of resize.py with its arithmetic in OpenVINO, which takes a third of NumPy's time."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxreg.backbone.openvino_model import import_openvino
from jaxreg.backbone.resize import Corners, mixed


def mixing_model(core: Any, height: int, width: int) -> Any:
    """A compiled model from the arrays of `Corners(1, height, width)` to (1, height, width, 3).

    It needs float32 whatever the network computes in. A model without streams computes in the
    thread that calls it, so it takes no core from another.
    """
    ov = import_openvino()
    from openvino import opset13 as ops

    bytes_ = [ops.parameter([1, height, width * 4], ov.Type.u8) for _ in range(4)]
    across = ops.parameter([1, 1, width * 4], ov.Type.f32)
    down = ops.parameter([1, height, 1], ov.Type.f32)
    four = mixed([ops.convert(corner, ov.Type.f32) for corner in bytes_], across, down)
    # a product with 1 and 0 leaves the fourth byte out; it is exact, and faster than a slice
    pixels = ops.reshape(four, np.array([height * width, 4]), False)
    three = ops.matmul(pixels, np.eye(4, 3, dtype=np.float32), False, False)
    result = ops.reshape(three, np.array([1, height, width, 3]), False)
    model = ov.Model([ops.result(result)], [*bytes_, across, down], "resize")
    hints = {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": "0"}
    return core.compile_model(model, "CPU", hints)


class Resizer:
    """Memory for `count` images of one size, and a request of `mixing_model` that fills it."""

    def __init__(self, model: Any, count: int, height: int, width: int) -> None:
        ov = import_openvino()
        self.pixels = np.zeros((count, height, width, 3), np.float32)
        self._corners = Corners(1, height, width)
        self._request = model.create_infer_request()
        given = *self._corners.pixels[0], self._corners.across, self._corners.down
        for place, array in enumerate(given):
            array = array[None] if place < 4 else array
            self._request.set_input_tensor(place, ov.Tensor(array, shared_memory=True))
        self._results = [ov.Tensor(some, shared_memory=True) for some in self.pixels[:, None]]

    def __call__(self, images: Sequence[np.ndarray]) -> None:
        """Fill `pixels` from its begin with these images, uint8 (any, any, 3), unrounded."""
        for image, result in zip(images, self._results, strict=False):
            self._corners.take(0, image)
            self._request.set_output_tensor(result)
            self._request.infer()
