"""What a model shows of trouble to come, before anything is converted."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from bridge import quantize
from bridge.graph import size_findings
from bridge.inspect.tflite_ops import without_kernel
from bridge.inspect.weight_findings import weight_findings
from bridge.types import Decision, Diagnostic, Graph, NodeFacts

NAMED = 5


def model_findings(normal: Graph, decisions: Mapping[str, Decision], has_kernel: Callable[[str, str], bool]) -> tuple[Diagnostic, ...]:
    """Findings about inputs, operators without kernels, weights and size.

    Args:
        normal: the normalised graph.
        decisions: of the rules, by node.
        has_kernel: whether a TFLite operator can run in a precision.
    """
    return (
        *size_findings(normal),
        *_int64_inputs(normal),
        *_without_kernel(normal.nodes, decisions, has_kernel),
        *weight_findings(normal, decisions),
    )


def _int64_inputs(normal: Graph) -> Iterator[Diagnostic]:
    for spec in normal.inputs:
        if spec.dtype == "int64":
            message = f"Input {spec.name!r} is int64, and so it is in the TFLite file; some devices take only int32."
            yield Diagnostic("int64-input", "info", message, "For those export the model with int32 inputs and a Cast behind them.")


def _without_kernel(nodes: Sequence[NodeFacts], decisions: Mapping[str, Decision], has_kernel: Callable[[str, str], bool]) -> Iterator[Diagnostic]:
    found: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        precision = decisions[node.name].precision
        for op in without_kernel(node, precision, has_kernel):
            found.setdefault((op, precision), []).append(node.name)
    for (op, precision), names in sorted(found.items()):
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        why = quantize.why_no_kernel(op, precision) or "LiteRT has none"
        count = "1 node stays" if len(names) == 1 else f"{len(names)} nodes stay"
        message = f"{count} float, for {op} has no {precision} kernel ({why}): {', '.join(map(repr, names[:NAMED]))}{more}."
        yield Diagnostic("no-integer-kernel", "info", message, f"`bridge ops {op}` says more.", names[0])
