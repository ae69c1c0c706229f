"""Reads activation functions off a graph: each value as a polynomial in one tensor, or as `p(x) + q(x) * f(r(x))` with polynomials p, q, r.

GELU, SiLU, Mish and HardSwish are all of that form; with the coefficients known, the order of operands and where a file puts its factors
make no difference.
"""

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from types import MappingProxyType

import onnx_ir as ir
from msgspec import Struct
from msgspec.structs import replace

from bridge.graph.patterns.matching import attribute, given, is_constant, is_float, region, scalar
from bridge.graph.values import static_shape

DEGREE = 3
Polynomial = tuple[float, float, float, float]  # coefficients of 1, x, x^2, x^3
ZERO: Polynomial = (0.0, 0.0, 0.0, 0.0)
UNIT: Polynomial = (1.0, 0.0, 0.0, 0.0)
IDENTITY: Polynomial = (0.0, 1.0, 0.0, 0.0)


class Gate(Struct, frozen=True):
    """`p(x) + q(x) * function(r(x))`."""

    base: ir.Value
    function: str
    r: Polynomial
    p: Polynomial
    q: Polynomial


class Poly(Struct, frozen=True):
    """A polynomial in `base`."""

    base: ir.Value
    of: Polynomial


Term = Poly | Gate
Terms = dict[ir.Value, tuple[Term, ...]]
Rule = Callable[[ir.Node, Terms], Iterator[Term | None]]


def terms(graph: ir.Graph) -> Terms:
    """Every value that is elementwise in one tensor, as a polynomial, as a gate, or as both in different tensors.

    A polynomial reaches back to what is no polynomial, so the output of a gate is read as a tensor of its own as well. Linear in the number of nodes.
    """
    known: Terms = {}
    for node in graph:
        rule = _RULES.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if rule is None or not is_float(node.outputs[0]):
            continue
        shape = static_shape(node.outputs[0])
        found = [term for term in rule(node, known) if term is not None and static_shape(term.base) == shape is not None]
        kept = [next((term for term in found if isinstance(term, kind)), None) for kind in (Poly, Gate)]
        known[node.outputs[0]] = tuple(term for term in kept if term is not None)
    return known


def gates(known: Terms) -> Iterator[tuple[ir.Value, Gate]]:
    """The values that are gates, in topological order."""
    for value, found in known.items():
        yield from ((value, term) for term in found if isinstance(term, Gate))


def argument(output: ir.Value, base: ir.Value, of: Polynomial, known: Terms) -> tuple[list[ir.Node], ir.Value | None]:
    """The nodes from the tensor `of(base)` to `output`, and that tensor.

    Returns:
        None for the tensor where the file has no single value that holds it; the nodes then reach back to the base.
    """
    _, feeds = region(output, lambda value: value is base or _is(value, base, of, known))
    for source in feeds:  # several where the tensor is also read through a factor of 1
        nodes, reached = _region_up_to(output, source, base)
        if reached == [source] and _is(source, base, of, known):
            return nodes, source
    return _region_up_to(output, base)[0], None


def _region_up_to(output: ir.Value, *stops: ir.Value) -> tuple[list[ir.Node], list[ir.Value]]:
    return region(output, lambda value: any(value is stop for stop in stops))


def near(left: Polynomial, right: Polynomial, rtol: float) -> bool:
    """Whether all coefficients agree; those that are 0 on one side must be 0 on the other."""
    return all(abs(mine - theirs) <= rtol * max(abs(mine), abs(theirs)) for mine, theirs in zip(left, right, strict=True))


def times(left: Polynomial, right: Polynomial) -> Polynomial | None:
    """The product, None above degree 3."""
    coefficients = [0.0] * (2 * DEGREE + 1)
    for power, mine in enumerate(left):
        for other, theirs in enumerate(right):
            coefficients[power + other] += mine * theirs
    return None if any(coefficients[DEGREE + 1 :]) else _polynomial(coefficients)


def scaled(of: Polynomial, factor: float) -> Polynomial:
    """The polynomial times a number."""
    return _polynomial([factor * number for number in of])


def plus(left: Polynomial, right: Polynomial) -> Polynomial:
    """The sum."""
    return _polynomial([mine + theirs for mine, theirs in zip(left, right, strict=True)])


def _polynomial(numbers: list[float]) -> Polynomial:
    return (numbers[0], numbers[1], numbers[2], numbers[3])


def _is(value: ir.Value, base: ir.Value, of: Polynomial, known: Terms) -> bool:
    return any(isinstance(term, Poly) and term.base is base and near(term.of, of, 1e-6) for term in _read(value, known))


def _read(value: ir.Value | None, known: Terms) -> tuple[Term, ...]:
    """What is known of an operand, and the operand itself as a new base unless it is a polynomial in another; nothing for constants."""
    if value is None or is_constant(value):
        return ()
    found = known.get(value, ())
    return found if any(isinstance(term, Poly) for term in found) else (Poly(value, IDENTITY), *found)


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
            of = times(left.of, right.of)
            return None if of is None else Poly(left.base, of)
        case (Gate() as gate, Poly() as poly) | (Poly() as poly, Gate() as gate):
            p, q = times(gate.p, poly.of), times(gate.q, poly.of)
            return None if p is None or q is None else replace(gate, p=p, q=q)
    return None


def _operands(node: ir.Node, known: Terms) -> tuple[tuple[Term, ...], tuple[Term, ...], float | None]:
    """The terms of both operands, and the number in the constant one."""
    left, right = _read(given(node, 0), known), _read(given(node, 1), known)
    return left, right, scalar(given(node, 1 if left else 0))


def _sum(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    sign = 1.0 if node.op_type == "Add" else -1.0
    left, right, number = _operands(node, known)
    for mine, theirs in product(left, right):
        yield _added(mine, theirs, sign)
    if number is not None:
        yield from (_affine(term, 1.0, sign * number) for term in left)
        yield from (_affine(term, sign, number) for term in right)


def _product(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    left, right, number = _operands(node, known)
    for mine, theirs in product(left, right):
        yield _multiplied(mine, theirs)
    if number is not None:
        yield from (_affine(term, number, 0.0) for term in (*left, *right))


def _quotient(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    left, right, number = _operands(node, known)
    for mine, theirs in product(left, right):
        sigmoid = _sigmoid_below(theirs)
        yield None if sigmoid is None else _multiplied(mine, sigmoid)
    if number:
        yield from (_affine(term, 1.0 / number, 0.0) for term in left)
        yield from (_affine(sigmoid, number, 0.0) for term in right if (sigmoid := _sigmoid_below(term)) is not None)


def _sigmoid_below(term: Term) -> Gate | None:
    """`1 / (1 + exp(r))` as a sigmoid."""
    if not isinstance(term, Gate) or term.function != "exp" or (term.p, term.q) != (UNIT, UNIT):
        return None
    return replace(term, function="sigmoid", r=scaled(term.r, -1.0), p=ZERO)


def _reciprocal(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    return (_sigmoid_below(term) for term in _read(given(node, 0), known))


def _negation(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    return (_affine(term, -1.0, 0.0) for term in _read(given(node, 0), known))


def _power(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    exponent = scalar(given(node, 1))
    for term in _read(given(node, 0), known):
        square = _multiplied(term, term)
        if exponent == 2.0:
            yield square
        elif exponent == 3.0 and square is not None:
            yield _multiplied(square, term)


def _polynomials(node: ir.Node, known: Terms) -> Iterator[Poly]:
    return (term for term in _read(given(node, 0), known) if isinstance(term, Poly))


def _function(name: str) -> Rule:
    def applied(node: ir.Node, known: Terms) -> Iterator[Term | None]:
        return (Gate(term.base, name, term.of, ZERO, UNIT) for term in _polynomials(node, known))

    return applied


def _tanh(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    for term in _read(given(node, 0), known):
        if isinstance(term, Gate) and term.function == "softplus" and (term.p, term.q) == (ZERO, UNIT):
            yield replace(term, function="tanh_softplus")
    yield from _function("tanh")(node, known)


def _clip(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    """`clip(u, 0, h)` as `h * clip(u / h, 0, 1)`."""
    low, high = scalar(given(node, 1)), scalar(given(node, 2))
    if low == 0.0 and high is not None and high > 0.0:
        yield from (Gate(term.base, "clip", scaled(term.of, 1.0 / high), ZERO, scaled(UNIT, high)) for term in _polynomials(node, known))


def _hard_sigmoid(node: ir.Node, known: Terms) -> Iterator[Term | None]:
    slope, offset = attribute(node, "alpha", 0.2), attribute(node, "beta", 0.5)
    for term in _polynomials(node, known):
        yield Gate(term.base, "clip", plus(scaled(term.of, slope), scaled(UNIT, offset)), ZERO, UNIT)


_RULES: Mapping[str, Rule] = MappingProxyType(
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

OPERATORS = frozenset(_RULES)  # whose nodes can be a part of such a function
