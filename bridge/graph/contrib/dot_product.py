"""Scaled dot-product attention in parts: heads, masks, scores. B batch, S queries, T keys, N heads, H size of a head."""

import math

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.expansion import UNKNOWN_SHAPE, scalar_like, scaled, total
from bridge.graph.lowering.replacement import Builder
from bridge.graph.values import static_shape

# onnxruntime puts the lowest float there; only a row that nothing else leaves open could tell the difference.
FUTURE = -1e9


def split_heads(build: Builder, value: ir.Value, heads: int) -> ir.Value:
    """[B, S, N * H] -> [B, N, S, H]."""
    return build.op("Transpose", build.op("Reshape", value, build.integers([0, 0, heads, -1])), attributes={"perm": [0, 2, 1, 3]})


def merge_heads(build: Builder, value: ir.Value) -> ir.Value:
    """[B, N, S, H] -> [B, S, N * H]."""
    return build.op("Reshape", build.op("Transpose", value, attributes={"perm": [0, 2, 1, 3]}), build.integers([0, 0, -1]))


def repeat_heads(build: Builder, value: ir.Value, shape: tuple[int, int, int, int], times: int) -> ir.Value:
    """[B, N, S, H] -> [B, N * times, S, H], each head standing `times` times in a row.

    Args:
        build: receives the nodes.
        value: keys or values.
        shape: of the value.
        times: query heads per head.
    """
    if times == 1:
        return value
    batch, heads, length, size = shape
    stacked = build.op("Expand", build.op("Unsqueeze", value, build.integers([2])), build.integers([batch, heads, times, length, size]))
    return build.op("Reshape", stacked, build.integers([batch, heads * times, length, size]))


def attend(build: Builder, query: ir.Value, key: ir.Value, value: ir.Value, *, scale: float, added: tuple[ir.Value | None, ...]) -> ir.Value:
    """softmax(scale * Q K^T + added) V, all [B, N, S or T, H]."""
    scores = build.op("MatMul", query, build.op("Transpose", key, attributes={"perm": [0, 1, 3, 2]}))
    masked = total(build, scaled(build, scores, scale), *added)
    return build.op("MatMul", build.op("Softmax", masked, attributes={"axis": -1}), value)


def scale_of(node: ir.Node, head_size: int) -> float:
    """The attribute, or 1 / sqrt(H)."""
    return node.attributes.get_float("scale", 0.0) or 1.0 / math.sqrt(head_size)


def causal_mask(build: Builder, like: ir.Value, queries: int, keys: int) -> ir.Value:
    """[S, T]: 0 for what a query may see, `FUTURE` for the keys behind its own; the last query sees all keys."""
    seen = np.tri(queries, keys, keys - queries, dtype=bool)
    dtype = like.dtype.numpy() if like.dtype is not None else np.float32
    return build.constant(np.where(seen, 0.0, max(FUTURE, float(np.finfo(dtype).min))).astype(dtype))


def padding_mask(build: Builder, mask: ir.Value, like: ir.Value, *, batch: int, keys: int, masked: float) -> ir.Value | str:
    """What a mask of integers adds to the scores, broadcast against [B, N, S, T], or why it is not covered.

    Args:
        build: receives the nodes.
        mask: [B, T] or [B, S, T] with 1 for what is seen, or [B] lengths, or [2 B] ends and starts.
        like: scores have its type.
        batch: B.
        keys: T.
        masked: added where the mask is 0.
    """
    shape = static_shape(mask)
    if shape is None:
        return UNKNOWN_SHAPE
    if len(shape) == 1 and shape[0] in (batch, 2 * batch):
        seen = _within(build, mask, shape[0] // batch, batch, keys)
        axes = [1, 2]
    elif len(shape) in (2, 3):
        seen = build.op("Greater", mask, build.constant(np.zeros((), mask.dtype.numpy() if mask.dtype is not None else np.int32)))
        axes = [1, 2] if len(shape) == 2 else [1]
    else:
        return f"its mask of shape {list(shape)}"
    kind = like.dtype if like.dtype is not None else ir.DataType.FLOAT
    kept = build.op("Cast", build.op("Unsqueeze", seen, build.integers(axes)), attributes={"to": int(kind)})
    return build.op("Mul", build.op("Sub", scalar_like(build, 1.0, like), kept), scalar_like(build, masked, like))


def _within(build: Builder, mask: ir.Value, bounds: int, batch: int, keys: int) -> ir.Value:
    """[B, T] bool: whether a key stands before the end of its sequence and, with two bounds, not before its start."""
    positions = build.constant(np.arange(keys, dtype=mask.dtype.numpy() if mask.dtype is not None else np.int32)[None])
    ends, *starts = build.ops("Split", mask, attributes={"axis": 0, "num_outputs": bounds}, outputs=bounds) if bounds > 1 else (mask,)
    seen = build.op("Less", positions, build.op("Reshape", ends, build.integers([batch, 1])))
    for start in starts:
        seen = build.op("And", seen, build.op("GreaterOrEqual", positions, build.op("Reshape", start, build.integers([batch, 1]))))
    return seen
