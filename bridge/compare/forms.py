"""What the integers of a quantized tensor stand for, and how the user's samples are fed to a quantized file."""

from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.types import InputBinding

_HINT = "Compare files that were made of one model."


class Form(Struct, frozen=True):
    """real = scale * (stored - zero_point), one scale for the tensor.

    Source: TFLite 8-bit quantization specification; activations are per tensor.
    """

    scale: float
    zero_point: int

    def real(self, stored: np.ndarray) -> np.ndarray:
        """float32 values of the integers."""
        values: np.ndarray = np.subtract(stored, np.float32(self.zero_point), dtype=np.float32)
        values *= np.float32(self.scale)
        return values

    def stored(self, real: np.ndarray, dtype: np.dtype[np.generic]) -> np.ndarray:
        """The nearest integers, saturated to the type."""
        limits = np.iinfo(dtype.name)
        stored: np.ndarray = np.clip(np.rint(real / np.float32(self.scale)) + self.zero_point, limits.min, limits.max)
        return stored.astype(dtype)

    def ends(self, dtype: np.dtype[np.generic]) -> tuple[float, float]:
        """What the smallest and the largest integer of the type stand for."""
        limits = np.iinfo(dtype.name)
        return (limits.min - self.zero_point) * self.scale, (limits.max - self.zero_point) * self.scale

    def limits(self, dtype: np.dtype[np.generic]) -> tuple[float, float]:
        """The smallest and the largest value that rounds to an integer of the type."""
        (low, high), margin = self.ends(dtype), self.scale / 2
        return low - margin, high + margin


def real_of(forms: Sequence[Form], stored: np.ndarray) -> np.ndarray:
    """float32 values of the integers of several tensors, [tensors, ...], each in its own form."""
    points, scales = (
        np.asarray(numbers, np.float32).reshape(-1, *[1] * (stored.ndim - 1))
        for numbers in ([form.zero_point for form in forms], [form.scale for form in forms])
    )
    values: np.ndarray = np.subtract(stored, points, dtype=np.float32)
    values *= scales
    return values


def form_of(tensor: tflite.TensorT) -> Form | None:
    """The form of an integer tensor with a scale; None for every other."""
    quantization = tensor.quantization
    if tflite.dtype(tensor).kind not in "iu" or quantization is None or quantization.scale is None or len(quantization.scale) != 1:
        return None
    return Form(float(quantization.scale[0]), int(quantization.zeroPoint[0]))


class Feeder(Struct, frozen=True):
    """Feeds samples of the user to a file.

    Attributes:
        bindings: how each input is laid out, in the order of the file's inputs.
        names: names of the file's inputs.
        forms: form and type of the inputs that take integers where the sample has real numbers.
    """

    bindings: tuple[InputBinding, ...]
    names: tuple[str, ...]
    forms: Mapping[str, tuple[Form, np.dtype[np.generic]]]

    def __call__(self, sample: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Input name of the file -> array as it takes it."""
        real = feed(self.bindings, sample)
        values = {name: real[binding.tflite_name] for name, binding in zip(self.names, self.bindings, strict=True)}
        for name, (form, dtype) in self.forms.items():
            values[name] = form.stored(values[name], dtype)
        return values


def feeder(model: tflite.ModelT, bindings: Sequence[InputBinding]) -> Feeder:
    """How to feed a file whose inputs are, in order, those of the bindings; integer inputs may stand for float ones.

    Raises:
        InputError: it has more or fewer inputs.
    """
    main = tflite.main_graph(model)
    if len(main.inputs) != len(bindings):
        raise InputError(f"The TFLite file has {len(main.inputs)} inputs, the model that it is compared with {len(bindings)}.", hint=_HINT)
    names, forms = [], {}
    for index, binding in zip(main.inputs, bindings, strict=True):
        tensor = main.tensors[index]
        names.append(tflite.text(tensor.name))
        form = form_of(tensor)
        if form is not None and np.dtype(binding.dtype).kind == "f":
            forms[names[-1]] = (form, tflite.dtype(tensor))
    return Feeder(tuple(bindings), tuple(names), forms)
