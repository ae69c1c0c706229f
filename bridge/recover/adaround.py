"""Rounding of weights that minimises the error of each layer's output on calibration samples, instead of that of each weight.

Whether a weight is rounded up or down is decided with the errors of the others in view: weights are rounded one input at a time, and what that
loses is made up for by the inputs that are still to come, as far as calibration samples show them to go together. Pruned weights stay zero, and
clustered tensors are left alone.

Source: the aim is that of Nagel et al. 2020, "Up or Down? Adaptive Rounding for Post-Training Quantization"; solved without gradients as in
Frantar et al. 2023, "GPTQ", algorithm 1 (inputs in the order of their size), after Frantar and Alistarh 2022, "Optimal Brain Compression".
"""

import numpy as np
from msgspec.structs import replace

from bridge.quantize.corrections import Corrections
from bridge.quantize.forms import LIMITS
from bridge.quantize.precisions import PRECISIONS
from bridge.recover.input_moments import gram_columns, gram_matrices
from bridge.recover.method import Method
from bridge.recover.trials import State, Trials
from bridge.recover.weighted import freely_weighted_ops, weight_scales

DAMPING = 0.01  # of the mean diagonal: what the samples did not show must not be bent out of shape


def round_weights(trials: Trials, state: State) -> State:
    """The state with weights on their grids."""
    graph = trials.graph
    made = trials.quantize(state)
    ops = [one for one in freely_weighted_ops(graph, made.ops) if gram_columns(graph, one)]
    if not ops:
        return state
    quantized = trials.model(made)
    weights, scales = {}, {}
    for one, gram in gram_matrices(trials, graph, ops):
        weight = state.corrections.weights.get(one.op.index, graph.value(one.op.inputs[one.weight_at]))
        steps = weight_scales(quantized, one)
        limits = LIMITS[PRECISIONS[one.precision].weight]
        channels = np.broadcast_to(steps.astype(np.float64), (weight.shape[one.axis(weight)],))
        if gram.ndim == 3:  # depthwise: [1, height, width, channels]
            rows = weight.reshape(-1, weight.shape[-1]).T
            rounded = rounded_rows(rows[:, None, :], gram, channels[:, None], limits)[:, 0].T
        else:
            rounded = rounded_rows(weight.reshape(1, len(weight), -1), gram[None], channels[None], limits)[0]
        weights[one.op.index] = rounded.reshape(weight.shape).astype(np.float32)
        scales[one.op.index] = steps
    return replace(state, corrections=state.corrections.merged(Corrections(weights=weights, weight_scales=scales)))


def rounded_rows(rows: np.ndarray, gram: np.ndarray, steps: np.ndarray, limits: tuple[int, int]) -> np.ndarray:
    """Rows on the grid of their step whose error is small in the metric of the Gram matrix, zeros where they are; a row that rounding to nearest does better stays so.

    Args:
        rows: [layers, rows, columns] weights.
        gram: [layers, columns, columns] sums of products of inputs.
        steps: [layers, rows].
        limits: lowest and highest stored value.
    """
    left = rows.astype(np.float64)
    nearest = np.clip(np.rint(left / steps[..., None]), *limits) * steps[..., None]
    diagonal = np.diagonal(gram, axis1=1, axis2=2)
    order = np.argsort(-diagonal, axis=1, kind="stable")
    sorted_gram = np.take_along_axis(np.take_along_axis(gram, order[:, :, None], 1), order[:, None, :], 2)
    damping = DAMPING * diagonal.mean(axis=1) + np.finfo(np.float64).tiny
    sorted_gram = sorted_gram + damping[:, None, None] * np.eye(gram.shape[1])
    factor = np.linalg.cholesky(np.linalg.inv(sorted_gram)).transpose(0, 2, 1)  # upper
    left = np.take_along_axis(left, order[:, None, :], 2)
    found, pruned = np.empty_like(left), left == 0
    for column in range(left.shape[2]):
        found[:, :, column] = np.where(pruned[:, :, column], 0.0, np.clip(np.rint(left[:, :, column] / steps), *limits) * steps)
        lost = (left[:, :, column] - found[:, :, column]) / factor[:, column, column, None]
        left[:, :, column + 1 :] -= lost[:, :, None] * factor[:, None, column, column + 1 :]
    back = np.argsort(order, axis=1)
    found = np.take_along_axis(found, back[:, None, :], 2)
    better = _errors(rows - found, gram) < _errors(rows - nearest, gram)
    chosen: np.ndarray = np.where(better[..., None], found, nearest)
    return chosen


def _errors(lost: np.ndarray, gram: np.ndarray) -> np.ndarray:
    """[layers, rows] squared output error."""
    found: np.ndarray = ((lost @ gram) * lost).sum(axis=2)
    return found


ADAROUND = Method("adaround", "weights rounded for the smallest error of each layer's output", round_weights)
