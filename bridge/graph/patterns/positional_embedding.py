"""A table of positions that is added to tokens: a constant [.., tokens, width], or rows looked up by position."""

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns.attention import NAME as ATTENTION
from bridge.graph.patterns.ends import is_layer, is_table, leading_to
from bridge.graph.patterns.matching import VIEWS, constant, is_constant, is_float, is_op, tensor_of
from bridge.graph.values import static_shape

NAME = "positional_embedding"
NARROWEST = 4  # numbers per token; grids of box decoders have two or four and are behind the last layer


def recognise(model: ir.Model) -> None:
    """Marks the sums, and the lookup where there is one; needs attention marked before."""
    nodes = list(model.graph)
    sums = (node for node in nodes if is_op(node, "Add") and provenance.pattern(node) is None and ATTENTION not in provenance.places(node))
    found = {node: members for node in sums if (members := _with_table(node))}
    before_layers = leading_to(nodes, (node for node in nodes if is_layer(node))) if found else set()
    for node, members in found.items():
        for member in members if node in before_layers else ():
            provenance.place(member, NAME)


def _with_table(node: ir.Node) -> list[ir.Node]:
    shape = static_shape(node.outputs[0])
    left, right = node.inputs
    if shape is None or len(shape) not in (3, 4) or left is None or right is None or not is_float(node.outputs[0]):
        return []
    for value, other in ((left, right), (right, left)):
        if not is_constant(other) and static_shape(other) == shape and _is_table_of_positions(value, shape):
            return [node]
    lookups = [found for value in (left, right) if (found := _lookup(value)) is not None]
    table = _table_of_positions(lookups, shape[-2])
    return [] if table is None else [node, table]


def _is_table_of_positions(value: ir.Value, shape: tuple[int, ...]) -> bool:
    """Whether a constant has another vector for each token, or each place of a picture, and none for each sample."""
    found = constant(value)
    if found is None or found.ndim < 2 or found.ndim > len(shape):
        return False
    whole = (1,) * (len(shape) - found.ndim) + found.shape
    fits = all(own == size for own, size in zip(whole[1:], shape[1:], strict=True))
    same_for_all = whole[0] == 1 or bool((found == found[:1]).all())
    return fits and same_for_all and sum(size > 1 for size in whole) >= 2 and shape[-1] >= NARROWEST


def _lookup(value: ir.Value) -> ir.Node | None:
    """The Gather that alone a view of the value comes from."""
    node = value.producer()
    while node is not None and is_op(node, *VIEWS, "Cast") and node.inputs[0] is not None:
        node = node.inputs[0].producer()
    return node if node is not None and is_op(node, "Gather") and is_table(node) else None


def _table_of_positions(lookups: list[ir.Node], tokens: int) -> ir.Node | None:
    """Of two lookups the one in the smaller table, where that has a row for each token (one of token types has two)."""
    if len(lookups) != 2:
        return None
    rows = [(len(tensor.numpy()), node) for node in lookups if (tensor := tensor_of(node.inputs[0])) is not None]
    (fewer, table), (more, _) = sorted(rows, key=lambda entry: entry[0])
    return table if tokens <= fewer < more else None
