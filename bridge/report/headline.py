"""The verdict in one sentence: whether the file can be used, what it lost, what it gained."""

import math
from collections.abc import Sequence

from bridge.report import wording
from bridge.report.ranking import GOOD_DB
from bridge.report.schema import Cost, Gate, Output, TaskMetric, WorstLayer

# First row whose bound holds names the worst output. int8 rounding of a good model leaves about 25 to 40 dB.
JUDGEMENTS = (
    (10.0, "Far from the float model"),
    (20.0, "Clearly different from the float model"),
    (30.0, "Near the float model"),
    (math.inf, "Close to the float model"),
)
NOT_COMPARED = "Not compared with the float model"


def headline(output: Output | None, metrics: Sequence[TaskMetric], cost: Cost, gates: Sequence[Gate], *, deployable: bool) -> str:
    """The sentence.

    Args:
        output: the worst one, None when nothing was compared.
        metrics: of the task; the first stands in the sentence.
        cost: figures of both files.
        gates: with their results.
        deployable: false when the ranges come from random data.
    """
    figures = [text for text in (_error(output), _task(metrics) or _accuracy(output), _size(cost), _speed(cost)) if text]
    start = _judgement(output, gates)
    sentence = f"{start}: {', '.join(figures)}." if figures else f"{start}."
    return sentence if deployable else f"Not for deployment, since the ranges come from random data. {sentence}"


def next_step(output: Output | None, worst: Sequence[WorstLayer]) -> str:
    """What to do about the errors first: name the layer that loses most, or say that no single one does; empty for a good output."""
    if output is None or output.sqnr_db is None or output.sqnr_db >= GOOD_DB or not worst:
        return ""
    lowest = worst[0].own_sqnr_db
    if lowest >= GOOD_DB:
        return (
            f"No layer loses much by itself (the worst keeps {wording.decibel(lowest)}): the loss adds up along the depth. int8 weights with "
            f"float activations (weight_only_wi8_afp32), 16-bit activations (static_wi8_ai16) or quantization-aware training help more than a rule "
            f"for one layer; look at their cost."
        )
    return f"Start with {worst[0].node!r}, which loses most by itself ({wording.decibel(lowest)})."


def _judgement(output: Output | None, gates: Sequence[Gate]) -> str:
    failed = [gate for gate in gates if not gate.passed]
    if failed:
        first = failed[0]
        measured = f"measured {wording.significant(first.measured)}" if first.measured is not None else wording.visible(first.reason)
        more = f" and {len(failed) - 1} more" if len(failed) > 1 else ""
        return f"Not accepted, gate {wording.visible(first.expression)} fails ({measured}){more}"
    if gates:
        return f"Accepted, {'the gate holds' if len(gates) == 1 else f'all {len(gates)} gates hold'}"
    if output is None or output.sqnr_db is None:
        return NOT_COMPARED
    if math.isnan(output.sqnr_db):
        return JUDGEMENTS[0][1]
    return next(text for bound, text in JUDGEMENTS if output.sqnr_db < bound or bound == math.inf)


def _error(output: Output | None) -> str:
    return f"{wording.decibel(output.sqnr_db)} at the worst output" if output is not None and output.sqnr_db is not None else ""


def _task(metrics: Sequence[TaskMetric]) -> str:
    for name, before, after, _ in wording.metric_rows(metrics[:1]):
        return f"{wording.visible(name, 60)} {after} (float {before})"
    return ""


def _accuracy(output: Output | None) -> str:
    if output is None:
        return ""
    if output.top1_quantized is not None:
        return f"top-1 accuracy {wording.percent(output.top1_quantized)} (float {wording.percent(output.top1_float)})"
    return f"top-1 agreement {wording.percent(output.top1_agreement)}" if output.top1_agreement is not None else ""


def _size(cost: Cost) -> str:
    if not cost.float_bytes or not cost.quantized_bytes:
        return ""
    return f"{wording.percent(cost.quantized_bytes / cost.float_bytes, 0)} of the bytes"


def _speed(cost: Cost) -> str:
    if not cost.float_ms or not cost.quantized_ms:
        return ""
    ratio = cost.float_ms / cost.quantized_ms
    return f"{wording.times(ratio)} as fast on this machine{'' if ratio > 1 else ', so not faster'}"
