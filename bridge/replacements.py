"""What a rule may put in the place of an activation function: one row per replacement, read by rules, by the graph and by the reference.

`build` writes what is converted, in ONNX operators that have TFLite kernels. `formula` writes the same function in arithmetic that every opset has: the
reference that the converted file is proved against, so it must not share an operator with `build` where that can be avoided.
"""

from collections.abc import Mapping
from math import pi, sqrt
from types import MappingProxyType
from typing import Literal, Protocol, get_args

from msgspec import Struct

# Functions by the operator that is one of them; other spellings carry the pattern of that name.
FUNCTION_OF_OPERATOR: Mapping[str, str] = MappingProxyType({"Erf": "erf", "Gelu": "gelu", "Mish": "mish", "Sigmoid": "sigmoid", "Swish": "silu"})
NONE = "none"  # takes back what an earlier rule replaced

ReplacementName = Literal["none", "erf_polynomial", "gelu_polynomial", "gelu_sigmoid", "gelu_tanh", "hard_sigmoid", "hard_swish"]


class Writer[V](Protocol):
    """Writes an operator with one output; numbers become constants of the type of the tensor."""

    def __call__(self, op_type: str, *operands: V | float, **attributes: str) -> V:
        """The value that the operator writes."""


class Definition(Protocol):
    """A function of one tensor, written with operators. `slope` scales its argument where the function has such a parameter."""

    def __call__[V](self, op: Writer[V], x: V, slope: float) -> V:
        """The value of the function at `x`."""


class Replacement(Struct, frozen=True):
    """One function in the place of others.

    Attributes:
        of: functions it may replace -> slope of its argument there; a SiLU with a slope of its own multiplies it.
        summary: what it is, for people.
    """

    name: str
    of: Mapping[str, float]
    summary: str
    build: Definition
    formula: Definition


def _tanh_gelu[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Gelu", x, approximate="tanh")


def _tanh_gelu_formula[V](op: Writer[V], x: V, slope: float) -> V:
    """Source: Hendrycks, Gimpel, Gaussian Error Linear Units (2016)."""
    cube = op("Mul", op("Mul", x, x), x)
    inner = op("Mul", op("Add", x, op("Mul", cube, 0.044715)), sqrt(2.0 / pi))
    return op("Mul", op("Mul", x, 0.5), op("Add", op("Tanh", inner), 1.0))


def _sigmoid_gelu[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Mul", x, op("Sigmoid", op("Mul", x, slope)))


def _sigmoid_gelu_formula[V](op: Writer[V], x: V, slope: float) -> V:
    """The same by tanh: sigmoid(t) = (1 + tanh(t / 2)) / 2."""
    gate = op("Mul", op("Add", op("Tanh", op("Mul", x, slope / 2.0)), 1.0), 0.5)
    return op("Mul", x, gate)


def _hard_swish[V](op: Writer[V], x: V, slope: float) -> V:
    if slope == 1.0:
        return op("HardSwish", x)
    return op("Mul", op("HardSwish", op("Mul", x, slope)), 1.0 / slope)


def _hard_swish_formula[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Mul", x, _hard_sigmoid_formula(op, x, slope))


def _hard_sigmoid[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Mul", op("Clip", op("Add", op("Mul", x, slope), 3.0), 0.0, 6.0), 1.0 / 6.0)


def _hard_sigmoid_formula[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Min", op("Max", op("Add", op("Mul", x, slope / 6.0), 0.5), 0.0), 1.0)


ERF_BOUND = 2.325
# Minimax fit of odd degree 9 to erf on [0, 2.325], 1 beyond: at most 1.02e-3 off. Found by linear programming over 4,001 points, with the value 1 at
# the bound: without that a GELU would be off in proportion to x.
ERF_COEFFICIENTS = (1.12321221, -0.353956781, 0.0852562101, -0.0115589397, 0.00064977204)


def _erf_polynomial[V](op: Writer[V], x: V, slope: float) -> V:
    return _odd_polynomial(op, op("Clip", op("Mul", x, slope) if slope != 1.0 else x, -ERF_BOUND, ERF_BOUND))


def _erf_polynomial_formula[V](op: Writer[V], x: V, slope: float) -> V:
    return _odd_polynomial(op, op("Max", op("Min", op("Mul", x, slope), ERF_BOUND), -ERF_BOUND))


def _odd_polynomial[V](op: Writer[V], x: V) -> V:
    square = op("Mul", x, x)
    *rest, last = ERF_COEFFICIENTS
    total = op("Mul", square, last)
    for coefficient in reversed(rest[1:]):
        total = op("Mul", op("Add", total, coefficient), square)
    return op("Mul", op("Add", total, rest[0]), x)


def _polynomial_gelu[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Mul", op("Mul", x, 0.5), op("Add", _erf_polynomial(op, x, slope), 1.0))


def _polynomial_gelu_formula[V](op: Writer[V], x: V, slope: float) -> V:
    return op("Mul", op("Mul", x, 0.5), op("Add", _erf_polynomial_formula(op, x, slope), 1.0))


_ROWS = (
    Replacement(
        "erf_polynomial",
        {"erf": 1.0},
        "Erf as a polynomial of degree 9 between -2.325 and 2.325, constant outside: at most 1.1e-3 off",
        _erf_polynomial,
        _erf_polynomial_formula,
    ),
    Replacement(
        "gelu_polynomial",
        {"gelu": sqrt(0.5)},
        "GELU with its Erf as that polynomial: at most 1.7e-3 off",
        _polynomial_gelu,
        _polynomial_gelu_formula,
    ),
    Replacement("gelu_sigmoid", {"gelu": 1.702}, "x * sigmoid(1.702 x): at most 0.021 off", _sigmoid_gelu, _sigmoid_gelu_formula),
    Replacement("gelu_tanh", {"gelu": 1.0}, "GELU by its tanh approximation: at most 4.8e-4 off", _tanh_gelu, _tanh_gelu_formula),
    Replacement("hard_sigmoid", {"sigmoid": 1.0}, "clip(x + 3, 0, 6) / 6: at most 0.070 off", _hard_sigmoid, _hard_sigmoid_formula),
    # GELU and Mish are nearest to x * sigmoid(slope x) at these slopes; at slope 1 HardSwish is 0.30 off a GELU and 0.29 off a Mish.
    Replacement(
        "hard_swish",
        {"silu": 1.0, "gelu": 1.702, "mish": 1.21},
        "HardSwish(s x) / s, s = 1 for SiLU (at most 0.15 off), 1.702 for GELU (0.069), 1.21 for Mish (0.21)",
        _hard_swish,
        _hard_swish_formula,
    ),
)
REPLACEMENTS: Mapping[str, Replacement] = MappingProxyType({row.name: row for row in _ROWS})
NAMES: tuple[str, ...] = get_args(ReplacementName)
