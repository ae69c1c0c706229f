"""softmax(q k^T * scale + mask) v: every node from the split of the heads to their union lies in `attention`; the projections do not.

Scores are a product of two computed tensors (or of one and a constant of queries per head), and so is the context. What lies between is scaling,
masks, biases and rearrangement, in any order; heads may be split by Reshape and Transpose, Split, Slice or Gather, and repeated by Expand or Tile.
"""

from collections import deque
from collections.abc import Iterator

import onnx_ir as ir

from bridge.graph import provenance
from bridge.graph.patterns.masked_softmax import made_of
from bridge.graph.patterns.matching import VIEWS, given, is_constant, is_float, is_op, scalar, tensor_of

NAME = "attention"
SOFTMAXES = frozenset({"softmax", "masked_softmax"})
PRODUCTS = ("MatMul", "Gemm", "Einsum")
MOVES = (*VIEWS, "Transpose", "Split", "Slice", "Gather", "Expand", "Tile", "Cast", "Dropout")
SCALES = ("Mul", "Div")
# between the scores and their softmax; Tanh caps them
BETWEEN = (*VIEWS, *SCALES, "Transpose", "Add", "Sub", "Where", "Clip", "Max", "Min", "Cast", "Tanh", "Expand")
BEHIND = (*VIEWS, "Transpose", "Cast", "Dropout", "Mul", "Where", "IsNaN")  # between the softmax and the context
LONGEST = 24


def recognise(model: ir.Model) -> None:
    """Marks the regions; needs the softmaxes marked before."""
    for node in model.graph:
        if is_op(node, "Attention"):
            provenance.place(node, NAME)
        elif is_op(node, "Softmax") and provenance.pattern(node) in SOFTMAXES:
            for member in _region(node):
                provenance.place(member, NAME)


def _region(softmax: ir.Node) -> Iterator[ir.Node]:
    before, scores = _back_to_scores(softmax)
    behind, context = _on_to_context(softmax)
    if scores is None or context is None:
        return
    yield from dict.fromkeys([softmax, *before, scores, *behind, context])
    passed = set(behind) | {softmax}
    for value in (*scores.inputs, *(value for value in context.inputs if value is None or value.producer() not in passed)):
        yield from _split(value)
    yield from _union(context)


def _back_to_scores(softmax: ir.Node) -> tuple[list[ir.Node], ir.Node | None]:
    """The nodes that scale and mask, with what makes the masks, and the product of queries and keys."""
    passed: list[ir.Node] = []
    value = softmax.inputs[0]
    while value is not None and (node := value.producer()) is not None and len(passed) < LONGEST:
        if is_op(node, *PRODUCTS):
            return passed, node if _is_product(node) else None
        if not is_op(node, *BETWEEN):
            break
        passed.append(node)
        scores = next((read for read in node.inputs if _leads_to_product(read)), None)
        for read in node.inputs:
            if read is not None and read is not scores:
                passed.extend(maker for maker in made_of(read) or () if any(is_float(output) for output in maker.outputs))
        value = scores
    return passed, None


def _leads_to_product(value: ir.Value | None) -> bool:
    for _ in range(LONGEST):
        node = None if value is None or is_constant(value) else value.producer()
        if node is None:
            return False
        if is_op(node, *PRODUCTS):
            return _is_product(node)
        if not is_op(node, *BETWEEN):
            return False
        value = next((read for read in node.inputs if read is not None and is_float(read) and not is_constant(read) and made_of(read) is None), None)
    return False


def _is_product(node: ir.Node) -> bool:
    """Whether both factors are computed, or one is a constant with an axis for heads (learned queries)."""
    factors = [value for value in node.inputs[:2] if value is not None]
    constants = [tensor for value in factors if (tensor := tensor_of(value)) is not None]
    return len(factors) == 2 and len(constants) < 2 and all(len(tensor.shape) >= 3 for tensor in constants)


def _on_to_context(softmax: ir.Node) -> tuple[list[ir.Node], ir.Node | None]:
    """The nodes behind the softmax, and the product with the values, which are computed."""
    came_by: dict[ir.Node, ir.Node] = {}
    queue = deque([softmax])
    while queue and len(came_by) < LONGEST:
        node = queue.popleft()
        for user in (user for output in node.outputs for user in output.consumers()):
            if user in came_by:
                continue
            if is_op(user, *PRODUCTS) and not any(is_constant(value) for value in user.inputs[:2]):
                return list(_way(node, softmax, came_by)), user
            if is_op(user, *BEHIND):
                came_by[user] = node
                queue.append(user)
    return [], None


def _way(node: ir.Node, start: ir.Node, came_by: dict[ir.Node, ir.Node]) -> Iterator[ir.Node]:
    """From `node` back to `start`, and the guards against NaN beside it."""
    while node is not start:
        yield node
        yield from (producer for value in node.inputs if value is not None and is_op(producer := value.producer(), "IsNaN") and producer is not None)
        node = came_by[node]


def _split(value: ir.Value | None) -> Iterator[ir.Node]:
    """What rearranges or scales a factor before its product."""
    for _ in range(LONGEST):
        node = None if value is None else value.producer()
        if node is None:
            return
        if is_op(node, *SCALES):
            left, right = given(node, 0), given(node, 1)
            data = left if scalar(right) is not None else right if scalar(left) is not None and node.op_type == "Mul" else None
        elif is_op(node, *MOVES) and not is_constant(node.inputs[0]):
            data = node.inputs[0]
        else:
            return
        if data is None:
            return
        yield node
        value = data


def _union(context: ir.Node) -> Iterator[ir.Node]:
    """What brings the heads together again."""
    users = list(context.outputs[0].consumers())
    for _ in range(LONGEST):
        if len(users) != 1 or not is_op(users[0], *VIEWS, "Transpose", "Cast", "Dropout"):
            return
        yield users[0]
        users = list(users[0].outputs[0].consumers())
