"""Matchers that ask where a node stands: at which tensor, among its kind, between which tensors."""

from typing import Annotated, ClassVar, Literal, Self, override

from pydantic import Field, StrictInt, model_validator

from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher, GlobMatcher, Name, Names, present
from bridge.rules.wording import listed, printable
from bridge.types import NodeFacts


class TensorMatcher(GlobMatcher):
    """The node that writes a tensor and all nodes that read it."""

    quantity: ClassVar[str] = "tensor name"
    kind: Literal["tensor"]
    glob: Name = Field(description="Glob over tensor names of the source file.")

    @override
    def names(self, node: NodeFacts) -> tuple[str, ...]:
        return tensor_names(node)


class PositionMatcher(BaseMatcher):
    """The first or the last nodes of some op types, in topological order."""

    kind: Literal["position"]
    op_types: Names
    first: Annotated[StrictInt, Field(ge=1)] | None = None
    last: Annotated[StrictInt, Field(ge=1)] | None = None

    @model_validator(mode="after")
    def _one_end(self) -> Self:
        if (self.first is None) == (self.last is None):
            raise ValueError("give either first or last")
        return self

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        rank, count = context.rank(node, self.op_types)
        return rank is not None and (rank < self.first if self.first is not None else count - rank <= (self.last or 0))

    @override
    def describe(self) -> str:
        end = f"first {self.first}" if self.first is not None else f"last {self.last}"
        return f"is among the {end} of {listed(sorted(self.op_types))}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        rank, count = context.rank(node, self.op_types)
        return printable(node.op_type) if rank is None else f"number {rank + 1} of {count}"

    @override
    def suggestion(self, context: Context) -> str:
        return present("op type", self.op_types, {node.op_type for node in context.nodes})


class RegionMatcher(BaseMatcher):
    """Nodes on any path from the `start` tensors to the `end` tensors; a border that is left out means the model's own inputs or outputs."""

    kind: Literal["region"]
    start: frozenset[Name] = Field(default=frozenset(), description="Tensor names of the source file.")
    end: frozenset[Name] = Field(default=frozenset(), description="Tensor names of the source file.")

    @model_validator(mode="after")
    def _one_border(self) -> Self:
        if not self.start and not self.end:
            raise ValueError("give start, end or both")
        return self

    @override
    def matches(self, node: NodeFacts, context: Context) -> bool:
        return node.name in context.between(self.start, self.end)

    @override
    def describe(self) -> str:
        return f"lies on a path from {listed(sorted(self.start)) or 'the model inputs'} to {listed(sorted(self.end)) or 'the model outputs'}"

    @override
    def received(self, node: NodeFacts, context: Context) -> str:
        return f"{printable(node.name)!r} lies outside"

    @override
    def suggestion(self, context: Context) -> str:
        known = {name for node in context.nodes for name in tensor_names(node)}
        unknown = sorted((self.start | self.end) - known)
        return present("tensor name", unknown, known) if unknown else "no path leads from start to end"


def tensor_names(node: NodeFacts) -> tuple[str, ...]:
    """Names of the tensors that the node reads and writes."""
    return tuple(dict.fromkeys(spec.name for spec in (*node.inputs, *node.outputs) if spec.name))
