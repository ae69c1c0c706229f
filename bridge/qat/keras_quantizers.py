"""What rounds in training as TFLite's int8 kernels do: activations by TensorFlow's own fake quantization, weights symmetrically."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

SMALLEST_RANGE = 1e-6
SMALLEST_SCALE = 1e-9
MOMENTUM = 0.01  # of the moving average, as torch.ao.quantization has it
STEPS = 255


@keras.saving.register_keras_serializable("bridge")
class ActivationQuantizer(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types here
    """int8 with a zero point, per tensor.

    Source: TensorFlow operator FakeQuantWithMinMaxVars; its gradient passes inside of the range, what lies outside moves the ends of a learned range.

    Args:
        fixed: scale and int8 zero point that the kernel prescribes; nothing is observed or learned then.
        symmetric: whether the zero point is 0.
        learned: whether the ends of the range are trained; else they are moving averages.
    """

    def __init__(self, fixed: Sequence[float] | None = None, symmetric: bool = False, learned: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.fixed, self.symmetric, self.learned = fixed, symmetric, learned
        own = {"shape": (), "initializer": "zeros", "dtype": "float32"}
        self.minimum = self.add_weight(name="minimum", trainable=learned and fixed is None, **own)
        self.maximum = self.add_weight(name="maximum", trainable=learned and fixed is None, **own)
        self.frozen = self.add_weight(name="frozen", trainable=False, **own)
        self.built = True

    def rounded(self, inputs: Any) -> Any:
        """The values after rounding, same shape, float32."""
        return tf.quantization.fake_quant_with_min_max_vars(inputs, *self.ends())

    def ends(self) -> tuple[Any, Any]:
        """Real values of the least and the largest integer, before TensorFlow moves them so that zero is stored exactly."""
        if self.fixed is not None:
            scale, point = self.fixed
            return (-128 - point) * scale, (127 - point) * scale
        low, high = tf.minimum(self.minimum.value, 0.0), tf.maximum(self.maximum.value, 0.0)
        if self.symmetric:
            most = tf.maximum(tf.maximum(-low, high), SMALLEST_RANGE)
            return most * (-128 / 127), most
        return low, tf.maximum(high, low + SMALLEST_RANGE)

    def scale(self) -> Any:
        """Of one step, as TensorFlow computes it."""
        low, high = self.ends()
        return tf.stop_gradient((high - low) / STEPS)

    def observe(self, values: Any) -> None:
        """Moves the range towards that of the values; the first ones set it."""
        if self.fixed is not None:
            return
        low, high = tf.minimum(tf.reduce_min(values), 0.0), tf.maximum(tf.reduce_max(values), 0.0)
        first = tf.equal(self.minimum.value, self.maximum.value)
        rate = tf.where(first, 1.0, MOMENTUM) * (1 - self.frozen.value)
        self.minimum.assign_add(rate * (low - self.minimum.value))
        self.maximum.assign_add(rate * (high - self.maximum.value))

    def freeze(self) -> None:
        """Keeps the range as it is."""
        self.frozen.assign(1.0)
        self.minimum.trainable = self.maximum.trainable = False

    def get_config(self) -> dict[str, Any]:
        """Of Keras."""
        own = {"fixed": self.fixed, "symmetric": self.symmetric, "learned": self.learned}
        return dict(super().get_config()) | own


def weight_scales(weight: Any, channels: Sequence[int] | None, bits: int) -> Any:
    """Symmetric scales from the largest values, in a shape that broadcasts: one for each place along the axes `channels`, or one for None."""
    kept = {axis % len(weight.shape) for axis in channels or ()}
    axes = [axis for axis in range(len(weight.shape)) if axis not in kept]
    largest = tf.reduce_max(tf.abs(weight), axis=axes, keepdims=True)
    return tf.stop_gradient(tf.maximum(largest / (2 ** (bits - 1) - 1), SMALLEST_SCALE))


def round_to(values: Any, scales: Any) -> Any:
    """The nearest multiples of the scales; the gradient passes straight through."""
    return tf.grad_pass_through(lambda given: tf.round(given / scales) * scales)(values)


def as_matrix(values: Any, channels: Sequence[int]) -> np.ndarray:
    """[other axes, output channels] float32."""
    array = np.asarray(values)
    kept = [axis % array.ndim for axis in channels]
    moved = np.moveaxis(array, kept, range(-len(kept), 0))
    count = int(np.prod(moved.shape[-len(kept) :]))
    return moved.reshape(-1, count)
