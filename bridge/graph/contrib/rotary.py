"""Rotary position embedding, and GroupQueryAttention over a whole prompt, which may turn its queries and keys with it."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.dot_product import attend, causal_mask, merge_heads, repeat_heads, scale_of, split_heads
from bridge.graph.contrib.expansion import UNKNOWN_SHAPE, is_read, known, operand, total
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def rotary_embedding(build: Builder, node: ir.Node) -> Replacement | str:
    """RotaryEmbedding(input, position_ids, cos_cache, sin_cache) of [B, S, N * H] or [B, N, S, H]."""
    x, positions, cosines, sines = (total(build, value) for value in node.inputs)
    shape, places, table = static_shape(x), static_shape(positions), static_shape(cosines)
    if shape is None or places is None or table is None:
        return UNKNOWN_SHAPE
    if node.attributes.get_int("is_packed_batching", 0) or node.attributes.get_float("scale", 1.0) != 1.0:
        return "its packed batches or its scale"
    heads, turned = node.attributes.get_int("num_heads", 0), node.attributes.get_int("rotary_embedding_dim", 0)
    length = shape[1] if len(shape) == 3 else shape[2]
    if len(places) == 1:  # the position of the first token
        positions = build.op("Add", build.op("Reshape", positions, build.integers([1, 1])), build.constant(np.arange(length)[None]))
    size = shape[3] if len(shape) == 4 else shape[2] // heads if heads and turned else 2 * table[1]
    split = split_heads(build, x, shape[2] // size) if len(shape) == 3 else x
    interleaved = bool(node.attributes.get_int("interleaved", 0))
    angles = tuple(build.op("Unsqueeze", build.op("Gather", values, positions), build.integers([1])) for values in (cosines, sines))
    result = turn(build, split, *angles, size=size, turned=turned or size, interleaved=interleaved)
    return build.done(merge_heads(build, result) if len(shape) == 3 else result)


def turn(build: Builder, x: ir.Value, cosine: ir.Value, sine: ir.Value, *, size: int, turned: int, interleaved: bool) -> ir.Value:
    """[B, N, S, H] with pairs of its first `turned` elements turned by an angle.

    Args:
        build: receives the nodes.
        x: [B, N, S, H].
        cosine: [B or 1, 1, S, turned / 2].
        sine: likewise.
        size: H.
        turned: elements of a head that are turned; the others stay.
        interleaved: pairs are neighbours, not the halves.
    """
    rest: tuple[ir.Value, ...] = ()
    if turned < size:
        x, *rest_values = build.ops("Split", x, build.integers([turned, size - turned]), attributes={"axis": -1}, outputs=2)
        rest = tuple(rest_values)
    if interleaved:
        pairs = build.op("Reshape", x, build.integers([0, 0, 0, turned // 2, 2]))
        first, second = (
            build.op("Squeeze", half, build.integers([-1]))
            for half in build.ops("Split", pairs, attributes={"axis": -1, "num_outputs": 2}, outputs=2)
        )
    else:
        first, second = build.ops("Split", x, attributes={"axis": -1, "num_outputs": 2}, outputs=2)
    real = build.op("Sub", build.op("Mul", first, cosine), build.op("Mul", second, sine))
    imaginary = build.op("Add", build.op("Mul", first, sine), build.op("Mul", second, cosine))
    if interleaved:
        stacked = build.op("Concat", *(build.op("Unsqueeze", half, build.integers([-1])) for half in (real, imaginary)), attributes={"axis": -1})
        result = build.op("Reshape", stacked, build.integers([0, 0, 0, turned]))
    else:
        result = build.op("Concat", real, imaginary, attributes={"axis": -1})
    return build.op("Concat", result, *rest, attributes={"axis": -1}) if rest else result


def group_query_attention(build: Builder, node: ir.Node) -> Replacement | str:
    """GroupQueryAttention(query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos_cache, sin_cache) without a past."""
    query, key, value, past = (operand(node, index) for index in range(4))
    shape, past_shape = static_shape(query), static_shape(past)
    if query is None or shape is None or (past is not None and past_shape is None):
        return UNKNOWN_SHAPE
    if past_shape is not None and past_shape[2]:
        return "its past keys; only a whole prompt at once is covered"
    unusual = _unusual(node)
    if unusual:
        return unusual
    batch, length, heads, groups = shape[0], shape[1], node.attributes.get_int("num_heads", 1), node.attributes.get_int("kv_num_heads", 1)
    packed = key is None or value is None
    size = shape[2] // (heads + 2 * groups) if packed else shape[2] // heads
    parts: tuple[ir.Value, ...]
    if key is None or value is None:
        widths = build.integers([heads * size, groups * size, groups * size])
        parts = build.ops("Split", query, widths, attributes={"axis": -1}, outputs=3)
    else:
        parts = (query, key, value)
    split = [split_heads(build, part, count) for part, count in zip(parts, (heads, groups, groups), strict=True)]
    if node.attributes.get_int("do_rotary", 0):
        tables = [known(operand(node, index)) for index in (7, 8)]
        if any(table is None for table in tables):
            return "its tables of cosines and sines, which are no constants"
        angles = [build.constant(table[None, None, :length]) for table in tables if table is not None]
        interleaved = bool(node.attributes.get_int("rotary_interleaved", 0))
        turned = 2 * int(tables[0].shape[1]) if tables[0] is not None else size
        split[:2] = [turn(build, part, *angles, size=size, turned=turned, interleaved=interleaved) for part in split[:2]]
    repeated = [repeat_heads(build, part, (batch, groups, length, size), heads // groups) for part in split[1:]]
    added = causal_mask(build, query, length, length) if node.attributes.get_int("causal", 1) else None
    result = merge_heads(build, attend(build, split[0], *repeated, scale=scale_of(node, size), added=(operand(node, 10), added)))
    return build.done(result, *(part if is_read(node, index) else None for index, part in enumerate(split[1:], 1)))


def _unusual(node: ir.Node) -> str:
    """Forms of GroupQueryAttention that are left to others; empty for the plain one."""
    attributes = node.attributes
    if attributes.get_int("local_window_size", -1) != -1:
        return "its local window"
    if attributes.get_float("softcap", 0.0) or attributes.get_int("smooth_softmax", 0) == 1 or operand(node, 11) is not None:
        return "its softmax with a cap or a sink"
    if operand(node, 9) is not None or any(attributes.get_int(name, 0) for name in ("kv_cache_bit_width", "qk_output")) or len(node.inputs) > 12:
        return "its positions, its quantized cache, its scores as an output, or its norm of queries"
    return ""
