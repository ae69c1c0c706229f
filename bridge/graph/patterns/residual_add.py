"""x + f(x) where f is the attention or the feed-forward part of a transformer block, with a normalisation at one end.

These sums carry the widest range of a transformer. Sums around convolutions, which int8 bears, get the name `cnn_residual_add`.
"""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from math import prod

import onnx_ir as ir
from msgspec import Struct

from bridge.graph import provenance
from bridge.graph.patterns.matching import VIEWS, attribute, is_constant, is_op
from bridge.graph.values import static_shape

NAME = "residual_add"
CNN = "cnn_residual_add"
NORMS = frozenset({"layer_norm", "rms_norm"})
SOFTMAXES = frozenset({"softmax", "masked_softmax"})
PRODUCTS = ("MatMul", "Gemm", "Einsum")
MOVES = (*VIEWS, "Transpose", "Cast", "Dropout")
LARGEST_BRANCH = 400  # nodes; attention that is unrolled into its heads takes some hundreds


def recognise(model: ir.Model) -> None:
    """Marks the residual sums of the graph; needs the norms and softmaxes marked before."""
    position = {node: index for index, node in enumerate(model.graph)}
    for node in model.graph:
        if is_op(node, "Add") and provenance.pattern(node) is None:
            name = _name(node, position)
            if name is not None:
                provenance.mark(node, name)


class _Branch(Struct, frozen=True):
    """`f` of `x + f(x)`, in topological order."""

    skip: ir.Value
    nodes: tuple[ir.Node, ...]


def _name(node: ir.Node, position: dict[ir.Node, int]) -> str | None:
    left, right = node.inputs
    if left is None or right is None or is_constant(left) or is_constant(right) or static_shape(left) != static_shape(right):
        return None
    branch = _branch(left, right, position) or _branch(right, left, position)
    if branch is None:
        return None
    if _has_norm(node, branch) and (_is_attention(branch) or _is_feed_forward(branch)):
        return NAME
    return CNN if any(is_op(inner, "Conv", "ConvTranspose") for inner in branch.nodes) else None


def _branch(skip: ir.Value, result: ir.Value, position: dict[ir.Node, int]) -> _Branch | None:
    """What lies between `skip` and `result`, None where `result` is not computed from it."""
    origins = set(_moved(skip))
    if not any(len(value.uses()) > 1 for value in origins):
        return None
    earliest = min(-1 if producer is None else position[producer] for producer in (value.producer() for value in origins))
    found: dict[ir.Node, None] = {}
    reached = False
    queue = deque([result])  # breadth first: what is near comes before a long way through another branch
    while queue and len(found) < LARGEST_BRANCH:
        value = queue.popleft()
        reached = reached or value in origins
        producer = None if value in origins else value.producer()
        if producer is not None and producer not in found and position[producer] >= earliest:
            found[producer] = None
            queue.extend(read for read in producer.inputs if read is not None)
    return _Branch(skip, tuple(sorted(found, key=position.__getitem__))) if reached else None


def _moved(value: ir.Value) -> Iterator[ir.Value]:
    """The value and what it is a rearrangement or a multiple of."""
    yield value
    producer = value.producer()
    while producer is not None:
        operands = [read for read in producer.inputs if read is not None and not is_constant(read)]
        if not is_op(producer, *MOVES, "Mul", "Div") or len(operands) != 1:
            return
        yield operands[0]
        producer = operands[0].producer()


def _has_norm(node: ir.Node, branch: _Branch) -> bool:
    """Whether the block normalises what it reads (inside of the branch or before the split) or what it writes."""
    if any(provenance.pattern(inner) in NORMS for inner in branch.nodes):
        return True
    if any(provenance.pattern(producer) in NORMS for value in _moved(branch.skip) if (producer := value.producer()) is not None):
        return True
    return any(provenance.pattern(user) in NORMS for user in _readers(node.outputs[0]))


def _readers(value: ir.Value) -> Iterator[ir.Node]:
    """The nodes that read the value, also through a few rearrangements."""
    level = [value]
    for _ in range(4):
        users = [user for read in level for user in read.consumers()]
        yield from users
        level = [output for user in users if is_op(user, *MOVES) for output in user.outputs]


def _is_product(node: ir.Node) -> bool:
    """A matrix product, also one that is written as a convolution of single pixels."""
    return is_op(node, *PRODUCTS) or (is_op(node, "Conv") and prod(_kernel(node)) == 1)


def _is_spatial(node: ir.Node) -> bool:
    """A convolution that mixes pixels and channels, as feed-forward parts have none."""
    return is_op(node, "Conv", "ConvTranspose") and prod(_kernel(node)) != 1 and attribute(node, "group", 1) == 1


def _kernel(node: ir.Node) -> tuple[int, ...]:
    shape = static_shape(node.inputs[1])
    return () if shape is None else shape[2:]


def _is_attention(branch: _Branch) -> bool:
    """A softmax whose probabilities go into a product."""
    nodes = set(branch.nodes)
    for node in branch.nodes:
        if provenance.pattern(node) in SOFTMAXES and any(user in nodes and _is_product(user) for user in islice(_readers(node.outputs[0]), 100)):
            return True
    return False


def _is_feed_forward(branch: _Branch) -> bool:
    """Two products with constant weights and more than rearrangement between them."""
    if any(_is_spatial(node) for node in branch.nodes):
        return False
    products = [index for index, node in enumerate(branch.nodes) if _is_product(node)]
    if len(products) < 2:
        return False
    between = branch.nodes[products[0] + 1 : products[-1]]
    return any(not is_op(node, *MOVES, *PRODUCTS, "Conv", "Add", "Constant") for node in between)
