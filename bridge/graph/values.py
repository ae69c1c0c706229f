"""Reading and making values of an `ir.Graph`."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

GRAPHS = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)  # of attributes that hold subgraphs; a set would ask Python for the hash of each kind


def static_shape(value: ir.Value | None) -> tuple[int, ...] | None:
    """Sizes of a value, None while any is unknown."""
    if value is None or value.shape is None:
        return None
    sizes = value.shape.dims
    for size in sizes:  # asked for some ten times for every value of a graph
        if not isinstance(size, int):
            return None
    return sizes  # type: ignore[return-value]  # of numbers, as was just seen


def constant_array(value: ir.Value | None) -> np.ndarray | None:
    """The contents of a constant, None for what the model computes; a view, not to be written to."""
    return None if value is None or value.const_value is None else value.const_value.numpy()


def new_constant(graph: ir.Graph, name: str, array: np.ndarray) -> ir.Value:
    """A constant of the graph under `name`, or a name derived from it if that is taken."""
    candidate, count = name, 1
    while candidate in graph.initializers:
        count += 1
        candidate = f"{name}_{count}"
    tensor = ir.Tensor(np.asarray(array, order="C"), name=candidate)  # ascontiguousarray makes a vector of a scalar
    value = ir.Value(name=candidate, const_value=tensor, type=ir.TensorType(tensor.dtype), shape=ir.Shape(array.shape))
    graph.register_initializer(value)
    return value


def new_node(
    op_type: str,
    inputs: Sequence[ir.Value | None],
    shape: Sequence[int],
    *,
    attributes: Mapping[str, int | float | str | Sequence[int] | Sequence[float]] | None = None,
    dtype: ir.DataType | None = None,
) -> ir.Node:
    """A standard operator with one output of known shape, not yet in the graph; the dtype is that of its first input unless given."""
    node = ir.node(op_type, inputs, attributes=dict(attributes or {}))
    output = node.outputs[0]
    output.shape = ir.Shape(shape)
    first = inputs[0] if inputs else None
    kind = dtype if dtype is not None else (None if first is None else first.dtype)
    output.type = None if kind is None else ir.TensorType(kind)
    return node


def new_reshape(graph: ir.Graph, value: ir.Value, shape: Sequence[int]) -> ir.Node:
    """A Reshape to a static shape, not yet in the graph."""
    return new_node("Reshape", [value, new_constant(graph, f"shape_{'x'.join(map(str, shape))}", np.array(shape, np.int64))], shape)


def only_user(value: ir.Value) -> ir.Node | None:
    """The node that alone reads `value`, once; None when others do or it is a model output."""
    uses = list(value.uses())
    return uses[0].node if len(uses) == 1 and not value.is_graph_output() else None
