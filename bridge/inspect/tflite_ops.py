"""What TFLite operators an ONNX operator becomes, to say before converting what will have no integer kernel.

Measured: one model of single ONNX operators (opset 24) through onnx2tf 2.6.9 (`flatbuffer_direct`), operators read from the file it wrote.
Data movement that surrounds them (TRANSPOSE, RESHAPE, SLICE) is left out. A forecast: what was really left float stands in the report.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from bridge.tflite.model import OP_CODES
from bridge.types import NodeFacts

_NORM = ("MEAN", "SUB", "MUL", "ADD", "SQRT", "DIV")

TFLITE_OPS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Abs": ("ABS",),
        "Add": ("ADD",),
        "ArgMax": ("ARG_MAX",),
        "ArgMin": ("ARG_MIN",),
        "AveragePool": ("AVERAGE_POOL_2D",),
        "BatchNormalization": ("MUL", "ADD"),
        "Ceil": ("CEIL",),
        "Celu": ("RELU", "MINIMUM", "MUL", "EXP", "SUB", "ADD"),
        "Clip": ("MAXIMUM", "MINIMUM"),
        "Concat": ("CONCATENATION",),
        "Conv": ("CONV_2D",),
        "ConvTranspose": ("TRANSPOSE_CONV",),
        "Cos": ("COS",),
        "CumSum": ("CUMSUM",),
        "DepthToSpace": ("DEPTH_TO_SPACE",),
        "Div": ("DIV",),
        "Elu": ("ELU",),
        "Equal": ("EQUAL",),
        "Erf": ("ABS", "SIGN", "MUL", "ADD", "DIV", "EXP", "SUB"),
        "Exp": ("EXP",),
        "Expand": ("MUL",),
        "Flatten": ("RESHAPE",),
        "Floor": ("FLOOR",),
        "Gather": ("GATHER",),
        "GatherElements": ("GATHER_ND",),
        "GatherND": ("GATHER_ND",),
        "Gelu": ("GELU",),
        "Gemm": ("FULLY_CONNECTED",),
        "GlobalAveragePool": ("MEAN",),
        "GlobalMaxPool": ("REDUCE_MAX",),
        "Greater": ("GREATER",),
        "GreaterOrEqual": ("GREATER_EQUAL",),
        "HardSigmoid": ("MUL", "ADD", "RELU_0_TO_1"),
        "HardSwish": ("HARD_SWISH",),
        "InstanceNormalization": _NORM,
        "IsNaN": ("NOT_EQUAL",),
        "LRN": ("LOCAL_RESPONSE_NORMALIZATION",),
        "LSTM": ("UNIDIRECTIONAL_SEQUENCE_LSTM",),
        "LayerNormalization": _NORM,
        "LeakyRelu": ("LEAKY_RELU",),
        "Less": ("LESS",),
        "LessOrEqual": ("LESS_EQUAL",),
        "Log": ("LOG",),
        "LogSoftmax": ("SOFTMAX", "LOG"),
        "LpNormalization": ("L2_NORMALIZATION",),
        "LpPool": ("ABS", "POW", "AVERAGE_POOL_2D", "MUL"),
        "MatMul": ("BATCH_MATMUL",),
        "Max": ("MAXIMUM",),
        "MaxPool": ("MAX_POOL_2D",),
        "Mean": ("ADD", "MUL"),
        "Min": ("MINIMUM",),
        "Mish": ("EXP", "ADD", "LOG", "TANH", "MUL"),
        "Mul": ("MUL",),
        "Neg": ("NEG",),
        "PRelu": ("PRELU",),
        "Pad": ("PAD",),
        "Pow": ("POW",),
        "Reciprocal": ("DIV",),
        "ReduceL1": ("ABS", "SUM"),
        "ReduceL2": ("MUL", "SUM", "SQRT"),
        "ReduceLogSumExp": ("EXP", "SUM", "LOG"),
        "ReduceMax": ("REDUCE_MAX",),
        "ReduceMean": ("MEAN",),
        "ReduceMin": ("REDUCE_MIN",),
        "ReduceProd": ("REDUCE_PROD",),
        "ReduceSum": ("SUM",),
        "ReduceSumSquare": ("MUL", "SUM"),
        "Relu": ("RELU",),
        "Reshape": ("RESHAPE",),
        "Resize": ("RESIZE_BILINEAR",),
        "Round": ("ROUND",),
        "ScatterND": ("MUL", "ADD"),
        "Selu": ("RELU", "MINIMUM", "EXP", "SUB", "MUL", "ADD"),
        "Shrink": ("ADD", "SUB", "LESS", "GREATER", "SELECT_V2"),
        "Sigmoid": ("LOGISTIC",),
        "Sign": ("SIGN",),
        "Sin": ("SIN",),
        "Slice": ("SLICE",),
        "Softmax": ("SOFTMAX",),
        "Softplus": ("EXP", "ADD", "LOG"),
        "Softsign": ("ABS", "ADD", "DIV"),
        "SpaceToDepth": ("SPACE_TO_DEPTH",),
        "Split": ("SLICE",),
        "Sqrt": ("SQRT",),
        "Squeeze": ("RESHAPE",),
        "Sub": ("SUB",),
        "Sum": ("ADD",),
        "Tanh": ("TANH",),
        "ThresholdedRelu": ("GREATER", "MUL"),
        "Tile": ("TILE",),
        "TopK": ("TOPK_V2",),
        "Transpose": ("TRANSPOSE",),
        "Trilu": ("MUL",),
        "Unsqueeze": ("RESHAPE",),
        "Where": ("SELECT_V2",),
    }
)

# With a constant second operand they become something cheaper; what Pow becomes then depends on the exponent.
WITH_CONSTANT: Mapping[str, tuple[str, ...]] = MappingProxyType({"Div": ("MUL",), "Pow": ()})


def without_kernel(node: NodeFacts, precision: str, has_kernel: Callable[[str, str], bool]) -> tuple[str, ...]:
    """TFLite operators of the node that have no kernel in the precision, so that they stay float.

    None for a node that carries no float activations (shape arithmetic, indices), and for operators that are not in the table.
    """
    carries_float = any(spec.dtype == "float32" for place, spec in enumerate(node.inputs) if place not in node.constant_inputs)
    if not carries_float or node.domain not in ("", "ai.onnx"):
        return ()
    if node.op_type not in TFLITE_OPS and node.op_type in OP_CODES:  # a TFLite source
        return () if has_kernel(node.op_type, precision) else (node.op_type,)
    table = WITH_CONSTANT if 1 in node.constant_inputs and node.op_type in WITH_CONSTANT else TFLITE_OPS
    return tuple(op for op in table.get(node.op_type, ()) if not has_kernel(op, precision))
