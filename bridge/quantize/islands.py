"""Integer islands that are not worth their borders: a few cheap operators alone between float ones."""

import math
from collections.abc import Iterable, Mapping, Sequence

from bridge.quantize.float_graph import FloatGraph, Op
from bridge.quantize.op_table import OPS, Role

ALONE = "alone between float operators: converting its operands costs more than integers would save"


def idle_operators(graph: FloatGraph, integer: Sequence[bool]) -> frozenset[int]:
    """The operators of islands that are better merged with the float operators around them.

    Those are islands with at least as many borders (values that are converted) as operators that compute anything, without matrices, without a
    constant that is larger than what is read of it, and without a model input or output. Float is exact there, and a QUANTIZE or DEQUANTIZE takes
    as long as such an operator: the default rules left 5 of them in a MiniLM, and 2 RELU between float convolutions of a super-resolution net.

    Args:
        graph: the float graph.
        integer: per operator, whether it runs on integers.
    """
    doors = {*graph.inputs, *graph.outputs}
    found: set[int] = set()
    for ops in _connected(graph, integer):
        members = [graph.ops[index] for index in ops]
        touched = {tensor for op in members for tensor in (*_data(graph, op), *op.outputs)}
        borders = set(_borders(graph, members, integer))
        computing = sum(not OPS[op.name].moves_data for op in members)
        if not touched & doors and computing <= len(borders) and not any(_holds_weights(graph, op) for op in members):
            found.update(ops)
    return frozenset(found)


def _connected(graph: FloatGraph, integer: Sequence[bool]) -> list[tuple[int, ...]]:
    """Groups of integer operators joined by what one writes and another reads."""
    parents: dict[int, int] = {op.index: op.index for op in graph.ops if integer[op.index]}
    for op in graph.ops:
        for tensor in _data(graph, op) if integer[op.index] else ():
            producer = graph.producers.get(tensor)
            if producer in parents:
                parents[_root(parents, op.index)] = _root(parents, producer)
    groups: dict[int, list[int]] = {}
    for index in parents:
        groups.setdefault(_root(parents, index), []).append(index)
    return [tuple(group) for group in groups.values()]


def _root(parents: Mapping[int, int], index: int) -> int:
    while parents[index] != index:
        index = parents[index]
    return index


def _borders(graph: FloatGraph, members: Sequence[Op], integer: Sequence[bool]) -> Iterable[int]:
    """Values that come from a float operator or are read by one."""
    for op in members:
        for tensor in _data(graph, op):
            producer = graph.producers.get(tensor)
            if producer is None or not integer[producer]:
                yield tensor
        for tensor in op.outputs:
            if graph.tensors[tensor].type == "FLOAT32" and not all(integer[reader] for reader in graph.readers.get(tensor, ())):
                yield tensor


def _data(graph: FloatGraph, op: Op) -> list[int]:
    """Float activations that an operator reads."""
    return [tensor for tensor in op.inputs if tensor in graph.floats]


def _holds_weights(graph: FloatGraph, op: Op) -> bool:
    """Whether integers save real work or real bytes."""
    if Role.WEIGHT in OPS[op.name].inputs or op.name == "BATCH_MATMUL":
        return True
    written = math.prod(graph.tensors[op.outputs[0]].shape)
    constants = [graph.tensors[tensor] for tensor in op.inputs if tensor >= 0 and graph.tensors[tensor].constant]
    return any(math.prod(constant.shape) > written for constant in constants if constant.type == "FLOAT32")
