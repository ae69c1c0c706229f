"""Any ONNX model against any TFLite file."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from bridge.compare.bindings import bind_inputs, output_names, pair_outputs
from bridge.compare.comparison import Comparison
from bridge.compare.kernel_checks import check_kernels
from bridge.compare.layers import open_single_pass
from bridge.compare.outputs import Candidate, OutputPair, candidate, compare_outputs
from bridge.compare.reference import Reference
from bridge.compare.samples import Samples, spread
from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.validity import check
from bridge.types import Diagnostic, LayerResult, TensorMap


def compare_files(
    reference: Reference,
    path: Path,
    samples: Samples,
    *,
    tensor_map: TensorMap | None = None,
    layer_samples: int = 16,
    threads: int,
    progress: Callable[[int], None],
) -> Comparison:
    """Errors of the outputs of any TFLite file against an ONNX model; of its layers too, when a tensor map says which tensors belong together.

    Args:
        reference: the ONNX model; its intermediate tensors are needed only for layers.
        path: the TFLite file, float or quantized, whoever made it.
        samples: evaluation data in the ONNX model's layout.
        tensor_map: that of the float file which the file was made from.
        layer_samples: at most so many, spread evenly, for layers.
        threads: threads that run models.
        progress: told how many more samples are done; `len(samples)` in all.

    Raises:
        InputError: there are no samples, or inputs or outputs do not fit.
        ToolError: a model does not run.
    """
    if len(samples) == 0:
        raise InputError("There are no samples to compare on.", hint="Give --data.")
    model, first = tflite.read(path), samples[0]
    check(model, where=str(path))
    bindings = tensor_map.inputs if tensor_map is not None else bind_inputs(first, model, where=str(path))
    opened = candidate(path, bindings)
    pairs = _output_pairs(reference, opened, model, first)
    layers, notes = _layers(reference, model, tensor_map, samples, layer_samples, threads) if tensor_map is not None else ((), ())
    outputs, findings = compare_outputs(reference.outputs_only(threads=1), [opened], pairs, samples, threads=threads, progress=progress)
    errors = {pair.position: output.sqnr_db for pair, output in zip(pairs, outputs, strict=True)}
    checks = check_kernels(path, opened.feeder(first), outputs_sqnr_db=errors, threads=threads)
    return Comparison(layers, outputs, (*checks, *notes, *findings))


def _output_pairs(reference: Reference, opened: Candidate, model: tflite.ModelT, sample: Mapping[str, np.ndarray]) -> list[OutputPair]:
    expected = reference.run(sample, reference.outputs)
    stored = Interpreter(opened.path).run(opened.feeder(sample))
    received = [value if form is None else form.real(value) for value, form in zip(stored, opened.forms, strict=True)]
    return pair_outputs(expected, received, output_names(model, expected), where=str(opened.path))


def _layers(
    reference: Reference, model: tflite.ModelT, tensor_map: TensorMap, samples: Samples, layer_samples: int, threads: int
) -> tuple[tuple[LayerResult, ...], tuple[Diagnostic, ...]]:
    """Errors end to end of the tensors that have their name in the file."""
    chosen = spread(len(samples), max(1, layer_samples))
    measured = open_single_pass(reference, model, tensor_map, first=samples[chosen[0]], threads=threads)
    measured.measure((samples[position] for position in chosen), lambda _: None)
    return measured.results(tensor_map), measured.diagnostics
