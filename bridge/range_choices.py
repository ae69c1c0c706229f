"""What rules say about ranges, and what precisions mean for them, brought down to the tensors of the float TFLite file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bridge.quantize import PRECISIONS
from bridge.tflite import model as tflite
from bridge.types import Diagnostic, RangeChoice, RangeDecision, TensorMap

NAMED = 5  # nodes in one message
BITS = {"INT16": 16}  # of the integer types that are wider than int8


def tensor_choices(tensor_map: TensorMap, decided: Mapping[str, RangeDecision]) -> tuple[dict[str, RangeChoice], tuple[Diagnostic, ...]]:
    """TFLite tensor -> how its range is made, and the nodes for which that is without effect: the tensor does not exist in the TFLite file.

    Args:
        tensor_map: of the float TFLite file.
        decided: by the user's tensor.
    """
    mapped = {pair.tensor: pair.tflite_tensor for pair in tensor_map.pairs if pair.tflite_tensor is not None}
    mapped |= {binding.onnx_name: binding.tflite_name for binding in tensor_map.inputs}
    found = {mapped[tensor]: decision.choice for tensor, decision in decided.items() if tensor in mapped}
    effective = {(decision.rule, decision.file, decision.line, decision.node) for tensor, decision in decided.items() if tensor in mapped}
    lost: dict[tuple[str, str], dict[str, None]] = {}
    for decision in decided.values():
        if (decision.rule, decision.file, decision.line, decision.node) not in effective:
            lost.setdefault((decision.rule, f"{decision.file}:{decision.line}"), {})[decision.node] = None
    return found, tuple(_without_effect(rule, place, list(names)) for (rule, place), names in lost.items())


def wide_tensors(float_model: Path, precisions: Sequence[str]) -> dict[str, int]:
    """TFLite tensor -> bits of its integer type, for those that are to be wider than int8.

    Args:
        float_model: the float TFLite file.
        precisions: what is asked for each of its operators.
    """
    bits = [BITS.get(PRECISIONS[name].activation, 0) for name in precisions]
    if not any(bits):
        return {}
    model = tflite.read_once(float_model)
    graph = tflite.main_graph(model)
    return {
        tflite.text(graph.tensors[index].name): width
        for op, width in zip(graph.operators, bits, strict=True)
        if width
        for index in (*op.inputs, *op.outputs)
        if index >= 0
    }


def _without_effect(rule: str, place: str, names: Sequence[str]) -> Diagnostic:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return Diagnostic(
        "range-without-tensor",
        "warning",
        f"Rule {rule!r} ({place}) chooses the range of what {', '.join(map(repr, names[:NAMED]))}{more} writes, which does not exist in the TFLite file: "
        "the operator behind took it in, or it was folded.",
        "Name the node whose output is left, as an activation behind its convolution; the layers in the report say where each tensor went.",
    )
