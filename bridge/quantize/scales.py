"""Scales and zero points of activations: groups of tensors that must share them, solved with union-find.

A node is a tensor that exists in an integer type. Operators that copy data tie their output to their input for good. Operators that join
data (CONCATENATION, MAXIMUM, ...) need every input in the scale of the output: an input is tied to it only where no other reader loses by
that; any other input is requantized on its way in.
"""

from collections.abc import Mapping

from msgspec import Struct, field

from bridge.quantize.constants import Constants
from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import Form, asymmetric, holds, symmetric, with_zero
from bridge.quantize.op_table import Kernel, OpRow, Role, Scales
from bridge.quantize.precisions import Precision
from bridge.quantize.weights import LARGEST_BIAS, largest_weight_scale
from bridge.types import TensorRange

# How much wider a range may become for the sake of a shared scale before a QUANTIZE of its own is the smaller loss: 1.25 costs 2 dB.
WIDEST = 1.25

# A wider output is a wider input of others. One round in execution order settles that, except where a shared scale leads back: then the next
# one does, or none (an operator between two tensors of one scale).
ROUNDS = 8


class Step(Struct, frozen=True):
    """An operator that runs on integers, with its row and kernel.

    Attributes:
        data_positions: of the inputs that it reads as data.
        data_inputs: the tensors there.
        data_outputs: tensors that it writes as data, in order.
    """

    op: Op
    row: OpRow
    kernel: Kernel
    data_positions: tuple[int, ...]
    data_inputs: tuple[int, ...]
    data_outputs: tuple[int, ...]


def step_of(op: Op, row: OpRow, kernel: Kernel) -> Step:
    """How an operator runs with a kernel."""
    positions = tuple(at for at, tensor in enumerate(op.inputs) if tensor >= 0 and row.input_role(at) is Role.DATA)
    outputs = tuple(tensor for at, tensor in enumerate(op.outputs) if row.output_role(at) is Role.DATA)
    return Step(op, row, kernel, positions, tuple(op.inputs[at] for at in positions), outputs)


class Scaling(Struct):
    """Solves the forms of all integer activations of one type.

    Args:
        graph: the float graph.
        steps: the operators on integers by index.
        ranges: calibrated ranges by tensor name; there is one for every activation of `steps`.
        constants: weights and biases.
        precision: what the operators run in.
        fixed: forms that are decided; operators with one possible output form add theirs.
    """

    graph: FloatGraph
    steps: Mapping[int, Step]
    ranges: Mapping[str, TensorRange]
    constants: Constants
    precision: Precision
    fixed: dict[int, Form] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)
    children: dict[int, list[int]] = field(default_factory=dict)
    mirrored: set[int] = field(default_factory=set)
    widened: dict[int, float] = field(default_factory=dict)
    _known: dict[int, Form] | None = None

    def solve(self) -> None:
        """Ties tensors together; afterwards `form` answers."""
        for step in self.steps.values():
            for tensor in step.data_outputs:
                self._tie_to_source(step, tensor)
        for step in self.steps.values():
            if step.row.scales is Scales.JOIN:
                self._join(step)
        for step in self.steps.values():
            for position in step.kernel.symmetric:
                self._mirror(step, position)
        self._known = {}  # from here on nothing is tied to another tensor
        for _ in range(ROUNDS):
            if not any([self._widen(step) for step in self.steps.values()]):
                break

    def form(self, tensor: int) -> Form:
        """The integer form that a tensor is computed in, or gets when a float value enters the integer part."""
        root = self._root(tensor)
        if self._known is None:
            return self._form(root)
        known = self._known.get(root)
        if known is None:
            known = self._known[root] = self._form(root)
        return known

    def _form(self, root: int) -> Form:
        if root in self.fixed:
            return self.fixed[root]
        span, factor = with_zero(self._span(root)), self.widened.get(root, 1.0)
        span = TensorRange(span.minimum * factor, span.maximum * factor)
        return self._around_zero(span) if root in self.mirrored else self._spanning(span)

    def input_form(self, step: Step, position: int) -> Form:
        """The integer form in which an operator reads its data input at a position."""
        tensor = step.op.inputs[position]
        own = self.form(tensor)
        if step.row.scales is Scales.JOIN:
            return self.form(step.op.outputs[0])
        if position in step.kernel.symmetric and own.zero_point != 0:
            return self._around_zero(self._span(tensor))
        return own

    def _around_zero(self, span: TensorRange) -> Form:
        return symmetric(span, self.precision.activation)

    def _spanning(self, span: TensorRange) -> Form:
        """int16 is symmetric always: its kernels know no zero point."""
        return self._around_zero(span) if self.precision.activation == "INT16" else asymmetric(span, self.precision.activation)

    def _tie_to_source(self, step: Step, output: int) -> None:
        if step.row.scales is Scales.INHERIT:
            (source,) = step.data_inputs
            self._tie(output, self._root(source))
        elif step.kernel.fixed_output is not None:
            self.fixed[self._root(output)] = step.kernel.fixed_output

    def _join(self, step: Step) -> None:
        """Ties what can be tied, in input order."""
        (output,) = step.data_outputs
        activations = [tensor for tensor in step.data_inputs if not self.graph.tensors[tensor].constant]
        common = self.fixed.get(self._root(activations[0])) if activations else None
        if common and all(self.fixed.get(self._root(tensor)) == common for tensor in activations) and holds(common, self._span(output)):
            self.fixed[output] = common
        for tensor in activations:
            root = self._root(tensor)
            if root != output and self.fixed.get(root) == self.fixed.get(output) and self._may_widen(root, output, step):
                self._tie(root, output)

    def _may_widen(self, root: int, target: int, step: Step) -> bool:
        """Whether nobody else loses when the tensors of `root` get the scale of `target`."""
        if self._readers(root) <= {step.op.index}:
            return True
        old, new = with_zero(self._span(root)), with_zero(self._span(target))
        inside = holds(self._spanning(new), old)
        return inside and new.maximum - new.minimum <= WIDEST * (old.maximum - old.minimum)

    def _mirror(self, step: Step, position: int) -> None:
        """Gives an operand zero point 0 at its source if that costs nobody much; else it is requantized on its way in."""
        tensor = step.op.inputs[position]
        root = self._root(tensor)
        if self.graph.tensors[tensor].constant or root in self.fixed:
            return
        span = with_zero(self._span(root))
        alone = self._readers(root) <= {step.op.index} and step.op.inputs.count(tensor) == 1
        if alone or 2 * max(-span.minimum, span.maximum) <= WIDEST * (span.maximum - span.minimum):
            self.mirrored.add(root)

    def _widen(self, step: Step) -> bool:
        """Gives the output a scale that the kernel can rescale its sums to; says whether that changed anything."""
        finest = step.kernel.finest or step.row.finest
        if finest is None:
            return False
        (output,) = step.data_outputs
        root = self._root(output)
        if root in [self._root(tensor) for tensor in step.data_inputs]:
            return False
        factor = finest(self._scales(step)) / self.form(output).scale
        if factor <= 1.0:
            return False
        self.widened[root] = self.widened.get(root, 1.0) * factor * (1 + 1e-6)  # scales are rounded to float32
        if self._known is not None:
            self._known.pop(root, None)
        return True

    def _scales(self, step: Step) -> list[float]:
        """Scales of the data inputs, then of the weight."""
        scales = [self.input_form(step, position).scale for position in step.data_positions]
        if Role.WEIGHT in step.row.inputs:
            scales.append(self._largest_weight_scale(step, scales[0]))
        return scales

    def _largest_weight_scale(self, step: Step, input_scale: float) -> float:
        largest_bias, bias_type = self.constants.bias_peak(step.op, step.row), step.kernel.bias or self.precision.bias
        given = self.constants.weight_scales(step.op, step.row, self.precision.weight)
        if given is not None:
            return max(float(given.max()), largest_bias / (input_scale * LARGEST_BIAS[bias_type]))
        peak = self.constants.weight_peak(step.op, step.row)
        return largest_weight_scale(peak, largest_bias, type_name=self.precision.weight, input_scale=input_scale, bias_type=bias_type)

    def _readers(self, root: int) -> set[int]:
        """Operators that read the group, without those that only pass its values on in the same scale; -1 stands for a float reader."""
        found: set[int] = set()
        for tensor in self._members(root):
            if tensor in self.graph.outputs:
                found.add(-1)
            for reader in self.graph.readers.get(tensor, ()):
                step = self.steps.get(reader)
                if step is None or tensor not in step.data_inputs:
                    found.add(-1)
                elif step.row.scales is not Scales.INHERIT:
                    found.add(reader)
        return found

    def _members(self, root: int) -> list[int]:
        found = [root]
        for tensor in found:  # grows while it is read
            found += self.children.get(tensor, ())
        return found

    def _tie(self, tensor: int, parent: int) -> None:
        self.parents[tensor] = parent
        self.children.setdefault(parent, []).append(tensor)

    def _root(self, tensor: int) -> int:
        while tensor in self.parents:
            tensor = self.parents[tensor]
        return tensor

    def _span(self, tensor: int) -> TensorRange:
        """The tensor's own range: calibrated, or of its value."""
        if not self.graph.tensors[tensor].constant:
            return self.ranges[self.graph.tensors[tensor].name]
        value = self.graph.value(tensor)
        return TensorRange(float(value.min()), float(value.max())) if value.size else TensorRange(0.0, 0.0)
