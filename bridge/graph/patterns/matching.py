"""What every pattern needs to read a graph: constants, shapes, regions between values, and the swap of a region for one node."""

from collections.abc import Callable, Collection, Iterable, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import onnx_ir as ir

from bridge.graph import provenance

Array = npt.NDArray[np.float64]

FLOATS = frozenset({ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.DOUBLE, ir.DataType.BFLOAT16})
VIEWS = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity"})  # same elements in the same order, another shape


def is_op(node: ir.Node | None, *op_types: str) -> bool:
    """Whether `node` is a standard ONNX operator of one of these types."""
    return node is not None and node.domain in ("", "ai.onnx") and node.op_type in op_types


def attribute[T](node: ir.Node, name: str, default: T) -> T:
    """The attribute's value, `default` where the node does not have it."""
    found = node.attributes.get(name)
    return default if found is None else found.value


def given(node: ir.Node, index: int) -> ir.Value | None:
    """The input at `index`, None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def tensor_of(value: ir.Value | None) -> ir.TensorProtocol | None:
    """The contents of an initializer or a Constant node, None for anything computed when the model runs."""
    return None if value is None else ir.convenience.get_const_tensor(value)


def is_constant(value: ir.Value | None) -> bool:
    """Whether the value is known before the model runs."""
    return tensor_of(value) is not None


def constant(value: ir.Value | None, *, limit: int = 1 << 22) -> Array | None:
    """A numeric constant as float64, None for other values and for more than `limit` elements (no pattern has that large a constant)."""
    tensor = tensor_of(value)
    if tensor is None or tensor.dtype == ir.DataType.STRING or tensor.size > limit:
        return None
    return tensor.numpy().astype(np.float64)


def scalar(value: ir.Value | None) -> float | None:
    """The number in a constant of one element, whatever its rank."""
    found = constant(value, limit=1)
    return None if found is None or found.size != 1 else float(found.reshape(()))


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """The numbers in a constant list such as axes or a target shape."""
    found = constant(value, limit=64)
    return None if found is None else tuple(int(number) for number in found.reshape(-1))


def is_float(value: ir.Value) -> bool:
    """Whether the value holds floating-point numbers; an unknown dtype counts as float."""
    return value.dtype is None or value.dtype in FLOATS


def shape_ends_with(shape: Sequence[int], count: int) -> int | None:
    """The largest axis from which on the sizes multiply to `count`, None if there is none."""
    return next((axis for axis in range(len(shape) - 1, -1, -1) if prod(shape[axis:]) == count), None)


def region(output: ir.Value, stops: Callable[[ir.Value], bool]) -> tuple[list[ir.Node], list[ir.Value]]:
    """The nodes between some values and `output`.

    Args:
        output: value whose producer belongs to the region.
        stops: whether the region ends at this value; not asked for `output` and constants.

    Returns:
        The nodes in topological order (Constant nodes left out), and the values that feed them: those where `stops` held and the
        graph's inputs.
    """
    nodes: list[ir.Node] = []
    feeds: dict[ir.Value, None] = {}
    seen: set[ir.Value] = set()
    stack = [(output, False)]
    while stack:
        value, expanded = stack.pop()
        producer = value.producer()
        if expanded and producer is not None:
            nodes.append(producer)
            continue
        if value in seen or is_constant(value):
            continue
        seen.add(value)
        if producer is None or (value is not output and stops(value)):
            feeds[value] = None
            continue
        seen.update(producer.outputs)
        stack.append((value, True))
        stack.extend((read, False) for read in reversed(producer.inputs) if read is not None)
    return nodes, list(feeds)


def is_closed(nodes: Collection[ir.Node], output: ir.Value) -> bool:
    """Whether nobody outside of `nodes` reads anything but `output` of what they write."""
    inside = set(nodes)
    written = (value for node in inside for value in node.outputs if value is not output)
    return not any(value.is_graph_output() or any(use.node not in inside for use in value.uses()) for value in written)


def read_elsewhere(nodes: Sequence[ir.Node], output: ir.Value) -> list[ir.Node]:
    """The nodes of a region that have to stay when `output` is computed in another way, in their order."""
    inside, needed = set(nodes), set[ir.Node]()
    for node in reversed(nodes):
        written = (value for value in node.outputs if value is not output)
        if any(value.is_graph_output() or any(user in needed or user not in inside for user in value.consumers()) for value in written):
            needed.add(node)
    return [node for node in nodes if node in needed]


def mark_all(nodes: Iterable[ir.Node], recognised: str) -> None:
    """Notes the pattern on every node."""
    for node in nodes:
        provenance.mark(node, recognised)


def fuse(graph: ir.Graph, nodes: Sequence[ir.Node], output: ir.Value, fused: ir.Node, recognised: str) -> None:
    """Puts `fused` in the place of the region `nodes`, under the name of the node that wrote `output`.

    Args:
        graph: changed in place.
        nodes: a closed region in topological order.
        output: its result; the one output of `fused` takes its name, its type and its readers.
        fused: the new node, not yet in the graph.
        recognised: name of the pattern.
    """
    last = output.producer()
    if last is None:
        raise ValueError(f"{output.name}: a graph input cannot be replaced")
    fused.name = last.name
    provenance.inherit([fused], nodes, main=last, recognised=recognised)
    ir.convenience.replace_nodes_and_values(graph, last, list(nodes), [fused], [output], [fused.outputs[0]])
