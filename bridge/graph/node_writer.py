"""Writes the operators of a function of one tensor beside that tensor."""

import numpy as np
import onnx_ir as ir

from bridge.graph.values import new_constant


class NodeWriter:
    """Makes nodes whose outputs are like one tensor; nothing is in the graph but the constants.

    Args:
        graph: receives the constants.
        like: gives shape and dtype.
        name: constants are named after it.
    """

    def __init__(self, graph: ir.Graph, like: ir.Value, name: str) -> None:
        self._graph, self._like, self._name = graph, like, name
        self.nodes: list[ir.Node] = []

    def __call__(self, op_type: str, *operands: ir.Value | float, **attributes: str) -> ir.Value:
        """An operator with one output; numbers become constants of the dtype of the tensor."""
        node = ir.node(op_type, [self._value(operand) for operand in operands], attributes=dict(attributes))
        self.nodes.append(node)
        output = node.outputs[0]
        output.type, output.shape = self._like.type, None if self._like.shape is None else self._like.shape.copy()
        return output

    def _value(self, operand: ir.Value | float) -> ir.Value:
        if isinstance(operand, ir.Value):
            return operand
        dtype = np.dtype(np.float32) if self._like.dtype is None else self._like.dtype.numpy()
        return new_constant(self._graph, f"{self._name}_constant", np.array(operand, dtype))
