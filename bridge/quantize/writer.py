"""Writes a plan into the TFLite objects: new constants, new tensor types, QUANTIZE and DEQUANTIZE where forms differ."""

from dataclasses import dataclass, field

import numpy as np

from bridge.quantize.float_graph import FloatGraph
from bridge.quantize.forms import FLOAT, Form, quantize_values
from bridge.quantize.plan import OpPlan, Plan
from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact

SUFFIXES = {"FLOAT32": "_float"}
DEQUANTIZE_VERSIONS = {"INT8": 2, "UINT8": 1}
QUANTIZE_VERSION = 1


@dataclass(slots=True)
class Writer:
    """Edits the model in place; one use.

    A tensor keeps its index and, in the form it is computed in, its name. Another form of it is a new tensor with a suffix, made once by a
    QUANTIZE or DEQUANTIZE before its first reader. Names of model inputs and outputs stay with the inputs and outputs.
    """

    graph: FloatGraph
    plan: Plan
    forms: dict[int, Form] = field(default_factory=dict)
    variants: dict[tuple[int, Form], int] = field(default_factory=dict)
    operators: list[tflite.OperatorT] = field(default_factory=list)
    names: set[str] = field(default_factory=set)

    def write(self) -> tuple[int, ...]:
        """Applies the plan; returns the new position of every operator."""
        main = tflite.main_graph(self.graph.model)
        self.names = {tensor.name for tensor in self.graph.tensors}
        self.forms = dict(self.plan.inputs)
        for op, planned in zip(self.graph.ops, self.plan.ops, strict=True):
            self.forms |= {tensor: form for tensor, form in zip(op.outputs, planned.outputs, strict=True) if form is not None}
        for tensor, form in self.forms.items():
            self._declare(main.tensors[tensor], form)
        positions = tuple(self._write_op(index, planned) for index, planned in enumerate(self.plan.ops))
        self._write_outputs()
        main.operators = self.operators
        compact(self.graph.model)
        return positions

    def _write_op(self, index: int, planned: OpPlan) -> int:
        operator = tflite.main_graph(self.graph.model).operators[index]
        op = self.graph.ops[index]
        read = [tensor if form is None else self._in_form(tensor, form) for tensor, form in zip(op.inputs, planned.inputs, strict=True)]
        operator.inputs = np.asarray(read, np.int32)
        if planned.version != op.version:
            operator.opcodeIndex = tflite.op_code(self.graph.model, op.name, planned.version)
        self.operators.append(operator)
        return len(self.operators) - 1

    def _write_outputs(self) -> None:
        """Gives every model output its form; the tensor in that form has the output's name."""
        main = tflite.main_graph(self.graph.model)
        outputs = {}
        for tensor in self.graph.outputs:
            form = self.plan.outputs.get(tensor, FLOAT)
            outputs[tensor] = self._in_form(tensor, form) if self.graph.tensors[tensor].type == "FLOAT32" else tensor
            if outputs[tensor] != tensor and tensor not in self.graph.inputs:
                computed, shown = main.tensors[tensor], main.tensors[outputs[tensor]]
                shown.name = self.graph.tensors[tensor].name.encode()
                computed.name = self._fresh_name(tensor, self.forms.get(tensor, FLOAT)).encode()
        main.outputs = np.asarray([outputs[tensor] for tensor in self.graph.outputs], np.int32)
        for signature in self.graph.model.signatureDefs or ():
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
        """A constant keeps its name in every integer form."""
        stored = quantize_values(self.graph.value(tensor), form)
        return self._new_tensor(tensor, self.graph.tensors[tensor].name, form, buffer=tflite.add_buffer(self.graph.model, stored))

    def _converted(self, tensor: int, form: Form) -> int:
        source = self.forms.get(tensor, FLOAT)
        name, version = ("DEQUANTIZE", DEQUANTIZE_VERSIONS[source.type]) if form == FLOAT else ("QUANTIZE", QUANTIZE_VERSION)
        made = self._new_tensor(tensor, self._fresh_name(tensor, form), form, buffer=0)
        self.operators.append(tflite.add_op(self.graph.model, name, version, [tensor], [made]))
        return made

    def _new_tensor(self, tensor: int, name: str, form: Form, *, buffer: int) -> int:
        model = self.graph.model
        main = tflite.main_graph(model)
        made = tflite.add_tensor(model, main, name, form.type, self.graph.tensors[tensor].shape, buffer=buffer)
        main.tensors[made].shapeSignature = main.tensors[tensor].shapeSignature
        main.tensors[made].hasRank = main.tensors[tensor].hasRank
        self._declare(main.tensors[made], form)
        return made

    def _declare(self, tensor: tflite.TensorT, form: Form) -> None:
        tflite.set_type(tensor, form.type, form.scales, form.zero_points, axis=form.axis)

    def _fresh_name(self, tensor: int, form: Form) -> str:
        """`name_int8`, with a number if that is taken."""
        wanted = name = self.graph.tensors[tensor].name + SUFFIXES.get(form.type, f"_{form.type.lower()}")
        number = 2
        while name in self.names:
            name, number = f"{wanted}_{number}", number + 1
        self.names.add(name)
        return name
