"""Biases that give every channel of a weighted operator the mean that it has in the float file.

Rounded weights and saturated activations shift the means of channels. The shift is measured with calibration samples, in front of the
activation: in the quantized file a float copy of the operator reads what the operator reads and has the constants it has.

First what the rounding of the weights alone shifts is taken back everywhere: that is the same for every operator whatever the others do. What is
left includes what an operator inherits from those before it, so it is taken back in the order of computation, as many operators at a time
as the budget leaves rounds for.

Source: Nagel et al. 2019, "Data-Free Quantization Through Weight Equalization and Bias Correction", section 4.2 and appendix D (empirical
correction); Finkelstein et al. 2019, "Fighting Quantization Bias With Bias".
"""

import itertools
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec.structs import replace

from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import FloatGraph
from bridge.recover.batches import Batch, Runner
from bridge.recover.method import Method
from bridge.recover.probes import Probe, bared, probed
from bridge.recover.trials import State, Trials
from bridge.recover.weighted import Weighted, stored_bias, stored_weight, weighted_ops
from bridge.tflite import model as tflite
from bridge.tflite.run_file import RunFile

logger = logging.getLogger(__name__)

MOST_ROUNDS = 24
GROUPS, GROUP_BYTES = 4, 32 << 20
ROUND_COST = 2.5  # trials that one round takes: the file with its copies, and a trial

type Means = list[np.ndarray]


def correct(trials: Trials, state: State) -> State:
    """The state with corrected biases."""
    graph = trials.graph
    made = trials.quantize(state)
    ops = weighted_ops(graph, made.ops)
    if not ops:
        return state
    wanted = _float_means(trials, graph, ops)
    memory = _Memory()
    best, score = state, trials.score(state, "fit")
    rounds = max(1, min(MOST_ROUNDS, len(ops), int(trials.affordable / ROUND_COST)))
    blocks = [ops] + [ops[block * len(ops) // rounds : (block + 1) * len(ops) // rounds] for block in range(rounds)]
    for number, block in enumerate(blocks):
        shifts = _weight_shifts(trials, graph, best, block, memory) if number == 0 else _shifts(trials, graph, best, block, wanted, memory)
        tried = _shifted(graph, best, block, shifts)
        result = trials.better(trials.quantize(tried), "fit", score)
        if result is not None:
            best, score = tried, result
    return best


class _Memory:
    """What the float copies of the weights of each round lie in: to get new memory takes longer than to compute them."""

    def __init__(self) -> None:
        self._values = np.empty(0, np.float32)

    def arrays(self, shapes: Sequence[tuple[int, ...]]) -> list[np.ndarray]:
        """Those of one round, which are gone in the next one."""
        ends = list(itertools.accumulate(map(math.prod, shapes), initial=0))
        if self._values.size < ends[-1]:
            self._values = np.empty(ends[-1], np.float32)
        return [self._values[begin:end].reshape(shape) for shape, (begin, end) in zip(shapes, itertools.pairwise(ends), strict=True)]


def _float_means(trials: Trials, graph: FloatGraph, ops: Sequence[Weighted]) -> Mapping[int, np.ndarray]:
    """Operator -> mean per channel in front of its activation, in the float file."""
    file = bared(tflite.copied(graph.model), graph, ops, apart=trials.in_batches)
    return {one.op.index: mean for one, mean in zip(ops, _means(trials, file), strict=True)}


def _weight_shifts(trials: Trials, graph: FloatGraph, state: State, ops: Sequence[Weighted], memory: _Memory) -> Means:
    """By how much the rounding of the weights of each operator lowers the mean of each channel, on what it reads in the quantized file."""
    means = []
    for group in _groups(graph, ops):
        model = tflite.copied(trials.model(trials.quantize(state)))
        lost = [_lost(graph, model, one, out) for one, out in zip(group, memory.arrays(_shapes(graph, group)), strict=True)]
        probes = [Probe(one, one.quantized_index, weight, None) for one, weight in zip(group, lost, strict=True)]
        means += _means(trials, probed(model, graph, probes, apart=trials.in_batches))
    return means


def _shapes(graph: FloatGraph, ops: Sequence[Weighted]) -> list[tuple[int, ...]]:
    return [graph.tensors[one.op.inputs[one.weight_at]].shape for one in ops]


def _lost(graph: FloatGraph, model: tflite.ModelT, one: Weighted, out: np.ndarray) -> np.ndarray:
    """What the rounding of a weight takes from it."""
    np.subtract(graph.value(one.op.inputs[one.weight_at]), stored_weight(model, one, out), out=out)
    return out


def _shifts(trials: Trials, graph: FloatGraph, state: State, ops: Sequence[Weighted], wanted: Mapping[int, np.ndarray], memory: _Memory) -> Means:
    """By how much the mean of each channel of each operator is too low."""
    made = trials.quantize(state)
    start = trials.start(made, before=min(one.quantized_index for one in ops))
    model = tflite.copied(trials.model(made))
    weights = [stored_weight(model, one, out) for one, out in zip(ops, memory.arrays(_shapes(graph, ops)), strict=True)]
    probes = [Probe(one, one.quantized_index, weight, stored_bias(model, one)) for one, weight in zip(ops, weights, strict=True)]
    means = _means(trials, probed(model, graph, probes, apart=trials.in_batches, start=start), start.batches)
    return [wanted[one.op.index] - mean for one, mean in zip(ops, means, strict=True)]


def _groups(graph: FloatGraph, ops: Sequence[Weighted]) -> Iterator[Sequence[Weighted]]:
    """Those whose float copies are in memory at a time: a quarter of the weights, or few of them."""
    sizes = [graph.value(one.op.inputs[one.weight_at]).nbytes for one in ops]
    most, group, held = max(GROUP_BYTES, sum(sizes) // GROUPS), list[Weighted](), 0
    for one, size in zip(ops, sizes, strict=True):
        if group and held + size > most:
            yield group
            group, held = [], 0
        group.append(one)
        held += size
    yield group


def _float_bias(graph: FloatGraph, one: Weighted) -> np.ndarray | None:
    inputs = one.op.inputs
    return graph.value(inputs[one.bias_at]).reshape(-1) if one.bias_at < len(inputs) and inputs[one.bias_at] >= 0 else None


def _shifted(graph: FloatGraph, state: State, ops: Sequence[Weighted], shifts: Means) -> State:
    biases = {}
    for one, shift in zip(ops, shifts, strict=True):
        bias = state.corrections.biases.get(one.op.index, _float_bias(graph, one))
        biases[one.op.index] = (shift if bias is None else bias + shift).astype(np.float32)
    return replace(state, corrections=state.corrections.merged(Corrections(biases=MappingProxyType(biases))))


def _means(trials: Trials, file: RunFile, batches: Sequence[Batch] | None = None) -> Means:
    """[channels] float64 per output of a file, over the fit samples, or over what it is fed instead."""
    outputs = Runner(file, threads=trials.threads).run(batches or trials.batches("fit"))
    rows = ([value.reshape(-1, value.shape[-1]) for value in values] for values in zip(*outputs, strict=True))
    return [np.mean(np.concatenate(values).astype(np.float64), axis=0) for values in rows]


BIAS_CORRECTION = Method("bias_correction", "biases that restore the mean of every channel", correct)
