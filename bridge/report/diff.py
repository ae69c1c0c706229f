"""What differs between two reports of one model: the errors of outputs and layers, precisions, size, latency.

`loss` is how much worse the second report is, in the unit of the tolerance; it is negative where the second is better.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Literal

from bridge.report.parts import Part, Real
from bridge.report.schema import Layer, Node, Output, Report

FLOAT_NOISE_DB = 80.0  # an SQNR above counts as this: what is left there is the rounding of float kernels
GOOD_LAYER_DB = 30.0  # likewise for layers: `ranking` calls such a layer good

type Kind = Literal["sqnr", "accuracy", "metric", "layer_sqnr", "size", "float_macs", "latency"]


class Side(Part):
    """One of both reports: where it lies, and what it is about."""

    path: str
    model: str
    sha256: str
    precision: str
    samples: int
    source: str


class Difference(Part):
    """One measure in both reports; `loss` is None where it is only information, or one report lacks the measure."""

    kind: Kind
    where: str
    measure: str
    before: Real | None
    after: Real | None
    loss: Real | None = None

    @property
    def lost(self) -> bool:
        """Whether the first report measured what the second one did not."""
        return self.before is not None and self.after is None


class PrecisionChange(Part):
    """A node that runs in another precision than before, with the rule and the reason of the second report."""

    node: str
    op_type: str
    before: str | None
    after: str | None
    rule: str | None = None
    reason: str = ""


class ReportDiff(Part):
    """Everything that differs; `notes` say why both may not be comparable, `only_before` and `only_after` are nodes that one model lacks."""

    schema_version: Literal[1] = 1
    before: Side
    after: Side
    notes: tuple[str, ...] = ()
    differences: tuple[Difference, ...] = ()
    precisions: tuple[PrecisionChange, ...] = ()
    only_before: tuple[str, ...] = ()
    only_after: tuple[str, ...] = ()

    def to_json(self) -> str:
        """JSON text; infinity and NaN as in report.json."""
        return json.dumps(self.model_dump(mode="json"), indent=1) + "\n"


def diff(before: Report, after: Report, *, before_path: str = "before", after_path: str = "after") -> ReportDiff:
    """Compares two reports: outputs and layers by name, nodes by name."""
    old, new = {node.name: node for node in before.nodes}, {node.name: node for node in after.nodes}
    return ReportDiff(
        before=_side(before, before_path),
        after=_side(after, after_path),
        notes=tuple(notes(before, after)),
        differences=(*_outputs(before, after), *_metrics(before, after), *_layers(before, after), *_cost(before, after)),
        precisions=tuple(_precisions(old, new)),
        only_before=tuple(name for name in old if name not in new),
        only_after=tuple(name for name in new if name not in old),
    )


def notes(before: Report, after: Report) -> Iterator[str]:
    """Why a difference may not come from the quantization."""
    if before.model.sha256 != after.model.sha256:
        yield "The model files differ."
    if before.precision != after.precision:
        yield f"The precisions differ: {before.precision} before, {after.precision} now."
    if (before.evaluation.samples, before.evaluation.source) != (after.evaluation.samples, after.evaluation.source):
        one, other = before.evaluation, after.evaluation
        yield f"The evaluation data differ: {one.samples} samples of {one.source} before, {other.samples} of {other.source} now."


def _side(report: Report, path: str) -> Side:
    model, evaluation = report.model, report.evaluation
    return Side(
        path=path, model=model.path, sha256=model.sha256, precision=report.precision, samples=evaluation.samples, source=evaluation.source
    )  # fmt: skip


def _outputs(before: Report, after: Report) -> Iterator[Difference]:
    new = {output.name: output for output in after.outputs}
    for old in before.outputs:
        now = new.get(old.name, Output(name=old.name))
        yield _difference("sqnr", old.name, "SQNR, dB", old.sqnr_db, now.sqnr_db, ceiling=FLOAT_NOISE_DB)
        yield _difference("accuracy", old.name, "top-1", old.top1_quantized, now.top1_quantized)
        yield _difference("accuracy", old.name, "top-1 agreement", old.top1_agreement, now.top1_agreement)


def _metrics(before: Report, after: Report) -> Iterator[Difference]:
    """Task metrics of the quantized files; the loss is relative to what was measured before."""
    new = {metric.name: metric for metric in after.task_metrics}
    for old in before.task_metrics:
        now = new.get(old.name)
        lost = None if now is None else _loss(old.value, now.value, math.inf) if old.better == "higher" else _loss(-old.value, -now.value, math.inf)
        relative = lost / abs(old.value) if lost and old.value and math.isfinite(old.value) else lost
        yield Difference(
            kind="metric", where=old.name, measure=old.unit or "value", before=old.value, after=None if now is None else now.value, loss=relative
        )


def _layers(before: Report, after: Report) -> Iterator[Difference]:
    """Layers that both reports measured, in the order of the second one."""
    old = {(layer.node, layer.tensor): layer for layer in before.layers}
    for layer in after.layers:
        one = old.get((layer.node, layer.tensor))
        if one is not None:
            yield from _layer(one, layer)


def _layer(old: Layer, new: Layer) -> Iterator[Difference]:
    if old.own_sqnr_db is not None and new.own_sqnr_db is not None:
        yield _difference("layer_sqnr", new.tensor, "own SQNR, dB", old.own_sqnr_db, new.own_sqnr_db, ceiling=GOOD_LAYER_DB)


def _cost(before: Report, after: Report) -> Iterator[Difference]:
    old, new = before.cost, after.cost
    sizes = (
        ("bytes", old.quantized_bytes, new.quantized_bytes),
        ("bytes after gzip", before.compression.quantized_gzip_bytes, after.compression.quantized_gzip_bytes),
    )
    for measure, one, other in sizes:
        growth = other / one - 1 if one and other is not None else None
        yield Difference(kind="size", where="the file", measure=measure, before=one, after=other, loss=growth)
    share, now = old.float_mac_share, new.float_mac_share
    grown = now - share if share is not None and now is not None else None
    yield Difference(kind="float_macs", where="the file", measure="share of float MACs", before=share, after=now, loss=grown)
    yield Difference(kind="latency", where="the file", measure="latency, ms", before=old.quantized_ms, after=new.quantized_ms)


def _precisions(old: Mapping[str, Node], new: Mapping[str, Node]) -> Iterator[PrecisionChange]:
    for name, node in new.items():
        if name in old and old[name].precision != node.precision:
            yield PrecisionChange(
                node=name, op_type=node.op_type, before=old[name].precision, after=node.precision, rule=node.rule, reason=node.reason
            )  # fmt: skip


def _difference(kind: Kind, where: str, measure: str, before: float | None, after: float | None, *, ceiling: float = math.inf) -> Difference:
    return Difference(kind=kind, where=where, measure=measure, before=before, after=after, loss=_loss(before, after, ceiling))


def _loss(before: float | None, after: float | None, ceiling: float) -> float | None:
    """How much smaller `after` is; NaN is worse than everything else and no worse than NaN."""
    if before is None or after is None:
        return None
    if math.isnan(before) or math.isnan(after):
        return math.inf if math.isnan(after) and not math.isnan(before) else 0.0
    one, other = min(before, ceiling), min(after, ceiling)
    return 0.0 if one == other else round(one - other, 12)  # -inf is worse than no other -inf; 0.95 - 0.94 is 0.01
