"""Reads activation functions off a graph: each value as a polynomial in one tensor, or as `p(x) + q(x) * f(r(x))` with polynomials p, q, r.

GELU, SiLU, Mish and HardSwish are all of that form; with the coefficients known, the order of operands and where a file puts its factors
make no difference.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import onnx_ir as ir

from bridge.graph.patterns.matching import attribute, given, is_constant, is_float, region, scalar
from bridge.graph.values import static_shape

DEGREE = 3
Polynomial = tuple[float, float, float, float]  # coefficients of 1, x, x^2, x^3
ZERO: Polynomial = (0.0, 0.0, 0.0, 0.0)
IDENTITY: Polynomial = (0.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class Gate:
    """`p(x) + q(x) * function(r(x))`."""

    base: ir.Value
    function: str
    r: Polynomial
    p: Polynomial
    q: Polynomial


@dataclass(frozen=True, slots=True)
class Poly:
    """A polynomial in `base`."""

    base: ir.Value
    of: Polynomial


Term = Poly | Gate
Terms = dict[ir.Value, Term]


def terms(graph: ir.Graph) -> Terms:
    """Every value that is elementwise in one tensor, up to one gate; linear in the number of nodes."""
    known: Terms = {}
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None or not is_float(node.outputs[0]):
            continue
        found = rule(node, known)
        if found is not None and static_shape(found.base) == static_shape(node.outputs[0]) is not None:
            known[node.outputs[0]] = found
    return known


def argument(output: ir.Value, of: Polynomial, known: Terms) -> tuple[list[ir.Node], ir.Value | None]:
    """The nodes from the tensor `of(base)` to `output`, and that tensor.

    Returns:
        None for the tensor where the file has no single value that holds it; the nodes then reach back to the base.
    """
    gate = known[output]
    nodes, feeds = region(output, lambda value: value is gate.base or _is(known.get(value), of))
    (feed,) = feeds if len(feeds) == 1 else (None,)
    holds = feed is not None and (_is(known.get(feed), of) or (feed is gate.base and near(of, IDENTITY, 1e-6)))
    return nodes, feed if holds else None


def near(left: Polynomial, right: Polynomial, rtol: float) -> bool:
    """Whether all coefficients agree; those that are 0 on one side must be 0 on the other."""
    return all(abs(mine - theirs) <= rtol * max(abs(mine), abs(theirs)) for mine, theirs in zip(left, right, strict=True))


def times(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """The product, None above degree 3."""
    product = [0.0] * (2 * DEGREE + 1)
    for power, mine in enumerate(left):
        for other, theirs in enumerate(right):
            product[power + other] += mine * theirs
    return None if any(product[DEGREE + 1 :]) else _polynomial(product)


def scaled(of: Polynomial, factor: float) -> Polynomial:
    """The polynomial times a number."""
    return _polynomial([factor * number for number in of])


def plus(left: Polynomial, right: Polynomial) -> Polynomial:
    """The sum."""
    return _polynomial([mine + theirs for mine, theirs in zip(left, right, strict=True)])


def _polynomial(numbers: list[float]) -> Polynomial:
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def _is(term: Term | None, of: Polynomial) -> bool:
    return isinstance(term, Poly) and near(term.of, of, 1e-6)


def _read(value: ir.Value | None, known: Terms) -> Term | None:
    """What is known of an operand, else the operand itself as a new base; None for constants."""
    if value is None or is_constant(value):
        return None
    return known.get(value) or Poly(value, IDENTITY)


def _affine(term: Term, factor: float, offset: float) -> Term:
    shift: Polynomial = (offset, 0.0, 0.0, 0.0)
    if isinstance(term, Poly):
        return Poly(term.base, plus(scaled(term.of, factor), shift))
    return replace(term, p=plus(scaled(term.p, factor), shift), q=scaled(term.q, factor))


def _added(left: Term, right: Term, sign: float) -> Term | None:
    if left.base is not right.base:
        return None
    right = _affine(right, sign, 0.0)
    match left, right:
        case Poly(), Poly():
            return Poly(left.base, plus(left.of, right.of))
        case (Gate() as gate, Poly() as poly) | (Poly() as poly, Gate() as gate):
            return replace(gate, p=plus(gate.p, poly.of))
        case Gate(), Gate() if left.function == right.function and left.r == right.r:
            return replace(left, p=plus(left.p, right.p), q=plus(left.q, right.q))
    return None


def _multiplied(left: Term, right: Term) -> Term | None:
    if left.base is not right.base:
        return None
    match left, right:
        case Poly(), Poly():
            product = times(left.of, right.of)
            return None if product is None else Poly(left.base, product)
        case (Gate() as gate, Poly() as poly) | (Poly() as poly, Gate() as gate):
            p, q = times(gate.p, poly.of), times(gate.q, poly.of)
            return None if p is None or q is None else replace(gate, p=p, q=q)
    return None


def _sum(node: ir.Node, known: Terms) -> Term | None:
    sign = 1.0 if node.op_type == "Add" else -1.0
    left, right = _read(given(node, 0), known), _read(given(node, 1), known)
    if left is not None and right is not None:
        return _added(left, right, sign)
    number = scalar(given(node, 1 if right is None else 0))
    if number is None:
        return None
    if left is not None:
        return _affine(left, 1.0, sign * number)
    return None if right is None else _affine(right, sign, number)


def _product(node: ir.Node, known: Terms) -> Term | None:
    left, right = _read(given(node, 0), known), _read(given(node, 1), known)
    if left is not None and right is not None:
        return _multiplied(left, right)
    term, number = left or right, scalar(given(node, 1 if right is None else 0))
    return None if term is None or number is None else _affine(term, number, 0.0)


def _quotient(node: ir.Node, known: Terms) -> Term | None:
    left, right = _read(given(node, 0), known), _read(given(node, 1), known)
    if left is None or right is None:
        number = scalar(given(node, 1))
        if left is not None:
            return _affine(left, 1.0 / number, 0.0) if number else None
        above = scalar(given(node, 0))
        sigmoid = _sigmoid_below(right)
        return None if above is None or sigmoid is None else _affine(sigmoid, above, 0.0)
    sigmoid = _sigmoid_below(right)
    return None if sigmoid is None else _multiplied(left, sigmoid)


def _sigmoid_below(term: Term | None) -> Gate | None:
    """`1 / (1 + exp(r))` as a sigmoid."""
    one: Polynomial = (1.0, 0.0, 0.0, 0.0)
    if not isinstance(term, Gate) or term.function != "exp" or term.p != one or term.q != one:
        return None
    return replace(term, function="sigmoid", r=scaled(term.r, -1.0), p=ZERO)


def _reciprocal(node: ir.Node, known: Terms) -> Term | None:
    return _sigmoid_below(_read(given(node, 0), known))


def _negation(node: ir.Node, known: Terms) -> Term | None:
    term = _read(given(node, 0), known)
    return None if term is None else _affine(term, -1.0, 0.0)


def _power(node: ir.Node, known: Terms) -> Term | None:
    term, exponent = _read(given(node, 0), known), scalar(given(node, 1))
    if not isinstance(term, Poly) or exponent not in (2.0, 3.0):
        return None
    square = _multiplied(term, term)
    return square if exponent == 2.0 or square is None else _multiplied(square, term)


def _function(name: str) -> Callable[[ir.Node, Terms], Term | None]:
    def applied(node: ir.Node, known: Terms) -> Term | None:
        term = _read(given(node, 0), known)
        return Gate(term.base, name, term.of, ZERO, (1.0, 0.0, 0.0, 0.0)) if isinstance(term, Poly) else None

    return applied


def _tanh(node: ir.Node, known: Terms) -> Term | None:
    term = _read(given(node, 0), known)
    one: Polynomial = (1.0, 0.0, 0.0, 0.0)
    if isinstance(term, Gate) and term.function == "softplus" and term.p == ZERO and term.q == one:
        return replace(term, function="tanh_softplus")
    return _function("tanh")(node, known)


def _clip(node: ir.Node, known: Terms) -> Term | None:
    """`clip(u, 0, h)` as `h * clip(u / h, 0, 1)`."""
    term, low, high = _read(given(node, 0), known), scalar(given(node, 1)), scalar(given(node, 2))
    if not isinstance(term, Poly) or low != 0.0 or high is None or high <= 0.0:
        return None
    return Gate(term.base, "clip", scaled(term.of, 1.0 / high), ZERO, (high, 0.0, 0.0, 0.0))


def _hard_sigmoid(node: ir.Node, known: Terms) -> Term | None:
    term = _read(given(node, 0), known)
    if not isinstance(term, Poly):
        return None
    inner = _affine(term, attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5))
    return Gate(term.base, "clip", inner.of, ZERO, (1.0, 0.0, 0.0, 0.0)) if isinstance(inner, Poly) else None


_RULES: Mapping[str, Callable[[ir.Node, Terms], Term | None]] = MappingProxyType(
    {
        "Add": _sum,
        "Sub": _sum,
        "Mul": _product,
        "Div": _quotient,
        "Neg": _negation,
        "Pow": _power,
        "Reciprocal": _reciprocal,
        "Erf": _function("erf"),
        "Sigmoid": _function("sigmoid"),
        "Softplus": _function("softplus"),
        "Exp": _function("exp"),
        "Tanh": _tanh,
        "Clip": _clip,
        "HardSigmoid": _hard_sigmoid,
    }
)
