"""Scales of weights that minimise the squared error of what is computed with them, instead of holding the largest weight.

Each input channel counts with its mean square over calibration samples. int8 weights gain little, int4 weights much. Clustered tensors have one
scale already that fits their few values.

Source: Nagel et al. 2021, "A White Paper on Neural Network Quantization", section 3.1, "Mean squared error".
"""

import numpy as np
from msgspec.structs import replace

from bridge.quantize.corrections import Corrections
from bridge.quantize.forms import LIMITS
from bridge.quantize.precisions import PRECISIONS
from bridge.recover.input_moments import channel_moments
from bridge.recover.method import Method
from bridge.recover.trials import State, Trials
from bridge.recover.weighted import Weighted, freely_weighted_ops, weight_scales

FACTORS = np.linspace(1.0, 0.4, 31)


def rescale(trials: Trials, state: State) -> State:
    """The state with other scales of weights."""
    graph = trials.graph
    made = trials.quantize(state)
    ops = freely_weighted_ops(graph, made.ops)
    if not ops:
        return state
    quantized, moments = trials.model(made), channel_moments(trials, graph, ops)
    found = {}
    for one in ops:
        weight = state.corrections.weights.get(one.op.index, graph.value(one.op.inputs[one.weight_at]))
        found[one.op.index] = best_scales(one, weight, weight_scales(quantized, one), moments[one.op.index])
    return replace(state, corrections=state.corrections.merged(Corrections(weight_scales=found)))


def best_scales(one: Weighted, weight: np.ndarray, scales: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """[channels] or [1] float32: of FACTORS times the given scales those with the smallest error.

    Args:
        one: the operator.
        weight: float32.
        scales: [channels] or [1] that hold the largest weights.
        moments: [input channels] mean square of what each input channel of the weight is multiplied with.
    """
    axis = one.axis(weight)
    inputs = weight.ndim - 1 if axis != weight.ndim - 1 else weight.ndim - 2
    square = moments if weight.shape[inputs] == len(moments) else np.ones(weight.shape[inputs])  # a depthwise channel has one input alone
    importance = np.moveaxis(np.broadcast_to(square.reshape([-1 if at == inputs else 1 for at in range(weight.ndim)]), weight.shape), axis, 0)
    importance = importance.reshape(weight.shape[axis], -1)
    rows = np.moveaxis(weight, axis, 0).reshape(weight.shape[axis], -1).astype(np.float64)
    lowest, highest = LIMITS[PRECISIONS[one.precision].weight]
    errors = []
    for factor in FACTORS:
        steps = (scales * factor).astype(np.float64)[:, None]
        lost = rows - np.clip(np.rint(rows / steps), lowest, highest) * steps
        error = (importance * np.square(lost)).sum(axis=1)
        errors.append(error if len(scales) > 1 else error.sum(keepdims=True))
    best: np.ndarray = (scales * FACTORS[np.argmin(errors, axis=0)]).astype(np.float32)
    return best


MSE_WEIGHTS = Method("mse_weights", "scales of weights with the smallest squared error", rescale)
