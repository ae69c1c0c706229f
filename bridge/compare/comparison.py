"""The compare stage: onnxruntime against a TFLite file and the float file it was made from, by layer and by output."""

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from pathlib import Path

import numpy as np
from msgspec import Struct

from bridge.compare.accumulation import accumulated_error
from bridge.compare.alignment import aligned
from bridge.compare.attribution import counterparts
from bridge.compare.bindings import bind_inputs, output_names, pair_outputs
from bridge.compare.candidates import in_layout
from bridge.compare.divergence import Divergence, describe, first_divergence
from bridge.compare.early import Early
from bridge.compare.kernel_checks import check_kernels, check_shown
from bridge.compare.layers import Files
from bridge.compare.outputs import Candidate, OutputPair, Watch, candidate, compare_outputs
from bridge.compare.parameters import check_parameters
from bridge.compare.passes import DEFAULT_MEMORY_MB, Measured, first_kernel_difference, measure_layers
from bridge.compare.reference import Reference
from bridge.compare.samples import NamedSamples, spread
from bridge.compare.wide_sums import wide_sum_error
from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.validity import check
from bridge.types import Diagnostic, LayerResult, OpOutcome, OutputResult, TensorMap

logger = logging.getLogger(__name__)


class Compared(Struct, frozen=True):
    """A TFLite file, float or quantized, whoever made it.

    Attributes:
        path: the file.
        float_path: the float file that it was made from; with it conversion and own errors are known too.
        tensor_map: that of the float file; with it layers are compared.
        ops: what the quantizer did with each operator; without it the operators of the two files are paired in their order.
        early: runs of the reference and of the float file on the samples that have begun; the comparison ends them.
    """

    path: Path
    float_path: Path | None = None
    tensor_map: TensorMap | None = None
    ops: Sequence[OpOutcome] | None = None
    early: Early | None = None


class Comparison(Struct, frozen=True):
    """What the comparison found; empty when there was none."""

    layers: tuple[LayerResult, ...] = ()
    outputs: tuple[OutputResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    divergence: Divergence | None = None


def compare_files(
    reference: Reference,
    compared: Compared,
    samples: NamedSamples,
    *,
    layer_samples: int = 16,
    memory_mb: int = DEFAULT_MEMORY_MB,
    changed: Set[str] = frozenset(),
    threads: int,
    progress: Callable[[int], None],
    watch: Watch | None = None,
) -> Comparison:
    """Errors of the outputs of any TFLite file against a model on all samples; of its layers on some, when a tensor map says what belongs together.

    Memory does not depend on the number of samples, and on the size of the model only as far as the models themselves. The files that were read stay
    for whoever reads them next, until `tflite.kept_files` ends.

    Args:
        reference: the user's model; what it shows does not matter.
        compared: the file, and what is known about where it comes from.
        samples: evaluation data in the user's layout.
        layer_samples: at most so many, spread evenly, for the errors of layers.
        memory_mb: what the process may take, as for `measure_layers`.
        changed: nodes that compute something else than the user's model because rules say so.
        threads: threads that run models and sum up errors.
        progress: told how many more samples are done; `len(samples)` in all.
        watch: shown the outputs of every sample, as for `compare_outputs`.

    Raises:
        InputError: there are no samples, or inputs or outputs do not fit.
        ToolError: a model does not run.
    """
    if len(samples) == 0:
        raise InputError("There are no samples to compare on.", hint="Give --evaluation or --data.", code="data-count")
    path, float_path, tensor_map = compared.path, compared.float_path, compared.tensor_map
    model, first = tflite.read_once(path), samples[0]
    if compared.ops is None:
        check(model, where=str(path))
    bindings = tensor_map.inputs if tensor_map is not None else bind_inputs(first, model, where=str(path))
    measured, done = Measured(), 0
    if tensor_map is not None:
        files, notes = _files(path, float_path, tensor_map, compared.ops)
        chosen = spread(len(samples), max(1, layer_samples))
        measured, done = measure_layers(reference, files, samples, chosen, memory_mb=memory_mb, threads=threads, progress=progress), len(chosen)
        if files.float is not None and files.pairs is not None and compared.ops is None:
            notes += check_parameters(tflite.read_once(files.float), model, files.pairs, tensor_map.owners)
        measured.diagnostics, float_path = (*notes, *measured.diagnostics), files.float

    def tell(steps: int) -> None:
        """The samples of the layers were counted already."""
        nonlocal done
        done -= steps
        if done < 0:
            progress(steps)

    known = None if compared.early is None else compared.early.known()
    plain = (compared.early and compared.early.plain) or reference.outputs_only(threads=1)
    candidates = [candidate(file, bindings) for file in (float_path, path) if file is not None]
    pairs = output_pairs(plain, candidates[0], tensor_map, first)
    plain.release()  # until LiteRT has packed its weights
    expected = None if known is None else known.expected.get(0)  # before it is taken out
    outputs, findings = compare_outputs(plain, candidates, pairs, samples, threads=threads, progress=tell, watch=watch, known=known)
    expected = expected or plain.run(first, [pair.name for pair in pairs])
    plain.release()  # as above
    feeds = candidates[-1].feeder(first)
    checks = check_kernels(path, feeds, expected=_in_file_layout(expected, pairs, model), threads=threads)
    if tensor_map is not None and any(check.code == "kernels-disagree" and check.severity == "warning" for check in checks):
        node = first_kernel_difference(files, first, memory_mb=memory_mb)
        checks += () if node is None else (node,)
    if measured.shown_outputs:
        checks += check_shown(path, feeds, measured.shown_outputs, keep=measured.passes == 1, threads=threads)
    found = first_divergence(measured.layers, changed=changed)
    logger.info("compared %d layers, %d outputs on %d samples", len(measured.layers), len(outputs), len(samples))
    places = (describe(found),) if found is not None else _many_small_errors(measured.layers, outputs, float_path)
    notes = (*measured.diagnostics, *checks, *findings, *places)
    return Comparison(measured.layers, outputs, notes, found)


def _many_small_errors(layers: Sequence[LayerResult], outputs: Sequence[OutputResult], float_path: Path | None) -> tuple[Diagnostic, ...]:
    """What no single layer is to blame for: the width of the network, else its depth."""
    wide = wide_sum_error(layers, tflite.read_once(float_path)) if float_path is not None and layers else None
    found = wide or accumulated_error(layers, outputs)
    return () if found is None else (found,)


def _in_file_layout(outputs: Mapping[str, np.ndarray], pairs: Sequence[OutputPair], model: tflite.ModelT) -> dict[int, np.ndarray]:
    """Outputs of the user's model as a file has them, by position there."""
    main = tflite.main_graph(model)
    shapes = {pair.name: tflite.shape(main.tensors[main.outputs[pair.position]]) for pair in pairs}
    return {pair.position: in_layout(outputs[pair.name], shapes[pair.name], pair.permutation, tensor=pair.name) for pair in pairs}


def node_of(compared: Compared, position: int) -> str | None:
    """The user's node of an operator of the file; None where the float file or its map is not known."""
    if compared.float_path is None or compared.tensor_map is None:
        return None
    pairs = aligned(tflite.read_once(compared.float_path), tflite.read_once(compared.path))
    index = None if pairs is None else pairs.ops.get(position)
    return None if index is None else compared.tensor_map.owners[index]


def _files(path: Path, float_path: Path | None, tensor_map: TensorMap, ops: Sequence[OpOutcome] | None) -> tuple[Files, tuple[Diagnostic, ...]]:
    if float_path is None:
        return Files(path, tensor_map), ()
    float_model, quantized_model = tflite.read_once(float_path), tflite.read_once(path)
    pairs = aligned(float_model, quantized_model) if ops is None else counterparts(float_model, quantized_model, ops)
    return (Files(path, tensor_map), (_not_aligned(),)) if pairs is None else (Files(path, tensor_map, float_path, pairs), ())


def _not_aligned() -> Diagnostic:
    return Diagnostic(
        "files-not-aligned",
        "info",
        "The float file and the quantized file do not run the same operators in the same order, so there are only errors end to end.",
        "Give the float file that the quantized one was made from.",
    )


def output_pairs(reference: Reference, opened: Candidate, tensor_map: TensorMap | None, sample: Mapping[str, np.ndarray]) -> list[OutputPair]:
    """Where the user's outputs are among those of a file: as the map says, else by their names and values."""
    model = tflite.read_once(opened.path)
    names = [tflite.text(tflite.main_graph(model).tensors[index].name) for index in tflite.main_graph(model).outputs]
    known = {pair.tflite_tensor: pair for pair in tensor_map.outputs} if tensor_map is not None else {}
    if tensor_map is not None and len(known) == len(names) and all(name in known for name in names):
        return [OutputPair(pair.tensor, pair.onnx_shape, names.index(str(pair.tflite_tensor)), pair.permutation) for pair in tensor_map.outputs]
    expected = reference.run(sample, reference.outputs)
    stored = Interpreter(opened.path).run(opened.feeder(sample))
    received = [value if form is None else form.real(value) for value, form in zip(stored, opened.forms, strict=True)]
    users = [known[name].tensor if name in known else found for name, found in zip(names, output_names(model, expected), strict=True)]
    return pair_outputs(expected, received, users, where=str(opened.path))
