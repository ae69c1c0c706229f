"""Decides everything about the quantized file before anything is written: precision per operator, form per operand."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import FLOAT, Form
from bridge.quantize.op_table import OPS, Role
from bridge.quantize.placement import INTEGER_EDGES, Placed, Placement
from bridge.quantize.precisions import PRECISIONS, Precision
from bridge.quantize.scales import Scaling, Step
from bridge.quantize.weights import bias_form, weight_form
from bridge.types import TensorRange


@dataclass(frozen=True, slots=True)
class OpPlan:
    """One operator of the quantized file.

    Attributes:
        precision: what it runs in.
        reason: why that is not what was asked for.
        version: operator version in that precision.
        inputs: form per input; None leaves the operand as it is in the file.
        outputs: form per output, likewise.
    """

    precision: str
    reason: str
    version: int
    inputs: tuple[Form | None, ...]
    outputs: tuple[Form | None, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """All operators, and the integer form in which each float tensor enters or leaves the model where it does not stay float."""

    ops: tuple[OpPlan, ...]
    inputs: Mapping[int, Form] = field(default_factory=dict)
    outputs: Mapping[int, Form] = field(default_factory=dict)


def make_plan(graph: FloatGraph, wanted: Sequence[str], ranges: Mapping[str, TensorRange], *, input_type: str, output_type: str) -> Plan:
    """Plans the quantized file.

    Args:
        graph: the float graph.
        wanted: precision asked for, per operator.
        ranges: calibrated ranges by tensor name.
        input_type: TFLite type of model inputs that are float now.
        output_type: likewise of model outputs.
    """
    placed = Placement(graph, wanted, ranges, input_type, output_type).decide()
    scaling = {}
    for row in PRECISIONS.values():
        if row.activation != "FLOAT32":
            steps = {op.index: _step(op, row.name) for op in graph.ops if placed[op.index].precision == row.name}
            scaling[row.name] = Scaling(graph, steps, ranges, row.activation, row.weight)
            scaling[row.name].solve()
    ops = tuple(_plan_op(graph, op, place, scaling) for op, place in zip(graph.ops, placed, strict=True))
    edge = scaling[INTEGER_EDGES]
    return Plan(
        ops,
        inputs={tensor: _shifted(edge.form(tensor), input_type) for tensor in _floats(graph, graph.inputs) if input_type != "FLOAT32"},
        outputs={tensor: _shifted(edge.form(tensor), output_type) for tensor in _floats(graph, graph.outputs) if output_type != "FLOAT32"},
    )


def _step(op: Op, precision: str) -> Step:
    row = OPS[op.name]
    return Step(op, row, row.kernels[precision])


def _plan_op(graph: FloatGraph, op: Op, placed: Placed, scaling: Mapping[str, Scaling]) -> OpPlan:
    if placed.precision not in scaling:
        return OpPlan(placed.precision, placed.reason, op.version, _float_forms(graph, op.inputs), _float_forms(graph, op.outputs))
    solved = scaling[placed.precision]
    step = solved.steps[op.index]
    inputs = _input_forms(graph, step, PRECISIONS[placed.precision], solved)
    outputs = tuple(solved.form(tensor) if step.row.output_role(position) is Role.DATA else None for position, tensor in enumerate(op.outputs))
    version = step.kernel.version if isinstance(step.kernel.version, int) else step.kernel.version(graph, op)
    return OpPlan(placed.precision, placed.reason, max(version, op.version), inputs, outputs)


def _float_forms(graph: FloatGraph, tensors: Sequence[int]) -> tuple[Form | None, ...]:
    """Float operators read activations as float, constants as they are."""
    return tuple(FLOAT if index >= 0 and _is_float_activation(graph, index) else None for index in tensors)


def _input_forms(graph: FloatGraph, step: Step, precision: Precision, solved: Scaling) -> tuple[Form | None, ...]:
    present = [position for position, tensor in enumerate(step.op.inputs) if tensor >= 0]
    forms = {position: solved.input_form(step, position) for position in present if step.row.input_role(position) is Role.DATA}
    if Role.WEIGHT in step.row.inputs:
        weight, bias = step.row.inputs.index(Role.WEIGHT), step.row.inputs.index(Role.BIAS)
        input_scale = forms[step.row.inputs.index(Role.DATA)].scale
        bias_value = graph.value(step.op.inputs[bias]) if bias in present else None
        forms[weight] = weight_form(
            graph.value(step.op.inputs[weight]),
            step.row.weight_axis,
            type_name=precision.weight,
            input_scale=input_scale,
            bias=None if bias_value is None else bias_value.reshape(-1),
        )
        if bias_value is not None:
            forms[bias] = bias_form(forms[weight], max(bias_value.ndim - 1, 0), type_name=precision.bias, input_scale=input_scale)
    return tuple(forms.get(position) for position in range(len(step.op.inputs)))


def _is_float_activation(graph: FloatGraph, tensor: int) -> bool:
    return graph.tensors[tensor].type == "FLOAT32" and not graph.tensors[tensor].constant


def _floats(graph: FloatGraph, tensors: Sequence[int]) -> list[int]:
    return [tensor for tensor in tensors if _is_float_activation(graph, tensor)]


def _shifted(form: Form, type_name: str) -> Form:
    """The same scale in uint8: stored values are 128 larger."""
    return form if type_name != "UINT8" else Form("UINT8", form.scales, (form.zero_point + 128,))
