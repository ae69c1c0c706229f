"""What a lowering returns: the nodes that take the place of one node."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from msgspec import Struct

from bridge.graph.values import new_constant

type Attribute = int | float | str | Sequence[int] | Sequence[float]


class Replacement(Struct, frozen=True):
    """Nodes in topological order, and per output of the replaced node the value that takes its place (None where nobody reads it)."""

    nodes: tuple[ir.Node, ...]
    outputs: tuple[ir.Value | None, ...]


class Builder:
    """Collects the nodes of a replacement; their shapes are inferred afterwards.

    Args:
        graph: receives the constants.
        name: constants are named after it.
    """

    def __init__(self, graph: ir.Graph, name: str) -> None:
        self._graph = graph
        self._name = name
        self._nodes: list[ir.Node] = []

    def constant(self, array: np.ndarray) -> ir.Value:
        """A constant as it is; give float arrays as float32 and indices as int64."""
        return new_constant(self._graph, f"{self._name}.constant", array)

    def integers(self, values: Sequence[int]) -> ir.Value:
        """A constant [N] int64."""
        return self.constant(np.array(values, np.int64))

    def scalar(self, value: float) -> ir.Value:
        """A constant [] float32."""
        return self.constant(np.array(value, np.float32))

    def op(self, op_type: str, *inputs: ir.Value | None, attributes: Mapping[str, Attribute] | None = None) -> ir.Value:
        """A standard operator with one output."""
        return self.ops(op_type, *inputs, attributes=attributes, outputs=1)[0]

    def ops(self, op_type: str, *inputs: ir.Value | None, attributes: Mapping[str, Attribute] | None = None, outputs: int) -> tuple[ir.Value, ...]:
        """A standard operator with several outputs."""
        node = ir.node(op_type, inputs, attributes=dict(attributes or {}), num_outputs=outputs)
        self._nodes.append(node)
        return tuple(node.outputs)

    def done(self, *outputs: ir.Value | None) -> Replacement:
        """The replacement that writes `outputs`; what it did not write itself is copied, for it has a name of its own."""
        own = [None if value is None or value.producer() in self._nodes else self.op("Identity", value) for value in outputs]
        return Replacement(tuple(self._nodes), tuple(mine or value for mine, value in zip(own, outputs, strict=True)))

    def discard(self) -> None:
        """Gives the collected nodes up; they must not count as readers of the graph's values."""
        for node in self._nodes:
            for index in range(len(node.inputs)):
                node.replace_input_with(index, None)
        self._nodes.clear()
