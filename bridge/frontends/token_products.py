"""Brings QuantizeLinear and DequantizeLinear next to the matrix product whose results they round, where TensorFlow's spelling puts a Reshape between."""

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import numpy_helper

PRODUCTS = frozenset({"Gemm", "MatMul"})


def move_reshapes_behind_rounding(model: onnx.ModelProto) -> None:
    """A Dense over tokens is a MatMul over [rows, channels], a Reshape, and only then the bias, the activation and the rounding.

    Such a Reshape moves behind them, in place; no value changes.
    """
    graph = model.graph
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for name in [node.output[0] for node in graph.node if node.op_type == "Reshape"]:
        _move_behind_rounding(graph, next(node for node in graph.node if name in node.output), constants)


def _move_behind_rounding(graph: onnx.GraphProto, reshape: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> None:
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    product = next((node for node in graph.node if reshape.input[0] in node.output), None)
    if product is None or product.op_type not in PRODUCTS or len(readers[reshape.input[0]]) != 1:
        return
    ends = {value.name for value in graph.output}
    chain = [reshape]
    while chain[-1].op_type != "DequantizeLinear":
        behind = readers.get(chain[-1].output[0], [])
        if len(behind) != 1 or chain[-1].output[0] in ends or not _is_per_channel(behind[0], constants):
            return
        chain.append(behind[0])
    first, last = chain[1], chain[-1]
    first.input[list(first.input).index(reshape.output[0])] = reshape.input[0]
    result, last.output[0] = last.output[0], f"{reshape.output[0]}/rows"
    reshape.input[0], reshape.output[0] = last.output[0], result
    moved = {name for node in chain for name in node.output}
    for value in [value for value in graph.value_info if value.name in moved]:
        graph.value_info.remove(value)  # their shapes are others now
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in graph.node]
    place = next(index for index, node in enumerate(copies) if result in node.output)
    moving = copies.pop(place)
    copies.insert(next(index for index, node in enumerate(copies) if moving.input[0] in node.output) + 1, moving)
    del graph.node[:]
    graph.node.extend(copies)


def _is_per_channel(node: onnx.NodeProto, constants: Mapping[str, np.ndarray]) -> bool:
    """Whether it does the same to each row, whatever the leading axes are."""
    others = [constants[name] for name in node.input if name in constants]
    if node.op_type == "Add":
        return any(one.ndim == 1 for one in others)
    return node.op_type in ("Relu", "Clip", "QuantizeLinear", "DequantizeLinear") and all(one.size == 1 for one in others)
