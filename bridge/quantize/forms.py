"""How the values of a tensor are stored: element type, scales, zero points."""

import functools
import math
from collections.abc import Iterator
from types import MappingProxyType

import numpy as np
from msgspec import Struct

from bridge.types import TensorRange

LIMITS = MappingProxyType(
    {
        "INT4": (-8, 7),
        "INT8": (-128, 127),
        "UINT8": (0, 255),
        "INT16": (-32768, 32767),
        "INT32": (-(2**31), 2**31 - 1),
        "INT64": (-(2**53), 2**53),  # what float64 counts exactly; biases stay far below
    }
)
UINT8_SHIFT = 128  # how much larger stored values are in uint8 than in int8, in the same scale
NUMPY_TYPES = MappingProxyType({"INT4": "int8"})  # where they have other names
RANGES = 1 << 16  # whose forms are remembered: a plan asks for each of them again and again
BLOCK = 1 << 16  # values that are rounded at a time
LARGEST_FLOAT16 = float(np.finfo(np.float16).max)

# Values smaller than this are zero to every kernel: products of two scales have to stay normal float32 numbers.
SMALLEST_SCALE = 1e-15
LARGEST_VALUE = (
    1e17  # that gets a scale: quotients and squares of scales have to stay normal as well, or LiteRT ends the process while it loads the file
)
UNIT = TensorRange(0.0, 1.0)  # stands in for the range of a tensor that is zero all the time


class Form(Struct, frozen=True):
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

    def __hash__(self) -> int:
        """Of a few of its numbers: a channel each would take longer than comparing those that have the same."""
        return hash((self.type, self.scales[:1], self.scales[-1:], self.zero_points[:1], self.axis))

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


@functools.lru_cache(RANGES)
def asymmetric(span: TensorRange, type_name: str = "INT8") -> Form:
    """The form whose stored values span the range; zero is stored exactly.

    Source: TFLite quantization spec, "zero-point"; https://ai.google.dev/edge/litert/models/quantization_spec
    """
    lowest, highest = LIMITS[type_name]
    span = with_zero(span)
    scale = max(float32((span.maximum - span.minimum) / (highest - lowest)), SMALLEST_SCALE)
    zero_point = min(max(round(lowest - span.minimum / scale), lowest), highest)  # half to even, as NumPy rounds
    return Form(type_name, (float32(scale),), (zero_point,))


@functools.lru_cache(RANGES)
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
    """The stored numbers of float values, rounded half to even and saturated; int4 ones as int8, not packed yet."""
    if form.type == "FLOAT16":
        return values.astype(np.float16)
    stored = np.empty(values.shape, NUMPY_TYPES.get(form.type, form.type.lower()))
    channels = len(form.scales)
    before = math.prod(values.shape[: form.axis]) if channels > 1 else 1
    scales, zero_points = np.asarray(form.scales, np.float64)[:, None], np.asarray(form.zero_points)[:, None]
    source, target = values.reshape(before, channels, -1), stored.reshape(before, channels, -1)
    shifted = any(form.zero_points)
    for block, channel in _blocks(source):  # a float64 copy of the whole would be twice the file
        rounded = np.divide(source[block, channel], scales[channel], dtype=np.float64)
        np.rint(rounded, out=rounded)
        if shifted:
            rounded += zero_points[channel]
        target[block, channel] = np.clip(rounded, *LIMITS[form.type], out=rounded)
    return stored


def _blocks(values: np.ndarray) -> Iterator[tuple[slice, slice]]:
    """Slices of the first two of three axes that hold about BLOCK values each."""
    outer, channels, inner = values.shape
    wide = max(1, min(channels, BLOCK // max(1, inner)))
    high = max(1, BLOCK // max(1, inner * wide))
    for top in range(0, outer, high):
        for left in range(0, channels, wide):
            yield slice(top, top + high), slice(left, left + wide)
