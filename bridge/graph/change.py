"""Changes what a normalised graph computes, where rules ask for it: other activation functions, real clips."""

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

import onnx_ir as ir
from msgspec import Struct
from msgspec.structs import replace

from bridge.graph import facts, provenance
from bridge.graph.activations import Activation, activations
from bridge.graph.ledger import unused_name
from bridge.graph.node_writer import NodeWriter
from bridge.graph.patterns.matching import read_elsewhere
from bridge.replacements import REPLACEMENTS
from bridge.types import Change, Diagnostic, Graph, RangeDecision, ReplacementDecision, SourceNode

NAMED = 5  # nodes in one message


class Swap(Struct, frozen=True):
    """A change, and what is needed to make it in the user's own model too.

    Attributes:
        change: what reports say.
        origins: nodes of the user's file that compute the tensor.
        slope: of the replacement.
        bounds: of the clip.
    """

    change: Change
    origins: tuple[str, ...]
    slope: float = 1.0
    bounds: tuple[float, float] = (0.0, 0.0)


class ChangedGraph(Struct, frozen=True):
    """The graph with its changes, in topological order, and what could not be done."""

    graph: Graph
    swaps: tuple[Swap, ...]
    diagnostics: tuple[Diagnostic, ...] = ()


def change(graph: Graph, replacements: Mapping[str, ReplacementDecision], clips: Sequence[tuple[RangeDecision, bool]]) -> ChangedGraph:
    """A copy of the graph that computes what rules ask for.

    Names of tensors stay: each that has one of the user's file holds what the user's model gives after the same change (`changed_source`).

    Args:
        graph: normalised; not changed.
        replacements: by node.
        clips: decisions with a clip, and whether the graph has to do it; else they are only listed.
    """
    if not replacements and not clips:
        return ChangedGraph(graph, ())
    model = graph.model.clone()
    safe = {user: name for name, user in graph.tensor_names.items()}
    swaps: list[Swap] = []
    moved: dict[ir.Value, ir.Value] = {}
    for found, decision in _chosen(model.graph, replacements):
        if all(node.graph is model.graph for node in found.nodes):  # no part of it went into another replacement
            swaps.append(_replace(model.graph, found, decision, moved, graph.tensor_names))
    values = {str(value.name): value for value in (*model.graph.inputs, *(output for node in model.graph for output in node.outputs))}
    origins = {node.name: node.origins for node in graph.nodes}
    for clip, in_graph in clips:
        assert clip.choice.clip is not None  # what is not clipped is not given
        low, high = clip.choice.clip
        value = values.get(safe.get(clip.tensor, clip.tensor))
        if value is None:  # inside a function that was replaced
            continue
        if in_graph:
            _clip(model.graph, value, low, high)
        made = Change("clip", clip.node, clip.tensor, "", f"{low:g} .. {high:g}", in_graph, clip.rule, clip.file, clip.line)
        swaps.append(Swap(made, origins[clip.node], bounds=(low, high)))
    done = {name for swap in swaps for name in (swap.change.node, *swap.origins)}
    left = [decision for name, decision in replacements.items() if done.isdisjoint({name, *origins[name]})]
    return ChangedGraph(_with(graph, model), tuple(swaps), tuple(_not_done(left)))


def _chosen(graph: ir.Graph, replacements: Mapping[str, ReplacementDecision]) -> list[tuple[Activation, ReplacementDecision]]:
    """The activations that rules replace; where its nodes are told different things, the last one decides."""
    found = []
    for one in activations(graph):
        said = [replacements[name] for node in one.nodes if (name := provenance.name(node)) in replacements]
        fitting = [decision for decision in said if one.function in REPLACEMENTS[decision.name].of]
        if fitting:
            found.append((one, fitting[-1]))
    return found


def _replace(graph: ir.Graph, one: Activation, decision: ReplacementDecision, moved: dict[ir.Value, ir.Value], names: Mapping[str, str]) -> Swap:
    """Replaces one activation; `moved` tells what took the place of values that others read."""
    row = REPLACEMENTS[decision.name]
    slope = row.of[one.function] * one.slope
    last = one.y.producer()
    assert last is not None  # an activation is computed
    write = NodeWriter(graph, one.y, str(last.name))
    new = row.build(write, moved.get(one.x, one.x), slope)
    taken = _names(graph)
    for node in write.nodes:
        node.name = unused_name(f"{last.name}_{node.op_type}", taken)
        taken.add(node.name)
        if node.outputs[0] is not new:
            node.outputs[0].name = unused_name(f"{one.y.name}_{node.op_type}", taken)
            taken.add(node.outputs[0].name)
    provenance.inherit(write.nodes, one.nodes, main=last)
    name, tensor = provenance.name(last), str(one.y.name)
    staying = read_elsewhere(one.nodes, one.y)
    ir.convenience.replace_nodes_and_values(graph, last, [node for node in one.nodes if node not in staying], write.nodes, [one.y], [new])
    moved[one.y] = new
    made = Change("replace", name, names.get(tensor, tensor), one.function, decision.name, True, decision.rule, decision.file, decision.line)
    return Swap(made, provenance.origins(write.nodes[-1]), slope)


def _clip(graph: ir.Graph, value: ir.Value, low: float, high: float) -> None:
    """The value between the bounds takes the place, and the name, of the value."""
    name, taken = str(value.name), _names(graph)
    write = NodeWriter(graph, value, name)
    clipped = write("Clip", value, low, high)
    node, producer = write.nodes[0], value.producer()
    node.name = unused_name(f"{producer.name if producer is not None else name}_Clip", taken)
    relative = producer if producer is not None else next(iter(value.consumers()))
    provenance.inherit([node], [relative], main=relative)
    ir.convenience.replace_all_uses_with(value, clipped, replace_graph_outputs=True)
    node.replace_input_with(0, value)
    if producer is None:
        graph.insert_before(next(iter(graph)), node)
        clipped.name = unused_name(f"{name}_clipped", taken)  # the input keeps its name: the file is fed by it
    else:
        graph.insert_after(producer, node)
        value.name, clipped.name = unused_name(f"{name}_unclipped", taken), name


def _names(graph: ir.Graph) -> set[str | None]:
    values = {output.name for node in graph for output in node.outputs} | {value.name for value in graph.inputs} | set(graph.initializers)
    return values | {node.name for node in graph}


def _with(graph: Graph, model: ir.Model) -> Graph:
    names = {str(node.name): provenance.name(node) for node in model.graph}
    before = set(graph.node_names.values())
    outside = tuple(node for node in graph.nodes if node.name not in before)  # what was taken out of the model as a TFLite CUSTOM operator
    alive = set(names.values()) | {node.name for node in outside}
    into = {origin: provenance.name(node) for node in model.graph for origin in provenance.origins(node)}
    return replace(
        graph,
        model=model,
        nodes=(*facts.node_facts(model, graph.tensor_names), *outside),
        source_nodes=tuple(_settled(node, alive, into) for node in graph.source_nodes),
        node_names=MappingProxyType(names),
    )


def _settled(node: SourceNode, alive: set[str], into: Mapping[str, str]) -> SourceNode:
    """A node of the user's file that went into a replacement."""
    if node.into is None or node.into in alive:
        return node
    target = into.get(node.name) or into[node.into]
    return replace(node, status="fused", into=target, reason=f"replaced together with {target}")


def _not_done(left: Iterable[ReplacementDecision]) -> Iterable[Diagnostic]:
    by_rule: dict[tuple[str, str, int, str], list[str]] = {}
    for one in left:
        by_rule.setdefault((one.rule, one.file, one.line, one.name), []).append(one.node)
    for (rule, file, line, name), nodes in by_rule.items():
        more = f" and {len(nodes) - NAMED} more" if len(nodes) > NAMED else ""
        yield Diagnostic(
            "replacement-not-done",
            "warning",
            f"Rule {rule!r} ({file}:{line}) replaces {', '.join(map(repr, nodes[:NAMED]))}{more} by {name}, but no whole function was found there: "
            "its argument is no tensor of the graph.",
            "These nodes stay as they are.",
        )
