"""Everything that comes before quantization: the model read and normalised, rules applied, the float file made and proved, ranges calibrated.

`convert` does this once for one quantized file, `tune` once for many.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from msgspec import Struct, field

from bridge import calibrate as calibrate_stage
from bridge import frontends, kept_quantization
from bridge import recover as recover_stage
from bridge import rules as rules_stage
from bridge.beside import Beside
from bridge.calibrate import Calibration, Dataset
from bridge.changes import ChangedModel, change_model
from bridge.compare import Early, Reference, candidate
from bridge.convert import InputLayout, Onnx2tfOptions, Via, adopt, to_float_tflite
from bridge.custom_nodes import user_view, with_custom_values, with_reasons
from bridge.custom_ops import check_decompositions
from bridge.decisions import FLOAT, needs_ranges, op_precisions, rounds_weights, with_measurements
from bridge.errors import noted
from bridge.graph import refuse_large, refuse_large_file
from bridge.observer_names import DEFAULT_OBSERVER
from bridge.progress import Stages
from bridge.range_choices import tensor_choices, wide_tensors
from bridge.samples import RunSamples, choose_evaluation, choose_samples, find_sources, first_sample
from bridge.sources import OpenedModel, open_model, open_reference
from bridge.task_metrics import AnyMetric, Measurement
from bridge.types import ConvertedModel, Decision, Diagnostic, Graph, RangeChoice, Ranges, Run

DEFAULT_PRECISION = "static_wi8_ai8"
PROBES = 2  # input sets that prove the tensor map
SAVED_MODEL = "saved_model"
LARGEST_BESIDE = 16 << 20  # bytes of a float file that is run beside other stages: two of them hold its weights then


class Request(Struct, frozen=True, kw_only=True):
    """What a user asks for; `bridge.convert` says what each means. `recover` names the methods in the order they run."""

    source: object
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None
    signature: str | None = None
    calibration: Path | str | Calibration | None = None
    evaluation: Path | str | Calibration | None = None
    preprocess: str | Path | None = None
    rules: Sequence[str | Path | rules_stage.RuleFile] = ("default",)
    precision: str = DEFAULT_PRECISION
    input_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=lambda: MappingProxyType({}))
    start: Sequence[str] = ()
    end: Sequence[str] = ()
    constants: Mapping[str, np.ndarray] = field(default_factory=lambda: MappingProxyType({}))
    input_layout: InputLayout = "auto"
    via: Via = "direct"
    saved_model: bool = False
    input_dtype: str = FLOAT
    output_dtype: str = FLOAT
    observer: str = DEFAULT_OBSERVER
    recover: Sequence[str] = ()
    ranges: Path | str | None = None
    metrics: Sequence[AnyMetric] = ()
    seed: int = 0
    threads: int = 2
    timeout_s: float = 600.0
    memory_limit_mb: int = 0

    @property
    def float_name(self) -> str:
        """Of the float TFLite file."""
        return f"{frontends.stem(self.source)}.{FLOAT}.tflite"


class Prepared(Struct, frozen=True, eq=False):
    """What the quantizer needs, and what the report tells of how it came about.

    Attributes:
        opened: the user's model, normalised.
        rule_files: as loaded.
        applied: what the rules decided, after what they ask to be measured.
        data: samples for calibration and for evaluation.
        scored: the task metrics on those for evaluation.
        changed: the model as rules changed it.
        reference: the user's model, ready to run.
        converted: the float TFLite file.
        ranges: of its activations, None where none becomes an integer.
        given: forms and weights that a quantized source dictates.
        choices: tensors whose ranges rules decide.
        early: runs of the comparison that go on already.
        calibrates: whether ranges were asked for.
        recovers: whether there is something for accuracy recovery to do.
        diagnostics: findings about the data and the reference, then about the float file.
    """

    opened: OpenedModel
    rule_files: Sequence[rules_stage.RuleFile]
    applied: rules_stage.Applied
    data: RunSamples
    scored: Measurement
    changed: ChangedModel
    reference: Reference
    converted: ConvertedModel
    ranges: Ranges | None
    given: kept_quantization.Given
    choices: Mapping[str, RangeChoice]
    early: Early | None
    calibrates: bool
    recovers: bool
    diagnostics: tuple[tuple[Diagnostic, ...], tuple[Diagnostic, ...]]

    @property
    def graph(self) -> Graph:
        """The normalised model as the rules see it."""
        return self.changed.graph


def prepare(
    request: Request,
    folder: Path,
    log: Path,
    stages: Stages,
    *,
    beside: Beside | None = None,
    compares: bool = False,
    meanwhile: Sequence[Callable[[], object]] = (),
) -> Prepared:
    """Makes the float file and what belongs to it.

    Args:
        request: what the user asks for.
        folder: where the float file goes, and the SavedModel if it is kept.
        log: where onnx2tf's output goes.
        stages: told about the work.
        beside: does the following two, where it is given.
        compares: there will be a comparison; its runs begin as soon as there are the models.
        meanwhile: what else to begin while onnx2tf works.

    Raises:
        UsageError: an option, a file or the data cannot be used.
        UnsupportedModelError: the model cannot become TFLite; names every cause.
        ToolError: onnx2tf, onnxruntime or LiteRT failed.
    """
    precision, threads = request.precision, request.threads
    sources = find_sources(request.calibration, request.evaluation, preprocess=request.preprocess)
    with stages("normalize"):
        if not (request.start or request.end) and (weightless := frontends.without_data(request.source)) is not None:
            refuse_large_file(weightless)
        opened = open_model(
            request.source,
            input_shapes=request.input_shapes,
            constants=request.constants,
            example_inputs=request.example_inputs,
            signature=request.signature,
            start=request.start,
            end=request.end,
            first_sample=first_sample(*sources),
        )
        normal = opened.graph
        with noted(normal.diagnostics):
            refuse_large(normal)
            rule_files = rules_stage.load(request.rules)
            applied = kept_quantization.decide(
                rules_stage.apply(rule_files, normal.nodes, default_precision=precision), opened.quantized, normal.nodes
            )
            calibrates = opened.quantized is None and needs_ranges(applied.decisions, precision, request.input_dtype, request.output_dtype)
            recovers = (
                opened.quantized is None
                and request.calibration is not None
                and bool(request.recover)
                and rounds_weights(applied.decisions, precision)
            )
            data = with_custom_values(opened, _samples(request, opened, sources, calibrates=calibrates or recovers))
            scored = Measurement.of(request.metrics, [spec.name for spec in normal.outputs], data.evaluation)
            changed = kept_quantization.expected_differences(change_model(opened.model, normal, applied, threads=threads), opened.quantized)
    with stages("convert"), noted(normal.diagnostics):
        probes = [data.calibration[position] for position in range(min(PROBES, len(data.calibration)))]
        reference, doubts = open_reference(opened.reference, probes, threads=threads)
        inside = reference if opened.quantized is None else open_reference(opened.model, threads=threads)[0]
        reference.release()
        checked = check_decompositions(opened.model.proto, opened.calls, inside.run, probes)
        early = _begun(beside, reference, data.evaluation if compares else None, meanwhile)
        converted = with_reasons(opened, _float_file(request, opened, changed, inside, probes, folder, log))
        for one in (reference, inside):
            one.release(idle=True)  # until layers are compared
    converted, equalization = _equalized(request, converted, data.calibration, applied.decisions, recovers=recovers, stages=stages)
    if early is not None:
        if converted.path.stat().st_size < LARGEST_BESIDE:
            early.start_float_file(candidate(converted.path, converted.tensor_map.inputs))
        else:
            early.end()  # before LiteRT packs its weights
    choices, without_effect = tensor_choices(converted.tensor_map, applied.ranges)
    ranges, given = kept_quantization.given_forms(converted, opened.quantized, changed.graph.nodes)
    if calibrates:
        asked = op_precisions(converted.tensor_map, applied.decisions, precision)
        ranges = _ranges(request, converted, data.calibration, choices, wide_tensors(converted.path, asked), stages)
        if rules_stage.waits_for_measurement(rule_files, normal.nodes):
            with stages("measure for rules"):
                ranges, nodes = with_measurements(normal, converted, ranges, rule_files, data.calibration, precision=precision, threads=threads)
                applied = rules_stage.apply(rule_files, nodes, default_precision=precision)
    said = ((*data.diagnostics, *checked, *doubts), (*equalization, *without_effect))
    return Prepared(
        opened, rule_files, applied, data, scored, changed, reference, converted, ranges, given, choices, early, calibrates, recovers, said
    )


def _begun(beside: Beside | None, reference: Reference, samples: Dataset | None, meanwhile: Sequence[Callable[[], object]]) -> Early | None:
    """What goes on while onnx2tf works; the runs of a comparison, if there will be one."""
    if beside is None or not beside.wanted:
        return None
    for work in meanwhile:
        beside.start(work)
    if samples is None:
        return None
    early = Early(samples, beside)
    early.start_reference(reference)
    return early


def _samples(request: Request, opened: OpenedModel, sources: Sequence[Calibration | None], *, calibrates: bool) -> RunSamples:
    choose = choose_samples if calibrates else choose_evaluation
    view = user_view(opened, input_dtype=request.input_dtype, output_dtype=request.output_dtype)
    return choose(view, *sources, seed=request.seed, ranges_given=request.ranges is not None)


def _float_file(
    request: Request,
    opened: OpenedModel,
    changed: ChangedModel,
    inside: Reference,
    probes: Sequence[Mapping[str, np.ndarray]],
    folder: Path,
    log: Path,
) -> ConvertedModel:
    """What onnx2tf makes of the model, or the TFLite file that it is."""
    path = folder / request.float_name
    if opened.model.float_file is not None:
        return adopt(
            changed.graph,
            opened.model.float_file,
            path,
            reference=inside.run,
            probes=probes,
            input_layout=request.input_layout,
            via=request.via,
            threads=request.threads,
        )
    return to_float_tflite(
        changed.graph,
        path,
        reference=_released(inside, changed.reference(inside)),
        probes=probes,
        input_layout=request.input_layout,
        options=Onnx2tfOptions(log, request.via, request.timeout_s, request.memory_limit_mb),
        saved_model=folder / SAVED_MODEL if request.saved_model else None,
        threads=request.threads,
    )


def _released(inside: Reference, run: Run) -> Run:
    """Runs that do not hold the weights while LiteRT packs its own."""

    def released(feeds: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        try:
            return run(feeds)
        finally:
            inside.release()

    return released


def _equalized(
    request: Request, converted: ConvertedModel, samples: Dataset, decisions: Mapping[str, Decision], *, recovers: bool, stages: Stages
) -> tuple[ConvertedModel, tuple[Diagnostic, ...]]:
    """The float file after equalization, and what there is to say about that."""
    if not recovers or recover_stage.EQUALIZATION not in request.recover:
        return converted, ()
    with stages("equalize"):
        asked = op_precisions(converted.tensor_map, decisions, request.precision)
        made, outcome = recover_stage.equalize(converted, samples, op_precisions=asked, precision=request.precision, threads=request.threads)
    return made, (outcome.diagnostic(),)


def _ranges(
    request: Request, converted: ConvertedModel, samples: Dataset, choices: Mapping[str, RangeChoice], bits: Mapping[str, int], stages: Stages
) -> Ranges:
    """Those of a file, or calibrated ones."""
    if request.ranges is not None:
        return calibrate_stage.with_choices(calibrate_stage.read_ranges(Path(request.ranges), model_sha256=converted.sha256), converted.path, choices)
    with stages("calibrate", len(samples)):
        return calibrate_stage.calibrate(
            converted.path,
            samples,
            converted.tensor_map.inputs,
            observer=request.observer,
            choices=choices,
            bits=bits,
            threads=request.threads,
            progress=stages.progress.advance,
        )
