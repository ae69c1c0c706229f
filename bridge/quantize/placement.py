"""Which precision each operator gets: what was asked, what the kernels allow, and data movement that stays in what it carries."""

import math
from collections.abc import Mapping, Sequence

from msgspec import Struct, field

from bridge.quantize.conditions import Spans
from bridge.quantize.constants import Constants, weight_positions
from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import LARGEST_FLOAT16, LARGEST_VALUE
from bridge.quantize.islands import ALONE, idle_operators
from bridge.quantize.missing_kernels import why_no_kernel
from bridge.quantize.op_table import OPS, OpRow, Role, Scales, has_kernel
from bridge.quantize.precisions import PRECISIONS, Precision, finest
from bridge.types import TensorRange

INTEGER_EDGES = "static_wi8_ai8"  # the precision whose type int8 and uint8 model inputs and outputs have


class Placed(Struct, frozen=True):
    """The precision of one operator, and why it is not the one that was asked for ('' when it is)."""

    precision: str
    reason: str = ""


class Placement(Struct):
    """Decides operator by operator in execution order.

    Args:
        graph: the float graph.
        wanted: precision asked for, per operator.
        spans: precision -> ranges by tensor name.
        constants: weights and biases.
        input_type: TFLite type the model's float inputs will have.
        output_type: likewise for outputs.
    """

    graph: FloatGraph
    wanted: Sequence[str]
    spans: Mapping[str, Spans]
    constants: Constants
    input_type: str
    output_type: str
    placed: dict[int, Placed] = field(default_factory=dict)
    _read_alike: dict[tuple[int, str], bool] = field(default_factory=dict)
    _problems: dict[tuple[str, str], str] = field(default_factory=dict)

    def decide(self) -> tuple[Placed, ...]:
        """The precision of every operator, in execution order."""
        for op in self.graph.ops:
            self.placed[op.index] = self._decide(op)
        self._merge_islands()
        return tuple(self.placed[op.index] for op in self.graph.ops)

    def _merge_islands(self) -> None:
        integer = tuple([PRECISIONS[self.placed[op.index].precision].integer for op in self.graph.ops])
        known, key = self.graph.measured.idle, (self.graph.outputs, integer)
        idle = known.get(key)
        if idle is None:
            idle = idle_operators(self.graph, integer)
            known.clear()  # most files have theirs where the last one had them
            known[key] = idle
        for index in idle:
            self.placed[index] = Placed("float32", "" if self.wanted[index] == "float32" else ALONE)

    def _decide(self, op: Op) -> Placed:
        wanted = self.wanted[op.index]
        row = OPS.get(op.name)
        carried: Sequence[int] = self._carried(op, row) if row is not None and row.moves_data else ()
        moves = bool(carried)
        if row is not None and moves and row.scales is Scales.INHERIT:
            return self._follow(op, carried[0])
        refusal = self._refusal(op, wanted)
        if refusal:
            return self._instead(op, wanted, refusal)
        return self._join(op, carried, wanted) if moves and PRECISIONS[wanted].integer else Placed(wanted)

    def _instead(self, op: Op, wanted: str, refusal: str) -> Placed:
        """The first precision that stores the same weights without a larger error, float32 if none does.

        An integer kernel that exists, and misses a range or a constant bias, leaves the operator float: its user can mend that.
        """
        if PRECISIONS[wanted].integer and has_kernel(op.name, wanted):
            return Placed("float32", refusal)
        for other in PRECISIONS[wanted].instead:
            if not self._refusal(op, other):
                return Placed(other, refusal)
        return Placed("float32", refusal)

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
        if not (PRECISIONS[precision].integer or PRECISIONS[wanted].integer):
            return Placed(precision, self._refusal(op, wanted))
        return Placed(precision, f"moves data, so it stays in the type of {self.graph.tensors[tensor].name!r}")

    def _join(self, op: Op, carried: Sequence[int], wanted: str) -> Placed:
        """Joining integer data needs one common scale, so float data are joined as float unless only integer kernels read the result.

        Data of both integer types are joined in the finer one, which their readers may round once, unless all readers want the coarser one.
        """
        have = [self._precision_of(tensor) or self._common_reader(op) for tensor in carried]
        if wanted in have and self._reads_like(op, wanted):
            return Placed(wanted)
        if "float32" in have:
            float_input = carried[have.index("float32")]
            return Placed("float32", f"joins data, and {self.graph.tensors[float_input].name!r} is float")
        common = finest([*have, wanted])
        if common == wanted or self._refusal(op, common):
            return Placed(wanted)
        return Placed(common, f"joins data, and {self.graph.tensors[carried[have.index(common)]].name!r} is finer")

    def _carried(self, op: Op, row: OpRow) -> list[int]:
        """Data inputs that are no constants."""
        data = [tensor for position, tensor in enumerate(op.inputs) if tensor >= 0 and row.input_role(position) is Role.DATA]
        return [tensor for tensor in data if not self.graph.tensors[tensor].constant]

    def _precision_of(self, tensor: int) -> str | None:
        """The precision a tensor is computed in; None for a float model input, which can become either."""
        if tensor in self.graph.producers:
            precision = self.placed[self.graph.producers[tensor]].precision
            return precision if PRECISIONS[precision].integer else "float32"
        return None if self.input_type == "FLOAT32" else INTEGER_EDGES

    def _common_reader(self, op: Op) -> str:
        """The integer precision that every reader of the operator's outputs takes, `float32` if they differ."""
        wanted = self.wanted[op.index]
        return wanted if PRECISIONS[wanted].integer and self._reads_like(op, wanted) else "float32"

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
            self._read_alike[key] = alike and not (shown and (self.output_type == "FLOAT32" or precision != INTEGER_EDGES))
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
            return _no_kernel(op, precision)
        known, key = self.graph.measured.needs, (op.index, precision)
        if key not in known:
            known[key] = self._needs(op, row, precision)
        needed, problem = known[key]
        ranges = self.spans[precision]
        for name in needed:
            found = self._problems.get((precision, name))
            if found is None:
                found = self._problems[precision, name] = range_problem(ranges, name)
            if found:
                return found
        return problem or row.kernels[precision].condition(self.graph, op, ranges)

    def _needs(self, op: Op, row: OpRow, precision: str) -> tuple[tuple[str, ...], str]:
        """The activations whose ranges are looked at first, in order, and why the operator cannot run in a precision whatever they are."""
        kernel, row_precision, needed = row.kernels[precision], PRECISIONS[precision], list[str]()
        weights = weight_positions(self.graph, op, row, kernel)
        if not (row_precision.integer or weights):
            return (), f"has no weights, and the activations of {precision} are float"
        positions = range(len(op.inputs)) if row_precision.integer else weights
        operands = [op.inputs[position] for position in positions if op.inputs[position] >= 0 and row.input_role(position) is not Role.PLAIN]
        results = [tensor for position, tensor in enumerate(op.outputs) if row_precision.integer and row.output_role(position) is Role.DATA]
        for index in operands + results:
            if problem := self._lasting_problem(index, row_precision):
                return tuple(needed), problem
            if not self.graph.tensors[index].constant and row_precision.needs_ranges:
                needed.append(self.graph.tensors[index].name)
        return tuple(needed), ""

    def _lasting_problem(self, index: int, precision: Precision) -> str:
        """Why a tensor cannot be stored in a precision whatever its range is, '' if it can."""
        tensor = self.graph.tensors[index]
        if tensor.type != "FLOAT32":
            return f"works on {tensor.type.lower()} data"
        if not tensor.constant:
            return ""
        peak = self.constants.peak(index)
        if not math.isfinite(peak):
            return f"its constant {tensor.name!r} holds values that are not finite"
        if precision.integer and peak > LARGEST_VALUE:
            return f"its constant {tensor.name!r} holds {peak:.3g}, and integer kernels take values up to {LARGEST_VALUE:g}"
        if precision.weight == "FLOAT16" and peak > LARGEST_FLOAT16:
            return f"its constant {tensor.name!r} holds {peak:.3g}, and float16 ends at {LARGEST_FLOAT16:.0f}"
        return ""


def _no_kernel(op: Op, precision: str) -> str:
    """Without a weight there is nothing that a precision with float activations could change."""
    weighted = op.name in OPS and Role.WEIGHT in OPS[op.name].inputs
    if PRECISIONS[precision].integer or weighted:
        why = why_no_kernel(op.name, precision)
        return f"no {precision} kernel for {op.name}" + (f": {why}" if why else "")
    return f"has no weights, and the activations of {precision} are float"


def range_problem(ranges: Mapping[str, TensorRange], name: str) -> str:
    """Why a tensor's range cannot give a scale, '' if it can."""
    span = ranges.get(name)
    if span is None:
        return f"no calibrated range for {name!r}"
    if not (math.isfinite(span.minimum) and math.isfinite(span.maximum)) or span.minimum > span.maximum:
        return f"the calibrated range of {name!r} is {span.minimum} .. {span.maximum}"
    if max(-span.minimum, span.maximum) > LARGEST_VALUE:
        return (
            f"the calibrated range of {name!r} is {span.minimum:.3g} .. {span.maximum:.3g}, and integer kernels take values up to {LARGEST_VALUE:g}"
        )
    return ""
