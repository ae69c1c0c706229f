"""What is converted between integers and floats inside a quantized file, and the float operators that are converted to and from alone."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from msgspec import Struct

from bridge.compare.attribution import MOVEMENT_OPS
from bridge.compare.forms import form_of
from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact

BORDER_OPS = frozenset({"QUANTIZE", "DEQUANTIZE"})


class Links(Struct, frozen=True):
    """Who writes and who reads each tensor of a main graph, by position of the operators."""

    writers: Mapping[int, int]
    readers: Mapping[int, tuple[int, ...]]
    outputs: frozenset[int]


def links(model: tflite.ModelT) -> Links:
    """The links of the main graph."""
    main = tflite.main_graph(model)
    readers: dict[int, list[int]] = {}
    for position, op in enumerate(main.operators):
        for tensor in dict.fromkeys(op.inputs.tolist()):
            readers.setdefault(tensor, []).append(position)
    writers = {tensor: position for position, op in enumerate(main.operators) for tensor in op.outputs.tolist()}
    return Links(writers, {tensor: tuple(found) for tensor, found in readers.items()}, frozenset(map(int, main.outputs)))


def converted_elements(model: tflite.ModelT) -> int:
    """Elements that QUANTIZE and DEQUANTIZE convert in one run; constants are converted once, when the file is loaded, and do not count."""
    named = zip(tflite.op_names(model), tflite.main_graph(model).operators, strict=True)
    borders = (op for name, op in named if name in BORDER_OPS and not _constant(model, int(op.inputs[0])))
    return sum(_size(model, int(op.outputs[0])) for op in borders)


def cancelling_pairs(model: tflite.ModelT) -> int:
    """Conversions that only undo the one before them: back to the very form that was left, or through integers between two float operators."""
    main, names, found = tflite.main_graph(model), tflite.op_names(model), links(model)
    count = 0
    for name, op in zip(names, main.operators, strict=True):
        before = found.writers.get(int(op.inputs[0])) if name in BORDER_OPS else None
        if before is not None and names[before] in BORDER_OPS:
            source, target = main.tensors[main.operators[before].inputs[0]], main.tensors[op.outputs[0]]
            count += source.type == target.type and form_of(source) == form_of(target)
    return count


class LoneOp(Struct, frozen=True):
    """A float operator that only integers surround.

    Attributes:
        position: in the quantized file.
        borders: positions of the DEQUANTIZE and QUANTIZE operators around it.
        converted_elements: what those convert in one run.
    """

    position: int
    borders: tuple[int, ...]
    converted_elements: int


def lone_float_ops(model: tflite.ModelT) -> tuple[LoneOp, ...]:
    """Float operators that read nothing but what a DEQUANTIZE makes of integers and write only for QUANTIZE; those that move data count not."""
    main, names, found = tflite.main_graph(model), tflite.op_names(model), links(model)
    return tuple(
        LoneOp(position, borders, sum(_size(model, int(main.operators[border].outputs[0])) for border in borders))
        for position, op in enumerate(main.operators)
        if names[position] not in MOVEMENT_OPS and (borders := _borders(model, names, found, op))
    )


def _borders(model: tflite.ModelT, names: Sequence[str], found: Links, op: tflite.OperatorT) -> tuple[int, ...]:
    """The conversions around an operator; none unless there are some on every activation that it reads and writes."""
    written = op.outputs.tolist()
    behind = [reader for tensor in written for reader in found.readers.get(tensor, ())]
    if {names[position] for position in behind} != {"QUANTIZE"} or not found.outputs.isdisjoint(written):
        return ()  # as for most
    writers = [found.writers.get(tensor) for tensor in op.inputs.tolist() if tensor >= 0 and not _constant(model, tensor)]
    before = [position for position in writers if position is None or not _unpacks(model, names, position)]
    reads = {names[position] if position is not None else "" for position in before}
    return tuple(dict.fromkeys(position for position in (*before, *behind) if position is not None)) if reads == {"DEQUANTIZE"} else ()


def _unpacks(model: tflite.ModelT, names: Sequence[str], position: int) -> bool:
    """Whether an operator makes a float weight of a stored one."""
    return names[position] in BORDER_OPS and _constant(model, int(tflite.main_graph(model).operators[position].inputs[0]))


def alone(model: tflite.ModelT, lone: LoneOp) -> bytes:
    """A file with nothing but the operator and its conversions; `model` belongs to the caller no longer."""
    main, found = tflite.main_graph(model), links(model)
    kept = {lone.position, *lone.borders}
    kept |= {found.writers[int(tensor)] for tensor in main.operators[lone.position].inputs if int(tensor) in found.writers}
    main.operators = [op for position, op in enumerate(main.operators) if position in kept]
    written = {int(tensor) for op in main.operators for tensor in op.outputs}
    read = dict.fromkeys(int(tensor) for op in main.operators for tensor in op.inputs if tensor >= 0)
    main.inputs = np.asarray([tensor for tensor in read if tensor not in written and not _constant(model, tensor)], np.int32)
    main.outputs = np.asarray([tensor for tensor in written if tensor not in read], np.int32)
    model.subgraphs, model.signatureDefs, model.metadata = [main], None, None
    compact(model)
    return tflite.serialize(model)


def _constant(model: tflite.ModelT, tensor: int) -> bool:
    return tflite.is_constant(model, tflite.main_graph(model).tensors[tensor])


def _size(model: tflite.ModelT, tensor: int) -> int:
    return math.prod(tflite.shape(tflite.main_graph(model).tensors[tensor]))
