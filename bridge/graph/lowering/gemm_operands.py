"""Gemm with a transposed first operand or a bias that is computed or no vector -> Transpose, Gemm and Add.

onnx2tf 2.6.9 writes BATCH_MATMUL for these, whose int8 kernels give noise on constant weights.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Gemm-13: alpha * A' * B' + beta * C."""
    left, right, *rest = node.inputs
    addend = rest[0] if rest else None
    shape = static_shape(addend) if addend is not None else ()
    if constant_array(right) is None or constant_array(left) is not None or shape is None:
        return None
    transposed = bool(node.attributes.get_int("transA", 0))
    is_vector = constant_array(addend) is not None and (len(shape) < 2 or shape[0] == 1)
    if not transposed and (is_vector or addend is None):
        return None
    build = Builder(graph, str(node.name))
    attributes = {"transB": node.attributes.get_int("transB", 0), "alpha": node.attributes.get_float("alpha", 1.0)}
    first = build.op("Transpose", left, attributes={"perm": [1, 0]}) if transposed else left
    beta = node.attributes.get_float("beta", 1.0)
    if addend is None or is_vector:
        return build.done(build.op("Gemm", first, right, *rest, attributes={**attributes, "beta": beta}))
    product = build.op("Gemm", first, right, attributes=attributes)
    scaled = addend if beta == 1.0 else build.op("Mul", addend, build.constant(np.array(beta, np.float32)))
    return build.done(build.op("Add", product, scaled))
