"""Rounding to the digits of float16 with float32 operations, which every converter keeps.

tf2onnx and OpenVINO leave out a cast to float16 that is followed by one back to float32.
"""

from typing import Any

import numpy as np

SPLITTER = np.float32(2**13 + 1)  # float32 has 24 binary digits, float16 has 11


def rounded_to_float16(ops: Any, values: Any) -> Any:
    """Values float32, rounded to the 11 binary digits of float16.

    From the splitting of Dekker and Veltkamp (T. J. Dekker, "A floating-point technique for
    extending the available precision", 1971). A number in the middle of two may go to either.
    Below 6e-5, where float16 has fewer digits, there are 11 too.

    Args:
        ops: `keras.ops`, or operations of OpenVINO.
        values: a tensor of these.
    """
    least = np.finfo(np.float32).min
    # a product and a difference would be rounded only once, unless a maximum is between them
    product = ops.maximum(ops.multiply(values, SPLITTER), least)
    return ops.subtract(product, ops.subtract(product, values))
