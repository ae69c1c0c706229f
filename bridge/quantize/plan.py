"""Decides everything about the quantized file before anything is written: precision per operator, form per operand."""

import operator
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from msgspec import Struct, field

from bridge.quantize.conditions import Spans
from bridge.quantize.constants import Constants, weight_positions
from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import FLOAT, UINT8_SHIFT, Form
from bridge.quantize.op_table import OPS, Kernel, OpRow, Role
from bridge.quantize.placement import INTEGER_EDGES, Placed, Placement
from bridge.quantize.precisions import PRECISIONS, Precision
from bridge.quantize.scales import Scaling, Step, step_of
from bridge.quantize.weights import bias_form, weight_form


class Operand(Struct, frozen=True, eq=False):
    """How an operator reads one of its inputs.

    Attributes:
        form: None leaves the operand as it is in the file.
        value: a constant in place of the one in the file, or of none.
        unpacked: the constant is stored in `form`, and a DEQUANTIZE makes it float again.
    """

    form: Form | None = None
    value: np.ndarray | None = None
    unpacked: bool = False


AS_IT_IS, AS_FLOAT = Operand(), Operand(FLOAT)


class OpPlan(Struct, frozen=True):
    """One operator of the quantized file.

    Attributes:
        precision: what it runs in.
        reason: why that is not what was asked for.
        version: operator version in that precision.
        inputs: one per input; one more where it gets a bias that it did not have.
        outputs: form per output; None leaves it as it is in the file.
        options: fields of its options to set.
    """

    precision: str
    reason: str
    version: int
    inputs: tuple[Operand, ...]
    outputs: tuple[Form | None, ...]
    options: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))


class Plan(Struct, frozen=True):
    """All operators, and the integer form in which each float tensor enters or leaves the model where it does not stay float."""

    ops: tuple[OpPlan, ...]
    inputs: Mapping[int, Form] = field(default_factory=dict)
    outputs: Mapping[int, Form] = field(default_factory=dict)

    def forms(self) -> Hashable:
        """Equal for two plans with the same corrections when they give the same file."""
        operators = tuple((one.precision, tuple(operand.form for operand in one.inputs), one.outputs) for one in self.ops)
        return operators, tuple(self.inputs.items()), tuple(self.outputs.items())


def make_plan(
    graph: FloatGraph,
    wanted: Sequence[str],
    spans: Mapping[str, Spans],
    *,
    corrections: Corrections,
    given: Mapping[str, Form],
    input_type: str,
    output_type: str,
) -> Plan:
    """Plans the quantized file.

    Args:
        graph: the float graph.
        wanted: precision asked for, per operator.
        spans: precision -> ranges by tensor name.
        corrections: other constants for some operators.
        given: forms by tensor name that ranges do not decide.
        input_type: TFLite type of model inputs that are float now.
        output_type: likewise of model outputs.
    """
    constants = Constants(graph, corrections)
    placed = Placement(graph, wanted, spans, constants, input_type, output_type).decide()
    scaling = {}
    forms = {tensor.index: given[tensor.name] for tensor in graph.tensors if tensor.name in given}
    for row in PRECISIONS.values():
        steps = {op.index: _step(graph, op, row.name) for op in graph.ops if placed[op.index].precision == row.name} if row.integer else {}
        if steps or row.name == INTEGER_EDGES:
            scaling[row.name] = Scaling(
                graph, steps, spans[row.name], constants, row, {tensor: form for tensor, form in forms.items() if form.type == row.activation}
            )
            scaling[row.name].solve()
    planner = _Planner(graph, constants)
    ops = tuple([_plan_op(planner, op, place, scaling) for op, place in zip(graph.ops, placed, strict=True)])
    edge = scaling[INTEGER_EDGES]
    return Plan(
        ops,
        inputs={tensor: _shifted(edge.form(tensor), input_type) for tensor in _floats(graph, graph.inputs) if input_type != "FLOAT32"},
        outputs={tensor: _shifted(edge.form(tensor), output_type) for tensor in _floats(graph, graph.outputs) if output_type != "FLOAT32"},
    )


def _step(graph: FloatGraph, op: Op, precision: str) -> Step:
    known = graph.measured.steps
    if (op.index, precision) not in known:
        row = OPS[op.name]
        known[op.index, precision] = step_of(op, row, row.kernels[precision])
    step: Step = known[op.index, precision]
    return step


class _Planner(Struct, frozen=True):
    """Plans the operands of single operators."""

    graph: FloatGraph
    constants: Constants

    def floats(self, op: Op) -> list[Operand]:
        """Float kernels read activations as float, constants as they are."""
        return [AS_FLOAT if tensor in self.graph.floats else AS_IT_IS for tensor in op.inputs]

    def packed(self, op: Op, row: OpRow, kernel: Kernel, precision: Precision) -> list[Operand]:
        """A kernel with float activations and weights in another type."""
        operands = self.floats(op)
        for position in weight_positions(self.graph, op, row, kernel):
            given = self.constants.corrected_weight(op, row)
            value = self.graph.value(op.inputs[position]) if given is None else given
            axis = row.weight_axis % value.ndim if kernel.per_channel else None
            known = self.constants.channel_peaks(op.inputs[position], axis) if given is None else None
            form = weight_form(
                value, axis, type_name=precision.weight, scales=self.constants.weight_scales(op, row, precision.weight), magnitudes=known
            )
            operands[position] = Operand(form, given, precision.unpacked)
        bias = self.constants.corrected_bias(op, row)
        return operands if bias is None else _with(operands, row.inputs.index(Role.BIAS), Operand(FLOAT, bias))

    def integers(self, step: Step, precision: Precision, forms: Sequence[Form | None], outputs: Sequence[Form | None]) -> Sequence[Operand]:
        """A kernel on integers, from the forms of what it reads and writes as data."""
        op, row, operands = step.op, step.row, [Operand(form) for form in forms]
        if Role.WEIGHT not in row.inputs:
            return operands
        at, bias_at = row.inputs.index(Role.WEIGHT), row.inputs.index(Role.BIAS)
        data, result = forms[row.inputs.index(Role.DATA)], outputs[0]
        assert data is not None  # the table says so of operators with weights
        assert result is not None
        input_scale, output_scale = data.scale, result.scale
        bias, bias_type = self.constants.bias(op, row), step.kernel.bias or precision.bias
        weight = self.constants.weight(op, row)
        axis = row.weight_axis % weight.ndim if step.kernel.per_channel else None
        form = weight_form(
            weight,
            axis,
            type_name=precision.weight,
            input_scale=input_scale,
            bias=None if bias is None else bias.reshape(-1),
            bias_type=bias_type,
            output_scale=output_scale,
            scales=self.constants.weight_scales(op, row, precision.weight),
            magnitudes=self.constants.magnitudes(op, row, axis),
        )
        operands[at] = Operand(form, self.constants.corrected_weight(op, row))
        if bias is None:
            return operands
        stored = bias_form(form, max(bias.ndim - 1, 0), type_name=bias_type, input_scale=input_scale)
        return _with(operands, bias_at, Operand(stored, self.constants.corrected_bias(op, row)))


def _plan_op(planner: _Planner, op: Op, placed: Placed, scaling: Mapping[str, Scaling]) -> OpPlan:
    """The plan of the last time where nothing that it follows from has changed: the next file differs in few operators."""
    precision, inputs, outputs = PRECISIONS[placed.precision], list[Form | None](), _float_forms(planner.graph, op.outputs)
    if precision.integer:
        solved, row = scaling[placed.precision], OPS[op.name]
        step = solved.steps[op.index]
        inputs = [None] * len(op.inputs)
        for position in step.data_positions:
            inputs[position] = solved.input_form(step, position)
        outputs = tuple(solved.form(tensor) if row.output_role(position) is Role.DATA else None for position, tensor in enumerate(op.outputs))
    origin = (*inputs, *outputs, *planner.constants.corrections_of(op))
    known = planner.graph.measured.plans.get(op.index)
    if known is None or known[0] != placed or len(known[1]) != len(origin) or not all(map(operator.is_, known[1], origin)):
        known = planner.graph.measured.plans[op.index] = (placed, origin, _fresh(planner, op, placed, inputs, outputs))
    plan: OpPlan = known[2]
    return plan


def _fresh(planner: _Planner, op: Op, placed: Placed, inputs: Sequence[Form | None], outputs: tuple[Form | None, ...]) -> OpPlan:
    """From the forms of what an operator on integers reads and writes as data."""
    precision = PRECISIONS[placed.precision]
    if placed.precision == "float32":
        return OpPlan(placed.precision, placed.reason, op.version, tuple(planner.floats(op)), outputs)
    row = OPS[op.name]
    kernel = row.kernels[placed.precision]
    if precision.integer:
        operands = planner.integers(_step(planner.graph, op, placed.precision), precision, inputs, outputs)
    else:
        operands = planner.packed(op, row, kernel, precision)
    return OpPlan(placed.precision, placed.reason, _version(planner.graph, op, kernel, operands), tuple(operands), outputs, kernel.options)


def _version(graph: FloatGraph, op: Op, kernel: Kernel, operands: Sequence[Operand]) -> int:
    """Of the operator with the inputs that it gets: a bias may be new."""
    if isinstance(kernel.version, int):
        return max(op.version, kernel.version)
    new = [op.outputs[0] if operand.value is not None else -1 for operand in operands[len(op.inputs) :]]
    return max(op.version, kernel.version(graph, op._replace(inputs=(*op.inputs, *new))))


def _with(operands: Sequence[Operand], position: int, operand: Operand) -> list[Operand]:
    """With another operand at a position, perhaps behind the last one."""
    longer = [*operands, *[AS_IT_IS] * (position + 1 - len(operands))]
    longer[position] = operand
    return longer


def _float_forms(graph: FloatGraph, tensors: Sequence[int]) -> tuple[Form | None, ...]:
    return tuple([FLOAT if tensor in graph.floats else None for tensor in tensors])


def _floats(graph: FloatGraph, tensors: Sequence[int]) -> list[int]:
    """Those that are float activations."""
    return [tensor for tensor in tensors if tensor in graph.floats]


def _shifted(form: Form, type_name: str) -> Form:
    """The same scale in uint8: stored values are shifted."""
    return form if type_name != "UINT8" else Form("UINT8", form.scales, (form.zero_point + UINT8_SHIFT,))
