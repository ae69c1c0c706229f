"""One quantized file that is changed in place from trial to trial, where the next plan differs from the last one in numbers alone.

Planning, packing and writing a file takes longer than running it on some samples, and most trials change the scales of a few activations and
the biases that follow from them, or give operators other constants in place of their own.
"""

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import FLOAT, Form
from bridge.quantize.plan import OpPlan, Plan
from bridge.quantize.writer import Writer, constant_data, given_data
from bridge.tflite import model as tflite
from bridge.tflite.pages import changed
from bridge.tflite.run_file import RunFile
from bridge.tflite.stretch import Stretches
from bridge.tflite.unpack import with_views

type Change = tuple[int, Form, Form]  # a tensor, the form it has in the file, and the one it is to have
type Planned = tuple[Op, OpPlan, OpPlan]  # an operator and two plans of it
type Swap = tuple[int, int, Form | None]  # operator, position of an operand, and the form of its own constant where that comes back


class _Written(Struct, frozen=True, eq=False):
    """A file and where it holds what.

    Attributes:
        file: on disk.
        model: the same; of what can change, scales, zero points and constants are views of the file that can be written to.
        positions: of the operators of the float file.
        places: tensor -> its forms, each with its place among the tensors of the file.
        given: operator and position of an operand -> place of the constant that it is given.
        first: place of a tensor -> the first operator of the file that reads or writes it.
        stretches: shows some of its operators.
    """

    file: RunFile
    model: tflite.ModelT
    positions: tuple[int, ...]
    places: dict[int, list[tuple[Form, int]]]
    given: dict[tuple[int, int], int]
    first: Mapping[int, int]
    stretches: Stretches


class WorkingFile:
    """The file of the plan that was asked for last; whoever runs it has closed it before the next plan.

    Args:
        graph: the float file.

    Attributes:
        intact: so many operators at the beginning of the file are as they were when somebody set it last.
        writings: how often it has been written anew.
        handed_out: how often somebody was given the file, whole or a stretch of it.
    """

    def __init__(self, graph: FloatGraph) -> None:
        self._graph = graph
        self._plan: Plan | None = None
        self._written: _Written | None = None
        self.intact = self.writings = self.handed_out = 0

    def of(self, plan: Plan) -> RunFile:
        """The file that a plan describes."""
        written = self._show(plan)
        written.stretches.whole()
        self.handed_out += 1
        return written.file

    def stretch(self, plan: Plan, first: int, last: int, inputs: Sequence[int], outputs: Sequence[int] | None = None) -> RunFile:
        """The same file with some of its operators alone, until it is asked for again; arguments as for `Stretches.show`."""
        written = self._show(plan)
        written.stretches.show(first, last, inputs, outputs)
        self.handed_out += 1
        return written.file

    def model(self, plan: Plan) -> tflite.ModelT:
        """The same as objects; they hold for this plan only, and nobody changes them."""
        return self._show(plan).model

    def positions(self, plan: Plan) -> tuple[int, ...]:
        """Where the operators of the float file are in it."""
        return self._show(plan).positions

    def _show(self, plan: Plan) -> _Written:
        if self._written is None or self._plan is None or not self._changed(self._written, self._plan, plan):
            self._written = None  # its pages are free before the next ones are written
            self._written, self.intact, self.writings = _write(self._graph, plan), 0, self.writings + 1
        self._plan = plan
        return self._written

    def _changed(self, written: _Written, before: Plan, after: Plan) -> bool:
        """Whether the file could be changed in place."""
        if before is after:
            return True
        changes = _changes(self._graph, before, after)
        swaps = None if changes is None else _swaps(self._graph, before, after)
        if changes is None or swaps is None:
            return False
        for swap in swaps:
            self._swap(written, *swap)
        found = [(tensor, _index(written.places.get(tensor, ()), old), new) for tensor, old, new in changes]
        for tensor, index, new in found:
            if index is None:  # nobody reads it
                continue
            place = written.places[tensor][index][1]
            written.places[tensor][index] = (new, place)
            data = constant_data(self._graph, tensor, new) if self._graph.tensors[tensor].constant else None
            self._set(written, place, new, data)
        for op, old_op, new_op in _changed(self._graph, before, after):
            for position, (had, has) in enumerate(zip(old_op.inputs, new_op.inputs, strict=True)):
                if has.value is not None and (has.value is not had.value or has.form != had.form):
                    form = has.form or FLOAT
                    self._set(written, written.given[op.index, position], form, given_data(has.value, form))
        return True

    def _swap(self, written: _Written, op: int, position: int, own: Form | None) -> None:
        """A given constant stands where the operator's own one stood, and the other way round."""
        tensor = self._graph.ops[op].inputs[position]
        if own is None:
            ((_, written.given[op, position]),) = written.places.pop(tensor)
            return
        place = written.given.pop((op, position))
        written.places[tensor] = [(own, place)]
        self._set(written, place, own, constant_data(self._graph, tensor, own))

    def _set(self, written: _Written, place: int, form: Form, data: np.ndarray | None) -> None:
        """Writes numbers into the file."""
        self.intact = min(self.intact, written.first.get(place, self.intact))
        tensor = tflite.main_graph(written.model).tensors[place]
        if form.scales:
            tensor.quantization.scale[:], tensor.quantization.zeroPoint[:] = form.scales, form.zero_points
        if data is not None:
            written.model.buffers[tensor.buffer].data[:] = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
            changed(written.model.buffers[tensor.buffer].data)


def _write(graph: FloatGraph, plan: Plan) -> _Written:
    model = tflite.grown(graph.model)
    writer = Writer(graph, plan, model, share=False, borrowed=tflite.has_grown(model))
    positions = writer.write()
    file = tflite.run_file(model, apart=True)
    graph.measured.stored.clear()  # the file has them
    place = {id(tensor): index for index, tensor in enumerate(tflite.main_graph(model).tensors)}
    moved = [place.get(id(tensor)) for tensor in writer.tensors]
    places: dict[int, list[tuple[Form, int]]] = {}
    for tensor, form, index in (
        *((tensor, form, moved[tensor]) for tensor, form in writer.forms.items()),
        *((tensor, form, moved[index]) for (tensor, form), index in writer.variants.items()),
    ):
        if index is not None:
            places.setdefault(tensor, []).append((form, index))
    given = {operand: index for operand, old in writer.given.items() if (index := moved[old]) is not None}
    stretches = Stretches(file)
    changeable = {index for forms in places.values() for form, index in forms if form != FLOAT}.union(given.values())
    shown = with_views(model, file.mapped(), changeable)
    operators = [*enumerate(tflite.main_graph(shown).operators)]
    first = {place: at for at, op in reversed(operators) for place in (*op.inputs.tolist(), *op.outputs.tolist())}
    return _Written(file, shown, positions, places, given, first, stretches)


def _index(places: Sequence[tuple[Form, int]], form: Form) -> int | None:
    return next((index for index, (one, _) in enumerate(places) if one == form), None)


def _changes(graph: FloatGraph, before: Plan, after: Plan) -> list[Change] | None:
    """What has to change in the file of one plan to make it that of another, where that is numbers alone; None where operators or tensors change too.

    The writer decides by which forms of a tensor are equal and by their types, so each form of a tensor has to become one other form of the same type.
    """
    if any((before.inputs, before.outputs, after.inputs, after.outputs)):
        return None
    pairs: dict[int, list[tuple[Form, Form]]] = {}
    for op, old, new in _around(graph, before, after):
        if not _same_operator(old, new):
            return None
        for tensor, one, other in zip(op.outputs, old.outputs, new.outputs, strict=True):
            if not _pair(pairs.setdefault(tensor, []), one, other):
                return None
        for position, (had, has) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            if had.value is not None or has.value is not None:
                if not _alike(had.form or FLOAT, has.form or FLOAT):
                    return None
            elif not _pair(pairs.setdefault(op.inputs[position] if position < len(op.inputs) else -1, []), had.form, has.form):
                return None
    return [(tensor, one, other) for tensor, found in pairs.items() for one, other in found if one != other]


def _changed(graph: FloatGraph, before: Plan, after: Plan) -> list[Planned]:
    """The operators with plans that are not the same object: an operator that nothing has changed about keeps its plan."""
    return [(op, old, new) for op, old, new in zip(graph.ops, before.ops, after.ops, strict=True) if old is not new]


def _around(graph: FloatGraph, before: Plan, after: Plan) -> Iterator[Planned]:
    """The same, and those that read or write the same tensors."""
    changed = _changed(graph, before, after)
    tensors = {tensor for op, _, _ in changed for tensor in (*op.inputs, *op.outputs) if tensor >= 0}
    beside = {reader for tensor in tensors for reader in graph.readers.get(tensor, ())}
    beside |= {graph.producers[tensor] for tensor in tensors if tensor in graph.producers} | {op.index for op, _, _ in changed}
    yield from ((graph.ops[index], before.ops[index], after.ops[index]) for index in sorted(beside))


def _same_operator(old: OpPlan, new: OpPlan) -> bool:
    if old is new:
        return True
    if (old.precision, old.version, len(old.inputs)) != (new.precision, new.version, len(new.inputs)) or old.options != new.options:
        return False
    return all(had.unpacked == has.unpacked for had, has in zip(old.inputs, new.inputs, strict=True))


def _swaps(graph: FloatGraph, before: Plan, after: Plan) -> list[Swap] | None:
    """Operands that are given a constant in one of the plans alone; None where one cannot stand in the place of the other."""
    found: list[Swap] = []
    for op, old, new in _changed(graph, before, after):
        for position, (had, has) in enumerate(zip(old.inputs, new.inputs, strict=True)):
            given = had.value if has.value is None else has.value
            if given is None or (had.value is None) == (has.value is None):
                continue
            if has.form in (None, FLOAT) or not _alone(graph, op, position, given.size):
                return None
            found.append((op.index, position, has.form if has.value is None else None))
    return found


def _alone(graph: FloatGraph, op: Op, position: int, size: int) -> bool:
    """Whether nothing else reads a constant of so many values."""
    tensor = op.inputs[position] if position < len(op.inputs) else -1
    return (
        tensor >= 0
        and (graph.readers[tensor], op.inputs.count(tensor), tensor in graph.outputs) == ((op.index,), 1, False)
        and math.prod(graph.tensors[tensor].shape) == size
    )


def _pair(known: list[tuple[Form, Form]], old: Form | None, new: Form | None) -> bool:
    """Whether a form may become another one beside those pairs of the same tensor that are known; adds it to them."""
    if old is None or new is None:
        return old is new
    for one, other in known:
        if one == old or other == new:
            return one == old and other == new
    if not _alike(old, new):
        return False
    known.append((old, new))
    return True


def _alike(old: Form, new: Form) -> bool:
    return old is new or (old.type, old.axis, len(old.scales)) == (new.type, new.axis, len(new.scales))
