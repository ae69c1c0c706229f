"""The operators whose constants recovery changes, in the float file and in the quantized file made of it."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bridge.quantize.clusters import is_clustered
from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import LIMITS
from bridge.quantize.op_table import OPS, OpRow, Role
from bridge.quantize.precisions import INTEGER_WEIGHTS, PRECISIONS
from bridge.tflite import model as tflite
from bridge.types import OpOutcome


class Weighted(Struct, frozen=True):
    """An operator of the float file with one constant weight that ends up with integer weights.

    Attributes:
        op: the operator.
        row: what its operands are.
        precision: what it runs in.
        quantized_index: its position in the quantized file.
    """

    op: Op
    row: OpRow
    precision: str
    quantized_index: int

    @property
    def data_at(self) -> int:
        """Position of the activation among its inputs."""
        return self.row.inputs.index(Role.DATA)

    @property
    def weight_at(self) -> int:
        """Position of the weight."""
        return self.row.inputs.index(Role.WEIGHT)

    @property
    def bias_at(self) -> int:
        """Position of the bias, where it has one."""
        return self.row.inputs.index(Role.BIAS)

    def axis(self, weight: np.ndarray) -> int:
        """Channel axis of the weight, from the first."""
        return self.row.weight_axis % weight.ndim


def freely_weighted_ops(graph: FloatGraph, outcomes: Sequence[OpOutcome]) -> list[Weighted]:
    """Those of `weighted_ops` whose weights may be rounded one by one: clusters of equal weights have to stay equal."""
    return [
        one
        for one in weighted_ops(graph, outcomes)
        if not is_clustered(graph.value(one.op.inputs[one.weight_at]), LIMITS[PRECISIONS[one.precision].weight][1])
    ]


def weighted_ops(graph: FloatGraph, outcomes: Sequence[OpOutcome]) -> list[Weighted]:
    """The operators with integer weights, in the order of computation."""
    found = []
    for outcome in outcomes:
        row = OPS.get(outcome.op)
        if row is None or outcome.quantized_index is None or PRECISIONS[outcome.precision].weight not in INTEGER_WEIGHTS:
            continue
        op = graph.ops[outcome.index]
        if row.inputs.count(Role.WEIGHT) == 1 == row.inputs.count(Role.BIAS) and graph.tensors[op.inputs[row.inputs.index(Role.WEIGHT)]].constant:
            found.append(Weighted(op, row, outcome.precision, outcome.quantized_index))
    return found


def stored_weight(model: tflite.ModelT, one: Weighted, out: np.ndarray | None = None) -> np.ndarray:
    """What the weight of an operator of a quantized file stands for, float32, in memory of its shape where that is given."""
    return real_value(model, _weight_tensor(model, one), out)


def weight_scales(model: tflite.ModelT, one: Weighted) -> np.ndarray:
    """Its scales, [channels] or [1] float32."""
    return np.asarray(_weight_tensor(model, one).quantization.scale, np.float32)


def _weight_tensor(model: tflite.ModelT, one: Weighted) -> tflite.TensorT:
    """The constant, maybe in front of a DEQUANTIZE."""
    main = tflite.main_graph(model)
    index = int(main.operators[one.quantized_index].inputs[one.weight_at])
    if tflite.is_constant(model, main.tensors[index]):
        return main.tensors[index]
    unpacking = next(op for op in main.operators if index in op.outputs)
    return main.tensors[int(unpacking.inputs[0])]


def stored_bias(model: tflite.ModelT, one: Weighted) -> np.ndarray | None:
    """What its bias stands for, None without one."""
    main = tflite.main_graph(model)
    inputs = main.operators[one.quantized_index].inputs
    if one.bias_at >= len(inputs) or inputs[one.bias_at] < 0:
        return None
    return real_value(model, main.tensors[int(inputs[one.bias_at])]).reshape(-1)


def real_value(model: tflite.ModelT, tensor: tflite.TensorT, out: np.ndarray | None = None) -> np.ndarray:
    """The real numbers that a constant with symmetric scales stands for, float32, in memory of its shape where that is given."""
    stored = tflite.integers(model, tensor)
    real = np.empty(stored.shape, np.float32) if out is None else out
    if stored.dtype.kind == "f":
        real[...] = stored
        return real
    exact = np.float32 if stored.dtype.itemsize < np.dtype(np.int32).itemsize else np.float64  # products of both are rounded once
    scales = np.asarray(tensor.quantization.scale, exact)
    shape = [1] * stored.ndim
    if len(scales) > 1:
        shape[tensor.quantization.quantizedDimension] = len(scales)
    np.multiply(stored, scales.reshape(shape), out=real, dtype=exact)
    return real
