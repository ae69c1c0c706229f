"""Arithmetic and comparison of narrow or unsigned integers -> the same in int32 or int64 between Casts.

TFLite takes int8 and uint8 for quantized values: LiteRT 2.3 aborts the process at an ADD of plain int8 tensors ("Check failed"), computes MUL and DIV
of them wrong, and has no kernel for the unsigned ones.
"""

from collections.abc import Mapping
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement

_WIDE: Mapping[ir.DataType, ir.DataType] = MappingProxyType(
    {
        ir.DataType.INT8: ir.DataType.INT32,
        ir.DataType.INT16: ir.DataType.INT32,
        ir.DataType.UINT8: ir.DataType.INT32,
        ir.DataType.UINT16: ir.DataType.INT32,
        ir.DataType.UINT32: ir.DataType.INT64,
        ir.DataType.UINT64: ir.DataType.INT64,
    }
)


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Values wrap around as they did: the Cast back keeps the low bits (ONNX Cast-13, integer to integer)."""
    kinds = {value.dtype for value in node.inputs if value is not None}
    if len(kinds) != 1 or (kind := next(iter(kinds))) not in _WIDE or kind is None:
        return None
    build = Builder(graph, str(node.name))
    wide = [None if value is None else build.op("Cast", value, attributes={"to": int(_WIDE[kind])}) for value in node.inputs]
    result = build.op(node.op_type, *wide, attributes={name: attribute.value for name, attribute in node.attributes.items()})
    if node.outputs[0].dtype != kind:
        return build.done(result)  # a comparison
    return build.done(build.op("Cast", result, attributes={"to": int(kind)}))
