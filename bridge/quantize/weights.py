"""Forms of weights and biases.

Source: TFLite 8-bit quantization specification: weights int8 in [-127, 127] with zero point 0 per output channel, biases int32 with
scale input x weight.
"""

import numpy as np

from bridge.quantize.forms import LIMITS, Form

# A bias may use half of the int32 accumulator: sums of int8 products stay far below the other half up to 2**16 of them.
LARGEST_BIAS = 2**30


def weight_form(weight: np.ndarray, axis: int, *, type_name: str, input_scale: float, bias: np.ndarray | None) -> Form:
    """Symmetric scales per channel of `axis`.

    A channel is given a larger scale than its weights need where its bias would not fit into int32 otherwise (channels that training has
    switched off keep weights of 1e-20 and an ordinary bias). A channel of zeros takes the scale of the largest channel.
    """
    magnitudes = np.abs(weight).max(axis=tuple(other for other in range(weight.ndim) if other != axis)).astype(np.float64)
    magnitudes[magnitudes == 0.0] = magnitudes.max() or 1.0
    scales = magnitudes / LIMITS[type_name][1]
    if bias is not None:
        scales = np.maximum(scales, np.abs(bias.astype(np.float64)) / (input_scale * LARGEST_BIAS))
    return Form(type_name, tuple(float(scale) for scale in scales.astype(np.float32)), (0,) * len(scales), axis)


def bias_form(weight: Form, axis: int, *, type_name: str, input_scale: float) -> Form:
    """The scales of the accumulator, along `axis` of the bias."""
    scales = np.asarray(weight.scales, np.float32) * np.float32(input_scale)
    return Form(type_name, tuple(float(scale) for scale in scales), weight.zero_points, axis)


def largest_weight_scale(weight: float, bias: float, *, type_name: str, input_scale: float) -> float:
    """The largest scale that `weight_form` chooses for any channel, from the largest magnitudes of weight and bias."""
    return max((weight or 1.0) / LIMITS[type_name][1], bias / (input_scale * LARGEST_BIAS))
