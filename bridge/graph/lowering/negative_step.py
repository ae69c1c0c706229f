"""Slice that runs backwards (torch.flip) -> Gather by constant indices.

onnx2tf 2.6.9 writes CUSTOM:ONNX_SLICE, which no runtime has.
"""

import numpy as np
import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import constant_array, static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX Slice-13; start, end and step mean what they mean in Python's slice, but the numbers are clamped first."""
    shape = static_shape(node.inputs[0])
    starts, ends, axes, steps = (constant_array(value) for value in (*node.inputs[1:], *[None] * (5 - len(node.inputs))))
    if shape is None or starts is None or ends is None or steps is None or not (steps < 0).any():
        return None
    wanted = range(starts.size) if axes is None else axes.tolist()
    build = Builder(graph, str(node.name))
    value = node.inputs[0]
    for axis, start, end, step in zip(wanted, starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        value = build.op("Gather", value, build.constant(_indices(shape[axis], start, end, step)), attributes={"axis": axis})
    return build.done(value)


def _indices(size: int, start: int, end: int, step: int) -> np.ndarray:
    """Positions along an axis of `size`, [M] int64."""
    low, high = (0, size) if step > 0 else (-1, size - 1)
    first = min(max(start + size if start < 0 else start, 0), high)
    last = min(max(end + size if end < 0 else end, low), high)
    return np.arange(first, last, step, dtype=np.int64)
