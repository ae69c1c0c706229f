"""`MatMul(x, constant)`, with or without Add, becomes Gemm over the flattened leading axes.

onnx2tf makes FULLY_CONNECTED (per-channel weights) of Gemm and BATCH_MATMUL of MatMul; the int8 BATCH_MATMUL gives noise on constant weights.
"""

import math

import numpy as np
import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.values import constant_array, new_constant, new_node, new_reshape, only_user, static_shape


def matmul_to_gemm(model: ir.Model) -> None:
    """[..., K] @ constant [K, N] (+ constant [N]) -> Reshape [M, K], Gemm, Reshape [..., N]; no Reshape where the rank is 2 already.

    constant [M, K] @ [..., K, N] -> Transpose, the same, Transpose.
    """
    for node in list(model.graph):
        if node.op_type == "MatMul" and node.domain == "":
            _from_left(model.graph, node)
    for node in list(model.graph):
        if node.op_type == "MatMul" and node.domain == "":
            _rewrite(model.graph, node)


def _from_left(graph: ir.Graph, matmul: ir.Node) -> None:
    """A constant first operand changes places with the second: A @ B is the transpose of B' @ A'."""
    weight, data = matmul.inputs
    matrix, shape = constant_array(weight), static_shape(data)
    if matrix is None or shape is None or matrix.ndim != 2 or len(shape) < 2 or constant_array(data) is not None or matrix.dtype != np.float32:
        return
    *leading, inner, columns = shape
    swap = {"perm": [*range(len(leading)), len(shape) - 1, len(shape) - 2]}
    before = new_node("Transpose", [data], [*leading, columns, inner], attributes=swap)
    constant = new_constant(graph, f"{matmul.name}.transposed", matrix.T)
    product = new_node("MatMul", [before.outputs[0], constant], [*leading, columns, matrix.shape[0]])
    behind = new_node("Transpose", [product.outputs[0]], [*leading, matrix.shape[0], columns], attributes=swap)
    provenance.inherit([before, product, behind], [matmul], main=matmul)
    ir.convenience.replace_nodes_and_values(graph, matmul, [matmul], [before, product, behind], matmul.outputs, behind.outputs)


def _rewrite(graph: ir.Graph, matmul: ir.Node) -> None:
    data, weight = matmul.inputs
    shape, kernel = static_shape(data), constant_array(weight)
    if data is None or weight is None or shape is None or kernel is None or data.const_value is not None:
        return
    if weight.dtype != ir.DataType.FLOAT or kernel.ndim < 2 or math.prod(kernel.shape[:-2]) != 1:
        return
    output = matmul.outputs[0]
    add, bias = _bias_add(output, kernel.shape[-1])
    rows, columns = math.prod(shape[:-1]), kernel.shape[-1]
    if kernel.ndim > 2:
        weight = new_constant(graph, f"{weight.name}.2d", kernel.reshape(kernel.shape[-2:]))
    nodes = [] if len(shape) == 2 else [new_reshape(graph, data, [rows, shape[-1]])]
    inputs = [nodes[0].outputs[0] if nodes else data, weight]
    if bias is not None:
        inputs.append(new_constant(graph, f"{output.name}.bias", bias))
    nodes.append(new_node("Gemm", inputs, [rows, columns]))
    if (out_shape := _product_shape(shape, kernel.shape)) != [rows, columns]:
        nodes.append(new_reshape(graph, nodes[-1].outputs[0], out_shape))
    old = [matmul] if add is None else [matmul, add]
    provenance.inherit(nodes, old, main=matmul)
    ir.convenience.replace_nodes_and_values(graph, old[-1], old, nodes, old[-1].outputs, nodes[-1].outputs)


def _product_shape(left: tuple[int, ...], right: tuple[int, ...]) -> list[int]:
    """Shape of the product when `right` is one matrix; its leading axes of size 1 may add to the rank."""
    return [*([1] * (len(right) - len(left))), *left[:-1], right[-1]] if len(left) > 1 else [*([1] * (len(right) - 2)), right[-1]]


def _bias_add(product: ir.Value, size: int) -> tuple[ir.Node | None, np.ndarray | None]:
    """The Add of a constant along the last axis that alone reads `product`, and that constant as [size]."""
    add = only_user(product)
    if add is None or add.op_type != "Add" or add.domain != "" or product.shape is None:
        return None, None
    bias = constant_array(next((value for value in add.inputs if value is not product), None))
    if bias is None or bias.size not in (1, size) or bias.ndim > len(product.shape) or (bias.ndim and bias.shape[-1] != bias.size):
        return None, None
    return add, np.broadcast_to(bias.reshape(-1), (size,))
