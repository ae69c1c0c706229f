"""The report: what `report.json` holds, as pydantic models.

Within one `schema_version` keys are only added, so readers ignore those they do not know; removing a key or changing its meaning raises the version.
"""

import html
import json
from collections.abc import Mapping
from typing import Literal

from pydantic import Field, ValidationError

from bridge.errors import InputError
from bridge.report.changes import ModelChanges
from bridge.report.compression import Compression
from bridge.report.parts import Part, Real, Scalar
from bridge.report.values import Growth, Histogram, WeightChannels
from bridge.types import Evidence, PairStatus, Severity, SourceStatus

SCHEMA_VERSION: Literal[1] = 1
_ENCODER = json.JSONEncoder(allow_nan=False)  # `json.dumps` makes one for each line else


class Model(Part):
    """The user's model. `path` as given, `sha256` over the file and its external data, `nodes` in the file the user gave."""

    path: str
    sha256: str
    framework: str
    nodes: int


class Input(Part):
    """How to feed the TFLite file: `value.reshape(shape).transpose(permutation)`, cast to `tflite_dtype`.

    `layout` says in words what `permutation` means (`NHWC`, `as in the source model`).
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    tflite_name: str
    tflite_shape: tuple[int, ...]
    tflite_dtype: str
    layout: str
    permutation: tuple[int, ...]


class Output(Part):
    """Errors of one model output over the evaluation samples; None where nothing was measured.

    `tflite_value.transpose(permutation).reshape(shape)` has the source model's layout.
    """

    name: str
    sqnr_db: Real | None = None
    cosine: Real | None = None
    max_abs: Real | None = None
    conversion_sqnr_db: Real | None = None
    top1_agreement: Real | None = None
    top1_float: Real | None = None
    top1_quantized: Real | None = None
    tflite_tensor: str | None = None
    shape: tuple[int, ...] = ()
    permutation: tuple[int, ...] = ()


class NearMiss(Part):
    """A node for which one condition of the rule did not hold."""

    node: str
    condition: str


class Rule(Part):
    """One rule and the nodes it holds for; `deciding` are those where no later rule overruled it, `near_misses` the nearest few of all.

    `precision`, `range` (an observer, a clip, a fixed range) and `replace` are empty where the rule says nothing about them.
    """

    id: str
    file: str
    line: int
    reason: str = ""
    precision: str = ""
    range: str = ""
    replace: str = ""
    matched: tuple[str, ...] = ()
    deciding: tuple[str, ...] = ()
    near_misses: tuple[NearMiss, ...] = ()
    near_miss_count: int = 0


class Node(Part):
    """One node of the user's file.

    Attributes:
        precision: what its TFLite ops run in, in the file that was written; `mixed` when they differ; None when it has no op there. Ops that only
            move data (RESHAPE, ...) count where the node has no other.
        requested: what rules or the default asked for.
        rule: id of the rule that asked for it.
        reason: why it has this precision (the rule's reason, a missing kernel), or why it has none.
        status: what became of the node while normalising; `into` is the node that stands for it and `status_reason` why it is not `kept`.
        tflite_ops: operator names of the float file, in its order; `tflite_precisions` goes with it.
    """

    name: str
    op_type: str
    domain: str = ""
    scope: str = ""
    precision: str | None = None
    requested: str | None = None
    rule: str | None = None
    overridden: tuple[str, ...] = ()
    reason: str = ""
    status: SourceStatus = "kept"
    into: str | None = None
    status_reason: str = ""
    tflite_ops: tuple[str, ...] = ()
    tflite_precisions: tuple[str, ...] = ()


class SampleError(Part):
    """Error of one tensor end to end in one sample; `sample` is its file or its row in the data."""

    sample: str
    sqnr_db: Real


class Layer(Part):
    """Errors of one tensor over the evaluation samples; None = not measured, `reason` says why.

    `conversion` is onnxruntime against float TFLite, `inherited` onnxruntime against the quantized TFLite end to end, `own` the node's quantized
    ops alone. `metrics` holds further measurements by the names in the report's `metrics`.
    """

    node: str
    tensor: str
    tflite_tensor: str | None = None
    permutation: tuple[int, ...] = ()
    evidence: Evidence = "none"
    status: PairStatus
    reason: str = ""
    conversion_sqnr_db: Real | None = None
    inherited_sqnr_db: Real | None = None
    own_sqnr_db: Real | None = None
    rmse_over_scale: Real | None = None
    cosine: Real | None = None
    max_abs: Real | None = None
    worst_samples: tuple[SampleError, ...] = ()
    metrics: Mapping[str, Real] = Field(default_factory=dict)


class Metric(Part):
    """A further measurement per layer: its key in `layers[].metrics`, unit (`""` for none) and which direction is good."""

    name: str
    unit: str = ""
    better: Literal["higher", "lower"] = "higher"


class TaskMetric(Part):
    """How good both models are at their task over the evaluation samples: `value` of the quantized file, `float_value` of the float model.

    NaN where the metric is not defined. `drop` is what was lost, positive where the quantized file is worse. `output` is empty for a metric of the
    user's own.
    """

    name: str
    value: Real
    float_value: Real
    drop: Real
    better: Literal["higher", "lower"] = "higher"
    unit: str = ""
    output: str = ""
    samples: int = 0


class Island(Part):
    """A connected group of nodes that do not run in the model's precision: `nodes` in topological order, `rules` and `reasons` of them.

    `precision` is `mixed` when they differ.
    """

    precision: str
    nodes: tuple[str, ...]
    rules: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()


class WorstLayer(Part):
    """One of the layers that lose most by themselves; `hint` says where the error comes from, `rule` is a rule file entry that leaves it float."""

    node: str
    tensor: str
    op_type: str
    precision: str | None
    own_sqnr_db: Real
    inherited_sqnr_db: Real | None
    rmse_over_scale: Real | None
    reason: str = ""
    hint: str = ""
    rule: str = ""


class Divergence(Part):
    """The earliest layer whose conversion or own error passes the threshold."""

    node: str
    tensor: str
    error: Literal["conversion", "own"]
    sqnr_db: Real
    threshold_db: Real


class Coverage(Part):
    """Nodes of the user's file, split without overlap.

    `mapped` have an output proved equal in both runtimes, `explained` have none but a reason (fused, folded, constant, dead), the rest is unexplained.
    """

    nodes: int
    mapped: int
    explained: int


class LoneFloatOp(Part):
    """A float operator of `node` that only integers surround, and the conversions around it.

    `alone_ms` is measured on the operator and its conversions in a file of their own, `latency_share` that over the latency of the whole file, an
    estimate; None for all but the first few.
    """

    node: str
    op: str
    converted_elements: int
    alone_ms: Real | None = None
    latency_share: Real | None = None


class OperatorCost(Part):
    """All operators of one name that write one type: how many, the sum of their times alone in ms, its share of the sum of all.

    Times are of each operator in a file of its own, less what a call costs; None where the time for measuring was used up.
    """

    op: str
    type: str
    count: int
    alone_ms: Real | None = None
    share: Real | None = None


class NodeCost(Part):
    """The operators of one node, their times alone, their share of the sum of all."""

    node: str
    ops: tuple[str, ...]
    alone_ms: Real
    share: Real


class Conversion(Part):
    """A QUANTIZE, DEQUANTIZE or TRANSPOSE: the node whose output it reads (empty: an input), the nodes that read its own (none: an output)."""

    op: str
    behind: str
    before: tuple[str, ...] = ()
    elements: int
    alone_ms: Real | None = None


class Cost(Part):
    """What runs and how long, float beside quantized: ops in the quantized file, milliseconds per run, bytes of the files; None = not measured.

    Attributes:
        float_mac_share: 0 .. 1; multiplied by float kernels, also where the weights are stored as integers.
        converted_elements: what QUANTIZE and DEQUANTIZE convert in one run.
        cancelling_pairs: conversions that only undo the one before them.
        lone_float_ops: those that convert most first.
        operators: of the quantized file, the most expensive first.
        busiest: the ten nodes that take longest.
        conversions: where values change their type or the order of their axes, the twenty most expensive.
    """

    float_ms: Real | None = None
    quantized_ms: Real | None = None
    quantize_ops: int | None = None
    dequantize_ops: int | None = None
    transpose_ops: int | None = None
    float_mac_share: Real | None = None
    float_bytes: int | None = None
    quantized_bytes: int | None = None
    converted_elements: int | None = None
    cancelling_pairs: int | None = None
    lone_float_ops: tuple[LoneFloatOp, ...] = ()
    operators: tuple[OperatorCost, ...] = ()
    busiest: tuple[NodeCost, ...] = ()
    conversions: tuple[Conversion, ...] = ()


class Diagnostic(Part):
    """One finding; `code` is stable, `node` the user's name of the node it is about, `rule` an entry for a rule file that does what `hint` says."""

    code: str
    severity: Severity
    node: str | None = None
    message: str
    hint: str = ""
    rule: str = ""


class Calibration(Part):
    """Where the ranges come from; `source` is `none` when the precision needs no data.

    Attributes:
        growth_median: how wide half of all ranges were at least after each quarter of the samples, as a share of their final width.
        growth: the same of the layers that lose most, the outputs, and the tensors whose ranges grew most at the end.
    """

    samples: int = 0
    source: str = "none"
    growth_median: tuple[Real, ...] = ()
    growth: tuple[Growth, ...] = ()
    warnings: tuple[Diagnostic, ...] = ()


class Evaluation(Part):
    """The data of the comparison; `held_out` when they are a part of the calibration data, `source` is `none` when nothing was compared."""

    samples: int = 0
    source: str = "none"
    held_out: bool = False
    labels: bool = False


class FailingPlace(Part):
    """An output or a layer for which a comparison does not hold, and the value there."""

    name: str
    value: Real


class GatePart(Part):
    """One comparison of a gate.

    Attributes:
        comparison: its source.
        holds: None where nothing, or NaN, was measured: then neither it nor its opposite is met.
        measured: the value that decides, the worst one (with `any` the best), and `worst` where it stands.
        missed: for how many of the `asked` places the comparison does not hold.
        failing: those of the `missed` places that are worst, at most 100, worst first; of outputs and layers.
        reason: why nothing was measured.
    """

    comparison: str
    holds: bool | None = None
    measured: Real | None = None
    worst: str | None = None
    missed: int = 0
    asked: int = 0
    failing: tuple[FailingPlace, ...] = ()
    reason: str = ""


class Gate(Part):
    """One gate. `measured` and `worst` are those of its only comparison; `reason` says why nothing was measured, and then it is not passed.

    A gate of several `parts` has neither `measured` nor `worst`; its `reason` tells what each part found.
    """

    expression: str
    passed: bool
    measured: Real | None = None
    worst: str | None = None
    reason: str = ""
    parts: tuple[GatePart, ...] = ()


class Verdict(Part):
    """`passed` when every gate is; true without gates."""

    passed: bool = True
    gates: tuple[Gate, ...] = ()


class Summary(Part):
    """Counts and rankings that every format shows.

    Attributes:
        precisions: precision -> number of nodes of the user's file, by count.
        worst: up to three layers with the lowest own SQNR, worst first.
        worst_output: name of the output with the lowest SQNR.
        size_ratio: quantized bytes over float bytes.
        speedup: float latency over quantized latency.
        warnings: diagnostics of severity `warning` or `error`, calibration advice included.
        deployable: false when the ranges come from random data.
        headline: the verdict in one sentence.
        next_step: what to do about the errors first, empty where there is little to gain.
    """

    precisions: Mapping[str, int] = Field(default_factory=dict)
    worst: tuple[WorstLayer, ...] = ()
    worst_output: str | None = None
    size_ratio: Real | None = None
    speedup: Real | None = None
    warnings: int = 0
    deployable: bool = True
    headline: str = ""
    next_step: str = ""


class Report(Part):
    """One run: what was converted, how, what it lost and what it costs.

    Attributes:
        histograms: of the layers that lose most and of the outputs.
        weights: of the layers that lose most.
        timing_s: stage -> seconds, in the order they ran; together the whole of `spent_s`, but for the report.
        spent_s: seconds of the `whole` up to the report, of the `own` part in which no tool of others worked, and of `onnx2tf` (its process), `opening`
            (onnxruntime and LiteRT load a model or let go of it) and `inference` (they run one); threads that work side by side count
            once, and runs beside the stages, on a core that they leave idle, not at all.
        edges: (writer, reader) of the normalised graph, as positions in `nodes`; those of fused nodes are the edges of the node `into`.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    model: Model
    versions: Mapping[str, str]
    precision: str
    artifacts: Mapping[str, str]
    digests: Mapping[str, str] = Field(default_factory=dict)
    options: Mapping[str, Scalar | tuple[Scalar, ...]] = Field(default_factory=dict)
    verdict: Verdict = Verdict()
    summary: Summary = Summary()
    cost: Cost = Cost()
    compression: Compression = Compression()
    coverage: Coverage
    calibration: Calibration = Calibration()
    evaluation: Evaluation = Evaluation()
    divergence: Divergence | None = None
    inputs: tuple[Input, ...]
    outputs: tuple[Output, ...]
    rules: tuple[Rule, ...]
    replacements: ModelChanges = ModelChanges()
    islands: tuple[Island, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    timing_s: Mapping[str, Real] = Field(default_factory=dict)
    spent_s: Mapping[str, Real] = Field(default_factory=dict)
    peak_rss_mb: Real | None = None
    metrics: tuple[Metric, ...] = ()
    task_metrics: tuple[TaskMetric, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    weights: tuple[WeightChannels, ...] = ()
    nodes: tuple[Node, ...]
    edges: tuple[tuple[int, int], ...] = ()
    layers: tuple[Layer, ...]

    def _repr_html_(self) -> str:
        """The HTML report in a frame of its own, for notebooks: neither side's styles and scripts reach the other."""
        from bridge.report import html_report  # renders what this module defines

        page = html.escape(html_report.render(self), quote=True)
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="width:100%;height:48em;border:0"></iframe>'

    def to_json(self) -> str:
        """`report.json`: ASCII, one line per node, layer, ...; infinity and NaN as the strings `inf`, `-inf`, `nan`. Same report, same text."""
        return "{\n" + ",\n".join(f"{json.dumps(key)}: {_lines(value)}" for key, value in self.model_dump(mode="json").items()) + "\n}\n"

    @classmethod
    def from_json(cls, text: str | bytes, *, where: str = "report.json") -> "Report":
        """The report that `to_json` wrote.

        Args:
            text: of a report.json.
            where: how errors name it.

        Returns:
            The report.

        Raises:
            InputError: no JSON, another schema version, or a key that is missing or of the wrong type.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            place = ".".join(str(part) for part in first["loc"]) or "the file"
            received = "" if first["type"] == "json_invalid" else f" Received: {str(first['input'])[:80]!r}."
            raise InputError(
                f"{where}: {place}: {first['msg']}.{received}",
                hint=f"This version reads reports of schema_version {SCHEMA_VERSION}, as `bridge convert` writes them.",
            ) from error


def json_schema() -> str:
    """The JSON schema of `report.json`, as committed beside this file."""
    return json.dumps(Report.model_json_schema(mode="serialization"), indent=1) + "\n"


def _lines(value: object) -> str:
    """JSON of one top-level value; a list has one line per entry."""
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(_compact(entry) for entry in value) + "\n]"
    return _compact(value)


def _compact(value: object) -> str:
    return _ENCODER.encode(value)
