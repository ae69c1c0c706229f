"""What an expansion is, and how it reads the operator that it spells out."""

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from bridge.graph.evaluation import evaluate
from bridge.graph.lowering.replacement import Attribute, Builder, Replacement

# The standard operators, or why this form of the operator is not covered, to be read behind "operator X of domain Y: ".
type Expansion = Callable[[Builder, ir.Node], Replacement | str]

UNKNOWN_SHAPE = "the shape of an operand is not known before the model runs"
TRAINING_OUTPUT = "an output that only training needs is read"


def operand(node: ir.Node, index: int) -> ir.Value | None:
    """The input at a position, None where it is left out."""
    return node.inputs[index] if index < len(node.inputs) else None


def is_read(node: ir.Node, index: int) -> bool:
    """Whether anything reads an optional output."""
    return index < len(node.outputs) and (bool(node.outputs[index].uses()) or node.outputs[index].is_graph_output())


def known(value: ir.Value | None) -> np.ndarray | None:
    """The contents of what depends on constants alone, also behind nodes that are not folded yet."""
    return None if value is None else evaluate(value, {})


def total(build: Builder, *values: ir.Value | None) -> ir.Value:
    """The sum of those that are there; at least one is."""
    first, *others = [value for value in values if value is not None]
    for value in others:
        first = build.op("Add", first, value)
    return first


def scalar_like(build: Builder, value: float, other: ir.Value | None) -> ir.Value:
    """A constant [] in the float type of `other`, float32 where that is not known."""
    dtype = other.dtype if other is not None else None
    return build.constant(np.array(value, dtype.numpy() if dtype is not None and dtype.is_floating_point() else np.float32))


def scaled(build: Builder, value: ir.Value, factor: float) -> ir.Value:
    """`value` times a number; the value itself for 1."""
    return value if factor == 1.0 else build.op("Mul", value, scalar_like(build, factor, value))


def own_attributes(node: ir.Node, *without: str) -> dict[str, Attribute]:
    """Attributes that the standard operator of the same name takes too."""
    return {name: attribute.value for name, attribute in node.attributes.items() if name not in without}
