"""Which precision each operator gets: what was asked, what the kernels allow, and data movement that stays in what it carries."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.op_table import OPS, Role, Scales
from bridge.quantize.precisions import PRECISIONS
from bridge.types import TensorRange

INTEGER_EDGES = "static_wi8_ai8"  # the precision whose type int8 and uint8 model inputs and outputs have


@dataclass(frozen=True, slots=True)
class Placed:
    """The precision of one operator, and why it is not the one that was asked for ('' when it is)."""

    precision: str
    reason: str = ""


@dataclass(slots=True)
class Placement:
    """Decides operator by operator in execution order.

    Args:
        graph: the float graph.
        wanted: precision asked for, per operator.
        ranges: calibrated ranges by tensor name.
        input_type: TFLite type the model's float inputs will have.
        output_type: likewise for outputs.
    """

    graph: FloatGraph
    wanted: Sequence[str]
    ranges: Mapping[str, TensorRange]
    input_type: str
    output_type: str
    placed: dict[int, Placed] = field(default_factory=dict)
    _read_alike: dict[tuple[int, str], bool] = field(default_factory=dict)

    def decide(self) -> tuple[Placed, ...]:
        """The precision of every operator, in execution order."""
        for op in self.graph.ops:
            self.placed[op.index] = self._decide(op)
        return tuple(self.placed[op.index] for op in self.graph.ops)

    def _decide(self, op: Op) -> Placed:
        wanted = self.wanted[op.index]
        row = OPS.get(op.name)
        carried = [] if row is None else self._carried(op)
        moves = row is not None and row.moves_data and bool(carried)
        if row is not None and moves and row.scales is Scales.INHERIT:
            return self._follow(op, carried[0])
        refusal = self._refusal(op, wanted)
        if refusal:
            return Placed("float32", refusal)
        return self._join(op, carried, wanted) if moves and wanted != "float32" else Placed(wanted)

    def _follow(self, op: Op, tensor: int) -> Placed:
        """Moving data is exact in any type, converting is not."""
        wanted = self.wanted[op.index]
        if self.graph.tensors[tensor].type != "FLOAT32":
            return Placed("float32", self._refusal(op, wanted))
        precision = self._precision_of(tensor)
        if precision is None:  # a float model input: integer only if nothing else wants the float values
            precision = self._common_reader(op)
        refusal = self._refusal(op, precision)
        if refusal:
            return Placed("float32", refusal)
        if precision == wanted:
            return Placed(wanted)
        return Placed(precision, f"moves data, so it stays in the type of {self.graph.tensors[tensor].name!r}")

    def _join(self, op: Op, carried: Sequence[int], wanted: str) -> Placed:
        """Joining integer data needs one common scale, so float data are joined as float unless only integer kernels read the result."""
        have = [self._precision_of(tensor) or self._common_reader(op) for tensor in carried]
        if all(precision == wanted for precision in have):
            return Placed(wanted)
        if wanted in have and self._reads_like(op, wanted):
            return Placed(wanted)
        float_input = next(tensor for tensor, precision in zip(carried, have, strict=True) if precision != wanted)
        return Placed("float32", f"joins data, and {self.graph.tensors[float_input].name!r} is float")

    def _carried(self, op: Op) -> list[int]:
        """Data inputs that are no constants."""
        row = OPS[op.name]
        data = [tensor for position, tensor in enumerate(op.inputs) if tensor >= 0 and row.input_role(position) is Role.DATA]
        return [tensor for tensor in data if not self.graph.tensors[tensor].constant]

    def _precision_of(self, tensor: int) -> str | None:
        """The precision a tensor is computed in; None for a float model input, which can become either."""
        if tensor in self.graph.producers:
            precision = self.placed[self.graph.producers[tensor]].precision
            return "float32" if PRECISIONS[precision].activation == "FLOAT32" else precision
        return None if self.input_type == "FLOAT32" else INTEGER_EDGES

    def _common_reader(self, op: Op) -> str:
        """The integer precision that every reader of the operator's outputs takes, `float32` if they differ."""
        wanted = self.wanted[op.index]
        return wanted if self._reads_like(op, wanted) else "float32"

    def _reads_like(self, op: Op, precision: str) -> bool:
        """Whether all readers of the operator's outputs, seen through data movement, compute in a precision; false if nothing reads them."""
        if precision == "float32":
            return True
        key = (op.index, precision)
        if key not in self._read_alike:
            self._read_alike[key] = False  # a damaged file could have a cycle
            shown = any(tensor in self.graph.outputs for tensor in op.outputs)
            readers = [self.graph.ops[reader] for tensor in op.outputs for reader in self.graph.readers.get(tensor, ())]
            alike = all(self._computes_in(reader, precision) for reader in readers) and bool(readers or shown)
            self._read_alike[key] = alike and not (shown and self.output_type == "FLOAT32")
        return self._read_alike[key]

    def _computes_in(self, op: Op, precision: str) -> bool:
        row = OPS.get(op.name)
        if row is not None and row.moves_data:
            asked = precision if row.scales is Scales.INHERIT else self.wanted[op.index]
            return asked == precision and not self._refusal(op, precision) and self._reads_like(op, precision)
        return self.wanted[op.index] == precision and not self._refusal(op, precision)

    def _refusal(self, op: Op, precision: str) -> str:
        """Why the operator cannot run in a precision, '' if it can."""
        if precision == "float32":
            return ""
        row = OPS.get(op.name)
        if row is None or precision not in row.kernels:
            return f"no {precision} kernel for {op.name}"
        operands = [tensor for position, tensor in enumerate(op.inputs) if tensor >= 0 and row.input_role(position) is not Role.PLAIN]
        results = [tensor for position, tensor in enumerate(op.outputs) if row.output_role(position) is Role.DATA]
        for index in operands + results:
            problem = self._operand_problem(index, needs_range=PRECISIONS[precision].needs_ranges)
            if problem:
                return problem
        return row.kernels[precision].condition(self.graph, op)

    def _operand_problem(self, index: int, *, needs_range: bool) -> str:
        """Why a tensor cannot be an integer, '' if it can."""
        tensor = self.graph.tensors[index]
        if tensor.type != "FLOAT32":
            return f"works on {tensor.type.lower()} data"
        if tensor.constant:
            return "" if np.isfinite(self.graph.value(index)).all() else f"its constant {tensor.name!r} holds values that are not finite"
        return range_problem(self.ranges, tensor.name) if needs_range else ""


def range_problem(ranges: Mapping[str, TensorRange], name: str) -> str:
    """Why a tensor's range cannot give a scale, '' if it can."""
    span = ranges.get(name)
    if span is None:
        return f"no calibrated range for {name!r}"
    if not (math.isfinite(span.minimum) and math.isfinite(span.maximum)) or span.minimum > span.maximum:
        return f"the calibrated range of {name!r} is {span.minimum} .. {span.maximum}"
    return ""
