"""Where channels of a float TFLite file can be rescaled without changing what it computes: between two weighted operators."""

import numpy as np
from msgspec import Struct

from bridge.quantize.float_graph import FloatGraph, Op

NONE, RELU = 0, 1  # fused activations that commute with positive factors; RELU6 does not
PASSING_OPS = frozenset(
    {"RELU", "LEAKY_RELU", "PRELU", "PAD", "MAX_POOL_2D", "AVERAGE_POOL_2D", "RESIZE_BILINEAR", "RESIZE_NEAREST_NEIGHBOR"}
)  # a factor per channel in front of them is the same factor behind them
WEIGHTED_OPS = frozenset({"CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED"})


class Chain(Struct, frozen=True, eq=False):
    """A weighted operator, operators that pass factors on, and the weighted operator that reads the result, each with one reader.

    Attributes:
        first: whose output channels can be divided by factors.
        last: whose input channels can be multiplied by them.
        tensors: the activations between them, in order.
    """

    first: Op
    last: Op
    tensors: tuple[int, ...]

    @property
    def per_channel(self) -> bool:
        """Whether each channel of the last weight has a scale of its own."""
        return self.last.name == "DEPTHWISE_CONV_2D"


def find_chains(graph: FloatGraph) -> list[Chain]:
    """All chains, in the order of computation."""
    return [chain for op in graph.ops if op.name in WEIGHTED_OPS and (chain := _chain(graph, op)) is not None]


def _chain(graph: FloatGraph, first: Op) -> Chain | None:
    if getattr(first.options, "fusedActivationFunction", NONE) not in (NONE, RELU) or not _own_constants(graph, first):
        return None
    width = graph.tensors[first.outputs[0]].shape[-1:]
    tensors = [first.outputs[0]]
    while True:
        readers = graph.readers.get(tensors[-1], ())
        if len(readers) != 1 or tensors[-1] in graph.outputs or graph.tensors[tensors[-1]].shape[-1:] != width:
            return None
        op = graph.ops[readers[0]]
        if op.inputs[0] != tensors[-1] or op.inputs.count(tensors[-1]) != 1:
            return None
        if op.name in WEIGHTED_OPS:
            return Chain(first, op, tuple(tensors)) if _takes_factors(graph, op, width[0]) else None
        if op.name not in PASSING_OPS or not _passes(graph, op):
            return None
        tensors.append(op.outputs[0])


def _passes(graph: FloatGraph, op: Op) -> bool:
    if getattr(op.options, "fusedActivationFunction", NONE) not in (NONE, RELU):
        return False
    return op.name != "PRELU" or graph.tensors[op.inputs[1]].constant


def _takes_factors(graph: FloatGraph, op: Op, width: int) -> bool:
    if not _own_constants(graph, op):
        return False
    return graph.tensors[op.inputs[1]].shape[-1] == width  # else a group, a depth multiplier, or a reshape inside the operator


def _own_constants(graph: FloatGraph, op: Op) -> bool:
    """Weight and bias are float constants that nobody else reads."""
    operands = [tensor for tensor in op.inputs[1:3] if tensor >= 0]
    return all(graph.tensors[at].constant and graph.tensors[at].type == "FLOAT32" and graph.readers[at] == (op.index,) for at in operands)


def channel_magnitudes(weight: np.ndarray) -> np.ndarray:
    """Largest magnitude per index of the last axis: the input channels of the last operator of a chain."""
    found: np.ndarray = np.abs(weight).reshape(-1, weight.shape[-1]).max(axis=0)
    return found
