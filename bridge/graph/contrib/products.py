"""Matrix products with transposed operands, factors and activations."""

import onnx_ir as ir

from bridge.graph.contrib.activations import activated
from bridge.graph.contrib.expansion import UNKNOWN_SHAPE, own_attributes, scaled, total
from bridge.graph.lowering.replacement import Builder, Replacement

_FUSED_GEMM = ("activation", "activation_alpha", "activation_beta", "activation_gamma")


def fused_matmul(build: Builder, node: ir.Node) -> Replacement | str:
    """FusedMatMul, TransposeMatMul and FusedMatMulActivation: alpha times the product of operands whose axes are moved first."""
    moved = []
    for side in "AB":
        value = total(build, node.inputs["AB".index(side)])
        batch, last = (node.attributes.get_int(f"{name}{side}", 0) for name in ("transBatch", "trans"))
        if not (batch or last):
            moved.append(value)
            continue
        if value.shape is None:
            return UNKNOWN_SHAPE
        moved.append(build.op("Transpose", value, attributes={"perm": _order(len(value.shape), batch=bool(batch), last=bool(last))}))
    product = scaled(build, build.op("MatMul", *moved), node.attributes.get_float("alpha", 1.0))
    name = node.attributes.get_string("activation", "")
    found = activated(build, product, name, _fused_parameters(node))
    return f"its activation {name}" if found is None else build.done(found)


def _order(rank: int, *, batch: bool, last: bool) -> list[int]:
    """`transBatch`: the first axis becomes the last but one, the batch axes move up; `trans`: then the last two change places."""
    order = [*range(1, rank - 1), 0, rank - 1] if batch else list(range(rank))
    if last:
        order[-2:] = order[:-3:-1]
    return order


def fused_gemm(build: Builder, node: ir.Node) -> Replacement | str:
    """Gemm, then an activation."""
    value = build.op("Gemm", *node.inputs, attributes=own_attributes(node, *_FUSED_GEMM))
    name = node.attributes.get_string("activation", "")
    found = activated(build, value, name, _fused_parameters(node))
    return f"its activation {name}" if found is None else build.done(found)


def _fused_parameters(node: ir.Node) -> list[float]:
    given = [node.attributes.get_float(name) for name in _FUSED_GEMM[1:] if name in node.attributes]
    return [float(value) for value in given if value is not None]


def bias_add(build: Builder, node: ir.Node) -> Replacement | str:
    """BiasAdd(X, bias, skip)."""
    return build.done(total(build, *node.inputs))


def bias_dropout(build: Builder, node: ir.Node) -> Replacement | str:
    """BiasDropout(data, bias, residual, ...) at inference."""
    return build.done(total(build, *node.inputs[:3]))


def dropout(build: Builder, node: ir.Node) -> Replacement | str:
    """BitmaskDropout(data, ...) at inference."""
    return build.done(total(build, node.inputs[0]))


def bias_softmax(build: Builder, node: ir.Node) -> Replacement | str:
    """Softmax over the last axis of data + bias."""
    data = total(build, node.inputs[0])
    axis = node.attributes.get_int("axis", 1)
    if data.shape is None:
        return UNKNOWN_SHAPE
    if axis not in (-1, len(data.shape) - 1):
        return "its softmax over several axes at once"
    return build.done(build.op("Softmax", total(build, *node.inputs), attributes={"axis": -1}))


def gated_add(build: Builder, node: ir.Node) -> Replacement | str:
    """X + Y * gate."""
    x, y, gate = node.inputs
    return build.done(build.op("Add", x, build.op("Mul", y, gate)))


def distance(build: Builder, node: ir.Node) -> Replacement | str:
    """CDist(A, B): (squared) Euclidean distance of every row of A from every row of B."""
    metric = node.attributes.get_string("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        return f"its metric {metric}"
    a, b = (build.op("Unsqueeze", value, build.integers([axis])) for value, axis in zip(node.inputs, (1, 0), strict=True))
    difference = build.op("Sub", a, b)
    squared = build.op("ReduceSum", build.op("Mul", difference, difference), build.integers([-1]), attributes={"keepdims": 0})
    return build.done(build.op("Sqrt", squared) if metric == "euclidean" else squared)


def linear(build: Builder, x: ir.Value | None, weight: ir.Value, bias: ir.Value | None) -> ir.Value:
    """X @ weight + bias."""
    return total(build, build.op("MatMul", x, weight), bias)
