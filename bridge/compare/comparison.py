"""The compare stage: onnxruntime against the float and the quantized file, by layer and by output."""

import logging
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.compare.bindings import pair_outputs
from bridge.compare.divergence import Divergence, describe, first_divergence
from bridge.compare.kernel_checks import check_kernels, check_shown
from bridge.compare.layers import LayerPass, open_pass
from bridge.compare.outputs import OutputPair, candidate, compare_outputs
from bridge.compare.reference import Reference
from bridge.compare.samples import Samples, spread
from bridge.errors import InputError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import ConvertedModel, Diagnostic, LayerResult, OutputResult, QuantizedModel

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What the comparison found; empty when there was none."""

    layers: tuple[LayerResult, ...] = ()
    outputs: tuple[OutputResult, ...] = ()
    diagnostics: tuple[Diagnostic, ...] = ()
    divergence: Divergence | None = None


def compare_layers(
    reference: Reference,
    converted: ConvertedModel,
    quantized: QuantizedModel,
    samples: Samples,
    *,
    layer_samples: int = 16,
    changed: Set[str] = frozenset(),
    threads: int,
    progress: Callable[[int], None],
) -> Comparison:
    """Errors of every layer on some samples and of the outputs on all.

    Memory does not depend on the number of samples: one value of each tensor at a time.

    Args:
        reference: the user's model with its intermediate tensors.
        converted: the float file and its tensor map.
        quantized: the quantized file.
        samples: evaluation data.
        layer_samples: at most so many, spread evenly, for the errors of layers.
        changed: nodes that compute something else than the user's model because rules say so.
        threads: threads that run models and sum up errors.
        progress: told how many more samples are done; `len(samples)` in all.

    Raises:
        InputError: there are no samples.
        ToolError: a model does not run.
    """
    if len(samples) == 0:
        raise InputError("There are no samples to compare on.", hint="Give --evaluation.")
    chosen = spread(len(samples), max(1, layer_samples))
    measured = open_pass(
        reference,
        tflite.read(converted.path),
        tflite.read(quantized.path),
        converted.tensor_map,
        quantized.ops,
        first=samples[chosen[0]],
        threads=threads,
    )
    measured.measure((samples[position] for position in chosen), progress)
    layers = measured.results(converted.tensor_map)
    files = [candidate(path, converted.tensor_map.inputs) for path in (converted.path, quantized.path)]
    done = len(chosen)

    def tell(steps: int) -> None:
        """The samples of the layers were counted already."""
        nonlocal done
        done -= steps
        if done < 0:
            progress(steps)

    pairs = _output_pairs(reference, converted, samples[0])
    outputs, findings = compare_outputs(reference.outputs_only(threads=1), files, pairs, samples, threads=threads, progress=tell)
    errors = {pair.position: output.sqnr_db for pair, output in zip(pairs, outputs, strict=True)}
    checks = _check_runtime(measured, quantized.path, samples[chosen[0]], errors, threads=threads)
    found = first_divergence(layers, changed=changed)
    logger.info("compared %d layers on %d samples, %d outputs on %d", len(layers), len(chosen), len(outputs), len(samples))
    notes = (*measured.diagnostics, *checks, *findings, *((describe(found),) if found is not None else ()))
    return Comparison(layers, outputs, notes, found)


def _output_pairs(reference: Reference, converted: ConvertedModel, sample: Mapping[str, np.ndarray]) -> list[OutputPair]:
    """Where the user's outputs are among those of the float file: as the map says, else by their values."""
    opened = candidate(converted.path, converted.tensor_map.inputs)
    model = tflite.read(converted.path)
    names = [tflite.text(tflite.main_graph(model).tensors[index].name) for index in tflite.main_graph(model).outputs]
    known = {pair.tflite_tensor: pair for pair in converted.tensor_map.outputs}
    if len(known) == len(names) and all(name in known for name in names):
        return [
            OutputPair(pair.tensor, pair.onnx_shape, names.index(str(pair.tflite_tensor)), pair.permutation) for pair in converted.tensor_map.outputs
        ]
    expected = reference.run(sample, reference.outputs)
    received = Interpreter(converted.path).run(opened.feeder(sample))
    users = [known[name].tensor if name in known else None for name in names]
    return pair_outputs(expected, received, users, where=converted.path.name)


def _check_runtime(
    measured: LayerPass, path: Path, sample: Mapping[str, np.ndarray], errors: Mapping[int, float], *, threads: int
) -> tuple[Diagnostic, ...]:
    """One sample through the quantized file in all ways it can be run."""
    feeds = measured.quantized.feeder(sample)
    values = measured.quantized.values(sample)
    outputs = [values[int(index)].copy() for index in tflite.main_graph(tflite.read(path)).outputs]
    return (*check_kernels(path, feeds, outputs_sqnr_db=errors, threads=threads), *check_shown(path, feeds, outputs, threads=threads))
