"""What runs in which precision: rules applied to nodes, measured where rules ask for it, and brought down to TFLite operators."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from msgspec.structs import replace

from bridge import calibrate as calibrate_stage
from bridge import quantize
from bridge import rules as rules_stage
from bridge.calibrate import Dataset
from bridge.compare.mismatched_scales import find_mismatched_scales
from bridge.compare.own_errors import Seen, charge_writers, own_errors
from bridge.compare.samples import Samples, spread
from bridge.quantize.float_graph import graph_of
from bridge.types import ConvertedModel, Decision, Graph, NodeFacts, Ranges, Spread, TensorMap, TensorRange, TensorStatistics

FLOAT = "float32"
OWN_ERROR_ROUNDS = 2
LOWEST_DB = -200.0  # stands for a signal that is lost altogether, as the logarithm of a magnitude that int8 rounds to 0
OWN_ERROR_SAMPLES = 8  # calibration samples that rules about own errors are measured on
SPREAD_SAMPLES = 16  # calibration samples that tell where the values of a tensor lie
HALF_PERCENT, MOST_PERCENT = 50.0, 99.9  # of the values


def op_precisions(tensor_map: TensorMap, decisions: Mapping[str, Decision], default: str) -> list[str]:
    """The precision asked for each operator of the float TFLite file: that of the node it belongs to.

    A node without an operator of its own (a Conv that the Relu behind it took in) asks for the operators that compute it; where two nodes
    of one operator ask for different things, the one with the smaller rounding error wins.
    """
    asked: dict[str, set[str]] = {owner: {decisions[owner].precision} for owner in set(tensor_map.owners) if owner in decisions}
    for node, owners in tensor_map.absorbed.items():
        if decisions[node].rule is not None:
            for owner in owners:
                asked[owner].add(decisions[node].precision)
    return [quantize.finest(asked.get(owner, {default})) for owner in tensor_map.owners]


def needs_ranges(decisions: Mapping[str, Decision], default: str, *edges: str) -> bool:
    """Whether anything can become an integer activation: a node, an operator without a node, or a model input or output of the dtypes `edges`."""
    asked = {default} | {decision.precision for decision in decisions.values()}
    return any(edge != FLOAT for edge in edges) or any(quantize.PRECISIONS[name].needs_ranges for name in asked)


def rounds_weights(decisions: Mapping[str, Decision], default: str) -> bool:
    """Whether weights can become integers, so that there is something to recover."""
    asked = {default} | {decision.precision for decision in decisions.values()}
    return any(quantize.PRECISIONS[name].weight in quantize.INTEGER_WEIGHTS for name in asked)


def with_measurements(
    normal: Graph,
    converted: ConvertedModel,
    ranges: Ranges,
    rule_files: Sequence[rules_stage.RuleFile],
    samples: Dataset,
    *,
    precision: str,
    threads: int,
) -> tuple[Ranges, tuple[NodeFacts, ...]]:
    """The ranges with what else the rules ask of calibration samples: where the values of each tensor lie, what each node loses by itself.

    Returns:
        The ranges, and the nodes with all that was measured.
    """
    nodes = measured(normal.nodes, ranges, converted.tensor_map)
    waits = rules_stage.waits_for_measurement(rule_files, nodes)
    if "spreads" in waits:
        ranges = with_spreads(converted, ranges, samples, threads=threads)
        nodes = measured(normal.nodes, ranges, converted.tensor_map)
    if "own_errors" in waits:
        ranges = with_own_errors(nodes, converted, ranges, rule_files, samples, precision=precision, threads=threads)
        nodes = _with_errors(nodes, ranges.own_sqnr_db or {})
    return ranges, nodes


def with_spreads(converted: ConvertedModel, ranges: Ranges, samples: Dataset, *, threads: int) -> Ranges:
    """The ranges with where the values of each tensor lie, on a few samples."""
    few = samples.subset(spread(len(samples), SPREAD_SAMPLES))

    def holding(percent: float) -> Mapping[str, TensorRange]:
        observer = f"percentile:{percent:g}"
        made = calibrate_stage.calibrate(
            converted.path, few, converted.tensor_map.inputs, observer=observer, threads=threads, progress=lambda _: None
        )
        return made.tensors

    half, most = holding(HALF_PERCENT), holding(MOST_PERCENT)
    spreads = {name: Spread(half[name].maximum - half[name].minimum, max(one.maximum, 0.0) - min(one.minimum, 0.0)) for name, one in most.items()}
    return replace(ranges, spreads=MappingProxyType(spreads))


def with_own_errors(
    nodes: Sequence[NodeFacts],
    converted: ConvertedModel,
    ranges: Ranges,
    rule_files: Sequence[rules_stage.RuleFile],
    samples: Samples,
    *,
    precision: str,
    threads: int,
) -> Ranges:
    """The ranges with what each node loses by itself; as they are if they say so already.

    Measured in rounds, each on a file quantized by the rules with what is known so far. A node that is float and still loses something owes that to the
    rounding of its inputs, so it counts for the nodes that write them. Where one scale drowns an input of a join on its way to a model output, the nodes
    that carry it there have the error of that input.

    Args:
        nodes: with what the ranges say of their tensors.
        converted: the float file.
        ranges: of its activations.
        rule_files: as loaded.
        samples: calibration data.
        precision: of everything that no rule names.
        threads: of each run.

    Raises:
        ToolError: a file does not run.
    """
    if ranges.own_sqnr_db is not None:
        return ranges
    where = str(converted.path)
    graph = graph_of(converted.path)
    known: dict[str, float] = {}
    before: Sequence[str] = ()
    seen = Seen()
    for _ in range(OWN_ERROR_ROUNDS):
        nodes = _with_errors(nodes, _finite(known))
        decisions = rules_stage.decisions(rule_files, nodes, default_precision=precision)
        asked = op_precisions(converted.tensor_map, decisions, precision)
        if asked == before:  # the same file would show the same errors
            break
        before = asked
        trial = quantize.quantize_graph(graph, where=where, ranges=ranges, op_precisions=asked, kept=False)
        errors = own_errors(converted, trial, samples, count=OWN_ERROR_SAMPLES, threads=threads, seen=seen)
        mismatches = find_mismatched_scales(
            converted, trial, nodes, ranges, samples, joining=quantize.JOINING, count=OWN_ERROR_SAMPLES, threads=threads
        )
        drowned = {name: min(one.sqnr_db for one in found.inputs) for found in mismatches if found.at_output for name in found.float_nodes}
        known |= {name: max(LOWEST_DB, min(error, known.get(name, error))) for name, error in drowned.items()}
        for name, error in charge_writers(nodes, errors).items():
            known[name] = max(LOWEST_DB, min(error, known.get(name, error)))
    graph.measured.forget_arrays()
    return replace(ranges, own_sqnr_db=MappingProxyType(_finite(known)))


def _finite(errors: Mapping[str, float]) -> dict[str, float]:
    """Without those of nodes that lose nothing."""
    return {name: error for name, error in errors.items() if math.isfinite(error)}


def measured(nodes: Sequence[NodeFacts], ranges: Ranges, tensor_map: TensorMap) -> tuple[NodeFacts, ...]:
    """The nodes with what was measured of them and of the tensors that they read and write."""
    errors, places = ranges.own_sqnr_db or {}, _places(tensor_map)
    return tuple(replace(node, own_sqnr_db=errors.get(node.name), statistics=_statistics(node, places, ranges)) for node in nodes)


def _with_errors(nodes: Sequence[NodeFacts], errors: Mapping[str, float]) -> tuple[NodeFacts, ...]:
    """The nodes with what they lose by themselves."""
    return tuple(node if node.own_sqnr_db == errors.get(node.name) else replace(node, own_sqnr_db=errors.get(node.name)) for node in nodes)


def _places(tensor_map: TensorMap) -> dict[str, str]:
    """The user's name of a tensor -> its name in the float TFLite file."""
    inputs = {binding.onnx_name: binding.tflite_name for binding in tensor_map.inputs}
    return inputs | {pair.tensor: pair.tflite_tensor for pair in tensor_map.pairs if pair.tflite_tensor is not None}


def _statistics(node: NodeFacts, places: Mapping[str, str], ranges: Ranges) -> Mapping[str, TensorStatistics]:
    found = {}
    for name in dict.fromkeys(spec.name for spec in (*node.inputs, *node.outputs)):
        place = places.get(name, "")
        if place in ranges.tensors:
            extent, values = ranges.tensors[place], (ranges.spreads or {}).get(place)
            found[name] = TensorStatistics(
                extent.minimum, extent.maximum, None if values is None else values.half, None if values is None else values.most
            )
    return MappingProxyType(found)
