"""Turns a sample of the user into what a TFLite file is fed."""

from collections.abc import Mapping, Sequence

import numpy as np

from bridge.types import InputBinding


def feed(bindings: Sequence[InputBinding], sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """TFLite input name -> array in the file's shape, layout and dtype; views of the sample where nothing has to move."""
    return {
        binding.tflite_name: sample[binding.onnx_name].reshape(binding.onnx_shape).transpose(binding.permutation).astype(binding.dtype, copy=False)
        for binding in bindings
    }
