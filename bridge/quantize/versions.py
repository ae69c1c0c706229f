"""Operator versions that depend on the operator.

Source: `op_version.cc` of LiteRT, which converters follow: a runtime that does not know a version refuses the file instead of running it wrongly.
"""

from collections.abc import Callable

from msgspec import Struct

from bridge.quantize.float_graph import FloatGraph, Op


class Version(Struct, frozen=True):
    """A version that an operator's shape or options decide.

    Attributes:
        words: for people.
        find: the version of an operator.
    """

    words: str
    find: Callable[[FloatGraph, Op], int]

    def __call__(self, graph: FloatGraph, op: Op) -> int:
        """The version of an operator."""
        return self.find(graph, op)


def _grouped(graph: FloatGraph, op: Op) -> bool:
    return graph.tensors[op.inputs[1]].shape[-1] != graph.tensors[op.inputs[0]].shape[-1]


def _has(op: Op, position: int) -> bool:
    return len(op.inputs) > position and op.inputs[position] >= 0


def _fully_connected(graph: FloatGraph, op: Op) -> int:
    if not _has(op, 2):
        return 6
    return 5 if op.options.keepNumDims else 4


def _transpose_conv(graph: FloatGraph, op: Op) -> int:
    if op.options.fusedActivationFunction:
        return 4
    return 3 if _has(op, 3) else 2


CONV = Version("3, grouped 6", lambda graph, op: 6 if _grouped(graph, op) else 3)
CONV_INT16 = Version("4, grouped 6", lambda graph, op: 6 if _grouped(graph, op) else 4)
CONV_HYBRID = Version("5, grouped 6", lambda graph, op: 6 if _grouped(graph, op) else 5)
FULLY_CONNECTED = Version("4, kept dimensions 5, without bias 6", _fully_connected)
TRANSPOSE_CONV = Version("2, with bias 3, with activation 4", _transpose_conv)
RESIZE = Version("2, half-pixel or aligned corners 3", lambda graph, op: 3 if op.options.halfPixelCenters or op.options.alignCorners else 2)
