"""How the values of a tensor are stored: element type, scales, zero points."""

from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from bridge.types import TensorRange

LIMITS = MappingProxyType({"INT8": (-128, 127), "UINT8": (0, 255), "INT16": (-32768, 32767), "INT32": (-(2**31), 2**31 - 1)})

# Values smaller than this are zero to every kernel: products of two scales have to stay normal float32 numbers.
SMALLEST_SCALE = 1e-15
UNIT = TensorRange(0.0, 1.0)  # stands in for the range of a tensor that is zero all the time


@dataclass(frozen=True, slots=True)
class Form:
    """One way to store a tensor: `real = scale * (stored - zero_point)`.

    Attributes:
        type: TFLite element type, for example `INT8`; the other fields are empty for `FLOAT32`.
        scales: one, or one per index of `axis`; float32 values, as the file holds them.
        zero_points: as many as scales.
        axis: the channel axis of per-channel scales, 0 otherwise.
    """

    type: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    axis: int = 0

    @property
    def scale(self) -> float:
        """The scale of a per-tensor form."""
        (scale,) = self.scales
        return scale

    @property
    def zero_point(self) -> int:
        """The zero point of a per-tensor form."""
        (zero_point,) = self.zero_points
        return zero_point


FLOAT = Form("FLOAT32")


def float32(value: float) -> float:
    """The nearest float32: what a file can hold."""
    return float(np.float32(value))


def with_zero(span: TensorRange) -> TensorRange:
    """The range widened to contain zero; the unit range where nothing but zero is left."""
    minimum, maximum = min(span.minimum, 0.0), max(span.maximum, 0.0)
    return TensorRange(minimum, maximum) if maximum > minimum else UNIT


def asymmetric(span: TensorRange, type_name: str = "INT8") -> Form:
    """The form whose stored values span the range; zero is stored exactly.

    Source: TFLite quantization spec, "zero-point"; https://ai.google.dev/edge/litert/models/quantization_spec
    """
    lowest, highest = LIMITS[type_name]
    span = with_zero(span)
    scale = max(float32((span.maximum - span.minimum) / (highest - lowest)), SMALLEST_SCALE)
    zero_point = int(np.clip(np.rint(lowest - span.minimum / scale), lowest, highest))
    return Form(type_name, (float32(scale),), (zero_point,))


def symmetric(span: TensorRange, type_name: str = "INT8") -> Form:
    """The form with zero point 0 that holds the range, without the lowest stored value."""
    span = with_zero(span)
    scale = max(float32(max(-span.minimum, span.maximum) / LIMITS[type_name][1]), SMALLEST_SCALE)
    return Form(type_name, (float32(scale),), (0,))


def holds(form: Form, span: TensorRange) -> bool:
    """Whether the range is stored without saturating by more than one step."""
    lowest, highest = LIMITS[form.type]
    least, most = (form.scale * (bound - form.zero_point) for bound in (lowest - 1, highest + 1))
    return least <= span.minimum and span.maximum <= most


def quantize_values(values: np.ndarray, form: Form) -> np.ndarray:
    """The stored integers of float values, rounded half to even and saturated."""
    shape = [1] * values.ndim
    if len(form.scales) > 1:
        shape[form.axis] = len(form.scales)
    scales = np.asarray(form.scales, np.float64).reshape(shape)
    stored = np.rint(values.astype(np.float64) / scales) + np.asarray(form.zero_points).reshape(shape)
    saturated: np.ndarray = np.clip(stored, *LIMITS[form.type])
    return saturated.astype(form.type.lower())
