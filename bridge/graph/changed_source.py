"""The user's own model with the changes that rules make, each behind a switch: the reference for the converted file, and for what a change does alone."""

from collections.abc import Iterator, Sequence

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
from msgspec import Struct

from bridge.errors import UnsupportedModelError
from bridge.graph import provenance, source_nodes
from bridge.graph.change import Swap
from bridge.graph.contrib import expand_contrib, move_to_own_domain
from bridge.graph.ledger import Ledger, Step, unused_name
from bridge.graph.local_functions import inline_local_functions
from bridge.graph.node_writer import NodeWriter
from bridge.graph.opset import lift_opset
from bridge.graph.patterns.gates import OPERATORS
from bridge.replacements import FUNCTION_OF_OPERATOR, REPLACEMENTS
from bridge.types import SourceModel

WHERE_OPSET = 9  # the first with Where, which makes the switch


class Switch(Struct, frozen=True):
    """A change in the changed model.

    Attributes:
        name: boolean model input; true = changed.
        before: tensor as the user's model has it.
        after: the tensor that takes its place.
    """

    name: str
    before: str
    after: str


class ChangedSource(Struct, frozen=True):
    """The user's model with a switch for each change, in their order."""

    proto: onnx.ModelProto
    switches: tuple[Switch, ...]


def changed_source(source: SourceModel, swaps: Sequence[Swap]) -> ChangedSource:
    """Makes the changes in the user's model, written in arithmetic that every runtime has.

    Args:
        source: not changed.
        swaps: from `change`.

    Raises:
        UnsupportedModelError: the tensor that changes is not in the main graph of the user's file.
    """
    model = source_nodes.read_only_copy(inline_local_functions(source).proto)
    source_nodes.name_nodes(model.graph)
    common.InlinePass()(model)  # of REPAIR_DOMAIN
    _make_legible(model, swaps)
    user = _UserGraph(model.graph)
    switches = tuple(_switch(user, swap, index) for index, swap in enumerate(swaps))
    return ChangedSource(ir.to_proto(model), switches)


def _make_legible(model: ir.Model, swaps: Sequence[Swap]) -> None:
    """Spells out operators that are more than the function which is changed, and lifts files that have no Where; infers missing dtypes."""
    wanted = {name for swap in swaps for name in swap.origins}
    foreign = any(node.domain not in ("", "ai.onnx") for node in model.graph if provenance.name(node) in wanted)
    if foreign or model.opset_imports.get("", model.opset_imports.get("ai.onnx", WHERE_OPSET)) < WHERE_OPSET:
        ledger = Ledger(model, source_nodes.list_nodes(model))
        for name, run in (("domains", move_to_own_domain), ("opset", lift_opset), ("expand what onnxruntime wrote", expand_contrib)):
            ledger.run(Step(name, run))
    if any(output.dtype is None for node in model.graph if provenance.name(node) in wanted for output in node.outputs):
        common.ShapeInferencePass()(model)


class _UserGraph:
    """The main graph of the user's file, by names."""

    def __init__(self, graph: ir.Graph) -> None:
        self.graph = graph
        self.values = {str(value.name): value for value in (*graph.inputs, *(output for node in graph for output in node.outputs)) if value.name}
        self.taken = set(self.values) | {node.name for node in graph} | set(graph.initializers)
        self.by_origin: dict[str, list[ir.Node]] = {}
        self._constant: dict[ir.Value, bool] = {value: True for value in graph.initializers.values()}
        for node in graph:
            self.by_origin.setdefault(provenance.name(node), []).append(node)
            known = bool(node.outputs) and all(value is None or self._constant.get(value, False) for value in node.inputs)
            self._constant |= dict.fromkeys(node.outputs, known)

    def fresh(self, wanted: str) -> str:
        """A name that nothing has."""
        name = unused_name(wanted, self.taken)
        self.taken.add(name)
        return name

    def is_constant(self, value: ir.Value) -> bool:
        """Whether it is known before the model runs."""
        return self._constant.get(value, False)

    def computing(self, origins: Sequence[str]) -> list[ir.Node]:
        """The nodes of these names that compute with what the model is fed, in topological order."""
        wanted = {node for name in origins for node in self.by_origin.get(name, ())}
        return [node for node in self.graph if node in wanted and not all(self.is_constant(output) for output in node.outputs)]


def _switch(user: _UserGraph, swap: Swap, index: int) -> Switch:
    before, nodes = _place(user, swap)
    graph, name = user.graph, str(before.name)
    write = NodeWriter(graph, before, name)
    if swap.change.kind == "clip":
        after = write("Min", write("Max", before, swap.bounds[0]), swap.bounds[1])
    else:
        after = REPLACEMENTS[swap.change.by].formula(write, _argument(user, nodes, swap), swap.slope)
    switch = ir.Value(name=user.fresh(f"bridge.switch.{index}"), type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape([]))
    graph.inputs.append(switch)
    chosen = ir.node("Where", [switch, after, before])
    chosen.outputs[0].type, chosen.outputs[0].shape = before.type, before.shape
    producer = before.producer()
    ir.convenience.replace_all_uses_with(before, chosen.outputs[0], replace_graph_outputs=True)
    for node in write.nodes:  # they read what was there before, and so does Where
        for position, value in enumerate(node.inputs):
            if value is chosen.outputs[0]:
                node.replace_input_with(position, before)
    chosen.replace_input_with(2, before)
    if producer is None:
        graph.insert_before(next(iter(graph)), [*write.nodes, chosen])
    else:
        graph.insert_after(producer, [*write.nodes, chosen])
    for node in (*write.nodes, chosen):
        node.name = user.fresh(f"bridge.{name}.{node.op_type}")
        node.outputs[0].name = user.fresh(f"{name}.{node.op_type}")
    if producer is not None:
        before.name, chosen.outputs[0].name = user.fresh(f"{name}.before"), name
    user.values[name] = chosen.outputs[0]
    return Switch(str(switch.name), str(before.name), str(after.name))


def _place(user: _UserGraph, swap: Swap) -> tuple[ir.Value, list[ir.Node]]:
    """The tensor that changes, and the nodes that compute the function."""
    change = swap.change
    nodes = user.computing(swap.origins)
    if change.kind == "clip":
        found = user.values.get(change.tensor) or next((value for node in reversed(nodes) for value in _read_outside(node, nodes)), None)
    else:
        nodes = _function(nodes, change.function)
        found = next((value for node in reversed(nodes) for value in _read_outside(node, nodes)), None)
    if found is None:
        raise UnsupportedModelError(
            f"{change.node!r}: rule {change.rule!r} ({change.file}:{change.line}) changes what is not computed in the main graph of the file.",
            hint="Leave this node out of the rule.",
        )
    return found, nodes


def _function(nodes: list[ir.Node], function: str) -> list[ir.Node]:
    """Of nodes that were fused, those that are the function: its operator, else its arithmetic without what only moves values."""
    own = [node for node in nodes if FUNCTION_OF_OPERATOR.get(node.op_type) == function]
    return own[-1:] or [node for node in nodes if node.op_type in OPERATORS]


def _argument(user: _UserGraph, nodes: list[ir.Node], swap: Swap) -> ir.Value:
    inside = {output for node in nodes for output in node.outputs}
    feeds = {value: None for node in nodes for value in node.inputs if value is not None and value not in inside and not user.is_constant(value)}
    if len(feeds) != 1:
        change = swap.change
        named = ", ".join(repr(value.name) for value in feeds) or "none"
        raise UnsupportedModelError(
            f"{change.node!r}: rule {change.rule!r} ({change.file}:{change.line}) replaces a function of one tensor. Received: {named}.",
            hint="Leave this node out of the rule.",
        )
    return next(iter(feeds))


def _read_outside(node: ir.Node, nodes: Sequence[ir.Node]) -> Iterator[ir.Value]:
    for value in node.outputs:
        if value.is_graph_output() or any(user not in nodes for user in value.consumers()):
            yield value
