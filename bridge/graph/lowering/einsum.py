"""Einsum -> Transpose, Reshape, MatMul and ReduceSum.

onnx2tf 2.6.9 knows some equations, makes CUSTOM:ONNX_EINSUM of the others and BATCH_MATMUL of those with a constant; a MatMul with a constant
becomes FULLY_CONNECTED in a later pass.
"""

import math

import onnx_ir as ir
from msgspec import Struct

from bridge.graph.lowering.replacement import Builder, Replacement
from bridge.graph.values import static_shape


class _Term(Struct, frozen=True):
    """A value and the letter of each of its axes."""

    value: ir.Value
    axes: str


def lower(graph: ir.Graph, node: ir.Node) -> Replacement | None:
    """Any explicit or implicit equation of one or two operands without `...` and without a letter twice in one operand.

    Source: ONNX Einsum-12.
    """
    equation = _parse(node)
    shapes = [static_shape(value) for value in node.inputs]
    if equation is None or any(shape is None for shape in shapes):
        return None
    operands, result = equation
    sizes = {letter: size for axes, shape in zip(operands, shapes, strict=True) for letter, size in zip(axes, shape or (), strict=True)}
    build = Builder(graph, str(node.name))
    terms = [_Term(value, axes) for value, axes in zip(node.inputs, operands, strict=True) if value is not None]
    if len(terms) == 1:
        return build.done(_ordered(build, _summed(build, terms[0], keep=result), result).value)
    left, right = (_summed(build, term, keep=result + other.axes) for term, other in ((terms[0], terms[1]), (terms[1], terms[0])))
    if left.value.const_value is not None and right.value.const_value is None:
        left, right = right, left  # a constant second operand becomes a weight
    return build.done(_ordered(build, _product(build, left, right, result, sizes), result).value)


def _parse(node: ir.Node) -> tuple[list[str], str] | None:
    """Letters per operand and of the result."""
    equation = node.attributes.get_string("equation", "").replace(" ", "")
    left, arrow, result = equation.partition("->")
    operands = left.split(",")
    letters = "".join(operands)
    if len(operands) > 2 or "." in equation or any(len(set(axes)) != len(axes) for axes in operands):
        return None
    return operands, result if arrow else "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))


def _summed(build: Builder, term: _Term, *, keep: str) -> _Term:
    """The term without the axes that stand nowhere else."""
    gone = [axis for axis, letter in enumerate(term.axes) if letter not in keep]
    if not gone:
        return term
    value = build.op("ReduceSum", term.value, build.integers(gone), attributes={"keepdims": 0})
    return _Term(value, "".join(letter for letter in term.axes if letter in keep))


def _ordered(build: Builder, term: _Term, axes: str) -> _Term:
    if term.axes == axes:
        return term
    return _Term(build.op("Transpose", term.value, attributes={"perm": [term.axes.index(letter) for letter in axes]}), axes)


def _product(build: Builder, left: _Term, right: _Term, result: str, sizes: dict[str, int]) -> _Term:
    """[batch, M, K] @ [batch, K, N]; M, K and N are products of the axes of the left, of both and of the right operand."""
    shared = [letter for letter in left.axes if letter in right.axes]
    batch = "".join(letter for letter in shared if letter in result)
    inner = "".join(letter for letter in shared if letter not in result)
    rows = "".join(letter for letter in left.axes if letter not in shared)
    columns = "".join(letter for letter in right.axes if letter not in shared)
    first = _grouped(build, left, (batch, rows, inner), sizes)
    second = _grouped(build, right, (batch, inner, columns), sizes)
    product = build.op("MatMul", first, second)
    shape = [sizes[letter] for letter in batch + rows + columns]
    merged = len(rows) == 1 and len(columns) == 1
    return _Term(product if merged else build.op("Reshape", product, build.integers(shape)), batch + rows + columns)


def _grouped(build: Builder, term: _Term, groups: tuple[str, str, str], sizes: dict[str, int]) -> ir.Value:
    """The term with its axes as [*batch, group, group]."""
    batch, first, second = groups
    ordered = _ordered(build, term, "".join(groups)).value
    if len(first) == 1 and len(second) == 1:
        return ordered
    shape = [*(sizes[letter] for letter in batch), *(math.prod(sizes[letter] for letter in group) for group in (first, second))]
    return build.op("Reshape", ordered, build.integers(shape))
