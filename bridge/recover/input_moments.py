"""Second moments of what weighted operators read, from calibration samples: which rounding errors of weights matter.

The output error of a layer whose weights W become W + E is E X, and its squared sum over samples E (X X^T) E^T.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.recover.trials import Trials
from bridge.recover.weighted import Weighted
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

MOST_SAMPLES = 24
ROWS_PER_COLUMN = 4  # positions that a Gram matrix is summed over, for each of its columns: enough for full rank, and little arithmetic
FEWEST_ROWS = 1024
GROUP_BYTES = 128 << 20  # of Gram matrices that are summed in one pass
LARGEST_GRAM = 4608  # columns; larger layers are left to rounding to nearest
SAME = 0


def gram_columns(graph: FloatGraph, one: Weighted) -> int:
    """Rows and columns of the operator's Gram matrix, 0 where it has none here."""
    shape = graph.tensors[one.op.inputs[one.weight_at]].shape
    channels = graph.tensors[one.op.inputs[one.data_at]].shape[-1]
    if one.op.name == "DEPTHWISE_CONV_2D":
        return int(np.prod(shape[1:3])) if shape[3] == channels else 0
    if one.op.name not in ("CONV_2D", "FULLY_CONNECTED") or (one.op.name == "CONV_2D" and shape[-1] != channels):
        return 0
    columns = int(np.prod(shape[1:]))
    return columns if columns <= LARGEST_GRAM else 0


def gram_matrices(trials: Trials, graph: FloatGraph, ops: Sequence[Weighted]) -> Iterator[tuple[Weighted, np.ndarray]]:
    """For each operator [columns, columns] float64, [channels, columns, columns] where each channel has weights of its own.

    Columns are in the order of the weight: height, width, input channel.

    Args:
        trials: runs the float file.
        graph: of that file.
        ops: operators that have such a matrix.
    """
    group: list[Weighted] = []
    used = 0
    for one in ops:
        size = 8 * gram_columns(graph, one) ** 2 * (graph.tensors[one.op.outputs[0]].shape[-1] if one.op.name == "DEPTHWISE_CONV_2D" else 1)
        if group and used + size > GROUP_BYTES:
            yield from _summed(trials, graph, group)
            group, used = [], 0
        group.append(one)
        used += size
    if group:
        yield from _summed(trials, graph, group)


def channel_moments(trials: Trials, graph: FloatGraph, ops: Sequence[Weighted]) -> Mapping[int, np.ndarray]:
    """Operator -> mean square of each input channel, float64."""
    found: dict[int, np.ndarray] = {}
    for values in _inputs(trials, ops):
        for one, value in zip(ops, values, strict=True):
            square = np.square(value.reshape(-1, _width(graph, one)), dtype=np.float64).mean(axis=0)
            found[one.op.index] = found.get(one.op.index, np.zeros_like(square)) + square
    return found


def _width(graph: FloatGraph, one: Weighted) -> int:
    if one.op.name == "FULLY_CONNECTED":
        return graph.tensors[one.op.inputs[one.weight_at]].shape[-1]
    return graph.tensors[one.op.inputs[one.data_at]].shape[-1]


def _inputs(trials: Trials, ops: Sequence[Weighted]) -> Iterator[Sequence[np.ndarray]]:
    """What the operators read, sample by sample."""
    runner = Interpreter(tflite.expose(trials.graph.model, [one.op.inputs[one.data_at] for one in ops]))
    for feeds in trials.feeds("fit")[:MOST_SAMPLES]:
        yield runner.run(feeds)


def _summed(trials: Trials, graph: FloatGraph, ops: Sequence[Weighted]) -> Iterator[tuple[Weighted, np.ndarray]]:
    sums: list[np.ndarray | None] = [None] * len(ops)
    samples = min(MOST_SAMPLES, trials.count("fit"))
    for values in _inputs(trials, ops):
        for place, (one, value) in enumerate(zip(ops, values, strict=True)):
            wanted = -(-max(FEWEST_ROWS, ROWS_PER_COLUMN * gram_columns(graph, one)) // samples)
            found = _gram(one.op, graph.tensors[one.op.inputs[one.weight_at]].shape, value, wanted)
            before = sums[place]
            sums[place] = found if before is None else before + found
    yield from ((one, total) for one, total in zip(ops, sums, strict=True) if total is not None)


def _gram(op: Op, weight: tuple[int, ...], value: np.ndarray, count: int) -> np.ndarray:
    """Of one sample, from about `count` positions spread evenly."""
    if op.name == "FULLY_CONNECTED":
        taken = _spread(value.reshape(-1, weight[-1]), count).astype(np.float64)
        return np.asarray(taken.T @ taken)
    patches = _patches(op, weight, value, count).astype(np.float64)
    if op.name == "DEPTHWISE_CONV_2D":
        flat = patches.reshape(len(patches), -1, patches.shape[-1]).transpose(2, 1, 0)
        return np.asarray(flat @ flat.transpose(0, 2, 1))
    rows = patches.reshape(len(patches), -1)
    return np.asarray(rows.T @ rows)


def _spread(values: np.ndarray, count: int) -> np.ndarray:
    return values[:: max(1, len(values) // count)]


def _patches(op: Op, weight: tuple[int, ...], value: np.ndarray, rows: int) -> np.ndarray:
    """[rows, height, width, channels] of what a convolution multiplies its weights with at some of its positions."""
    strides, dilations = (op.options.strideH, op.options.strideW), (op.options.dilationHFactor, op.options.dilationWFactor)
    reach = [(size - 1) * max(1, dilation) + 1 for size, dilation in zip(weight[1:3], dilations, strict=True)]
    if op.options.padding == SAME:
        missing = [
            max((-(-size // stride) - 1) * stride + wide - size, 0) for size, stride, wide in zip(value.shape[1:3], strides, reach, strict=True)
        ]
        value = np.pad(value, ((0, 0), *((total // 2, total - total // 2) for total in missing), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(value, reach, axis=(1, 2))[:, :: strides[0], :: strides[1]]
    windows = windows[..., :: max(1, dilations[0]), :: max(1, dilations[1])]  # [N, rows, columns, channels, height, width]
    places = _spread(np.arange(int(np.prod(windows.shape[:3]))), rows)
    taken: np.ndarray = windows[np.unravel_index(places, windows.shape[:3])]
    return taken.transpose(0, 2, 3, 1)
