"""The Python API, and the only file that knows the order of the stages."""

import functools
import resource
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np

from bridge import ahead, frontends, heap, kept_quantization, quantize
from bridge import calibrate as calibrate_stage
from bridge import recover as recover_stage
from bridge import rules as rules_stage
from bridge.beside import Beside
from bridge.calibrate import Calibration, Dataset
from bridge.changes import ChangedModel, unclipped
from bridge.compare import (
    CLIPPED,
    DEFAULT_MEMORY_MB,
    Compared,
    Comparison,
    Early,
    Reference,
    Values,
    compare_files,
    cost_findings,
    find_mismatched_scales,
    gzip_bytes,
    look_at_values,
    measure_compression,
    measure_cost,
)
from bridge.conversion_result import ConversionResult, versions
from bridge.convert import InputLayout, Via, check_backend
from bridge.convert.tensor_map_file import tensor_map_json
from bridge.custom_nodes import put_in, with_custom_rows
from bridge.decisions import FLOAT, op_precisions
from bridge.files import results_folder, write_bytes
from bridge.observer_names import DEFAULT_OBSERVER, parse_observer
from bridge.preparing import DEFAULT_PRECISION, SAVED_MODEL, Request, prepare
from bridge.progress import Progress, Silent, Stages
from bridge.recovery_names import DEFAULT_RECOVERY, check_recovery
from bridge.samples import meaningful
from bridge.task_metrics import AnyMetric, Measurement, check_metrics
from bridge.tflite import model as tflite
from bridge.types import ChangeEffects, ConvertedModel, Graph, MismatchedScales, QuantizedModel, Ranges

if TYPE_CHECKING:  # what is about the report is loaded while onnx2tf works, by `_load_report`
    from bridge.report import Report
    from bridge.report.baseline import Baseline
    from bridge.report.schema import Divergence

SHOWN_OUTPUTS = 3  # whose values the report shows
SCALE_SAMPLES = 8  # evaluation samples that tell what an input loses in the scale of its neighbours


def convert(
    source: object,
    *,
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    calibration: Path | str | Calibration | None = None,
    evaluation: Path | str | Calibration | None = None,
    preprocess: str | Path | None = None,
    rules: Sequence[str | Path | rules_stage.RuleFile] = ("default",),
    precision: str = DEFAULT_PRECISION,
    output_dir: Path | str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    start: Sequence[str] = (),
    end: Sequence[str] = (),
    constants: Mapping[str, np.ndarray] = MappingProxyType({}),
    input_layout: InputLayout = "auto",
    via: Via = "direct",
    saved_model: bool = False,
    input_dtype: str = FLOAT,
    output_dtype: str = FLOAT,
    observer: str = DEFAULT_OBSERVER,
    recover: Sequence[str] = DEFAULT_RECOVERY,
    ranges: Path | str | None = None,
    metrics: Sequence[AnyMetric] = (),
    gates: Sequence[str] = (),
    baseline: "Path | str | Report | None" = None,
    tolerances: Mapping[str, float] = MappingProxyType({}),
    compare: bool = True,
    layer_samples: int = 16,
    memory_mb: int = DEFAULT_MEMORY_MB,
    seed: int = 0,
    threads: int = 2,
    timeout_s: float = 600.0,
    memory_limit_mb: int = 0,
    force: bool = False,
    progress: Progress | None = None,
) -> ConversionResult:
    """Converts a model to quantized TFLite, compares every layer with onnxruntime, writes the results.

    Args:
        source: a path (.onnx, .pt2, TorchScript, .keras, .h5, a SavedModel folder, a float .tflite) or a live model (torch.nn.Module,
            ExportedProgram, Keras model, tf.function); it is only read. A .tflite is quantized as it is and is its own reference.
        example_inputs: what a PyTorch module, a subclassed Keras model or a tf.function is traced with: a tuple, or inputs by name.
        signature: which signature of a SavedModel.
        calibration: samples for the ranges: `.npz` with one array per input, `.npy`, a folder of pictures, `module:function`, or a Calibration;
            without it seeded random data, and the report says so. Where every activation stays float, no ranges are needed and these samples serve
            the comparison.
        evaluation: samples for the comparison; without it a quarter of the calibration samples is held out.
        preprocess: how the pictures of a folder become inputs: a name such as `imagenet`, or a TOML file.
        rules: names of packs, paths of rule files, or what `load_rules` read; later ones win.
        precision: of everything that no rule names.
        output_dir: folder for the results, `<stem>.bridge` beside the current folder if None.
        input_shapes: sizes for inputs with dynamic dimensions, by name.
        start: tensors that become the inputs, to convert only a part of the model; samples are named after them.
        end: tensors that become the outputs likewise.
        constants: values of inputs that the TFLite file shall not have, by name: what decides a shape has to be known when converting.
        input_layout: `auto`, `keep` or `nhwc`.
        via: how onnx2tf writes the float TFLite file: `direct`, or `tensorflow` through a SavedModel and TensorFlow's own converter.
        saved_model: whether to keep that SavedModel in the results; the inputs are laid out as those of the TFLite file.
        input_dtype: `float32`, `int8` or `uint8`: type of the float inputs of the quantized file.
        output_dtype: likewise for outputs.
        observer: how ranges are made of the calibration samples: `min_max`, `moving_average`, `percentile` (or `percentile:99.9`), `entropy`, `mse`.
        recover: methods of accuracy recovery, names of RECOVERY_NAMES; each is kept only where it helps on calibration samples it was not fitted on.
            Given `ranges` stay as they are.
        ranges: a ranges.json of an earlier run, instead of calibrating.
        metrics: task metrics, for both models on the evaluation samples: names of `bridge.task_metrics.BUILT_IN`, `module:function`, functions.
        gates: expressions such as `sqnr>=25`; the report's verdict says which hold.
        baseline: an earlier report.json; what is worse than there counts as a gate that does not hold.
        tolerances: how much worse it may be, for names of `bridge.report.baseline.TOLERANCES`.
        compare: whether to compare at all.
        layer_samples: evaluation samples for the errors of layers; outputs use all.
        memory_mb: what the process may take while layers are compared; where the values of all tensors do not fit, there are several passes.
        seed: of everything random.
        threads: of each run of a model; from two on, runs of the comparison begin beside other stages.
        timeout_s: how long onnx2tf may take.
        memory_limit_mb: how much memory onnx2tf may map; 0 = no limit.
        force: write into a folder that holds other files.
        progress: told about the work; silent if None.

    Returns:
        The report, the folder with all files, and the `.tflite` files by precision.

    Raises:
        UsageError: an option, a file or the data cannot be used.
        UnsupportedModelError: the model cannot become TFLite; names every cause.
        ToolError: onnx2tf, onnxruntime or LiteRT failed.
    """
    stages = Stages(progress or Silent())
    methods = _checked_options(gates, metrics, observer, recover, via, compare=compare, saved_model=saved_model)
    held_to = _baseline(baseline, tolerances)
    request = Request(
        source=source,
        example_inputs=example_inputs,
        signature=signature,
        calibration=calibration,
        evaluation=evaluation,
        preprocess=preprocess,
        rules=rules,
        precision=precision,
        input_shapes=input_shapes,
        start=start,
        end=end,
        constants=constants,
        input_layout=input_layout,
        via=via,
        saved_model=saved_model,
        input_dtype=input_dtype,
        output_dtype=output_dtype,
        observer=observer,
        recover=methods,
        ranges=ranges,
        metrics=metrics,
        seed=seed,
        threads=threads,
        timeout_s=timeout_s,
        memory_limit_mb=memory_limit_mb,
    )
    stem = frontends.stem(source)
    target = Path(f"{stem}.bridge" if output_dir is None else output_dir)
    with (
        ahead.started(source),
        heap.seldom_collected(),
        tflite.kept_files(),
        results_folder(target, force=force) as folder,
        Beside(wanted=threads > 1) as beside,
    ):
        log = target / "onnx2tf.log"
        prepared = prepare(request, folder, log, stages, beside=beside, compares=compare, meanwhile=(_load_report,))
        gzipped = {prepared.converted.path: beside.start(functools.partial(gzip_bytes, prepared.converted.path, beside.steps))}
        opened, applied, data, changed, converted = prepared.opened, prepared.applied, prepared.data, prepared.changed, prepared.converted
        asked = op_precisions(converted.tensor_map, applied.decisions, precision)
        with stages("recover"):
            recovered = recover_stage.recover(
                recover_stage.Job(
                    converted.path, asked, precision, converted.tensor_map.inputs, data.calibration, threads, frozenset(prepared.choices)
                ),
                prepared.ranges,
                methods if prepared.recovers else (),
                ranges_given=ranges is not None,
            )
        with stages("quantize"):
            quantized = quantize.quantize(
                converted.path,
                folder / f"{stem}.{precision}.tflite",
                ranges=recovered.ranges,
                corrections=recovered.corrections.merged(prepared.given.weights),
                given=prepared.given.forms,
                op_precisions=asked,
                precision=precision,
                input_dtype=input_dtype,
                output_dtype=output_dtype,
            )
        gzipped[quantized.path] = beside.start(functools.partial(gzip_bytes, quantized.path, beside.steps))
        compared, effects, values = (
            _compared(
                prepared.reference,
                changed,
                converted,
                quantized,
                data.evaluation,
                prepared.scored,
                prepared.early,
                layer_samples=layer_samples,
                memory_mb=memory_mb,
                threads=threads,
                stages=stages,
            )
            if compare
            else (Comparison(), None, Values())
        )
        with stages("check scales"):
            mismatches = _mismatches(converted, quantized, changed.graph, recovered.ranges, data.evaluation, threads=threads)
        with stages("cost"):
            compression = measure_compression(converted, quantized, gzipped=lambda path: gzipped[path]())
            cost = measure_cost(converted, quantized)  # while nothing else runs
            put = put_in(opened, converted.tensor_map, (converted.path, quantized.path))
        with stages("report"):
            from bridge import report
            from bridge.report.schema import Evaluation, Metric

            files = {FLOAT: converted.path, precision: quantized.path} | ({SAVED_MODEL: folder / SAVED_MODEL} if saved_model else {})
            result = report.build(
                path=frontends.label(source),
                framework=opened.model.framework,
                graph=changed.graph,
                decisions=applied.decisions,
                outcomes=applied.outcomes,
                converted=converted,
                artifacts=files | _write_facts(folder, converted, recovered.ranges if opened.quantized is None else None),
                output_dir=folder,
                versions=versions(converted),
                quantized=quantized,
                ranges=recovered.ranges,
                layers=compared.layers,
                outputs=compared.outputs,
                evaluation=Evaluation(
                    samples=len(data.evaluation),
                    source=data.evaluation.source,
                    held_out=prepared.calibrates and evaluation is None and calibration is not None,
                    labels=data.evaluation.labels is not None,
                )
                if compare
                else None,
                cost=cost,
                compression=compression,
                divergence=_divergence(compared),
                histograms=values.histograms,
                weights=values.weights,
                options={
                    "rules": tuple(rule.label if isinstance(rule, rules_stage.RuleFile) else str(rule) for rule in rules),
                    "observer": recovered.ranges.observer if recovered.ranges else "none",
                    "recover": methods,
                    "input_layout": input_layout,
                    "via": via,
                    "layer_samples": layer_samples,
                    "memory_mb": memory_mb,
                    "seed": seed,
                    "threads": threads,
                },
                metrics=(Metric(name=CLIPPED, better="lower"),),
                task_metrics=prepared.scored.results(),
                mismatches=mismatches,
                changes=changed.changes,
                effects=effects,
                diagnostics=(
                    *applied.diagnostics,
                    *prepared.diagnostics[0],
                    *put,
                    *changed.diagnostics,
                    *unclipped(changed.changes, converted.tensor_map, quantized.ops),
                    *kept_quantization.findings(opened.quantized, prepared.given, quantized),
                    *prepared.diagnostics[1],
                    *recovered.diagnostics,
                    *meaningful(compared.diagnostics, data.evaluation),
                    *cost_findings(cost),
                ),
                gates=gates,
                baseline=held_to,
                timing_s=stages.seconds,
                spent_s=stages.shares.seconds(),
                peak_rss_mb=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                input_dtype=input_dtype,
            )
            result = with_custom_rows(opened, result, changed.graph.nodes)
            report.write(result, folder)
    return ConversionResult(result, target, MappingProxyType({name: target / file.name for name, file in files.items()}))


def _write_facts(folder: Path, converted: ConvertedModel, ranges: Ranges | None) -> dict[str, Path]:
    """What other runs can take back: the tensor map, and the ranges where there are any."""
    files = {"tensor_map": folder / "tensor_map.json"}
    write_bytes(files["tensor_map"], tensor_map_json(converted.tensor_map, model_sha256=converted.sha256).encode())
    if ranges:
        files["ranges"] = folder / "ranges.json"
        calibrate_stage.write_ranges(files["ranges"], ranges)
    return files


def _checked_options(
    gates: Sequence[str], metrics: Sequence[AnyMetric], observer: str, recover: Sequence[str], via: Via, *, compare: bool, saved_model: bool
) -> tuple[str, ...]:
    """The methods of recovery in the order they run; refuses what cannot be read before any work is done."""
    asked: tuple[str, ...] = ()
    if gates:
        from bridge import report

        asked = report.metrics_of(gates)
    check_metrics(metrics, asked=asked, compares=compare)
    parse_observer(observer)
    check_backend(via, saved_model=saved_model)
    return check_recovery(recover)


def _baseline(baseline: "Path | str | Report | None", tolerances: Mapping[str, float]) -> "Baseline | None":
    if baseline is None and not tolerances:
        return None
    from bridge import report

    return report.read_baseline(baseline, tolerances)


def _load_report() -> None:
    """Modules and page of the report: a fifth of all imports, and nothing before the float file needs them."""
    from bridge import report

    report.prepare_page()


def _compared(
    reference: Reference,
    changed: ChangedModel,
    converted: ConvertedModel,
    quantized: QuantizedModel,
    samples: Dataset,
    scored: Measurement,
    early: Early | None,
    *,
    layer_samples: int,
    memory_mb: int,
    threads: int,
    stages: Stages,
) -> tuple[Comparison, ChangeEffects | None, Values]:
    """Both files against the user's model, what the changes that rules made cost by themselves, and what the worst layers and outputs hold."""
    with stages("compare", len(samples)):
        found = compare_files(
            reference,
            Compared(quantized.path, converted.path, converted.tensor_map, quantized.ops, early),
            samples,
            layer_samples=layer_samples,
            memory_mb=memory_mb,
            changed=changed.downstream,
            threads=threads,
            progress=stages.progress.advance,
            watch=scored.watch,
        )
    with stages("values"):
        from bridge import report

        worst = [layer for _, layer in report.lowest_own(found.layers)]
        outputs = sorted(found.outputs, key=lambda output: output.sqnr_db)[:SHOWN_OUTPUTS]
        values = look_at_values(reference, converted, quantized, samples, worst, [output.name for output in outputs], threads=threads)
        reference.release(idle=True)
    if not changed.changes:
        return found, None, values
    with stages("measure changes"):
        return found, changed.effects(samples, threads=threads), values


def _mismatches(
    converted: ConvertedModel, quantized: QuantizedModel, normal: Graph, ranges: Ranges | None, samples: Dataset, *, threads: int
) -> tuple[MismatchedScales, ...]:
    """Operators that force one scale on tensors of different size; none without ranges."""
    if ranges is None:
        return ()
    written = tflite.read_once(quantized.path), quantized.ops
    return find_mismatched_scales(converted, written, normal.nodes, ranges, samples, joining=quantize.JOINING, count=SCALE_SAMPLES, threads=threads)


def _divergence(compared: Comparison) -> "Divergence | None":
    """Where the comparison first goes wrong, as the report has it."""
    from bridge.report.schema import Divergence

    found = compared.divergence
    if found is None:
        return None
    return Divergence(node=found.layer.node, tensor=found.layer.tensor, error=found.error, sqnr_db=found.sqnr_db, threshold_db=found.threshold_db)
