"""The main graph of a float TFLite file as the planner reads it: nothing here changes the file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from msgspec import Struct, field

from bridge.errors import InputError
from bridge.quantize.constant_facts import Facts, facts_of
from bridge.quantize.forms import Form
from bridge.tflite import model as tflite


class Tensor(NamedTuple):
    """A tensor of the graph; `type` is TFLite's name of the element type, a constant has its value in the file."""

    index: int  # type: ignore[assignment]  # tuples have a method of that name
    name: str
    shape: tuple[int, ...]
    type: str
    constant: bool


class Op(NamedTuple):
    """An operator; an optional input that is absent has index -1. `options` are the schema's builtin options, None where it has none."""

    index: int  # type: ignore[assignment]  # tuples have a method of that name
    name: str
    version: int
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: Any


class Measured(Struct, frozen=True):
    """What follows from the operators and the constants of the file, kept for the next file that is made of it.

    Attributes:
        facts: of constants.
        plans: operator -> where it was placed last, what else it was planned from, and its plan.
        needs: operator and precision -> the activations that need a range, and what is wrong whatever their ranges are.
        stored: tensor -> the last form it was stored in that is no longer its first one, and what is stored.
        steps: operator and integer precision -> how it runs there.
        idle: the outputs of the graph, which operators run on integers, and which of those are better merged with the float ones around them; the last ones.
    """

    facts: dict[int, Facts] = field(default_factory=dict)
    plans: dict[int, tuple[object, Sequence[object], Any]] = field(default_factory=dict)
    needs: dict[tuple[int, str], tuple[tuple[str, ...], str]] = field(default_factory=dict)
    stored: dict[int, tuple[Form, np.ndarray]] = field(default_factory=dict)
    steps: dict[tuple[int, str], Any] = field(default_factory=dict)
    idle: dict[tuple[tuple[int, ...], tuple[bool, ...]], frozenset[int]] = field(default_factory=dict)

    def forget_arrays(self) -> None:
        """Gives back the memory of all that can be as large as the file."""
        self.stored.clear()
        self.plans.clear()


class FloatGraph(Struct, frozen=True, eq=False):
    """Operators in execution order, tensors by index.

    Attributes:
        model: the file; whoever changes it works on a copy.
        producers: tensor -> operator that writes it.
        readers: tensor -> operators that read it, in order, each once.
        floats: tensors that are float activations.
        measured: what was computed from it.
    """

    model: tflite.ModelT
    ops: tuple[Op, ...]
    tensors: tuple[Tensor, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    producers: Mapping[int, int]
    readers: Mapping[int, tuple[int, ...]]
    floats: frozenset[int]
    measured: Measured = field(default_factory=Measured)

    def value(self, tensor: int) -> np.ndarray:
        """The value of a constant tensor; a view."""
        return tflite.constant(self.model, tflite.main_graph(self.model).tensors[tensor])

    def facts(self, tensor: int) -> Facts:
        """What is known of a constant tensor."""
        found = self.measured.facts.get(tensor)
        if found is None:
            found = self.measured.facts[tensor] = facts_of(self.value(tensor))
        return found


def graph_of(path: Path) -> FloatGraph:
    """The main graph of a file, with what was measured of it before: there is one as long as the file is read again and again.

    Whoever has done with it calls `forget_arrays` of its measurements.

    Raises:
        InputError: as `read_graph`, or the file cannot be read.
    """
    return tflite.made_once(tflite.read_once(path), "float graph", lambda model: read_graph(model, where=str(path)))


def read_graph(model: tflite.ModelT, *, where: str) -> FloatGraph:
    """The main graph of a TFLite file; `where` names the file in errors.

    Raises:
        InputError: two activations share a name, so that ranges by name could not tell them apart.
    """
    graph = tflite.main_graph(model)
    tensors = tuple(
        Tensor(index, tflite.text(tensor.name), tflite.shape(tensor), tflite.TYPE_NAMES[tensor.type], tflite.is_constant(model, tensor))
        for index, tensor in enumerate(graph.tensors)
    )
    repeated = [name for name, count in Counter(tensors[index].name for index in tflite.activations(model)).items() if count > 1]
    if repeated:
        raise InputError(f"{where}: several tensors share a name, calibrated ranges cannot be told apart. Received: {repeated[:5]}.")
    ops = tuple(
        Op(index, name, model.operatorCodes[op.opcodeIndex].version, _indices(op.inputs), _indices(op.outputs), op.builtinOptions)
        for index, (op, name) in enumerate(zip(graph.operators, tflite.op_names(model), strict=True))
    )
    readers: dict[int, list[int]] = {}
    for op in ops:
        for tensor in dict.fromkeys(op.inputs):
            readers.setdefault(tensor, []).append(op.index)
    return FloatGraph(
        model=model,
        ops=ops,
        tensors=tensors,
        inputs=_indices(graph.inputs),
        outputs=_indices(graph.outputs),
        producers=MappingProxyType({tensor: op.index for op in ops for tensor in op.outputs}),
        readers=MappingProxyType({tensor: tuple(found) for tensor, found in readers.items()}),
        floats=frozenset(tensor.index for tensor in tensors if tensor.type == "FLOAT32" and not tensor.constant),
    )


def _indices(values: Any) -> tuple[int, ...]:
    return () if values is None else tuple(np.asarray(values).tolist())
