"""Attention with its projection of the input inside, and MultiHeadAttention with projected queries, keys and values."""

import onnx_ir as ir
from msgspec import Struct

from bridge.graph.contrib.dot_product import attend, causal_mask, merge_heads, padding_mask, scale_of, split_heads
from bridge.graph.contrib.expansion import UNKNOWN_SHAPE, is_read, operand, total
from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape

MASK_VALUE = -10000.0


class Operands(Struct, frozen=True):
    """What attention works on.

    Attributes:
        query: [B, N, S, H].
        key: [B, N, T, H], past keys included.
        value: [B, N, T, Hv], past values included.
        batch: B.
        queries: S.
        keys: T.
        head_size: H.
    """

    query: ir.Value
    key: ir.Value
    value: ir.Value
    batch: int
    queries: int
    keys: int
    head_size: int


def attention(build: Builder, node: ir.Node) -> Replacement | str:
    """Attention(input, weights, bias, mask_index, past, attention_bias)."""
    x, weights = total(build, node.inputs[0]), total(build, node.inputs[1])
    projected = total(build, build.op("MatMul", x, weights), operand(node, 2))
    projected.type = x.type
    return self_attention(build, node, x, weights, projected, mask=operand(node, 3), past=operand(node, 4), bias=operand(node, 5))


def self_attention(
    build: Builder,
    node: ir.Node,
    x: ir.Value,
    weights: ir.Value,
    projected: ir.Value,
    *,
    mask: ir.Value | None,
    past: ir.Value | None,
    bias: ir.Value | None,
) -> Replacement | str:
    """Attention behind the projection of `x` by `weights`, queries, keys and values side by side in its result."""
    shape, width = static_shape(x), static_shape(weights)
    if shape is None or width is None or (past is not None and static_shape(past) is None):
        return UNKNOWN_SHAPE
    if node.attributes.get_int("do_rotary", 0) or node.attributes.get_int("past_present_share_buffer", 0):
        return "its rotary embedding or shared buffer of past keys"
    heads = node.attributes.get_int("num_heads", 1)
    sizes = list(node.attributes.get_ints("qkv_hidden_sizes", [])) or [width[1] // 3] * 3
    parts = build.ops("Split", projected, build.integers([int(size) for size in sizes]), attributes={"axis": -1}, outputs=3)
    for part in parts:
        part.type = x.type
    query, key, value = (split_heads(build, part, heads) for part in parts)
    before = static_shape(past) if past is not None else None
    if past is not None and before is not None and before[3]:
        held = [
            build.op("Squeeze", half, build.integers([0])) for half in build.ops("Split", past, attributes={"axis": 0, "num_outputs": 2}, outputs=2)
        ]
        key, value = (build.op("Concat", old, new, attributes={"axis": 2}) for old, new in zip(held, (key, value), strict=True))
    keys = shape[1] + (before[3] if before is not None else 0)
    found = masked_attention(build, node, Operands(query, key, value, shape[0], shape[1], keys, int(sizes[0]) // heads), x, mask=mask, bias=bias)
    if isinstance(found, str):
        return found
    present = None
    if is_read(node, 1):
        present = build.op("Concat", *(build.op("Unsqueeze", part, build.integers([0])) for part in (key, value)), attributes={"axis": 0})
    return build.done(found, present)


def multi_head_attention(build: Builder, node: ir.Node) -> Replacement | str:
    """MultiHeadAttention(query, key, value, bias, key_padding_mask, attention_bias, past_key, past_value)."""
    query, key, value, bias, mask, added, past_key, past_value = (operand(node, index) for index in range(8))
    if key is None or value is None or query is None:
        return "its packed queries, keys and values"
    if operand(node, 8) is not None or operand(node, 9) is not None or is_read(node, 3):
        return "its shared buffer of past keys, or its scores as an output"
    shape, key_shape, past_shape = static_shape(query), static_shape(key), static_shape(past_key)
    if shape is None or key_shape is None or (past_key is not None and past_shape is None):
        return UNKNOWN_SHAPE
    if len(shape) != 3 or len(key_shape) not in (3, 4):
        return "its packed queries, keys and values"
    heads = node.attributes.get_int("num_heads", 1)
    if bias is not None:
        parts = build.ops("Split", bias, _widths(build, shape, bias), attributes={"axis": 0}, outputs=3)
        query, key, value = (_biased(build, each, part) for each, part in zip((query, key, value), parts, strict=True))
    query = split_heads(build, query, heads)
    if len(key_shape) == 3:
        key, value = (split_heads(build, each, heads) for each in (key, value))
    keys = key_shape[1 if len(key_shape) == 3 else 2]
    if past_key is not None and past_value is not None and past_shape is not None and past_shape[2]:
        key, value = (build.op("Concat", old, new, attributes={"axis": 2}) for old, new in ((past_key, key), (past_value, value)))
        keys += past_shape[2]
    operands = Operands(query, key, value, shape[0], shape[1], keys, shape[2] // heads)
    found = masked_attention(build, node, operands, total(build, node.inputs[0]), mask=mask, bias=added)
    return found if isinstance(found, str) else build.done(found, *(each if is_read(node, index) else None for index, each in ((1, key), (2, value))))


def _widths(build: Builder, query: tuple[int, ...], bias: ir.Value) -> ir.Value | None:
    """Sizes of the three parts of a bias, whose last may differ; equal ones where the bias does not tell."""
    shape = static_shape(bias)
    return build.integers([query[2], query[2], (shape[0] if shape else 3 * query[2]) - 2 * query[2]])


def _biased(build: Builder, value: ir.Value, bias: ir.Value) -> ir.Value:
    """[B, S, N * H] + [N * H], with the type noted for masks."""
    found = build.op("Add", value, bias)
    found.type = value.type
    return found


def masked_attention(
    build: Builder, node: ir.Node, operands: Operands, like: ir.Value, *, mask: ir.Value | None, bias: ir.Value | None
) -> ir.Value | str:
    """The heads' results side by side, [B, S, N * Hv], or why the mask is not covered; scores have the type of `like`."""
    added: list[ir.Value | None] = [bias]
    if mask is not None:
        value = node.attributes.get_float("mask_filter_value", MASK_VALUE)
        found = padding_mask(build, mask, like, batch=operands.batch, keys=operands.keys, masked=value)
        if isinstance(found, str):
            return found
        added.append(found)
    if node.attributes.get_int("unidirectional", 0) and operands.queries > 1:
        added.append(causal_mask(build, like, operands.queries, operands.keys))
    scale = scale_of(node, operands.head_size)
    return merge_heads(build, attend(build, operands.query, operands.key, operands.value, scale=scale, added=tuple(added)))
