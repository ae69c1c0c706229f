"""Operands that are model inputs but decide shapes, settled by the shapes that the file declares.

TFLite cannot change a shape by the contents of an input. Where the model declares the shape of what a Reshape, Expand, Tile, Split or reduction
writes, only one value of its shape operand fits, and that value becomes a constant. Where several fit, nothing is settled.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common

from bridge.graph.values import only_user, static_shape

type Shape = tuple[int, ...]
# (node, shape of its first input, shape of its first output) -> value of the operand, None where several are possible.
type Solver = Callable[[ir.Node, Shape, Shape], Sequence[int] | None]


def settled_inputs(proto: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Value of every model input that `OPERANDS` reads and that the declared shapes leave no choice for; the model is not changed."""
    given = {value.name: value for value in proto.graph.input}
    for tensor in proto.graph.initializer:
        given.pop(tensor.name, None)
    found: dict[str, np.ndarray | None] = {name: array for name, value in given.items() if (array := _unread(proto, value)) is not None}
    if not any(name in given for node in proto.graph.node if node.op_type in OPERANDS for name in node.input):
        return {name: value for name, value in found.items() if value is not None}
    model = ir.serde.deserialize_model(proto)
    common.ShapeInferencePass()(model)
    for node in model.graph:
        for position, operand in _open_operands(node):
            value, name = _value(node, position, operand), str(operand.name)
            same = name not in found or _equal(found[name], value)
            found[name] = value if same else None  # two readers, two values
    return {name: value for name, value in found.items() if value is not None}


def _unread(proto: onnx.ModelProto, value: onnx.ValueInfoProto) -> np.ndarray | None:
    """An array without elements for an input that has none and that no node reads: TFLite has no such tensors."""
    sizes = [size.dim_value if size.HasField("dim_value") else -1 for size in value.type.tensor_type.shape.dim]
    if 0 not in sizes or -1 in sizes or any(value.name in node.input for node in proto.graph.node):
        return None
    return np.zeros(sizes, onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type))


def _value(node: ir.Node, position: int, operand: ir.Value) -> np.ndarray | None:
    shape, kind = static_shape(operand), operand.dtype
    given, written = static_shape(node.inputs[0]), _written_shape(node.outputs[0])
    if shape is None or kind is None:
        return None
    if 0 in shape:
        return np.zeros(shape, kind.numpy())
    solved = None if given is None or written is None else OPERANDS[node.op_type][position](node, given, written)
    return None if solved is None or len(solved) != math.prod(shape) else np.array(solved, kind.numpy()).reshape(shape)


def _equal(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is not None and other is not None and np.array_equal(one, other)


def _open_operands(node: ir.Node) -> list[tuple[int, ir.Value]]:
    """Position and value of operands that are model inputs."""
    positions = OPERANDS.get(node.op_type, {}) if node.domain == "" else {}
    operands = [(position, node.inputs[position]) for position in positions if position < len(node.inputs)]
    return [(position, value) for position, value in operands if value is not None and value.is_graph_input() and value.const_value is None]


def _written_shape(value: ir.Value) -> Shape | None:
    """The shape of a value, or of what elementwise operators make of it."""
    shape = static_shape(value)
    user = only_user(value) if shape is None else None
    return _written_shape(user.outputs[0]) if user is not None and user.op_type in _ELEMENTWISE and user.inputs[0] is value else shape


def _nothing(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """Only its type is read; settled where it is empty."""
    return None


def _written(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """The operand is the output's shape."""
    means_itself = node.op_type != "Reshape" or 0 not in written or bool(node.attributes.get_int("allowzero", 0))
    return written if means_itself else None  # a 0 copies the size of the input


def _repeats(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    if len(given) != len(written) or 0 in given:
        return None
    return [out // size for size, out in zip(given, written, strict=True)]


def _squeezed(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """Whichever axes of size 1 go, the elements stay in order, so any choice is right."""
    return _dropped(given, written)


def _unsqueezed(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    return _dropped(written, given)


def _dropped(long: Shape, short: Shape) -> Sequence[int] | None:
    """Axes of size 1 without which `long` is `short`."""
    ones = [axis for axis, size in enumerate(long) if size == 1]
    choices = itertools.combinations(ones, max(0, len(long) - len(short)))
    return next((axes for axes in choices if tuple(size for axis, size in enumerate(long) if axis not in axes) == short), None)


def _reduced(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """Axes of size 1 need not be told apart: reducing them as well changes nothing, as long as another axis is reduced."""
    if node.attributes.get_int("keepdims", 1):
        axes = [axis for axis, (size, out) in enumerate(zip(given, written, strict=False)) if size != out]
        return axes if axes and len(given) == len(written) and all(written[axis] == 1 for axis in axes) else None
    long = [axis for axis, size in enumerate(given) if size != 1]
    ones = [axis for axis, size in enumerate(given) if size == 1]
    found = []
    for count in range(1, len(long) + 1):
        for chosen in itertools.combinations(long, count):
            left = [axis for axis in range(len(given)) if axis not in chosen]
            spare = len(left) - len(written)
            if 0 <= spare <= len(ones) and [given[axis] for axis in left if given[axis] != 1] == [size for size in written if size != 1]:
                found.append([*chosen, *ones[:spare]])
    return sorted(found[0]) if len(found) == 1 else None


def _parts(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    axis = node.attributes.get_int("axis", 0)
    shapes = [static_shape(output) for output in node.outputs]
    return None if any(shape is None for shape in shapes) else [shape[axis] for shape in shapes if shape is not None]


def _size_along(axis_default: int) -> Solver:
    """The operand is the output's size along the node's axis."""

    def solve(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
        return [written[node.attributes.get_int("axis", axis_default)]] if written else None

    return solve


def _only_axis(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    return [0] if len(given) == 1 else None


def _resized(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """Sizes that keep an aspect ratio are only bounds."""
    if node.attributes.get_string("keep_aspect_ratio_policy", "stretch") != "stretch":
        return None
    return _along_axes(node, given, written)


def _along_axes(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    return [written[axis] for axis in node.attributes.get_ints("axes", list(range(len(written))))]


def _grid(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """[N, C, *spatial]; the grid [N, *spatial, d] does not depend on C."""
    return [written[0], 1, *written[1:-1]]


def _image(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    return written[2:]


def _block(node: ir.Node, given: Shape, written: Shape) -> Sequence[int] | None:
    """Col2Im: blocks of C * prod(block) elements at as many places as the input has columns."""
    spatial = written[2:]
    strides, dilations = (node.attributes.get_ints(name, [1] * len(spatial)) for name in ("strides", "dilations"))
    pads = node.attributes.get_ints("pads", [0] * 2 * len(spatial))
    padded = [size + before + behind for size, before, behind in zip(spatial, pads, pads[len(spatial) :], strict=False)]
    found = []
    for block in itertools.product(*(range(1, size + 1) for size in padded)):
        places = [
            (size - dilation * (taps - 1) - 1) // stride + 1 for size, taps, stride, dilation in zip(padded, block, strides, dilations, strict=True)
        ]
        if min(places) > 0 and int(np.prod(places)) == given[2] and int(np.prod(block)) * written[1] == given[1]:
            found.append(block)
    return found[0] if len(found) == 1 else None


_ELEMENTWISE = frozenset({"Abs", "Cast", "CastLike", "Exp", "Identity", "Log", "Sqrt"})
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
# Operator -> position of the operand -> its solver.
OPERANDS: Mapping[str, Mapping[int, Solver]] = MappingProxyType(
    {
        "AffineGrid": {1: _grid},
        "BlackmanWindow": {0: _written},
        "CastLike": {1: _nothing},
        "CenterCropPad": {1: _along_axes},
        "Col2Im": {1: _image, 2: _block},
        "ConstantOfShape": {0: _written},
        "CumSum": {1: _only_axis},
        "Expand": {1: _written},
        "HammingWindow": {0: _written},
        "HannWindow": {0: _written},
        "MaxUnpool": {2: _written},
        "OneHot": {1: _size_along(-1)},
        "Reshape": {1: _written},
        "Resize": {3: _resized},
        "Split": {1: _parts},
        "Squeeze": {1: _squeezed},
        "Tile": {1: _repeats},
        "TopK": {1: _size_along(-1)},
        "Unsqueeze": {1: _unsqueezed},
        **{f"Reduce{name}": {1: _reduced} for name in _REDUCTIONS},
    }
)
