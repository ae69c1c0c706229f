"""Where to cut a model so that what cannot be converted is left out."""

import contextlib
import shlex
from collections.abc import Collection, Iterable, Sequence, Set

import onnx
from msgspec import Struct

from bridge.custom_ops.extract import known_types, outer_reads

MOST_TENSORS = 4  # a cut through more is no advice
LEAST_SHARE = 0.5  # of the nodes, that has to be left
LONGEST_NAME = 200  # characters
MOST_SPLITS = 8  # nodes that are tried as the last one in front
FLOAT = onnx.TensorProto.FLOAT
_DATA = frozenset({FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.DOUBLE, onnx.TensorProto.BFLOAT16, onnx.TensorProto.UINT8})  # UINT8: pictures


class Advice(Struct, frozen=True):
    """A part of a model: the options that take it, and how many of the nodes it has."""

    start: tuple[str, ...]
    end: tuple[str, ...]
    kept: int
    total: int

    def sentence(self) -> str:
        """What to write on the command line."""
        options = " ".join([*(f"--from {shlex.quote(name)}" for name in self.start), *(f"--to {shlex.quote(name)}" for name in self.end)])
        return f"Here `{options}` takes {self.kept} of the {self.total} nodes, without these."


class _Node(Struct, frozen=True):
    """A node of the main graph by the names of its tensors."""

    reads: frozenset[str]
    writes: frozenset[str]


def advise(model: onnx.ModelProto, refused: Collection[str]) -> Advice | None:
    """The largest part without some nodes: before them, behind them, or between the first and the last of them; None where none is a fair part.

    Args:
        model: the user's.
        refused: tensors that the nodes to leave out write.
    """
    nodes = [
        _Node(frozenset((*node.input, *outer_reads(node))), frozenset(node.output) - {""}) for node in model.graph.node if node.op_type != "Constant"
    ]
    bad = [place for place, node in enumerate(nodes) if not node.writes.isdisjoint(refused)]
    if not bad:
        return None
    splits = range(len(bad) + 1) if len(bad) <= MOST_SPLITS else (0, len(bad))
    parts = [_part(model, nodes, set(bad[:split]), set(bad[split:])) for split in splits]
    best = max((part for part in parts if part is not None), key=lambda part: part.kept, default=None)
    return best if best is not None and best.kept >= LEAST_SHARE * len(nodes) else None


def _part(model: onnx.ModelProto, nodes: Sequence[_Node], front: Set[int], back: Set[int]) -> Advice | None:
    """What is left without `front` and all that leads there, and without `back` and all behind it."""
    outside = front | _before(nodes, front) | back | _behind(nodes, back)
    kept = [node for place, node in enumerate(nodes) if place not in outside]
    made, read_outside = _written(kept), {name for place in outside for name in nodes[place].reads}
    outputs = [value.name for value in model.graph.output]
    written, types = set(_written(nodes)), _types(model)
    starts = [name for name in dict.fromkeys(name for node in kept for name in sorted(node.reads)) if name in written and name not in made]
    whole = set(outputs) <= set(made)
    ends = [] if whole else [name for name in made if (name in read_outside or name in outputs) and types.get(name, FLOAT) in _DATA]
    if len(starts) + len(ends) > MOST_TENSORS or any(len(name) > LONGEST_NAME for name in (*starts, *ends)):
        return None
    if not (whole or ends) or not all(types.get(name, FLOAT) in _DATA for name in starts):
        return None
    return Advice(tuple(starts), tuple(ends), _needed(kept, outputs if whole else ends), len(nodes))


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
