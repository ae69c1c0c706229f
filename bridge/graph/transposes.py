"""Removes Transposes around elementwise operators that undo each other.

tf2onnx carries the layout of a convolution through every operator it knows; around one it does not know, such as Erfc, it leaves Transposes, and a
GELU cut by them is not recognised.
"""

import numpy as np
import onnx_ir as ir
from msgspec import Struct, field

from bridge.graph.identities import stand_for
from bridge.graph.values import constant_array, new_constant, static_shape

# No operator with an axis; of several operands only those that broadcast.
_ELEMENTWISE = frozenset(
    {
        "Abs", "Add", "Cast", "Clip", "Div", "Elu", "Erf", "Exp", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Max", "Min", "Mish", "Mul",
        "Neg", "Pow", "Reciprocal", "Relu", "Selu", "Sigmoid", "Softplus", "Softsign", "Sqrt", "Sub", "Tanh",
    }
)  # fmt: skip


class _Region(Struct):
    """Elementwise operators between Transposes of one permutation and Transposes that undo it.

    Attributes:
        back: the permutation behind the region.
        nodes: the operators, in the order they were found: a set has one that differs from process to process.
        entries: the Transposes before it, likewise.
    """

    back: tuple[int, ...]
    nodes: dict[ir.Node, None] = field(default_factory=dict)
    entries: dict[ir.Node, None] = field(default_factory=dict)


def cancel_transposes(model: ir.Model) -> None:
    """Transpose, elementwise operators, inverse Transpose -> the operators; nothing changes where a value in between has other readers."""
    for node in list(model.graph):
        if node.graph is not None and _perm(node) is not None:
            _cancel(model.graph, node)


def _perm(node: ir.Node | None) -> tuple[int, ...] | None:
    if node is None or node.op_type != "Transpose" or node.domain != "" or static_shape(node.inputs[0]) is None:
        return None
    rank = len(static_shape(node.inputs[0]) or ())
    return tuple(node.attributes.get_ints("perm", list(reversed(range(rank)))))


def _cancel(graph: ir.Graph, last: ir.Node) -> None:
    back = _perm(last)
    value = last.inputs[0]
    assert back is not None  # the caller looked
    assert value is not None  # a Transpose has one
    region = _Region(back)
    if not _grow(region, value) or not region.entries:
        return
    exits = {user for node in region.nodes for output in node.outputs for user in output.consumers()} - region.nodes.keys()
    if any(_perm(user) != back for user in exits) or any(output.is_graph_output() for node in region.nodes for output in node.outputs):
        return
    _rewire(graph, region, exits | {last})


def _grow(region: _Region, value: ir.Value) -> bool:
    """Takes in what computes `value`; False where something else than elementwise operators and fitting Transposes does."""
    array = constant_array(value)
    if array is not None:
        return array.ndim in (0, len(region.back)) or array.size == 1
    node = value.producer()
    entry = _perm(node)
    if node is not None and entry is not None and tuple(entry[axis] for axis in region.back) == tuple(range(len(entry))):
        region.entries[node] = None
        return True
    if node is None or node.op_type not in _ELEMENTWISE or node.domain != "" or len(static_shape(node.outputs[0]) or ()) != len(region.back):
        return False
    if node in region.nodes:
        return True
    region.nodes[node] = None
    return all(_grow(region, operand) for operand in node.inputs if operand is not None)


def _rewire(graph: ir.Graph, region: _Region, exits: set[ir.Node]) -> None:
    for node in region.nodes:
        for index, operand in enumerate(node.inputs):
            array = constant_array(operand)
            producer = None if operand is None else operand.producer()
            if array is not None and array.ndim == len(region.back):
                node.replace_input_with(index, new_constant(graph, f"{operand.name if operand else ''}.moved", np.transpose(array, region.back)))
            elif producer in region.entries and producer is not None:
                node.replace_input_with(index, producer.inputs[0])
        for output in node.outputs:
            shape = static_shape(output)
            output.shape = None if shape is None else ir.Shape([shape[axis] for axis in region.back])
            output.name = f"{output.name}.moved"  # the values of the user's tensor, but not in its order of axes
    for node in sorted(exits, key=lambda exit_: str(exit_.outputs[0].name)):
        _replace_exit(graph, region, node)
    for entry in region.entries:
        if not entry.outputs[0].uses() and not entry.outputs[0].is_graph_output():
            _hand_over(entry, region)
            graph.remove(entry, safe=True)


def _replace_exit(graph: ir.Graph, region: _Region, node: ir.Node) -> None:
    """Puts what an exit reads in its place."""
    value, copy = node.inputs[0], node.outputs[0]
    assert value is not None  # a Transpose has one
    source = value.producer()
    if source in region.entries and source is not None:
        value = source.inputs[0]
        source = None if value is None else value.producer()
    if value is None or (copy.is_graph_output() and (source is None or value.is_graph_output())):
        node.op_type = "Identity"
        node.attributes.clear()
        node.replace_input_with(0, value)
        return
    if copy.is_graph_output() or (source is not None and source in region.nodes and str(value.name).endswith(".moved")):
        name, copy.name = copy.name, None
        value.name = name
    if source is not None:
        stand_for(source, node)
    ir.convenience.replace_all_uses_with(copy, value, replace_graph_outputs=True)
    graph.remove(node, safe=True)


def _hand_over(entry: ir.Node, region: _Region) -> None:
    """Some operator of the region stands for a Transpose that is gone; without one the exit already told the producer."""
    source = entry.inputs[0]
    reader = next((node for node in region.nodes if source in node.inputs), None)
    producer = None if source is None else source.producer()
    target = reader or producer
    if target is not None:
        stand_for(target, entry)
