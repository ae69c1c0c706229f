"""The read-only view of the normalised graph that rules see."""

import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.source_nodes import module_classes, scope
from bridge.types import NodeFacts, TensorSpec

# Where one node of the user's file became several, these only bring values into place for the one that computes.
_HELPERS = frozenset({"Cast", "Concat", "Expand", "Flatten", "Identity", "Pad", "Reshape", "Slice", "Split", "Squeeze", "Transpose", "Unsqueeze"})
_NO_VALUE = frozenset(
    {ir.AttributeType.TENSOR, ir.AttributeType.TENSORS, ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS, ir.AttributeType.SPARSE_TENSOR}
)
_WRITTEN_AS = "bridge.op_type"  # operator of the user's file that the node is a part of, where the converter needs it spelled out


def written_as(node: ir.Node, op_type: str) -> None:
    """Notes that `node` belongs to the spelling of one operator, so that rules still see that operator; a later fusion into another one ends it."""
    node.metadata_props[_WRITTEN_AS] = op_type


def is_computing(node: ir.Node) -> bool:
    """Whether a node does more than to bring values into place."""
    return node.op_type not in _HELPERS


def main_node(nodes: Sequence[ir.Node]) -> ir.Node:
    """Of the nodes that stand for one name, the one that computes."""
    return next((node for node in nodes if is_computing(node)), nodes[0])


def groups(model: ir.Model) -> dict[str, list[ir.Node]]:
    """The nodes of each user's name, in topological order of their main nodes."""
    found: dict[str, list[ir.Node]] = {}
    for node in model.graph:
        found.setdefault(provenance.name(node), []).append(node)
    position = {node: index for index, node in enumerate(model.graph)}
    return dict(sorted(found.items(), key=lambda item: position[main_node(item[1])]))


def node_facts(model: ir.Model, tensor_names: Mapping[str, str]) -> tuple[NodeFacts, ...]:
    """One per name; a name with several nodes shows the inputs and outputs of the whole group.

    Args:
        model: normalised.
        tensor_names: value name -> the user's tensor name, where there is one.
    """
    return tuple(_facts(name, nodes, tensor_names) for name, nodes in groups(model).items())


def _facts(name: str, nodes: Sequence[ir.Node], tensor_names: Mapping[str, str]) -> NodeFacts:
    main = main_node(nodes)
    inputs = _operands(main, nodes)
    spelled = next((written for node in nodes if is_computing(node) and (written := node.metadata_props.get(_WRITTEN_AS))), None)
    attributes = {} if spelled else main.attributes  # those of a part say nothing about the whole
    return NodeFacts(
        name=name,
        op_type=spelled or main.op_type,
        domain=provenance.domain(main),
        patterns=_patterns(main, nodes),
        scope=scope(main),
        module_classes=module_classes(main),
        origins=tuple(dict.fromkeys(source for node in nodes for source in provenance.origins(node))),
        inputs=tuple(tensor_spec(value, tensor_names) for value in inputs),
        outputs=tuple(tensor_spec(value, tensor_names) for value in _results(main, nodes)),
        constant_inputs=tuple(index for index, value in enumerate(inputs) if value.const_value is not None),
        attributes=MappingProxyType({key: _plain(attribute) for key, attribute in attributes.items() if attribute.type not in _NO_VALUE}),
    )


def _patterns(main: ir.Node, nodes: Sequence[ir.Node]) -> tuple[str, ...]:
    """The operation first, then the places; what helpers lie in does not count, the rearrangement behind a layer may belong to attention."""
    kind = next((found for node in nodes if (found := provenance.pattern(node)) is not None), None)
    places = (place for node in nodes if node is main or node.op_type not in _HELPERS for place in provenance.places(node))
    return tuple(dict.fromkeys((*([] if kind is None else [kind]), *places)))


def _operands(main: ir.Node, nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """What the main node reads, in the order of its ONNX operator and as it was before helpers moved it, then what else the group reads."""
    if len(nodes) == 1:  # as most are
        return [value for value in main.inputs if value is not None]
    inside = {output: node for node in nodes for output in node.outputs}
    found: list[ir.Value] = []
    for operand in main.inputs:
        value = operand
        while value is not None and value in inside and inside[value] is not main:
            value = inside[value].inputs[0]
        if value is not None:
            found.append(value)
    others = (value for node in nodes for value in node.inputs if value is not None and value not in inside and value.const_value is None)
    return [*found, *(value for value in dict.fromkeys(others) if value not in found)]


def _results(main: ir.Node, nodes: Sequence[ir.Node]) -> list[ir.Value]:
    """What the group writes for others; all outputs of a node that is alone."""
    written = [output for node in nodes for output in node.outputs if output.name]
    if len(nodes) == 1:
        return written
    members = set(nodes)
    used = [value for value in written if value.is_graph_output() or any(user not in members for user in value.consumers())]
    return used or list(main.outputs)


def tensor_spec(value: ir.Value, tensor_names: Mapping[str, str]) -> TensorSpec:
    """Name for the user, shape and NumPy dtype of a value."""
    name = str(value.name)
    shape = () if value.shape is None else tuple(size if isinstance(size, int) else str(size) for size in value.shape)
    return TensorSpec(tensor_names.get(name, name), shape, "" if value.dtype is None else _dtype_name(value.dtype))


@functools.cache
def _dtype_name(dtype: ir.DataType) -> str:
    """NumPy's; it makes the name anew whenever it is asked."""
    return dtype.numpy().name


def _plain(attribute: ir.Attr) -> object:
    value = attribute.value
    return tuple(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else value
