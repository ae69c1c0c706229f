"""Pairs the operators of two quantized files of one network and says, from measurements, why scales differ."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bridge.calibrate.dataset import Dataset
from bridge.compare.bindings import bind_inputs
from bridge.tflite import model as tflite
from bridge.tflite.feeds import feed
from bridge.tflite.interpreter import Interpreter

WEIGHTED = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})
PAIRED = WEIGHTED | {"ADD", "AVERAGE_POOL_2D", "SOFTMAX"}  # PAD and RESHAPE hand on the scale they get
SAME = 0.005  # relative difference of scales that are called equal
ONE_SCALE = frozenset({"AVERAGE_POOL_2D"})
UNRELATED = 0.1  # relative squared distance of weights above which they are not the same ones: then the order of operators pairs them
DEAD = 1e-9  # share of a layer's largest weight below which a channel does nothing
SUBSETS, SUBSET_SIZE = 400, 100  # random choices of samples, as many as a calibration takes

type Span = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Side:
    """An operator in one of the files."""

    model: tflite.ModelT
    op: tflite.OperatorT

    @property
    def name(self) -> str:
        return tflite.op_name(self.model, self.op)

    def tensor(self, position: int) -> tflite.TensorT:
        return tflite.main_graph(self.model).tensors[self.op.inputs[position]]

    @property
    def output(self) -> tflite.TensorT:
        return tflite.main_graph(self.model).tensors[self.op.outputs[0]]


@dataclass(frozen=True, slots=True)
class Pair:
    """The same operator in the published, our, and the float file."""

    published: Side
    ours: Side
    real: Side


def compared_operators(published: tflite.ModelT, ours: tflite.ModelT, real: tflite.ModelT) -> list[Pair]:
    """Pairs by operator type and shapes; where several fit, by whose weights are nearest (branches may be written in another order)."""
    rest = {id(side.op): side for side in _sides(published)}
    floats = {id(side.op): side for side in _sides(real)}
    pairs = []
    for mine in _sides(ours):
        theirs = min(rest.values(), key=lambda side: _distance(side, mine))
        float_side = min(floats.values(), key=lambda side: _distance(side, mine))
        pairs.append(Pair(rest.pop(id(theirs.op)), mine, floats.pop(id(float_side.op))))
    if rest:
        raise ValueError(f"{len(rest)} operators of the published file have no counterpart, the first a {next(iter(rest.values())).name}")
    return pairs


def _sides(model: tflite.ModelT) -> Iterator[Side]:
    for op in tflite.main_graph(model).operators:
        if tflite.op_name(model, op) in PAIRED:
            yield Side(model, op)


def _distance(left: Side, right: Side) -> float:
    """0 for the same operator, 1 for one with other weights; infinite where type or shapes differ."""
    if left.name != right.name or tflite.shape(left.output) != tflite.shape(right.output):
        return np.inf
    if left.name not in WEIGHTED:
        return 0.0
    first, second = weights(left), weights(right)
    if first.shape != second.shape:
        return np.inf
    distance = float(np.square(first - second).sum() / np.square(second).sum())
    return distance if distance < UNRELATED else 1.0


def weights(side: Side) -> np.ndarray:
    """The real weights of an operator, float64."""
    tensor = side.tensor(1)
    stored = tflite.constant(side.model, tensor).astype(np.float64)
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None or not len(quantization.scale):
        return stored
    shape = [1] * stored.ndim
    if len(quantization.scale) > 1:
        shape[quantization.quantizedDimension] = -1
    real: np.ndarray = stored * np.asarray(quantization.scale, np.float64).reshape(shape)
    return real


def reasons(pairs: Sequence[Pair], float_file: Path, calibration: Dataset, evaluation: Dataset) -> list[dict[str, str]]:
    """One row per scale: of the model input, of every output, of every weight; those that differ get the reason that was measured."""
    spans = _spans(float_file, [calibration, evaluation])
    first = pairs[0]
    weighted = [pair for pair in pairs if pair.ours.name in WEIGHTED]
    apart = "computed by other weights; " if all(_distance(pair.published, pair.real) == 1.0 for pair in weighted) else ""
    rows = [_activation("input", first.published.tensor(0), first.ours.tensor(0), spans, first.real.tensor(0), len(calibration), "")]
    for pair in pairs:
        rows.append(
            _activation(pair.ours.name, pair.published.output, pair.ours.output, spans, pair.real.output, len(calibration), apart + _fusion(pair))
        )
        if pair.ours.name in WEIGHTED:
            rows.append(_weight(pair))
    return rows


def _fusion(pair: Pair) -> str:
    codes = [getattr(side.op.builtinOptions, "fusedActivationFunction", 0) for side in (pair.published, pair.ours)]
    return "" if codes[0] == codes[1] else f"fused differently: activation {codes[0]} there, {codes[1]} here; "


def _form(tensor: tflite.TensorT) -> tuple[float, int]:
    return float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])


def _range(tensor: tflite.TensorT) -> Span:
    """What an int8 tensor can hold."""
    scale, zero_point = _form(tensor)
    return (-128 - zero_point) * scale, (127 - zero_point) * scale


def _activation(
    operator: str, published: tflite.TensorT, ours: tflite.TensorT, spans: Mapping[str, np.ndarray], real: tflite.TensorT, count: int, fusion: str
) -> dict[str, str]:
    (their_scale, their_zero), (our_scale, our_zero) = _form(published), _form(ours)
    row = {
        "operator": operator,
        "tensor": tflite.text(real.name),
        "published": f"{their_scale:.6g}, {their_zero}",
        "ours": f"{our_scale:.6g}, {our_zero}",
        "why": fusion + "same",
    }
    if operator in ONE_SCALE:
        row["why"] = "that of its input, in both files: the kernel has one scale for both"
    elif abs(our_scale / their_scale - 1) > SAME or our_zero != their_zero:
        row["why"] = fusion + _why(_range(published), _range(ours), spans[tflite.text(real.name)], count)
    return row


def _why(published: Span, ours: Span, spans: np.ndarray, count: int) -> str:
    """In words: what the calibration samples span, what recovery made of it, and whether other samples of the kind give the published range.

    Args:
        published: range of the published tensor.
        ours: of ours.
        spans: least and greatest value by sample, calibration samples first: [N, 2].
        count: how many calibration samples there are.
    """
    own = _nudged(spans[:count, 0].min(), spans[:count, 1].max())
    width = ours[1] - ours[0]
    kept = width / (own[1] - own[0])
    mine = "ours is min/max of the samples" if abs(kept - 1) <= 2 * SAME else f"ours is {kept:.2f} of the min/max range (range search)"
    widths = _subset_widths(spans)
    wanted = published[1] - published[0]
    if widths.min() <= wanted <= widths.max():
        theirs = f"within what {SUBSET_SIZE} others of these {len(spans)} samples give {widths.min():.4g} .. {widths.max():.4g}"
    else:
        side = "below" if wanted < widths.min() else "above"
        theirs = (
            f"{side} what any {SUBSET_SIZE} of these {len(spans)} samples give ({widths.min():.4g} .. {widths.max():.4g}): calibrated on other data"
        )
    return f"width {wanted:.4g} there, {width:.4g} here: {mine}; the published width: {theirs}"


def _nudged(low: float, high: float) -> Span:
    """A range that holds zero, as every quantized one does."""
    return min(0.0, float(low)), max(0.0, float(high))


def _subset_widths(spans: np.ndarray) -> np.ndarray:
    """Widths of the ranges that random choices of samples give; the same choices in every run."""
    rng = np.random.default_rng(0)
    size = min(SUBSET_SIZE, len(spans) // 2)
    chosen = [rng.choice(len(spans), size, replace=False) for _ in range(SUBSETS)]
    ends = [_nudged(spans[rows, 0].min(), spans[rows, 1].max()) for rows in chosen]
    return np.array([high - low for low, high in ends])


def _weight(pair: Pair) -> dict[str, str]:
    theirs, mine, real = (np.asarray(weights(side)) for side in (pair.published, pair.ours, pair.real))
    their_scales, our_scales = (np.asarray(side.tensor(1).quantization.scale, np.float64) for side in (pair.published, pair.ours))
    row = {
        "operator": pair.ours.name,
        "tensor": "weights",
        "published": f"{len(their_scales)} x {np.median(their_scales):.6g}",
        "ours": f"{len(our_scales)} x {np.median(our_scales):.6g}",
        "why": "same",
    }
    magnitudes = _channel_magnitudes(real, pair.ours, len(our_scales)) / 127
    live = magnitudes > DEAD * magnitudes.max()
    dead = f"; {(~live).sum()} of {len(live)} channels have no weights above 1e-9 of the largest: their scales only have to hold the bias"
    if len(their_scales) == len(our_scales) and np.allclose(their_scales[live], our_scales[live], rtol=SAME):
        row["why"] += "" if live.all() else dead
        return row
    facts = [f"dequantized against the float weights: {_db(real, theirs):.1f} dB there, {_db(real, mine):.1f} dB here"]
    if len(their_scales) != len(our_scales):
        facts.insert(0, "one scale per layer there, one per channel here")
    if not np.allclose(our_scales[live], magnitudes[live], rtol=SAME):
        facts.append(f"ours are {np.median(our_scales[live] / magnitudes[live]):.3f} of max/127 (recovery)")
    wanted = magnitudes if len(their_scales) > 1 else magnitudes.max(keepdims=True)
    factors = (their_scales / wanted)[live if len(their_scales) > 1 else slice(None)]
    if np.abs(factors - 1).max() > SAME:
        facts.append(
            f"published are {factors.min():.2f} .. {factors.max():.2f} of max/127 of these weights: a network trained apart from the published float model"
        )
    row["why"] = "; ".join(facts)
    return row


def _channel_magnitudes(real: np.ndarray, side: Side, channels: int) -> np.ndarray:
    if channels == 1:
        return np.array([np.abs(real).max()])
    axis = side.tensor(1).quantization.quantizedDimension
    return np.abs(real).max(axis=tuple(other for other in range(real.ndim) if other != axis))


def _db(reference: np.ndarray, value: np.ndarray) -> float:
    return float(10 * np.log10(np.square(reference).sum() / max(np.square(reference - value).sum(), 1e-300)))


def _spans(float_file: Path, sets: Sequence[Dataset]) -> dict[str, np.ndarray]:
    """Least and greatest value of every activation in every sample, by tensor name: [N, 2]."""
    model = tflite.read(float_file)
    main = tflite.main_graph(model)
    computed = [index for index in tflite.activations(model) if index not in {int(position) for position in main.inputs}]
    interpreter = Interpreter(tflite.expose(model, computed))
    bindings = bind_inputs(sets[0][0], model, where=str(float_file))
    names = [tflite.text(main.tensors[index].name) for index in computed]
    found: dict[str, list[Span]] = {name: [] for name in (*names, *(binding.tflite_name for binding in bindings))}
    for samples in sets:
        for sample in samples:
            feeds = feed(bindings, sample)
            for name, value in (*feeds.items(), *zip(names, interpreter.run(feeds), strict=True)):
                found[name].append((float(value.min()), float(value.max())))
    return {name: np.array(rows) for name, rows in found.items()}
