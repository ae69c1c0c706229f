"""Where to cut a model so that what cannot be converted is left out."""

import contextlib
from collections.abc import Collection, Iterable, Sequence, Set
from dataclasses import dataclass

import onnx

from bridge.custom_ops.extract import known_types, outer_reads

MOST_TENSORS = 4  # a cut through more is no advice
LEAST_SHARE = 0.5  # of the nodes, that has to be left
_FLOATS = frozenset({onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16})


@dataclass(frozen=True, slots=True)
class Advice:
    """A part of a model: the options that take it, and how many of the nodes it has."""

    start: tuple[str, ...]
    end: tuple[str, ...]
    kept: int
    total: int

    def sentence(self) -> str:
        """What to write on the command line."""
        options = " ".join([*(f"--from '{name}'" for name in self.start), *(f"--to '{name}'" for name in self.end)])
        return f"Here `{options}` takes {self.kept} of the {self.total} nodes, without these."


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of the main graph by the names of its tensors."""

    reads: frozenset[str]
    writes: frozenset[str]


def advise(model: onnx.ModelProto, refused: Collection[str]) -> Advice | None:
    """The larger of the part before and the part behind some nodes; None where neither is a fair part of the model.

    Args:
        model: the user's.
        refused: tensors that the nodes to leave out write.
    """
    nodes = [
        _Node(frozenset((*node.input, *outer_reads(node))), frozenset(node.output) - {""}) for node in model.graph.node if node.op_type != "Constant"
    ]
    bad = {place for place, node in enumerate(nodes) if not node.writes.isdisjoint(refused)}
    if not bad:
        return None
    outputs = {value.name for value in model.graph.output}
    types = _types(model)
    constants = {tensor.name for tensor in model.graph.initializer}
    behind, before = bad | _behind(nodes, bad), bad | _before(nodes, bad)
    front = [node for place, node in enumerate(nodes) if place not in behind]
    made, read = _written(front), {name for place in behind for name in nodes[place].reads} | outputs
    ends = [name for name in made if name in read and types.get(name, onnx.TensorProto.FLOAT) in _FLOATS]
    back = [node for place, node in enumerate(nodes) if place not in before]
    made = _written(back)
    starts = [name for name in dict.fromkeys(name for node in back for name in node.reads) if name in _written(nodes) and name not in made]
    starts = [name for name in starts if name not in constants]
    found = []
    if 0 < len(ends) <= MOST_TENSORS:
        found.append(Advice((), tuple(ends), _needed(front, ends), len(nodes)))
    floats = all(types.get(name, onnx.TensorProto.FLOAT) in _FLOATS for name in starts)
    if 0 < len(starts) <= MOST_TENSORS and floats and outputs <= set(made):
        found.append(Advice(tuple(starts), (), len(back), len(nodes)))
    best = max(found, key=lambda advice: advice.kept, default=None)
    return best if best is not None and best.kept >= LEAST_SHARE * len(nodes) else None


def _types(model: onnx.ModelProto) -> dict[str, int]:
    """Of the tensors that onnx can tell; a model that is refused may well be malformed too."""
    with contextlib.suppress(onnx.shape_inference.InferenceError, RuntimeError, ValueError):
        return {name: value.type.tensor_type.elem_type for name, value in known_types(model).items()}
    return {}


def _written(nodes: Iterable[_Node]) -> list[str]:
    return [name for node in nodes for name in sorted(node.writes)]


def _behind(nodes: Sequence[_Node], start: Set[int]) -> set[int]:
    """The nodes that depend on those; a file has them in topological order."""
    names = {name for place in start for name in nodes[place].writes}
    found = set()
    for place, node in enumerate(nodes):
        if place not in start and not node.reads.isdisjoint(names):
            found.add(place)
            names |= node.writes
    return found


def _before(nodes: Sequence[_Node], start: Set[int]) -> set[int]:
    """The nodes that those depend on."""
    names = {name for place in start for name in nodes[place].reads}
    found = set()
    for place in range(len(nodes) - 1, -1, -1):
        if place not in start and not nodes[place].writes.isdisjoint(names):
            found.add(place)
            names |= nodes[place].reads
    return found


def _needed(nodes: Sequence[_Node], ends: Iterable[str]) -> int:
    """How many nodes lead to some tensors."""
    last = {place for place, node in enumerate(nodes) if not node.writes.isdisjoint(ends)}
    return len(last | _before(nodes, last))
