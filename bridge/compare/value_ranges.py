"""What some tensors hold next to the range that their integers can: histograms of both runs, what the range clips, and the widths of weight channels."""

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.compare.attribution import counterparts
from bridge.compare.forms import Feeder, Form, feeder, form_of
from bridge.compare.reference import Reference
from bridge.compare.samples import Samples, spread
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import ConvertedModel, LayerResult, QuantizedModel

BINS = 64
SAMPLES = 8
KEPT_ELEMENTS = 1 << 21  # of all the tensors over all samples: 8 MB of each side; fewer samples where that is not enough
CHANNELS = 128  # widths that are listed of one weight


class ValueHistogram(Struct, frozen=True):
    """Values of one tensor, counted in bins of equal width.

    Attributes:
        tensor: user's name.
        minimum: left end of the first bin, in real units.
        maximum: right end of the last bin.
        reference: counts of the reference's values.
        candidate: of the quantized model's.
        samples: that were looked at.
        range_minimum: the least that its integers hold, in real units; None for a float tensor.
        range_maximum: the most.
        clipped_below: share of the reference's values below the range by more than half a step, 0..1; None for a float tensor.
        clipped_above: likewise above it.
    """

    tensor: str
    minimum: float
    maximum: float
    reference: tuple[int, ...]
    candidate: tuple[int, ...]
    samples: int
    range_minimum: float | None
    range_maximum: float | None
    clipped_below: float | None
    clipped_above: float | None


class WeightChannels(Struct, frozen=True):
    """How far the output channels of one weight reach, as its integers hold them.

    Attributes:
        node: user's node.
        op: TFLite operator.
        channels: how many there are.
        widths: largest magnitude that each can hold, in real units, the widest first; evenly chosen where there are more than CHANNELS.
    """

    node: str
    op: str
    channels: int
    widths: tuple[float, ...]


class Values(Struct, frozen=True):
    """What the report shows of values; nothing where nothing was compared."""

    histograms: tuple[ValueHistogram, ...] = ()
    weights: tuple[WeightChannels, ...] = ()


class _Seen(Struct, frozen=True):
    """One tensor in the quantized file: its index and its form."""

    name: str
    index: int
    form: Form | None


def look_at_values(
    reference: Reference,
    converted: ConvertedModel,
    quantized: QuantizedModel,
    samples: Samples,
    layers: Sequence[LayerResult],
    outputs: Sequence[str],
    *,
    threads: int,
) -> Values:
    """Histograms of the layers and of the outputs, and the weights of the layers.

    Raises:
        ToolError: a model does not run.
    """
    histograms = value_histograms(reference, converted, quantized, samples, [*(layer.tensor for layer in layers), *outputs], threads=threads)
    return Values(histograms, weight_channels(converted, quantized, [layer.node for layer in layers]))


def value_histograms(
    reference: Reference, converted: ConvertedModel, quantized: QuantizedModel, samples: Samples, tensors: Iterable[str], *, threads: int
) -> tuple[ValueHistogram, ...]:
    """Histograms of those of the tensors that the quantized file has, over a few samples.

    Args:
        reference: the user's model with its intermediate tensors.
        converted: the float file and its tensor map.
        quantized: the quantized file.
        samples: evaluation data.
        tensors: user's names.
        threads: of each run.

    Raises:
        ToolError: a model does not run.
    """
    model = tflite.read_once(quantized.path)
    seen = _seen(converted, quantized, model, dict.fromkeys(tensors))
    if not seen or len(samples) == 0:
        return ()
    main = tflite.main_graph(model)
    elements = sum(math.prod(tflite.shape(main.tensors[one.index])) for one in seen)
    count = max(1, min(SAMPLES, KEPT_ELEMENTS // max(1, elements)))
    feeds = feeder(model, converted.tensor_map.inputs)
    runner = Interpreter(tflite.expose(model, [one.index for one in seen]), threads=threads)
    shown = reference.showing({one.name for one in seen}, threads=threads)
    taken = [_values(shown, runner, feeds, samples[position], seen) for position in spread(len(samples), count)]
    found = []
    for place, one in enumerate(seen):
        expected, received = (np.concatenate([sample[side][place] for sample in taken]) for side in range(2))
        found.append(_histogram(one, expected, received, tflite.dtype(main.tensors[one.index]), len(taken)))
    return tuple(found)


def _seen(converted: ConvertedModel, quantized: QuantizedModel, model: tflite.ModelT, tensors: Iterable[str]) -> list[_Seen]:
    float_model = tflite.read_once(converted.path)
    indices = {tflite.text(tensor.name): index for index, tensor in enumerate(tflite.main_graph(float_model).tensors)}
    places = {pair.tensor: pair.tflite_tensor for pair in (*converted.tensor_map.pairs, *converted.tensor_map.outputs) if pair.status == "mapped"}
    both = counterparts(float_model, model, quantized.ops).tensors
    found = []
    for name in tensors:
        index = both.get(indices.get(places.get(name) or "", -1))
        if index is not None:
            found.append(_Seen(name, index, form_of(tflite.main_graph(model).tensors[index])))
    return found


def _values(
    reference: Reference, runner: Interpreter, feeds: Feeder, sample: Mapping[str, np.ndarray], seen: Sequence[_Seen]
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Flat real values of every tensor in the reference and in the quantized file; what is not finite is left out."""
    names = [one.name for one in seen]
    expected = reference.run(sample, names)
    received = runner.run(feeds(sample))
    real = [value if one.form is None else one.form.real(value) for one, value in zip(seen, received, strict=True)]
    return [_flat(expected[name]) for name in names], [_flat(value) for value in real]


def _flat(value: np.ndarray) -> np.ndarray:
    flat = np.asarray(value, np.float32).reshape(-1)
    return flat[np.isfinite(flat)]


def _histogram(one: _Seen, reference: np.ndarray, candidate: np.ndarray, dtype: np.dtype[np.generic], samples: int) -> ValueHistogram:
    both = np.concatenate((reference, candidate))
    low, high = (float(both.min()), float(both.max())) if both.size else (0.0, 0.0)
    high = high if high > low else low + 1.0
    least = most = below = above = None
    if one.form is not None:
        limits = np.iinfo(dtype.name)
        least, most = ((limit - one.form.zero_point) * one.form.scale for limit in (limits.min, limits.max))
        if reference.size:
            below = float(np.mean(reference < least - one.form.scale / 2))
            above = float(np.mean(reference > most + one.form.scale / 2))
    counts = [tuple(np.histogram(values, bins=BINS, range=(low, high))[0].tolist()) for values in (reference, candidate)]
    return ValueHistogram(one.name, low, high, counts[0], counts[1], samples, least, most, below, above)


def weight_channels(converted: ConvertedModel, quantized: QuantizedModel, nodes: Iterable[str]) -> tuple[WeightChannels, ...]:
    """The widths of every weight with a scale per channel that operators of the nodes read; `nodes` are names of the normalised graph."""
    model, wanted = tflite.read_once(quantized.path), dict.fromkeys(nodes)
    main, found = tflite.main_graph(model), []
    for outcome in quantized.ops:
        node = converted.tensor_map.owners[outcome.index]
        if node not in wanted or outcome.quantized_index is None:
            continue
        op = main.operators[outcome.quantized_index]
        for tensor in (main.tensors[index] for index in op.inputs if index >= 0):
            scales = tensor.quantization.scale if tensor.quantization is not None and tensor.quantization.scale is not None else ()
            if len(scales) > 1 and tflite.is_constant(model, tensor) and tflite.dtype(tensor).itemsize == 1:
                found.append(_widths(node, tflite.op_name(model, op), model, tensor))
    return tuple(found)


def _widths(node: str, op: str, model: tflite.ModelT, tensor: tflite.TensorT) -> WeightChannels:
    """From the integers themselves: a channel may use less than its scale allows."""
    stored, axis = tflite.integers(model, tensor), int(tensor.quantization.quantizedDimension)
    others = tuple(other for other in range(stored.ndim) if other != axis)
    low, high = (found.astype(np.int64) for found in (stored.min(axis=others), stored.max(axis=others)))
    largest = np.maximum(-low, high)
    widths = np.sort(largest * np.asarray(tensor.quantization.scale, np.float64))[::-1]
    listed = widths[np.linspace(0, len(widths) - 1, min(CHANNELS, len(widths))).round().astype(int)]
    return WeightChannels(node, op, len(widths), tuple(float(f"{width:.4g}") for width in listed))
