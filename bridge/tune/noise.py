"""How much rounding each operator makes and how much of it arrives at the outputs, from a few runs instead of one for every operator.

The noise of a tensor is the sum of its squared errors. An operator makes `fresh` noise by itself in integers (rounding of its weights and of its
result) and passes on `gain` times what its inputs carry:

    noise(output) = gain * sum(weight * noise(inputs)) + fresh

`gain` is measured where noise is small: in a file with int8 weights and float activations, whose tensors carry the noise of all weights before them,
less what the operator's own weights add. In the int8 file a lost tensor would hide what is lost behind it. `fresh` is the error of the int8 operator
alone on float values, less `gain` times the rounding of these values.

The share of one unit of noise at a tensor that arrives at an output is the product of the gains on the way, summed over all ways: one walk from the
outputs to the inputs gives it for every tensor, as reverse accumulation gives gradients. Errors are taken as independent of each other.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge import quantize
from bridge.compare import attribution
from bridge.compare.attribution import Cut
from bridge.compare.candidates import open_exposed
from bridge.compare.forms import feeder, form_of
from bridge.compare.metrics import ErrorSums
from bridge.compare.samples import Samples, spread
from bridge.quantize.float_graph import FloatGraph, read_graph
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, QuantizedModel

NOISE_SAMPLES = 16
MILD = "weight_only_wi8_afp32"
LOST = 10.0  # noise over signal of a tensor that says nothing any more; beyond that no difference is made
FAINT, LOUD = 1e-7, 0.1  # noise over signal between which an operator's answer to it is more than float rounding and not yet saturated
CLEAR = 0.05  # and it has to stand out from the rounding that the operator's error alone holds too
TINY = float(np.finfo(np.float64).tiny)
PRODUCTS = frozenset({"BATCH_MATMUL", "DIV", "MUL"})  # the noise of one input is multiplied by the other input


@dataclass(frozen=True, slots=True, eq=False)
class Noise:
    """What was measured of the float tensors of a TFLite file; arrays by tensor index, 0 where nothing was measured.

    Attributes:
        graph: the float file.
        signal: sum of squares.
        rounding: noise of the tensor's values rounded to the form that the quantized file has it in.
        fresh: noise that the operator which writes it makes by itself in integers.
        gain: noise of the tensor over the weighted noise of the operator's inputs.
        weights: noise that int8 weights alone make at the tensor.
        weight: (operator, input tensor) -> weight of that input's noise.
    """

    graph: FloatGraph
    signal: np.ndarray
    rounding: np.ndarray
    fresh: np.ndarray
    gain: np.ndarray
    weights: np.ndarray
    weight: Mapping[tuple[int, int], float]


@dataclass(slots=True)
class Sums:
    """Errors of the tensors of one quantized file, by index of the float tensor: end to end, of each operator alone, of rounding alone."""

    carried: dict[int, ErrorSums]
    own: dict[int, ErrorSums]
    rounding: dict[int, ErrorSums]


def _bounded(sums: Mapping[int, ErrorSums], size: int) -> np.ndarray:
    """[tensors] noise; that of a lost tensor has a bound."""
    found = np.zeros(size)
    for tensor, one in sums.items():
        most = LOST * max(one.signal, TINY)
        found[tensor] = most if np.isnan(one.noise) else min(one.noise, most)
    return found


def measure_noise(converted: ConvertedModel, quantized: QuantizedModel, samples: Samples, *, count: int = NOISE_SAMPLES, threads: int) -> Noise:
    """Runs the float file, the quantized one and one with int8 weights alone, and every operator of both by itself, on a few samples.

    Raises:
        ToolError: a file does not run.
    """
    graph = read_graph(tflite.read(converted.path), where=str(converted.path))
    with tempfile.TemporaryDirectory(prefix="bridge-") as folder:
        mild_file = quantize.quantize(
            converted.path, Path(folder) / "mild.tflite", ranges=None, op_precisions=[MILD] * len(graph.ops), precision=MILD
        )
        mild = _sums(converted, mild_file, samples, count=count, threads=threads)
    return _solve(graph, mild, _sums(converted, quantized, samples, count=count, threads=threads))


def _sums(converted: ConvertedModel, quantized: QuantizedModel, samples: Samples, *, count: int, threads: int) -> Sums:
    """Errors of a quantized file."""
    float_model, quantized_model = tflite.read(converted.path), tflite.read(quantized.path)
    pairs = attribution.counterparts(float_model, quantized_model, quantized.ops)
    main = tflite.main_graph(float_model)
    written = {int(tensor) for op in main.operators for tensor in op.outputs}
    found = [tensor for tensor in tflite.activations(float_model) if tensor in pairs.tensors and tflite.dtype(main.tensors[tensor]).kind == "f"]
    others = [pairs.tensors[tensor] for tensor in found]
    forms = [form_of(tflite.main_graph(quantized_model).tensors[other]) for other in others]
    feed, feed_quantized = (feeder(model, converted.tensor_map.inputs) for model in (float_model, quantized_model))
    chosen = spread(len(samples), count)
    first = samples[chosen[0]]
    whole = open_exposed(tflite.expose(quantized_model, others), feed_quantized(first), what="the quantized file", threads=threads).interpreter
    cut = Cut(float_model, quantized_model, pairs, [str(index) for index in range(len(main.operators))])  # every operator by itself
    joined = cut.join(found, [other for tensor, other in zip(found, others, strict=True) if tensor in written])
    alone = open_exposed(joined, feed(first), what="the float file", threads=threads).interpreter
    sums = Sums(*({tensor: ErrorSums() for tensor in found} for _ in range(3)))
    for position in chosen:
        values = alone.run(feed(samples[position]))
        own = iter(values[len(found) :])
        for tensor, form, value, end in zip(found, forms, values, whole.run_views(feed_quantized(samples[position])), strict=False):
            sums.carried[tensor].add(value, end, form, noise_only=True)
            if tensor in written:
                sums.own[tensor].add(value, next(own), form, noise_only=True)
            if form is not None:
                sums.rounding[tensor].add(value, form.stored(value, end.dtype), form, noise_only=True)
            del end
    return sums


def _solve(graph: FloatGraph, mild: Sums, integer: Sums) -> Noise:
    """Gain and fresh noise of every tensor from its errors."""
    size = len(graph.tensors)
    signal = np.zeros(size)
    for tensor, one in integer.carried.items():
        signal[tensor] = one.signal
    rounding, own = _bounded(integer.rounding, size), _bounded(integer.own, size)
    nothing = np.zeros(size)
    settings = [(_bounded(one.carried, size), _bounded(one.own, size), rest) for one, rest in ((mild, nothing), (integer, rounding))]
    fresh, gain, weight = np.zeros(size), np.zeros(size), dict[tuple[int, int], float]()
    for op in graph.ops:
        read = [tensor for tensor in dict.fromkeys(op.inputs) if tensor in integer.carried]
        for out in (tensor for tensor in op.outputs if tensor in integer.carried):
            for tensor in read:
                weight[op.index, tensor] = signal[out] / signal[tensor] if op.name in PRODUCTS and signal[tensor] > 0.0 else 1.0
            weights = np.array([weight[op.index, tensor] for tensor in read])
            arrived = float(weights @ rounding[read])
            # No operator passes on more of its inputs' rounding than its whole error.
            bound = own[out] / arrived if arrived > 0.0 else np.inf
            gain[out] = bound if np.isfinite(bound) else 1.0
            for carried, alone, rest in settings:
                noise = float(weights @ (carried[read] - rest[read]))
                if FAINT < noise / max(float(weights @ signal[read]), TINY) < LOUD and noise > CLEAR * float(weights @ rest[read]):
                    gain[out] = min(bound, max(0.0, carried[out] - alone[out]) / noise)
                    break
            fresh[out] = max(0.0, own[out] - gain[out] * arrived)
    return Noise(graph, signal, rounding, fresh, gain, _bounded(mild.own, size), weight)
