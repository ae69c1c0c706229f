"""What the int8 kernels of TFLite want of torch's operators; the op table has the details of the kernels."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Operator:
    """One of torch's.

    Attributes:
        tflite: TFLite's name of it, a row of the op table.
        data: positions of its activations.
        weight: position of its weight, whose axis 0 is the output channel; None if it has none.
    """

    tflite: str
    data: tuple[int, ...] = (0,)
    weight: int | None = None


OPERATORS: Mapping[str, Operator] = MappingProxyType(
    {
        "linear": Operator("FULLY_CONNECTED", weight=1),
        "conv1d": Operator("CONV_2D", weight=1),
        "conv2d": Operator("CONV_2D", weight=1),
        "add": Operator("ADD", (0, 1)),
        "sub": Operator("SUB", (0, 1)),
        "mul": Operator("MUL", (0, 1)),
        "matmul": Operator("BATCH_MATMUL", (0, 1)),
        "relu": Operator("RELU"),
        "mean": Operator("MEAN"),
        "gelu": Operator("GELU"),
        "sigmoid": Operator("LOGISTIC"),
        "tanh": Operator("TANH"),
        "softmax": Operator("SOFTMAX"),
    }
)
# Nothing but values of the input, as integer as that.
MOVING = frozenset({"contiguous", "dropout", "flatten", "max_pool2d", "permute", "reshape", "squeeze", "transpose", "unsqueeze", "view"})
