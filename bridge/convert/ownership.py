"""Which ONNX node every TFLite operator belongs to, and which nodes have no operator of their own."""

from collections import deque
from collections.abc import Mapping, Sequence

from msgspec import Struct

from bridge.types import NodeFacts

# Only order, shape, type or a border of constants changes: the result holds the values of the input, it is no layer of its own.
MOVEMENT_OPS = frozenset({"CAST", "EXPAND_DIMS", "IDENTITY", "MIRROR_PAD", "PAD", "PADV2", "RESHAPE", "SQUEEZE", "TRANSPOSE"})
ONNX_MOVEMENT_OPS = frozenset({"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"})


class OpView(Struct, frozen=True):
    """An operator of the TFLite file: its name, the tensors it reads and writes."""

    name: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def owners(ops: Sequence[OpView], mapped: Mapping[int, str]) -> tuple[str, ...]:
    """Per operator the node whose mapped tensor it leads to, nearest first; `""` when it leads to none.

    Args:
        ops: in order of execution.
        mapped: TFLite tensor -> node that computes it.
    """
    consumers: dict[int, list[int]] = {}
    for position, op in enumerate(ops):
        for tensor in op.inputs:
            consumers.setdefault(tensor, []).append(position)
    found: list[tuple[int, str]] = [(0, "")] * len(ops)  # (distance, owner)
    for position in reversed(range(len(ops))):  # consumers stand behind their producers, so they are known already
        op = ops[position]
        direct = next((mapped[tensor] for tensor in op.outputs if tensor in mapped), None)
        if direct is not None:
            found[position] = (0, direct)
            continue
        behind = [found[consumer] for tensor in op.outputs for consumer in consumers.get(tensor, ()) if found[consumer][1]]
        if behind:
            distance, owner = min(behind, key=lambda item: item[0])
            found[position] = (distance + 1, owner)
    return tuple(owner for _, owner in found)


def absorbed(nodes: Sequence[NodeFacts], owning: frozenset[str]) -> Mapping[str, tuple[str, ...]]:
    """For every node without an operator of its own the nearest nodes behind it that have one.

    Args:
        nodes: the normalised graph in topological order.
        owning: names of the nodes that own operators.
    """
    consumers: dict[str, list[NodeFacts]] = {}
    for node in nodes:
        for tensor in node.inputs:
            consumers.setdefault(tensor.name, []).append(node)
    result: dict[str, tuple[str, ...]] = {}
    for node in nodes:
        if node.name in owning:
            continue
        nearest: dict[str, None] = {}
        queue, seen = deque([node]), {node.name}
        while queue:
            for tensor in queue.popleft().outputs:
                for consumer in consumers.get(tensor.name, ()):
                    if consumer.name in owning:
                        nearest[consumer.name] = None
                    elif consumer.name not in seen:
                        seen.add(consumer.name)
                        queue.append(consumer)
        result[node.name] = tuple(nearest)
    return result
