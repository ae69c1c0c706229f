"""The last hidden state of an LSTM -> the last step of its output sequence.

Where only Y_h is read, onnx2tf 2.6.9 hands out the whole sequence in its place.
"""

import onnx_ir as ir

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Source: ONNX LSTM-14; Y [T, D, B, H], Y_h [D, B, H]; a backward direction ends at step 0."""
    shape = static_shape(node.outputs[0])
    if shape is None or len(node.outputs) < 2 or not _is_used(node.outputs[1]):
        return None
    build = Builder(graph, str(node.name))
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    outputs = build.ops("LSTM", *node.inputs, attributes=attributes, outputs=len(node.outputs))
    steps, directions, batch, size = shape
    backwards = node.attributes.get_string("direction", "forward") == "reverse"
    ends = [0 if backwards or direction == 1 else steps - 1 for direction in range(directions)]
    parts = []
    for direction, end in enumerate(ends):
        last = build.op(
            "Slice", outputs[0], build.integers([end, direction]), build.integers([end + 1, direction + 1]), build.integers([0, 1])
        )  # fmt: skip
        parts.append(build.op("Reshape", last, build.integers([1, batch, size])))
    state = parts[0] if len(parts) == 1 else build.op("Concat", *parts, attributes={"axis": 0})
    return build.done(outputs[0], state, *outputs[2:])


def _is_used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()
