"""Builds the tensor map of a float TFLite file from the values that both runtimes compute for the probe inputs."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bridge.convert import ownership
from bridge.convert.layout import CHANNELS_LAST
from bridge.convert.probe_values import ProbeValues
from bridge.convert.proof import ORDINARY, amplified, bounded, rounded_otherwise
from bridge.convert.tensor_map import Match, ValueIndex, is_degenerate
from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import Graph, InputBinding, NodeFacts, SourceNode, TensorMap, TensorPair

# Runs the user's own model: input name -> array in, tensor name -> array out for every tensor it could show, model outputs included.
type Reference = Callable[[Mapping[str, np.ndarray]], Mapping[str, np.ndarray]]

ROUNDING_DB = 80.0  # whatever agrees better may be the same value, summed in another order
NEIGHBOUR_DB = 30.0

NO_VALUES = ("missing", "no TFLite tensor has its values")


def build(
    graph: Graph, float_model: Path, *, channels_last: Sequence[str], reference: Reference, probes: Sequence[Mapping[str, np.ndarray]], threads: int
) -> TensorMap:
    """Pairs every tensor of the user's file, finds the owner of every TFLite operator.

    Args:
        graph: what was converted.
        float_model: what it became.
        channels_last: safe names of the inputs that the file takes channels-last.
        reference: the user's model in onnxruntime.
        probes: at least one input set, input name -> array in the user's layout; real data proves more than noise.
        threads: threads of the TFLite runs.

    Raises:
        ToolError: the file cannot run, or a model output does not agree with onnxruntime.
    """
    model = tflite.read_once(float_model)
    main = tflite.main_graph(model)
    bindings = bind_inputs(graph, [main.tensors[index] for index in main.inputs], channels_last)
    names = {index: tflite.text(main.tensors[index].name) for index in tflite.activations(model)}
    expected = _shown(reference, probes)
    proofs = bounded(graph.nodes)
    received = _run_all(model, names, bindings, probes, threads=threads)
    moved = {int(tensor) for op in main.operators if tflite.op_name(model, op) in ownership.MOVEMENT_OPS for tensor in op.outputs}
    index = ValueIndex(names, received, moved)
    safe_names = {user: safe for safe, user in graph.tensor_names.items()}
    by_status = sorted(graph.source_nodes, key=lambda node: node.status in ("kept", "fused"))  # of two writers the one that is still there counts
    producers = {tensor: node for node in by_status for tensor in node.outputs}
    moving = {tensor for tensor, node in producers.items() if node.op_type in ownership.ONNX_MOVEMENT_OPS}
    ends = [int(tensor) for tensor in main.outputs]
    final = ValueIndex({end: names[end] for end in ends if end in names}, {end: received[end] for end in ends if end in received})

    def find(tensor: str, place: ValueIndex, *, moves: bool) -> Match | None:
        return place.find(safe_names.get(tensor), expected[tensor], moves=moves, proof=proofs.get(tensor, ORDINARY))

    if any(find(spec.name, final, moves=True) is None for spec in graph.outputs):
        rounded = _shown(reference, [rounded_otherwise(probe, seed=seed) for seed, probe in enumerate(probes)])
        proofs = amplified(expected, rounded) | proofs
    found = {tensor: find(tensor, index, moves=tensor in moving) for tensor in expected}
    matches = _without_neighbours({tensor: match for tensor, match in found.items() if match is not None})
    owners = _owners(model, graph, matches)
    owning = frozenset(owners) - {""}
    own_value = {node.into for node in graph.source_nodes for tensor in node.outputs if tensor in matches}
    absorbed = {name: by for name, by in ownership.absorbed(graph.nodes, owning).items() if name not in own_value}
    unseen = _interiors(model, owners, matches)

    wholes, there = {facts.name: facts for facts in reversed(graph.nodes)}, frozenset(graph.tensor_names.values())

    def pair(node: SourceNode, tensor: str) -> TensorPair:
        value, match = expected.get(tensor), matches.get(tensor) if producers[tensor] is node else None
        return _pair(node, tensor, match, value, names, _why_missing(wholes, there, node, tensor, value, absorbed, unseen))

    pairs = tuple(pair(node, tensor) for node in graph.source_nodes for tensor in node.outputs if tensor)
    outputs = tuple(
        _pair(producers.get(spec.name), spec.name, find(spec.name, final, moves=True), expected[spec.name], names, NO_VALUES)
        for spec in graph.outputs
    )
    _check_outputs(float_model, outputs, pairs, received, ends)
    return TensorMap(pairs=pairs, inputs=bindings, outputs=outputs, owners=owners, absorbed=absorbed)


def bind_inputs(graph: Graph, tensors: Sequence[tflite.TensorT], channels_last: Sequence[str]) -> tuple[InputBinding, ...]:
    """How to feed each input of the file, in the file's order.

    Raises:
        ToolError: an input of the file is none of the model's, or has another shape than its layout gives.
    """
    safe_names = {user: safe for safe, user in graph.tensor_names.items()}
    by_safe_name = {safe_names.get(spec.name, spec.name): spec for spec in graph.inputs}
    bindings = []
    for tensor in tensors:
        name = tflite.text(tensor.name)
        if name not in by_safe_name:
            raise ToolError(f"onnx2tf wrote an input {name!r} that the model does not have; its inputs: {', '.join(by_safe_name)}.")
        spec = by_safe_name[name]
        shape = tuple(int(size) for size in spec.shape)
        if not shape and tflite.shape(tensor) == (1,):
            shape = (1,)  # onnx2tf writes a scalar input as a vector of one
        permutation = CHANNELS_LAST[len(shape)] if name in channels_last else tuple(range(len(shape)))
        if tuple(shape[axis] for axis in permutation) != tflite.shape(tensor):
            raise ToolError(f"onnx2tf wrote input {spec.name!r} with shape {tflite.shape(tensor)}, expected {shape} in axis order {permutation}.")
        bindings.append(InputBinding(spec.name, name, shape, permutation, tflite.dtype(tensor).name))
    return tuple(bindings)


def _shown(reference: Reference, probes: Sequence[Mapping[str, np.ndarray]]) -> ProbeValues[str]:
    """What onnxruntime computes."""

    def run(probe: Mapping[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
        values = dict(reference(probe))
        for name in list(values):
            yield name, values.pop(name)

    return ProbeValues(map(run, probes), len(probes))


def _run_all(
    model: tflite.ModelT, names: Mapping[int, str], bindings: Sequence[InputBinding], probes: Sequence[Mapping[str, np.ndarray]], *, threads: int
) -> ProbeValues[int]:
    """Every activation of the file, from the optimised kernels where they can show it, else from the builtin ones."""
    inputs = {int(index) for index in tflite.main_graph(model).inputs}
    computed = [index for index in names if index not in inputs]
    exposed = tflite.expose(model, computed)

    def run(interpreter: Interpreter, probe: Mapping[str, np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
        fed = feed(bindings, probe)
        for index in names:
            if index in inputs:
                yield index, fed[names[index]]
        yield from zip(computed, interpreter.run_each(fed), strict=True)

    def on(kernels: Kernels) -> ProbeValues[int]:
        interpreter = Interpreter(exposed, kernels=kernels, threads=threads)
        return ProbeValues((run(interpreter, probe) for probe in probes), len(probes))

    try:
        return on("optimized")
    except ToolError:
        return on("builtin")


def _without_neighbours(matches: Mapping[str, Match]) -> dict[str, Match]:
    """Leaves out a tensor that is only nearly what another one is exactly: the sum before a bias of 1e-4 is not the sum with it."""
    best: dict[int, float] = {}
    for match in matches.values():
        best[match.tflite_tensor] = max(best.get(match.tflite_tensor, -math.inf), match.sqnr_db)
    return {tensor: match for tensor, match in matches.items() if match.sqnr_db >= min(best[match.tflite_tensor] - NEIGHBOUR_DB, ROUNDING_DB)}


def _owners(model: tflite.ModelT, graph: Graph, matches: Mapping[str, Match]) -> tuple[str, ...]:
    """Owner of each operator: of all nodes whose values a TFLite tensor holds, the first computes it and the others only move it."""
    standing = {node.name: node.into or node.name for node in graph.source_nodes}
    mapped: dict[int, str] = {}
    for node in graph.source_nodes:
        for tensor in node.outputs:
            if tensor in matches and node.status in ("kept", "fused"):
                mapped.setdefault(matches[tensor].tflite_tensor, standing[node.name])
    views = [
        ownership.OpView(tflite.op_name(model, op), tuple(int(index) for index in op.inputs if index >= 0), tuple(int(index) for index in op.outputs))
        for op in tflite.main_graph(model).operators
    ]
    return ownership.owners(views, mapped)


def _interiors(model: tflite.ModelT, owners: Sequence[str], matches: Mapping[str, Match]) -> dict[str, int]:
    """Per owner the number of values inside its operators that are computed, not moved, and equal no ONNX tensor."""
    taken = {match.tflite_tensor for match in matches.values()}
    counts: dict[str, int] = {}
    for op, owner in zip(tflite.main_graph(model).operators, owners, strict=True):
        if tflite.op_name(model, op) not in ownership.MOVEMENT_OPS and not any(int(index) in taken for index in op.outputs):
            counts[owner] = counts.get(owner, 0) + 1
    return counts


def _why_missing(
    wholes: Mapping[str, NodeFacts],
    there: frozenset[str],
    node: SourceNode,
    tensor: str,
    value: np.ndarray | None,
    absorbed: Mapping[str, tuple[str, ...]],
    interiors: Mapping[str, int],
) -> tuple[str, str]:
    """Status and reason of a tensor without a counterpart; `wholes` are the nodes by name, `there` the user's tensors that the graph still has."""
    if node.status != "kept":
        return node.status, node.reason
    if tensor not in there:
        whole = wholes[node.into or node.name]
        return "fused", f"one {whole.op_type} with {', '.join(name for name in whole.origins if name != node.name)}: its own value does not exist"
    if value is None:
        return "missing", "onnxruntime does not show its value"
    if is_degenerate(value):
        return "missing", "all its elements are equal for the probe inputs, so values prove nothing"
    behind = absorbed.get(node.name, ())
    if not behind:
        return NO_VALUES
    inside = sum(interiors.get(owner, 0) for owner in behind)
    if inside:
        return "missing", f"computed in another way inside {', '.join(behind)}: {inside} inner values, none equals it"
    return "fused", f"part of the operator of {', '.join(behind)}: its own value does not exist in TFLite"


def _pair(
    node: SourceNode | None, tensor: str, match: Match | None, value: np.ndarray | None, names: Mapping[int, str], missing: tuple[str, str]
) -> TensorPair:
    writer = node.name if node is not None else ""
    if match is None or value is None:
        status, reason = missing
        return TensorPair(node=writer, tensor=tensor, status=status, reason=reason)  # type: ignore[arg-type]  # a PairStatus by construction
    return TensorPair(
        node=writer,
        tensor=tensor,
        status="mapped",
        tflite_tensor=names[match.tflite_tensor],
        onnx_shape=value.shape[1:],
        permutation=match.permutation,
        evidence=match.evidence,
        sqnr_db=match.sqnr_db,
    )


def _check_outputs(
    float_model: Path, outputs: Sequence[TensorPair], pairs: Sequence[TensorPair], received: Mapping[int, np.ndarray], tensors: Sequence[int]
) -> None:
    """Refuses a file whose outputs onnxruntime does not confirm."""
    wrong = [pair.tensor for pair in outputs if pair.status != "mapped"]
    if not wrong:
        return
    first = next((pair for pair in pairs if pair.status == "missing"), None)
    where = f" The first node without a counterpart is {first.node!r} ({first.reason})." if first is not None else ""
    bad = [str(tensor) for tensor in tensors if tensor in received and not np.isfinite(received[tensor]).all()]
    nan = " The TFLite outputs contain NaN or infinity." if bad else ""
    raise ToolError(
        f"{float_model.name}: what onnx2tf wrote does not compute what onnxruntime computes at {', '.join(map(repr, wrong))}.{where}{nan}",
        hint="The model is not converted. A rule cannot help here; `bridge inspect` shows the operators, onnx2tf.log what the converter did.",
        causes=["outputs-differ"],
    )
