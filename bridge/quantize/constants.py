"""The constants of the float file as the quantizer reads them: in place of some, accuracy recovery has given others."""

import numpy as np
from msgspec import Struct

from bridge.errors import UsageError
from bridge.quantize.clusters import common_scale
from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.op_table import Kernel, OpRow, Role
from bridge.quantize.precisions import INTEGER_WEIGHTS
from bridge.quantize.weights import largest_magnitudes


class Constants(Struct):
    """Weights and biases by operator; an operator with several weights (an LSTM) takes no corrections."""

    graph: FloatGraph
    corrections: Corrections

    def corrected_weight(self, op: Op, row: OpRow) -> np.ndarray | None:
        """The weight that recovery gives, None where it gives none.

        Raises:
            UsageError: it has another shape than the constant.
        """
        given = self.corrections.weights.get(op.index)
        if given is None or not _one_weight(row):
            return None
        shape = self.graph.tensors[op.inputs[row.inputs.index(Role.WEIGHT)]].shape
        if given.shape != shape:
            raise UsageError(f"corrections.weights[{op.index}] must have the shape of the weight, {shape}. Received: {given.shape}.")
        return given

    def corrected_bias(self, op: Op, row: OpRow) -> np.ndarray | None:
        """The bias that recovery gives, None where it gives none; likewise where the operator has no bias yet.

        Raises:
            UsageError: it does not have one value per channel.
        """
        given = self.corrections.biases.get(op.index)
        if given is None or not _one_weight(row):
            return None
        channels = self.graph.tensors[op.outputs[0]].shape[-1]
        if given.shape != (channels,):
            raise UsageError(f"corrections.biases[{op.index}] must have one value per channel, ({channels},). Received: {given.shape}.")
        return given

    def weight_scales(self, op: Op, row: OpRow, type_name: str) -> np.ndarray | None:
        """The scales that recovery gives or, where it gives none, the one scale of a clustered weight; None where the largest magnitudes decide.

        Raises:
            UsageError: neither one nor one per channel.
        """
        if not _one_weight(row):
            return None
        given = self.corrections.weight_scales.get(op.index)
        channels = self.graph.tensors[op.inputs[row.inputs.index(Role.WEIGHT)]].shape[row.weight_axis]
        if given is None:
            scale = self._common_scale(op, row, type_name)
            return None if scale is None else np.full(channels, scale)
        if given.shape not in ((channels,), (1,)):
            raise UsageError(f"corrections.weight_scales[{op.index}] must have one value per channel, ({channels},). Received: {given.shape}.")
        return given

    def _common_scale(self, op: Op, row: OpRow, type_name: str) -> float | None:
        if type_name not in INTEGER_WEIGHTS:
            return None
        corrected = self.corrected_weight(op, row)
        if corrected is not None:
            return common_scale(corrected, type_name)
        tensor = _weight(op, row)
        known = self.graph.facts(tensor).common_scales
        if type_name not in known:
            known[type_name] = common_scale(self.graph.value(tensor), type_name)
        return known[type_name]

    def weight(self, op: Op, row: OpRow) -> np.ndarray:
        """The value of an operator's one weight."""
        given = self.corrected_weight(op, row)
        return self.graph.value(_weight(op, row)) if given is None else given

    def magnitudes(self, op: Op, row: OpRow, axis: int | None) -> np.ndarray:
        """Largest magnitude per channel of an operator's one weight, float64; nobody changes it."""
        given = self.corrected_weight(op, row)
        return largest_magnitudes(given, axis) if given is not None else self.channel_peaks(_weight(op, row), axis)

    def channel_peaks(self, tensor: int, axis: int | None) -> np.ndarray:
        """Largest magnitude per channel of a constant, float64; nobody changes it."""
        known = self.graph.facts(tensor).magnitudes
        if axis not in known:
            known[axis] = largest_magnitudes(self.graph.value(tensor), axis)
        return known[axis]

    def bias(self, op: Op, row: OpRow) -> np.ndarray | None:
        """The value of an operator's one bias, None without one."""
        given = self.corrected_bias(op, row)
        if given is not None:
            return given
        position = row.inputs.index(Role.BIAS)
        return self.graph.value(op.inputs[position]) if position < len(op.inputs) and op.inputs[position] >= 0 else None

    def bias_peak(self, op: Op, row: OpRow) -> float:
        """Largest magnitude in an operator's one bias, 0 without one."""
        given, position = self.corrected_bias(op, row), row.inputs.index(Role.BIAS)
        if given is not None:
            return _peak(given)
        return self.peak(op.inputs[position]) if position < len(op.inputs) and op.inputs[position] >= 0 else 0.0

    def corrections_of(self, op: Op) -> tuple[np.ndarray | None, ...]:
        """All that recovery gives for an operator."""
        given = self.corrections
        return given.biases.get(op.index), given.weights.get(op.index), given.weight_scales.get(op.index)

    def weight_peak(self, op: Op, row: OpRow) -> float:
        """Largest magnitude in an operator's one weight."""
        given = self.corrected_weight(op, row)
        return _peak(given) if given is not None else self.peak(_weight(op, row))

    def peak(self, tensor: int) -> float:
        """Largest magnitude in a constant; NaN where it holds values that are not finite."""
        known = self.graph.facts(tensor)
        if known.peak is None:
            known.peak = _peak(self.graph.value(tensor))
        return known.peak


def weight_positions(graph: FloatGraph, op: Op, row: OpRow, kernel: Kernel) -> tuple[int, ...]:
    """Positions of the float constants of an operator that are stored in the precision's weight type."""
    if kernel.weights is None:
        positions = [position for position in range(len(op.inputs)) if row.input_role(position) is Role.WEIGHT]
    else:
        positions = [position for position in kernel.weights if position < len(op.inputs)]
    read = {position: op.inputs[position] for position in positions if op.inputs[position] >= 0}
    return tuple(position for position, tensor in read.items() if graph.tensors[tensor].constant and graph.tensors[tensor].type == "FLOAT32")


def _weight(op: Op, row: OpRow) -> int:
    return op.inputs[row.inputs.index(Role.WEIGHT)]


def _one_weight(row: OpRow) -> bool:
    return row.inputs.count(Role.WEIGHT) == 1


def _peak(value: np.ndarray) -> float:
    """Without a copy of the whole: a weight can be most of the file."""
    if not value.size:
        return 0.0
    low, high = float(value.min()), float(value.max())
    return max(-low, high) if np.isfinite(low) and np.isfinite(high) else float("nan")
