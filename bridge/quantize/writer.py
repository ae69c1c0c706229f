"""Writes a plan into the TFLite objects: new constants, new tensor types, QUANTIZE and DEQUANTIZE where forms differ."""

from typing import Any

import numpy as np
from msgspec import Struct, field

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.forms import FLOAT, UINT8_SHIFT, Form, quantize_values
from bridge.quantize.plan import Operand, OpPlan, Plan
from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact

SUFFIXES = {"FLOAT32": "_float"}
DEQUANTIZE_VERSIONS = {"INT4": 6, "INT8": 2, "UINT8": 1, "INT16": 3, "FLOAT16": 3}
PER_CHANNEL_DEQUANTIZE_VERSION = 5
QUANTIZE_VERSION = 1
QUANTIZE_INT16_VERSION = 2
GLANCE = 64  # bytes by which most constants differ that are not equal


class Writer(Struct):
    """Writes into `model`, the file of the graph or a copy of it; one use.

    A tensor keeps its index and, in the form it is computed in, its name. Another form of it is a new tensor with a suffix, made once by a
    QUANTIZE or DEQUANTIZE before its first reader. Names of model inputs and outputs stay with the inputs and outputs.

    Attributes:
        forms: tensor -> the form it is computed in.
        variants: tensor and another form of it -> its place among `tensors`.
        given: operator and position of an operand -> place of the constant that it is given.
        tensors: of the file, those that nobody reads included.
        codes: name and version -> operator code.
        share: constants of equal bytes are stored once.
        borrowed: the objects in the lists of `model` are those of the graph's file. The changed ones are put in place of them, and what nobody reads stays.
    """

    graph: FloatGraph
    plan: Plan
    model: tflite.ModelT
    forms: dict[int, Form] = field(default_factory=dict)
    variants: dict[tuple[int, Form], int] = field(default_factory=dict)
    unpacked: dict[int, int] = field(default_factory=dict)
    buffers: dict[tuple[int, bytes], list[int]] = field(default_factory=dict)
    operators: list[tflite.OperatorT] = field(default_factory=list)
    names: set[str] = field(default_factory=set)
    given: dict[tuple[int, int], int] = field(default_factory=dict)
    tensors: list[tflite.TensorT] = field(default_factory=list)
    codes: dict[tuple[str, int], int] = field(default_factory=dict)
    share: bool = True
    borrowed: bool = False

    def write(self) -> tuple[int, ...]:
        """Applies the plan; returns the new position of every operator."""
        main = tflite.main_graph(self.model)
        self.names = {tensor.name for tensor in self.graph.tensors}
        self.forms = dict(self.plan.inputs)
        for op, planned in zip(self.graph.ops, self.plan.ops, strict=True):
            self.forms |= {tensor: form for tensor, form in zip(op.outputs, planned.outputs, strict=True) if form is not None}
        for tensor, form in self.forms.items():
            if not (self.borrowed and form == FLOAT):  # it is float already
                main.tensors[tensor] = self._own(main.tensors[tensor])
                self._declare(main.tensors[tensor], form)
        positions = tuple(self._write_op(index, planned) for index, planned in enumerate(self.plan.ops))
        self._write_outputs()
        main.operators, self.tensors = self.operators, list(main.tensors)
        if not self.borrowed:
            compact(self.model)
        return positions

    def _own(self, one: Any) -> Any:
        """An object to change."""
        return tflite.shallow_copy(one) if self.borrowed else one

    def _write_op(self, index: int, planned: OpPlan) -> int:
        op, operator = self.graph.ops[index], tflite.main_graph(self.model).operators[index]
        inputs = tuple([self._operand(op, position, operand) for position, operand in enumerate(planned.inputs)])
        if self.borrowed and inputs == op.inputs and planned.version == op.version and not planned.options:
            self.operators.append(operator)
            return len(self.operators) - 1
        operator = self._own(operator)
        operator.inputs = np.asarray(inputs, np.int32)
        if planned.version != op.version:
            operator.opcodeIndex = self._code(op.name, planned.version)
        if planned.options:
            operator.builtinOptions = self._own(operator.builtinOptions)
            tflite.change_options(operator, op.name, planned.options)
        self.operators.append(operator)
        return len(self.operators) - 1

    def _code(self, name: str, version: int) -> int:
        """Of the operator code, which is looked for once."""
        if (name, version) not in self.codes:
            self.codes[name, version] = tflite.op_code(self.model, name, version)
        return self.codes[name, version]

    def _operand(self, op: Op, position: int, operand: Operand) -> int:
        """The tensor that an operator reads."""
        tensor = op.inputs[position] if position < len(op.inputs) else -1
        if operand.value is not None:
            tensor = self.given[op.index, position] = self._given_constant(op, tensor, operand.form or FLOAT, operand.value)
        elif operand.form is not None:
            tensor = self._in_form(tensor, operand.form)
        return self._unpacked(tensor, operand.form) if operand.unpacked and operand.form else tensor

    def _given_constant(self, op: Op, tensor: int, form: Form, value: np.ndarray) -> int:
        """A constant that another value stands for, or that the float file does not have."""
        name = self.graph.tensors[tensor].name if tensor >= 0 else f"{self.graph.tensors[op.outputs[0]].name}_bias"
        return self._add_constant(name, form, self.graph.tensors[tensor].shape if tensor >= 0 else value.shape, given_data(value, form))

    def _unpacked(self, constant: int, form: Form) -> int:
        """The float values of a stored constant, computed before its first reader."""
        if constant not in self.unpacked:
            main = tflite.main_graph(self.model)
            stored = main.tensors[constant]
            name = self._fresh_name(tflite.text(stored.name), FLOAT)
            self.unpacked[constant] = tflite.add_tensor(self.model, main, name, "FLOAT32", tflite.shape(stored))
            self._convert("DEQUANTIZE", _dequantize_version(form), constant, self.unpacked[constant])
        return self.unpacked[constant]

    def _write_outputs(self) -> None:
        """Gives every model output its form; the tensor in that form has the output's name."""
        main = tflite.main_graph(self.model)
        outputs = {}
        for tensor in self.graph.outputs:
            form = self.plan.outputs.get(tensor, FLOAT)
            outputs[tensor] = self._in_form(tensor, form) if self.graph.tensors[tensor].type == "FLOAT32" else tensor
            if outputs[tensor] != tensor and tensor not in self.graph.inputs:
                for index in (tensor, outputs[tensor]):
                    main.tensors[index] = self._own(main.tensors[index])
                computed, shown = main.tensors[tensor], main.tensors[outputs[tensor]]
                shown.name = self.graph.tensors[tensor].name.encode()
                computed.name = self._fresh_name(self.graph.tensors[tensor].name, self.forms.get(tensor, FLOAT)).encode()
        main.outputs = np.asarray([outputs[tensor] for tensor in self.graph.outputs], np.int32)
        for signature in self.model.signatureDefs or ():
            for entry in signature.outputs or () if signature.subgraphIndex == 0 else ():
                entry.tensorIndex = outputs.get(entry.tensorIndex, entry.tensorIndex)

    def _in_form(self, tensor: int, form: Form) -> int:
        """The tensor in that form, made on first use."""
        if self.forms.get(tensor, FLOAT) == form:
            return tensor
        if (tensor, form) not in self.variants:
            make = self._quantized_constant if self.graph.tensors[tensor].constant else self._converted
            self.variants[tensor, form] = make(tensor, form)
        return self.variants[tensor, form]

    def _quantized_constant(self, tensor: int, form: Form) -> int:
        """A constant keeps its name in every form."""
        return self._add_constant(self.graph.tensors[tensor].name, form, self.graph.tensors[tensor].shape, constant_data(self.graph, tensor, form))

    def _add_constant(self, name: str, form: Form, shape: tuple[int, ...], data: np.ndarray) -> int:
        main = tflite.main_graph(self.model)
        made = tflite.add_tensor(self.model, main, name, form.type, shape, buffer=self._buffer(data))
        self._declare(main.tensors[made], form)
        return made

    def _buffer(self, data: np.ndarray) -> int:
        """Constants of equal bytes share one."""
        if not self.share:
            return tflite.add_buffer(self.model, data)
        stored = np.ascontiguousarray(data).reshape(-1).view(np.uint8)
        alike = self.buffers.setdefault((stored.size, stored[:: max(1, stored.size // GLANCE)].tobytes()), [])
        for index in alike:
            if np.array_equal(self.model.buffers[index].data, stored):
                return index
        alike.append(tflite.add_buffer(self.model, stored))
        return alike[-1]

    def _converted(self, tensor: int, form: Form) -> int:
        source, read = self.forms.get(tensor, FLOAT), tensor
        if (source.type, form.type) == ("INT16", "UINT8"):  # there is no kernel from one to the other; int8 in the same scale loses nothing
            source = Form("INT8", form.scales, (form.zero_point - UINT8_SHIFT,))
            read = self._in_form(tensor, source)
        made = self._new_activation(tensor, self._fresh_name(self.graph.tensors[tensor].name, form), form)
        if form == FLOAT:
            self._convert("DEQUANTIZE", _dequantize_version(source), read, made)
        else:
            version = QUANTIZE_INT16_VERSION if "INT16" in (source.type, form.type) else QUANTIZE_VERSION
            self._convert("QUANTIZE", version, read, made)
        return made

    def _convert(self, name: str, version: int, source: int, target: int) -> None:
        self.operators.append(tflite.add_op(self.model, name, version, [source], [target]))

    def _new_activation(self, tensor: int, name: str, form: Form) -> int:
        model = self.model
        main = tflite.main_graph(model)
        made = tflite.add_tensor(model, main, name, form.type, self.graph.tensors[tensor].shape)
        main.tensors[made].shapeSignature = main.tensors[tensor].shapeSignature
        main.tensors[made].hasRank = main.tensors[tensor].hasRank
        self._declare(main.tensors[made], form)
        return made

    def _declare(self, tensor: tflite.TensorT, form: Form) -> None:
        tflite.set_type(tensor, form.type, form.scales, form.zero_points, axis=form.axis)

    def _fresh_name(self, stem: str, form: Form) -> str:
        """`name_int8`, with a number if that is taken."""
        wanted = name = stem + SUFFIXES.get(form.type, f"_{form.type.lower()}")
        number = 2
        while name in self.names:
            name, number = f"{wanted}_{number}", number + 1
        self.names.add(name)
        return name


def constant_data(graph: FloatGraph, tensor: int, form: Form) -> np.ndarray:
    """What the file holds of a constant in a form; the first one is kept, another one remembered until it is asked for in a third."""
    facts = graph.facts(tensor)
    for known in (facts.stored, graph.measured.stored.get(tensor)):
        if known is not None and known[0] == form:
            return known[1]
    data = _packed(quantize_values(graph.value(tensor), form), form)
    kept = facts.keep(form, data)
    if kept is not None:
        return kept
    graph.measured.stored[tensor] = (form, data)
    return data


def given_data(value: np.ndarray, form: Form) -> np.ndarray:
    """What the file holds of a value in a form."""
    return value if form == FLOAT else _packed(quantize_values(value, form), form)


def _packed(stored: np.ndarray, form: Form) -> np.ndarray:
    return tflite.packed_int4(stored) if form.type == "INT4" else stored


def _dequantize_version(source: Form) -> int:
    return PER_CHANNEL_DEQUANTIZE_VERSION if source.type == "INT8" and len(source.scales) > 1 else DEQUANTIZE_VERSIONS[source.type]
