"""What a search may choose between: the nodes that are integers now, what else they can be, and what that costs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from bridge.compare.cost import MACS
from bridge.quantize.float_graph import FloatGraph
from bridge.quantize.op_table import OPS, Role, Scales, has_kernel
from bridge.quantize.precisions import PRECISIONS

FLOAT, DYNAMIC, INT16 = "float32", "dynamic_wi8_afp32", "static_wi8_ai16"
CHOICES = (FLOAT, DYNAMIC, INT16)

# What one unit costs, so that "the smallest set" has one meaning: all multiply-accumulates of the model in float cost 1. Those with int8 weights and
# wider activations run on integers and keep the file small. Float elements between operators cost conversions; a node more is a rule more to read.
COST = MappingProxyType({FLOAT: 1.0, DYNAMIC: 0.3, INT16: 0.3})
COST_OF_BYTES, COST_OF_ELEMENTS, COST_OF_NODES = 0.2, 0.05, 0.002

type Assignment = Mapping[str, str]  # candidate -> precision; what is missing stays as it is


@dataclass(frozen=True, slots=True)
class Candidate:
    """Nodes that are moved together.

    Attributes:
        name: of the node, or of the group.
        nodes: owners of the operators.
        ops: positions in the float file of the operators that are integers now and do more than move data.
        macs: share of the model's multiply-accumulates.
        weights: share of its weights.
        elements: share of the elements that its operators write.
        choices: precisions that differ for it.
    """

    name: str
    nodes: tuple[str, ...]
    ops: tuple[int, ...]
    macs: float
    weights: float
    elements: float
    choices: tuple[str, ...]

    def cost(self, precision: str) -> float:
        """What it costs to have it in a precision instead of in integers."""
        stored = self.weights if precision == FLOAT else 0.0
        return COST[precision] * self.macs + COST_OF_BYTES * stored + COST_OF_ELEMENTS * self.elements


@dataclass(slots=True, eq=False)
class Space:
    """All candidates of a model.

    Args:
        graph: the float file.
        owners: node of every operator.
        base: precision asked for each operator where nothing is assigned.
        placed: what each operator got then.
        groups: candidate -> nodes that move together; every node by itself without.
        choices: precisions to choose from.

    Attributes:
        candidates: by name, in the order of the model.
        macs: multiply-accumulates of each operator.
    """

    graph: FloatGraph
    owners: Sequence[str]
    base: Sequence[str]
    placed: Sequence[str]
    groups: Mapping[str, Sequence[str]] | None = None
    choices: Sequence[str] = (FLOAT, DYNAMIC)
    candidates: Mapping[str, Candidate] = field(init=False)
    macs: Sequence[int] = field(init=False)
    _follows: dict[int, tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        ops = self.graph.ops
        self.macs = [self._macs(op.index) for op in ops]
        weights = [self._weights(op.index) for op in ops]
        elements = [sum(math.prod(self.graph.tensors[tensor].shape) for tensor in op.outputs) for op in ops]
        self._follows = {op.index: self._carried(op.index) for op in ops if op.name in OPS and OPS[op.name].moves_data}
        moved: dict[str, list[int]] = {}
        for op in ops:
            if PRECISIONS[self.placed[op.index]].integer and op.index not in self._follows:
                moved.setdefault(self.owners[op.index], []).append(op.index)
        groups = self.groups or {name: (name,) for name in moved}
        found = {}
        for name, nodes in groups.items():
            mine = tuple(index for node in nodes for index in moved.get(node, ()))
            if mine:
                shares = [sum(values[index] for index in mine) / max(1, sum(values)) for values in (self.macs, weights, elements)]
                found[name] = Candidate(name, tuple(nodes), mine, shares[0], shares[1], shares[2], self._choices(mine))
        self.candidates = found

    def op_precisions(self, assignment: Assignment) -> tuple[str, ...]:
        """What to ask for each operator."""
        wanted = {node: precision for name, precision in assignment.items() for node in self.candidates[name].nodes}
        return tuple(wanted.get(owner, base) for owner, base in zip(self.owners, self.base, strict=True))

    def integer(self, assignment: Assignment) -> list[bool]:
        """Whether each operator works on int8; those that move data follow what they carry, as the quantizer does it."""
        found = [PRECISIONS[precision].integer for precision in self.placed]
        for name in assignment:
            for index in self.candidates[name].ops:
                found[index] = False
        for index, carried in self._follows.items():
            found[index] = found[index] and all(found[writer] for writer in carried)
        return found

    def cost(self, assignment: Assignment) -> float:
        """What an assignment costs."""
        each = COST_OF_NODES / max(1, len(self.candidates))
        return sum(self.candidates[name].cost(precision) + each for name, precision in assignment.items())

    def _choices(self, ops: Sequence[int]) -> tuple[str, ...]:
        names = [self.graph.ops[index].name for index in ops]
        weighted = [name for name in names if Role.WEIGHT in OPS[name].inputs]
        fits = {
            FLOAT: True,
            DYNAMIC: any(has_kernel(name, DYNAMIC) for name in weighted),
            INT16: all(has_kernel(name, INT16) for name in names),
        }
        return tuple(name for name in self.choices if fits[name])

    def _macs(self, index: int) -> int:
        op = self.graph.ops[index]
        count = MACS.get(op.name)
        if count is None:
            return 0
        return count(tuple(self.graph.tensors[tensor].shape if tensor >= 0 else () for tensor in op.inputs), self.graph.tensors[op.outputs[0]].shape)

    def _weights(self, index: int) -> int:
        constants = (self.graph.tensors[tensor] for tensor in self.graph.ops[index].inputs if tensor >= 0)
        return sum(math.prod(tensor.shape) for tensor in constants if tensor.constant and tensor.type == "FLOAT32")

    def _carried(self, index: int) -> tuple[int, ...]:
        """Writers of what an operator carries."""
        op = self.graph.ops[index]
        read = op.inputs if OPS[op.name].scales is Scales.JOIN else [t for p, t in enumerate(op.inputs) if OPS[op.name].input_role(p) is Role.DATA]
        return tuple(self.graph.producers[tensor] for tensor in read if tensor in self.graph.producers)
