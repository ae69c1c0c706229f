"""`bridge compare`: models, files and saved runs side by side."""

import contextlib
from collections.abc import Mapping, Sequence, Set
from pathlib import Path
from types import MappingProxyType

from bridge import frontends
from bridge.calibrate import Calibration
from bridge.calibrate.array_files import open_arrays
from bridge.compare import (
    DEFAULT_MEMORY_MB,
    Compared,
    Comparison,
    ModelRun,
    Trace,
    compare_files,
    compare_runs,
    node_of,
)
from bridge.convert import own_map
from bridge.convert.tensor_map_file import check_tensor_map, read_tensor_map
from bridge.errors import InputError, ToolError, UsageError
from bridge.progress import Progress, Silent
from bridge.quantize import broken_constraints
from bridge.report.file_comparison import FileComparison, build_file_comparison
from bridge.samples import find_sources, first_sample, open_samples
from bridge.sources import open_model, open_reference
from bridge.task_metrics import AnyMetric, Measurement
from bridge.tflite import model as tflite
from bridge.tflite.trial import tried
from bridge.types import Diagnostic

BROKEN_HINT = "`bridge ops` shows what the kernels take. Whatever wrote the file has to give these tensors other scales."


def compare(
    reference: object,
    candidate: Path | str,
    *,
    data: Path | str | Calibration | None = None,
    preprocess: str | Path | None = None,
    tensor_map: Path | str | None = None,
    float_file: Path | str | None = None,
    input_shapes: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
    example_inputs: tuple[object, ...] | Mapping[str, object] | None = None,
    signature: str | None = None,
    start: Sequence[str] = (),
    end: Sequence[str] = (),
    layer_samples: int = 16,
    memory_mb: int = DEFAULT_MEMORY_MB,
    metrics: Sequence[AnyMetric] = (),
    threads: int = 2,
    progress: Progress | None = None,
) -> FileComparison:
    """Errors of a TFLite file against the model it came from, of one ONNX model against another, or of two traces, on the same samples.

    Args:
        reference: the float model, what `convert` takes: a path or a live model.
        candidate: a `.tflite` file, float or quantized, whoever made it; an `.onnx` file, whose tensors are paired by name; or a trace (`.npz`), where the
            reference is one too.
        data: samples in the layout of the reference: a file, a folder of pictures, `module:function`, or a Calibration; traces have their own.
        preprocess: how the pictures of a folder become inputs.
        tensor_map: the tensor_map.json of the conversion; with it layers are compared too. Two TFLite files need none.
        float_file: the float TFLite file that the candidate was quantized from; with it each layer's own and conversion errors are known too.
        input_shapes: sizes for inputs with dynamic dimensions, by name.
        example_inputs: what a live model is traced with, as for `convert`.
        signature: which signature of a SavedModel.
        start: tensors that are the inputs, where only a part of the model was converted.
        end: tensors that are the outputs likewise.
        layer_samples: samples for the errors of layers; outputs use all.
        memory_mb: what the process may take while layers are compared.
        metrics: task metrics of both models, as for `convert`.
        threads: of each run of a model.
        progress: told about the work; silent if None.

    Returns:
        Errors of outputs, and of layers where the map or the files allow it.

    Raises:
        UsageError: a file or the data cannot be used.
        ToolError: a model does not run.
    """
    progress = progress or Silent()
    if metrics and Path(candidate).suffix != ".tflite":
        raise UsageError(f"Task metrics need a TFLite file to compare. Received: {candidate}.", hint="Leave --metric out.")
    if _is_trace(reference) and _is_trace(candidate):
        return _compare_traces(Path(str(reference)), Path(candidate), progress)
    (source,) = find_sources(data, preprocess=preprocess)
    files = [Path(path) for path in (candidate, float_file) if path is not None and Path(path).suffix == ".tflite"]
    with tried(*files) if files else contextlib.nullcontext():
        opened = open_model(
            reference,
            input_shapes=input_shapes,
            example_inputs=example_inputs,
            signature=signature,
            start=start,
            end=end,
            first_sample=first_sample(source),
        )
        normal = opened.graph
        samples = open_samples(source, normal)
    scored = Measurement.of(metrics, [spec.name for spec in normal.outputs], samples)
    pairs = read_tensor_map(Path(tensor_map)) if tensor_map is not None else None
    first = [samples[0]] if len(samples) else []
    runner, doubts = open_reference(opened.reference, first, threads=threads, intermediates=False)
    progress.stage("compare", len(samples))
    if Path(candidate).suffix == ".onnx":
        other = open_model(Path(candidate), input_shapes=input_shapes, first_sample=lambda _: samples[0])
        runs = [ModelRun(open_reference(one.reference, first, threads=threads)[0], samples) for one in (opened, other)]
        nodes = {tensor: node.name for node in normal.source_nodes for tensor in node.outputs}
        return _comparison(reference, candidate, len(samples), compare_runs(*runs, nodes=nodes, progress=progress.advance), doubts)
    if opened.model.float_file is not None and pairs is None:
        pairs, float_file = own_map(normal, tflite.read(opened.model.float_file)), opened.model.float_file
    compared = Compared(Path(candidate), None if float_file is None else Path(float_file), pairs)
    if tensor_map is not None:
        _check_map(compared, {spec.name for spec in normal.inputs}, where=str(tensor_map))
    broken = _broken_constraints(compared)
    try:
        with tflite.kept_files():
            found = compare_files(
                runner,
                compared,
                samples,
                layer_samples=layer_samples,
                memory_mb=memory_mb,
                threads=threads,
                progress=progress.advance,
                watch=scored.watch,
            )
    except ToolError as error:
        if broken:
            raise ToolError(f"{error.message} The likely cause: {broken[0].message}", hint=broken[0].hint, causes=error.causes) from error
        raise
    return _comparison(reference, candidate, len(samples), found, (*doubts, *broken), scored.results())


def _check_map(compared: Compared, inputs: Set[str], *, where: str) -> None:
    assert compared.tensor_map is not None
    operators = None if compared.float_path is None else len(tflite.main_graph(tflite.read(compared.float_path)).operators)
    check_tensor_map(compared.tensor_map, tflite.read(compared.path), where=where, operators=operators)
    unknown = [binding.onnx_name for binding in compared.tensor_map.inputs if binding.onnx_name not in inputs]
    if unknown:
        raise InputError(f"{where}: the model has no input {unknown[0]!r}.", hint=f"Its inputs: {', '.join(sorted(inputs))}.")


def _is_trace(source: object) -> bool:
    return isinstance(source, Path | str) and Path(source).suffix == ".npz"


def _compare_traces(reference: Path, candidate: Path, progress: Progress) -> FileComparison:
    traces = [Trace(path, {name: array.read(array.shape[0]) for name, array in open_arrays(path).items()}) for path in (reference, candidate)]
    progress.stage("compare", len(traces[0]))
    return _comparison(reference, candidate, len(traces[0]), compare_runs(*traces, nodes={}, progress=progress.advance), ())


def _comparison(
    reference: object, candidate: Path | str, samples: int, found: Comparison, further: tuple[Diagnostic, ...], task_metrics: Sequence[object] = ()
) -> FileComparison:
    return build_file_comparison(
        frontends.label(reference),
        str(candidate),
        samples,
        outputs=found.outputs,
        layers=found.layers,
        task_metrics=task_metrics,
        diagnostics=(*further, *found.diagnostics),
    )


def _broken_constraints(compared: Compared) -> tuple[Diagnostic, ...]:
    """Operators that the kernels compute wrongly in silence, by the user's node where the float file and its map are known."""
    model = tflite.read(compared.path)
    main = tflite.main_graph(model)
    found = []
    for position, problem in broken_constraints(model):
        node, tensor = node_of(compared, position), tflite.text(main.tensors[int(main.operators[position].outputs[0])].name)
        where = f"Node {node!r}, in the file {tensor!r}" if node is not None else f"What writes {tensor!r}"
        found.append(Diagnostic("broken-constraint", "error", f"{where}, cannot be right: {problem}.", BROKEN_HINT, node))
    return tuple(found)
