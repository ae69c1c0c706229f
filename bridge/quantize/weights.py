"""Forms of weights and biases.

Source: TFLite 8-bit quantization specification: weights int8 in [-127, 127] with zero point 0 per output channel, biases int32 with
scale input x weight.
"""

from types import MappingProxyType

import numpy as np

from bridge.quantize.forms import LIMITS, Form

# A bias may use half of the int32 accumulator: sums of int8 products stay far below the other half up to 2**16 of them. Kernels with an int64
# accumulator scale it down exactly below 2**47.
LARGEST_BIAS = MappingProxyType({"INT32": 2**30, "INT64": 2**46})

SMALLEST_FACTOR = 2.0**-30  # half of it is flushed to zero


def weight_form(
    weight: np.ndarray,
    axis: int | None,
    *,
    type_name: str,
    input_scale: float = 1.0,
    bias: np.ndarray | None = None,
    bias_type: str = "INT32",
    output_scale: float = 0.0,
    scales: np.ndarray | None = None,
    magnitudes: np.ndarray | None = None,
) -> Form:
    """Symmetric scales per channel of `axis`, one scale if that is None.

    A channel is given a larger scale than its weights need where its bias would not fit into the accumulator otherwise (channels that training
    has switched off keep weights of 1e-20 and an ordinary bias). A channel of zeros takes the scale of the largest channel.

    Args:
        weight: float32.
        axis: channel axis, from the first.
        type_name: TFLite type of the stored values; `FLOAT16` has no scales.
        input_scale: scale of the data that the weights are multiplied with.
        bias: float32 [channels], where the kernel wants it in integers.
        bias_type: TFLite type of that bias.
        output_scale: scale of the results, where they are integers.
        scales: float32 [channels] or [1], in place of those that the largest magnitudes give. Equal ones stay equal.
        magnitudes: what `largest_magnitudes` says about the weight, where that is known.
    """
    if type_name == "FLOAT16":
        return Form(type_name)
    given = scales is not None
    if scales is None:
        magnitudes = largest_magnitudes(weight, axis) if magnitudes is None else magnitudes
        scales = np.where(magnitudes == 0.0, magnitudes.max(initial=0.0) or 1.0, magnitudes) / LIMITS[type_name][1]
    elif axis is None:
        scales = np.asarray([scales.max()])
    if bias is not None:
        needed = np.abs(bias.astype(np.float64)) / (input_scale * LARGEST_BIAS[bias_type])
        shared = given and bool((scales == scales[0]).all())
        scales = np.maximum(scales, np.full_like(needed, needed.max()) if shared else needed)
    scales = np.maximum(scales, output_scale * SMALLEST_FACTOR / input_scale)
    return Form(type_name, tuple(scales.astype(np.float32).tolist()), (0,) * len(scales), axis or 0)


def bias_form(weight: Form, axis: int, *, type_name: str, input_scale: float) -> Form:
    """The scales of the accumulator, along `axis` of the bias."""
    scales = np.asarray(weight.scales, np.float32) * np.float32(input_scale)
    return Form(type_name, tuple(scales.tolist()), weight.zero_points, axis)


def largest_weight_scale(weight: float, bias: float, *, type_name: str, input_scale: float, bias_type: str = "INT32") -> float:
    """The largest scale that `weight_form` chooses for any channel, from the largest magnitudes of weight and bias."""
    return max((weight or 1.0) / LIMITS[type_name][1], bias / (input_scale * LARGEST_BIAS[bias_type]))


def largest_magnitudes(weight: np.ndarray, axis: int | None) -> np.ndarray:
    """Largest magnitude per channel, float64, without a copy of the whole: a weight can be most of the file."""
    others = tuple(other for other in range(weight.ndim) if other != axis)
    low, high = weight.min(axis=others), weight.max(axis=others)
    return np.atleast_1d(np.maximum(-low, high).astype(np.float64))
