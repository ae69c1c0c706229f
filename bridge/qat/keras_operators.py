"""What the int8 kernels of TFLite want of Keras' layers, operations and activation functions; the op table has the details of the kernels."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import keras

from bridge.errors import UsageError
from bridge.qat.handlers import places


@dataclass(frozen=True, slots=True)
class KerasOperator:
    """A layer, an operation or an activation function.

    Attributes:
        tflite: TFLite's name of it, a row of the op table.
        weight: the attribute that holds its weight; '' if it has none.
        channels: axes of the weight that together are the output channels.
    """

    tflite: str
    weight: str = ""
    channels: tuple[int, ...] = (-1,)


# AveragePooling2D is not among them: its kernel keeps the scale of its input, so that halves are frequent, and rounds them as nothing else does.
LAYERS: Mapping[str, KerasOperator] = MappingProxyType(
    {
        "Dense": KerasOperator("FULLY_CONNECTED", "kernel"),
        "Conv1D": KerasOperator("CONV_2D", "kernel"),
        "Conv2D": KerasOperator("CONV_2D", "kernel"),
        "DepthwiseConv2D": KerasOperator("DEPTHWISE_CONV_2D", "kernel", (-2, -1)),
        "Conv2DTranspose": KerasOperator("TRANSPOSE_CONV", "kernel", (-2,)),
        "Add": KerasOperator("ADD"),
        "Subtract": KerasOperator("SUB"),
        "Multiply": KerasOperator("MUL"),
        "Matmul": KerasOperator("BATCH_MATMUL"),
        "Mean": KerasOperator("MEAN"),
        "GlobalAveragePooling1D": KerasOperator("MEAN"),
        "GlobalAveragePooling2D": KerasOperator("MEAN"),
        "ZeroPadding2D": KerasOperator("PAD"),
        "Concatenate": KerasOperator("CONCATENATION"),
        "ReLU": KerasOperator("RELU"),
        "Relu": KerasOperator("RELU"),
        "Relu6": KerasOperator("RELU6"),
        "LeakyReLU": KerasOperator("LEAKY_RELU"),
        "LeakyRelu": KerasOperator("LEAKY_RELU"),
        "ELU": KerasOperator("ELU"),
        "Elu": KerasOperator("ELU"),
        "Gelu": KerasOperator("GELU"),
        "HardSilu": KerasOperator("HARD_SWISH"),
        "Sigmoid": KerasOperator("LOGISTIC"),
        "Tanh": KerasOperator("TANH"),
        "Softmax": KerasOperator("SOFTMAX"),
    }
)
FUNCTIONS: Mapping[str, KerasOperator] = MappingProxyType(
    {
        "relu": KerasOperator("RELU"),
        "relu6": KerasOperator("RELU6"),
        "leaky_relu": KerasOperator("LEAKY_RELU"),
        "elu": KerasOperator("ELU"),
        "gelu": KerasOperator("GELU"),
        "hard_silu": KerasOperator("HARD_SWISH"),
        "sigmoid": KerasOperator("LOGISTIC"),
        "tanh": KerasOperator("TANH"),
        "softmax": KerasOperator("SOFTMAX"),
    }
)
# TensorFlow operators in the code of a layer with a handler, by the names that handlers use.
INNER: Mapping[str, tuple[str, KerasOperator]] = MappingProxyType(
    {
        "Add": ("add", KerasOperator("ADD")),
        "AddV2": ("add", KerasOperator("ADD")),
        "BatchMatMulV2": ("matmul", KerasOperator("BATCH_MATMUL")),
        "Mean": ("mean", KerasOperator("MEAN")),
        "Mul": ("mul", KerasOperator("MUL")),
        "Relu": ("relu", KerasOperator("RELU")),
        "Relu6": ("relu6", KerasOperator("RELU6")),
        "Sigmoid": ("sigmoid", KerasOperator("LOGISTIC")),
        "Softmax": ("softmax", KerasOperator("SOFTMAX")),
        "Sub": ("sub", KerasOperator("SUB")),
        "Tanh": ("tanh", KerasOperator("TANH")),
    }
)
NORMALIZATION = "BatchNormalization"
# Kernels of the second kind compute those of the first with what they do: the value between has no form.
FUSED = frozenset({"RELU", "RELU6"})
FUSING = frozenset({"ADD", "CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "MUL", "SUB"})
# TensorFlow operators that multiply with a weight.
PRODUCTS = frozenset({"BatchMatMulV2", "Conv2D", "Conv2DBackpropInput", "DepthwiseConv2dNative", "MatMul"})
# TensorFlow operators with nothing but values of their input, as integer as that.
MOVING = frozenset({"ExpandDims", "Identity", "MaxPool", "Reshape", "Squeeze", "StopGradient", "StridedSlice", "Transpose"})


def known(operation: Any) -> KerasOperator | None:
    """The row of a layer, an operation or an activation function of Keras, or a row itself; None for others, and for classes that compute something else."""
    if isinstance(operation, KerasOperator):
        return operation
    if not isinstance(operation, keras.Operation):
        own = getattr(operation, "__module__", "").startswith("keras.")
        return FUNCTIONS.get(getattr(operation, "__name__", "")) if own else None
    if isinstance(operation, keras.layers.Activation):
        return known(operation.activation)
    kind = _keras_class(operation)
    return None if kind is None else LAYERS.get(kind)


def inner(operation: Any) -> frozenset[str]:
    """Names of the operators in the code of a layer whose results its handler wants rounded.

    Raises:
        UsageError: the handler names one that is not known here.
    """
    said = places(operation)
    names = frozenset(said.inner) if said is not None else frozenset()
    known_names = {name for name, _ in INNER.values()}
    if not names <= known_names:
        raise UsageError(
            f"{operation.name}: the handler of {type(operation).__name__} names an operator that is not known. Received: {min(names - known_names)!r}.",
            hint=f"Known: {', '.join(sorted(known_names))}.",
        )
    return names


def is_normalization(operation: Any) -> bool:
    """Whether it is Keras' BatchNormalization over the last axis, which a kernel can take in."""
    return _keras_class(operation) == NORMALIZATION and not operation.renorm and operation.axis in (-1, operation.input_spec.ndim - 1)


def _keras_class(operation: Any) -> str | None:
    """Name of the class of Keras whose `call` the operation has."""
    kind: Any = type(operation)
    base = next((one for one in kind.__mro__ if one.__module__.startswith("keras.")), None)
    return base.__name__ if base is not None and kind.call is base.call else None
