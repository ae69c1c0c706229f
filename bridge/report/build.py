"""Assembles the report from what each stage returned; everything that formats show is computed here, not in them."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

from msgspec.structs import asdict

from bridge.report.baseline import Baseline, baseline_findings, judge
from bridge.report.changes import changes_block
from bridge.report.compression import Compression
from bridge.report.edges import edges
from bridge.report.growth import growth_median, growth_rows
from bridge.report.headline import headline, next_step
from bridge.report.islands import islands
from bridge.report.measured_metrics import task_metric
from bridge.report.mismatches import mismatch_findings
from bridge.report.node_rows import coverage, node_rows
from bridge.report.parts import Scalar
from bridge.report.ranking import worst_layers, worst_output
from bridge.report.schema import (
    Calibration,
    Cost,
    Diagnostic,
    Divergence,
    Evaluation,
    Input,
    Layer,
    Metric,
    Model,
    NearMiss,
    Output,
    Report,
    Rule,
    Summary,
)
from bridge.report.values import Histogram, WeightChannels
from bridge.types import (
    Change,
    ChangeEffects,
    ConvertedModel,
    Decision,
    Graph,
    InputBinding,
    LayerResult,
    MismatchedScales,
    OutputResult,
    QuantizedModel,
    Ranges,
    RuleOutcome,
    SourceNode,
    TensorMap,
    TensorPair,
    TensorSpec,
)
from bridge.types import Diagnostic as StageDiagnostic

NOT_COMPARED = "nothing was compared in this run"
FLOAT = "float32"
LAYOUTS = MappingProxyType({(0, 2, 1): "NWC", (0, 2, 3, 1): "NHWC", (0, 2, 3, 4, 1): "NDHWC"})  # permutation from channels-first


def build(  # noqa: PLR0913  # one argument per stage value
    *,
    path: Path | str,
    framework: str,
    graph: Graph,
    decisions: Mapping[str, Decision],
    outcomes: Sequence[RuleOutcome],
    converted: ConvertedModel,
    artifacts: Mapping[str, Path],
    output_dir: Path,
    versions: Mapping[str, str],
    quantized: QuantizedModel | None = None,
    ranges: Ranges | None = None,
    layers: Sequence[LayerResult] = (),
    outputs: Sequence[OutputResult] = (),
    evaluation: Evaluation | None = None,
    cost: object | None = None,
    compression: object | None = None,
    divergence: Divergence | None = None,
    histograms: Sequence[object] = (),
    weights: Sequence[object] = (),
    metrics: Sequence[Metric] = (),
    task_metrics: Sequence[object] = (),
    mismatches: Sequence[MismatchedScales] = (),
    changes: Sequence[Change] = (),
    effects: ChangeEffects | None = None,
    diagnostics: Sequence[StageDiagnostic] = (),
    gates: Sequence[str] = (),
    baseline: Baseline | None = None,
    timing_s: Mapping[str, float] = MappingProxyType({}),
    spent_s: Mapping[str, float] = MappingProxyType({}),
    peak_rss_mb: float | None = None,
    options: Mapping[str, Scalar | tuple[Scalar, ...]] = MappingProxyType({}),
    input_dtype: str = FLOAT,
) -> Report:
    """The report of one run.

    Args:
        path: the source as the user gave it.
        framework: what the source is: `onnx`, `torch`, `keras`, ...
        graph: the normalised model.
        decisions: by `NodeFacts.name`.
        outcomes: what each rule did, in rule order.
        converted: the float file.
        artifacts: name -> written file (`float32`, the precision, `report`, ...); stored relative to `output_dir`.
        output_dir: the folder of `report.json`.
        versions: tool -> version.
        quantized: None when nothing was quantized; then `tflite_ops` and `precision` of the nodes stay empty. A float-only run that wants them
            passes the float file with every op float32.
        ranges: None when the precision needs none.
        layers: in any order; tensors of the user's file that are missing get a row with the tensor map's reason.
        outputs: empty when nothing was compared.
        evaluation: the data of the comparison.
        cost: figures of both files: any value with the attributes of `Cost`.
        compression: likewise with those of `Compression`.
        divergence: the first layer that passes a threshold.
        histograms: values of the worst layers and the outputs: any values with the attributes of `Histogram`.
        weights: likewise with those of `WeightChannels`, of the worst layers.
        metrics: what the names in `LayerResult.metrics` mean.
        task_metrics: values with the attributes of `TaskMetric`, all but `drop`.
        mismatches: operators that force inputs of different size into one scale.
        changes: where rules change what the model computes.
        effects: what they cost by themselves, None when nothing was compared.
        diagnostics: findings of the stages after `normalize`; those of `graph` and `ranges` are taken from there.
        gates: expressions as in `bridge.report.gates`.
        baseline: an earlier report that the run may not be worse than.
        timing_s: stage -> seconds, in the order they ran.
        spent_s: seconds of the whole up to here, of its own share, and of each tool of others.
        peak_rss_mb: largest resident memory of the process, in MB.
        options: what the user chose.
        input_dtype: dtype of the float inputs of the quantized file.

    Raises:
        UsageError: a gate expression cannot be read.
    """
    nodes = node_rows(graph, decisions, converted.tensor_map, quantized.ops if quantized else ())
    by_name = {node.name: node for node in nodes}
    joined = edges([(node.name, _names(node.inputs), _names(node.outputs)) for node in graph.nodes], by_name)
    rows = _layer_rows(graph.source_nodes, converted.tensor_map, layers)
    precision = quantized.precision if quantized else FLOAT
    advice = tuple(_diagnostic(finding) for finding in (ranges.warnings if ranges else ()))
    findings = (*(_diagnostic(finding) for finding in (*graph.diagnostics, *diagnostics)), *mismatch_findings(mismatches))
    evaluation = evaluation or Evaluation()
    figures = Cost() if cost is None else Cost.model_validate(cost, from_attributes=True)
    result_rows = _outputs(graph.outputs, converted.tensor_map.outputs, outputs)
    worst = worst_layers(rows, by_name, joined, evaluation.samples)
    report = Report(
        model=Model(path=str(path), sha256=graph.digest, framework=framework, nodes=len(graph.source_nodes)),
        versions=dict(versions),
        precision=precision,
        artifacts={name: _relative(file, output_dir) for name, file in artifacts.items()},
        digests={FLOAT: converted.sha256} | ({precision: quantized.sha256} if quantized else {}),
        options=dict(options),
        summary=Summary(
            precisions=_by_count(node.precision or "none" for node in nodes),
            worst=worst,
            worst_output=worst_output(result_rows),
            size_ratio=_ratio(figures.quantized_bytes, figures.float_bytes),
            speedup=_ratio(figures.float_ms, figures.quantized_ms),
            warnings=sum(finding.severity != "info" for finding in (*findings, *advice)),
            deployable=ranges is None or ranges.source != "synthetic",
        ),
        cost=figures,
        compression=Compression() if compression is None else Compression.model_validate(compression, from_attributes=True),
        coverage=coverage(graph.source_nodes, rows),
        calibration=_calibration(ranges, advice, converted.tensor_map, (*(layer.tensor for layer in worst), *(row.name for row in result_rows))),
        evaluation=evaluation,
        divergence=divergence,
        inputs=_inputs(graph.inputs, converted.tensor_map.inputs, input_dtype),
        outputs=result_rows,
        rules=_rules(outcomes, decisions.values()),
        replacements=changes_block(changes, effects),
        islands=islands(graph.nodes, by_name, precision) if quantized else (),
        diagnostics=findings,
        timing_s=dict(timing_s),
        spent_s=dict(spent_s),
        peak_rss_mb=peak_rss_mb,
        metrics=tuple(metrics),
        task_metrics=tuple(map(task_metric, task_metrics)),
        histograms=tuple(Histogram.model_validate(one, from_attributes=True) for one in histograms),
        weights=tuple(WeightChannels.model_validate(one, from_attributes=True) for one in weights),
        nodes=nodes,
        edges=joined,
        layers=rows,
    )
    doubts, verdict = baseline_findings(report, baseline), judge(report, gates, baseline)
    lowest = next((output for output in result_rows if output.name == report.summary.worst_output), None)
    said = {
        "headline": headline(lowest, report.task_metrics, figures, verdict.gates, deployable=report.summary.deployable),
        "next_step": next_step(lowest, worst),
        "warnings": report.summary.warnings + len(doubts),
    }
    summary = report.summary.model_copy(update=said)
    return report.model_copy(update={"verdict": verdict, "summary": summary, "diagnostics": (*report.diagnostics, *doubts)})


def _names(specs: Sequence[TensorSpec]) -> list[str]:
    return [spec.name for spec in specs]


def _by_count(names: Iterable[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def _ratio(of: float | None, to: float | None) -> float | None:
    return of / to if of is not None and to else None


def _relative(file: Path, folder: Path) -> str:
    return (file.relative_to(folder) if file.is_relative_to(folder) else file).as_posix()


def _diagnostic(finding: StageDiagnostic) -> Diagnostic:
    return Diagnostic(**asdict(finding))


def _calibration(ranges: Ranges | None, advice: tuple[Diagnostic, ...], tensor_map: TensorMap, tensors: Iterable[str]) -> Calibration:
    if ranges is None:
        return Calibration()
    curves = growth_rows(ranges, tensor_map, tensors)
    return Calibration(samples=ranges.samples, source=ranges.source, growth_median=growth_median(ranges), growth=curves, warnings=advice)


def _inputs(specs: Sequence[TensorSpec], bindings: Sequence[InputBinding], input_dtype: str) -> tuple[Input, ...]:
    dtypes = {spec.name: spec.dtype for spec in specs}
    return tuple(
        Input(
            name=binding.onnx_name,
            shape=binding.onnx_shape,
            dtype=dtypes[binding.onnx_name],
            tflite_name=binding.tflite_name,
            tflite_shape=tuple(binding.onnx_shape[axis] for axis in binding.permutation),
            tflite_dtype=input_dtype if binding.dtype == FLOAT else binding.dtype,
            layout=_layout(binding.permutation),
            permutation=binding.permutation,
        )
        for binding in bindings
    )


def _layout(permutation: tuple[int, ...]) -> str:
    if permutation == tuple(range(len(permutation))):
        return "as in the source model"
    return LAYOUTS.get(permutation, f"source axes in the order {permutation}")


def _outputs(specs: Sequence[TensorSpec], pairs: Sequence[TensorPair], results: Sequence[OutputResult]) -> tuple[Output, ...]:
    pair_of = {pair.tensor: pair for pair in pairs}
    measured = {result.name: asdict(result) for result in results}
    rows = []
    for spec in specs:
        pair = pair_of.get(spec.name)
        place = {"tflite_tensor": pair.tflite_tensor, "shape": pair.onnx_shape, "permutation": pair.permutation} if pair else {}
        rows.append(Output.model_validate({"name": spec.name} | measured.get(spec.name, {}) | place))
    return tuple(rows)


def _rules(outcomes: Sequence[RuleOutcome], decisions: Iterable[Decision]) -> tuple[Rule, ...]:
    deciding: dict[tuple[str | None, str | None, int | None], list[str]] = defaultdict(list)
    for decision in decisions:
        deciding[decision.rule, decision.file, decision.line].append(decision.node)
    return tuple(
        Rule(
            id=outcome.id,
            file=outcome.file,
            line=outcome.line,
            reason=outcome.reason,
            precision=outcome.precision,
            range=str(outcome.range or ""),
            replace=outcome.replace,
            matched=outcome.matched,
            deciding=tuple(dict.fromkeys((*deciding[outcome.id, outcome.file, outcome.line], *outcome.ranges_of, *outcome.replaced))),
            near_miss_count=max(outcome.near_miss_count, len(outcome.near_misses)),
            near_misses=tuple(NearMiss(node=miss.node, condition=miss.condition) for miss in outcome.near_misses),
        )
        for outcome in outcomes
    )


def _layer_rows(nodes: Sequence[SourceNode], tensor_map: TensorMap, results: Sequence[LayerResult]) -> tuple[Layer, ...]:
    """One row per tensor that a node of the user's file writes, in its order, measured or not."""
    measured = {(result.node, result.tensor): result for result in results}
    pairs = {(pair.node, pair.tensor): pair for pair in tensor_map.pairs}
    places = [(node, tensor, (node.name, tensor)) for node in nodes for tensor in node.outputs if tensor]
    return tuple(_layer(node, tensor, measured.get(place), pairs.get(place)) for node, tensor, place in places)


def _layer(node: SourceNode, tensor: str, result: LayerResult | None, pair: TensorPair | None) -> Layer:
    if result is not None:
        worst = [{"sample": one.sample, "sqnr_db": one.sqnr_db} for one in result.worst_samples]
        return Layer.model_validate(asdict(result) | {"node": node.name, "metrics": dict(result.metrics), "worst_samples": worst})
    if pair is not None:
        reason = pair.reason or NOT_COMPARED
        return Layer(
            node=node.name,
            tensor=tensor,
            tflite_tensor=pair.tflite_tensor,
            permutation=pair.permutation,
            evidence=pair.evidence,
            status=pair.status,
            reason=reason,
        )
    status = "missing" if node.status == "kept" else node.status
    return Layer(node=node.name, tensor=tensor, status=status, reason=node.reason or "the tensor map has no row for it")
