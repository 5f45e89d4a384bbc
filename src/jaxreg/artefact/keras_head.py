"""The heads of a run as Keras layers: features to numbers in target units.

The same computation as `TrainedRun.predict_encoded`, in layers and operations that Keras has built
in. Numbers around a centre that float32 holds exactly stay small until the last addition, so only
this addition rounds in float32, and only it is in float64 where float32 cannot hold the targets.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from jaxreg.backbone.network import plain_float32
from jaxreg.head.mlp import Params
from jaxreg.head.scaling import Scaler, Scalers, mean_and_std_of
from jaxreg.head.target_outputs import EDGE, first_outputs, target_of_output
from jaxreg.target_types import TargetType, bounds_as

if TYPE_CHECKING:
    from jaxreg.trained_run import TrainedRun

SMALLEST_STD = 1e-6  # Keras' Normalization takes a smaller one than 1e-7 for 1e-7
LARGEST = 1e38  # a bound that no float32 number is cut at


def head_model(run: "TrainedRun") -> Any:
    """A Keras model from features float32 (rows, columns) to numbers (rows, targets).

    They are what `run.predict_features` returns for these features: in target units, of the same
    type, the mean over the members. The run must have no side columns. `start_keras` must have been
    called.
    """
    import keras

    with plain_float32():
        width = run.scalers[0].features.features
        features = keras.Input((width,), dtype="float32", name="features")
        return keras.Model(features, target_values(run, features), name="head")


def target_values(run: "TrainedRun", features: Any) -> Any:
    """The output of `head_model` for a tensor of features."""
    import keras
    from keras import ops

    number = np.result_type(*run.number_types)
    circular = np.array([kind.circular for kind in run.types])
    center = _center(run)
    relative, angles = [], []
    for member, (params, scalers) in enumerate(zip(run.params, run.scalers, strict=True)):
        head = _Head(f"head_{member + 1}", run, params, scalers)
        outputs = head.outputs(features)
        if not circular.all():
            relative.append(head.relative(outputs, center))
        if circular.any():
            angles.append(head.angles(outputs, number))
    parts = []
    if relative:
        linear = [kind for kind in run.types if not kind.circular]
        parts.append(_in_bounds(linear, _plus(_mean(relative), center.astype(number)), number))
    if angles:
        parts.append(_around([kind for kind in run.types if kind.circular], angles, number))
    values = parts[0]
    if len(parts) > 1:
        place = np.argsort(np.argsort(circular, kind="stable"))
        values = ops.take(ops.concatenate(parts, axis=1), place.tolist(), axis=1)
    return keras.layers.Identity(name=output_name(run.targets), dtype=str(number))(values)


def output_name(targets: tuple[str, ...]) -> str:
    """The name of the output: that of the targets, in characters that every format takes."""
    plain = ["".join(c if c.isascii() and c.isalnum() else "_" for c in name) for name in targets]
    name = "_".join(plain)[:60].strip("_")
    return f"target_{name}".rstrip("_") if not name[:1].isalpha() else name


class _Head:
    """One member of a run, while its layers are made."""

    def __init__(self, name: str, run: "TrainedRun", params: Params, scalers: Scalers) -> None:
        self.name, self.types, self.settings = name, run.types, run.settings
        self.params, self.scalers = params, scalers
        self.mean, self.std = mean_and_std_of(scalers.target)  # of each output

    def outputs(self, features: Any) -> Any:
        """(rows, outputs) in std of the outputs, as `head.apply.forward` without its relu."""
        from keras import ops

        cut = inputs = self._scaled(features)
        basis = self.scalers.features.basis
        if basis is not None:
            kernel = np.asarray(basis.directions)
            bias = -(np.asarray(basis.center, np.float64) @ kernel.astype(np.float64))
            inputs = self._dense("components", cut, kernel, bias)
        hidden = self.params.get("hidden", {})
        for place in range(len(hidden)):
            layer = hidden[f"layer_{place}"]
            name = f"hidden_{place + 1}"
            inputs = self._dense(name, inputs, layer["kernel"], layer["bias"], "relu")
        output = self.params["output"]
        raw = self._dense("output", inputs, output["kernel"], output["bias"])
        raw = self._limited(raw, linear=self.settings.head == "ridge")
        if blend := self.params.get("blend"):
            ridge = self._dense("ridge", cut, blend["kernel"], blend["bias"])
            ridge = self._limited(ridge, linear=True)
            share = np.asarray(blend["share"], np.float32)
            raw = ops.add(ops.multiply(ridge, share), ops.multiply(raw, 1 - share))
        return raw

    def relative(self, outputs: Any, center: np.ndarray) -> Any:
        """(rows, targets that are not circular) less their centre, in target units, float32."""
        from keras import ops

        own = [
            i for i, of in enumerate(target_of_output(self.types)) if not self.types[of].circular
        ]
        if len(own) < len(self.mean):
            outputs = ops.take(outputs, own, axis=1)
        std, mean = self.std[own].astype(np.float32), (self.mean[own] - center).astype(np.float32)
        values = ops.add(ops.multiply(outputs, std), mean)
        if self.settings.output_activation == "relu":
            values = ops.maximum(values, (-center).astype(np.float32))
        return values

    def angles(self, outputs: Any, number: np.dtype) -> Any:
        """(rows, circular targets) in radians, from −π to π."""
        from keras import ops

        first = first_outputs(self.types)[[kind.circular for kind in self.types]]
        sides = []
        for own in (first, first + 1):
            side = ops.cast(ops.take(outputs, own.tolist(), axis=1), str(number))
            std, mean = self.std[own].astype(number), self.mean[own].astype(number)
            sides.append(ops.add(ops.multiply(side, std), mean))
        return ops.arctan2(*sides)

    def _scaled(self, features: Any) -> Any:
        import keras
        from keras import ops

        scaler: Scaler = self.scalers.features
        mean, std = (np.asarray(part, np.float64) for part in (scaler.mean, scaler.std))
        if mean.any() or (std != 1).any():
            smallest = float(std.min(initial=1.0))
            if smallest < SMALLEST_STD:  # a power of two changes no digit
                unit = float(2.0 ** np.ceil(np.log2(SMALLEST_STD / smallest)))
                features, mean, std = ops.multiply(features, unit), mean * unit, std * unit
            layer = keras.layers.Normalization(name=f"{self.name}_scaler")
            layer.build((None, len(mean)))
            layer.set_weights([mean, np.square(std), np.int32(0)])
            layer.finalize_state()
            features = layer(features)
        limit = float(scaler.limit)
        return ops.clip(features, -limit, limit) if np.isfinite(limit) else features

    def _dense(self, name: str, x: Any, kernel: Any, bias: Any, activation: Any = None) -> Any:
        import keras

        layer = keras.layers.Dense(len(bias), activation=activation, name=f"{self.name}_{name}")
        result = layer(x)
        layer.set_weights([np.asarray(kernel), np.asarray(bias)])
        return result

    def _limited(self, raw: Any, *, linear: bool) -> Any:
        """As `head.target_outputs.limited`: outputs of bounded targets within their bounds."""
        from keras import ops

        kinds = [self.types[of] for of in target_of_output(self.types)]
        bounded = np.array([kind.bounded for kind in kinds])
        if not bounded.any():
            return raw
        ends = np.array([(kind.low, kind.high) if kind.bounded else (0, 1) for kind in kinds])
        low, high = (ends.T - self.mean) / self.std
        if linear:
            low, high = np.where(bounded, low, -LARGEST), np.where(bounded, high, LARGEST)
            return _cut(raw, low.astype(np.float32), high.astype(np.float32))
        share = np.clip(-low / (high - low), EDGE, 1 - EDGE)
        slope = (high - low) * share * (1 - share)
        at_zero = np.log(share) - np.log1p(-share)
        low, size, slope, at_zero = (
            part.astype(np.float32) for part in (low, high - low, slope, at_zero)
        )
        shares = ops.sigmoid(ops.add(ops.divide(raw, slope), at_zero))
        inside = ops.add(ops.multiply(shares, size), low)
        return inside if bounded.all() else ops.where(bounded[None, :], inside, raw)


def _center(run: "TrainedRun") -> np.ndarray:
    """(targets that are not circular,) float64: the mean of the members, as float32 holds it."""
    own = first_outputs(run.types)[[not kind.circular for kind in run.types]]
    means = [mean_and_std_of(scalers.target)[0][own] for scalers in run.scalers]
    return np.mean(means, axis=0).astype(np.float32).astype(np.float64)


def _plus(values: Any, center: np.ndarray) -> Any:
    from keras import ops

    return ops.add(ops.cast(values, str(center.dtype)), center)


def _mean(several: list[Any]) -> Any:
    from keras import ops

    return several[0] if len(several) == 1 else ops.mean(ops.stack(several, axis=0), axis=0)


def _cut(values: Any, low: np.ndarray, high: np.ndarray) -> Any:
    from keras import ops

    return ops.minimum(ops.maximum(values, low), high)  # Keras' clip cannot be saved with arrays


def _in_bounds(types: list[TargetType], values: Any, number: np.dtype) -> Any:
    """Bounded targets within their bounds, as `held` has them."""
    if not any(kind.bounded for kind in types):
        return values
    kinds = [
        bounds_as(kind, number.type) if kind.bounded else (-LARGEST, LARGEST) for kind in types
    ]
    low, high = np.array(kinds, number).T
    return _cut(values, low, high)


def _around(types: list[TargetType], angles: list[Any], number: np.dtype) -> Any:
    """The circular mean of angles in radians, in target units from 0 to below the period."""
    from keras import ops

    angle = angles[0]
    if len(angles) > 1:
        sines, cosines = ([side(one) for one in angles] for side in (ops.sin, ops.cos))
        angle = ops.arctan2(_mean(sines), _mean(cosines))
    period = np.array([kind.period for kind in types], number)
    values = ops.multiply(angle, period / number.type(2 * np.pi))
    values = ops.where(ops.less(values, 0), ops.add(values, period), values)
    return ops.where(ops.greater_equal(values, period), ops.zeros_like(values), values)
