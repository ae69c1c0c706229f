"""Numbers for the values of a TFLite graph: two tensors have one number only if they are computed alike, from the same model inputs and constants."""

import itertools
from collections.abc import Hashable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from bridge.tflite import model as tflite

# Two of them need not give the same for the same inputs: draws, tables outside of the graph, other graphs, code that is not known here.
UNLIKE_THEMSELVES = frozenset(
    {
        "ASSIGN_VARIABLE", "CALL", "CALL_ONCE", "HASHTABLE", "HASHTABLE_FIND", "HASHTABLE_IMPORT", "HASHTABLE_LOOKUP", "HASHTABLE_SIZE", "IF", "MULTINOMIAL",
        "RANDOM_STANDARD_NORMAL", "RANDOM_UNIFORM", "READ_VARIABLE", "VAR_HANDLE", "WHILE",
    }
)  # fmt: skip
NOTHING: Mapping[int, int] = MappingProxyType({})


class ValueNumbers:
    """Numbers that stay the same from graph to graph, as long as these share the arrays of their constants.

    Value numbering as compilers do it for common subexpressions; Cocke and Schwartz, Programming Languages and Their Compilers, 1970.
    """

    def __init__(self) -> None:
        self._numbers: dict[Hashable, int] = {}
        self._kept: dict[int, np.ndarray] = {}  # a constant is known by where it lies, so nothing else may lie there

    def of(self, model: tflite.ModelT, operators: Sequence[tflite.OperatorT], known: Mapping[int, int] = NOTHING) -> dict[int, int]:
        """Tensor of the main graph -> number, for what these operators, in their order, read and write.

        Args:
            model: that they are in.
            operators: those to look at.
            known: numbers of tensors that other operators write, and of model inputs.
        """
        main = tflite.main_graph(model)
        codes = [_code(code) for code in model.operatorCodes]
        found = dict(known) if known else {-1: -1} | {tensor: self._number(("input", place)) for place, tensor in enumerate(main.inputs.tolist())}
        for op in operators:
            code, read = codes[op.opcodeIndex], op.inputs.tolist()
            for tensor in itertools.filterfalse(found.__contains__, read):
                found[tensor] = self._start(model, main.tensors[tensor])
            alike = (code, _options(op), tuple([found[tensor] for tensor in read])) if code is not None else object()
            computed = self._number(alike)
            for place, tensor in enumerate(op.outputs.tolist()):
                found[tensor] = self._number((computed, place, _stored_as(main.tensors[tensor])))
        return found

    def _number(self, key: Hashable) -> int:
        return self._numbers.setdefault(key, len(self._numbers))

    def _start(self, model: tflite.ModelT, tensor: tflite.TensorT) -> int:
        """Of what no operator wrote: a constant, or a variable, which is like no other."""
        data = model.buffers[tensor.buffer].data
        if tensor.isVariable or data is None or not len(data):
            return self._number(object())
        address = data.__array_interface__["data"][0]
        self._kept.setdefault(address, data)
        return self._number((address, len(data), tensor.shape.tobytes() if tensor.shape is not None else b"", _stored_as(tensor)))


def _code(code: Any) -> Hashable:
    """An operator code; None for operators that are unlike themselves."""
    builtin = tflite.builtin_code(code)
    return None if code.customCode is not None or tflite.OP_NAMES[builtin] in UNLIKE_THEMSELVES else (builtin, code.version)


def _options(op: tflite.OperatorT) -> Hashable:
    options = op.builtinOptions
    if options is None:
        return None
    values = vars(options).values()
    return type(options), tuple([value.tobytes() if isinstance(value, np.ndarray) else value for value in values])


def _stored_as(tensor: tflite.TensorT) -> Hashable:
    """Element type, scales and zero points."""
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return int(tensor.type)
    points = quantization.zeroPoint
    return tensor.type, quantization.scale.tobytes(), b"" if points is None else points.tobytes(), quantization.quantizedDimension
