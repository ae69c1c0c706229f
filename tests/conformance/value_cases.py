"""Cases of operators that compute values without weights."""

from collections.abc import Iterator, Mapping
from typing import Unpack

import numpy as np
from case_data import DATA, EXACT, INT16, SAMPLES, Allowed, Case, ints, normal, refusing, weight
from one_op import OneOp, Options

# Interpolation weights have 10 bits: each axis adds up to 255 / 2**10 = 0.25 steps to two roundings.
BILINEAR: Allowed = {"steps": 1.5}


def _unary(
    op: str, options: Options | None = None, *, scale: float = 3.0, shape: tuple[int, ...] = (2, 5, 7), **kind: Unpack[Allowed]
) -> Iterator[Case]:
    for name, make in DATA.items():
        refused = {INT16: "its kernel takes values up to 174757"} if (op, name) in (("LOGISTIC", "huge"), ("TANH", "huge")) else {}
        yield Case(name, OneOp(op, {0: scale * make(*shape)}, [shape], options=options), **refusing(kind, refused))
    yield Case("vector", OneOp(op, {0: normal(33, scale=scale)}, [(33,)], options=options), **kind)
    yield Case("rank-5", OneOp(op, {0: normal(1, 2, 3, 2, 4, scale=scale)}, [(1, 2, 3, 2, 4)], options=options), **kind)


BROADCASTS = {
    "equal": ((2, 5, 7), (2, 5, 7)),
    "channel": ((1, 4, 5, 6), (6,)),
    "rows": ((2, 5, 7), (2, 1, 7)),
    "scalar": ((2, 5, 7), (1,)),
    "both": ((2, 1, 7), (1, 5, 1)),
    "rank-5": ((1, 2, 3, 2, 4), (1, 2, 1, 2, 1)),
    "rank-6": ((1, 2, 3, 2, 4, 2), (1, 2, 1, 2, 1, 1)),
}


def _binary(op: str, table: str | None, *, fused: bool = False, broadcast_rank: int = 6) -> Iterator[Case]:
    options: Options | None = None if table is None else (table, {})
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: make(2, 5, 7), 1: normal(2, 5, 7, scale=2, key=8)}, [(2, 5, 7)], options=options))
    yield Case("both-tiny", OneOp(op, {0: DATA["tiny"](4, 7), 1: normal(4, 7, scale=1e-6, key=9)}, [(4, 7)], options=options))
    yield Case("both-huge", OneOp(op, {0: DATA["huge"](4, 7), 1: normal(4, 7, scale=1e6, key=9)}, [(4, 7)], options=options))
    for name, (left, right) in BROADCASTS.items():
        if len(left) <= broadcast_rank:
            shape = np.broadcast_shapes(left, right)
            yield Case(f"broadcast-{name}", OneOp(op, {0: normal(*left), 1: normal(*right, key=10)}, [shape], options=options))
            yield Case(f"constant-{name}", OneOp(op, {0: normal(*left)}, [shape], {1: weight(*right, scale=1)}, options))
            yield Case(f"constant-first-{name}", OneOp(op, {1: normal(*left)}, [shape], {0: weight(*right, scale=1)}, options))
    yield Case("constant-negative", OneOp(op, {0: normal(4, 7)}, [(4, 7)], {1: np.array([-3], np.float32)}, options))
    yield Case("constant-zero", OneOp(op, {0: normal(4, 7)}, [(4, 7)], {1: np.array([0], np.float32)}, options))
    for name, activation in (("relu", 1), ("relu6", 3), ("relu-n1-to-1", 2)) if fused else ():
        data = {0: normal(4, 7, scale=4), 1: normal(4, 7, scale=4, key=11)}
        yield Case(name, OneOp(op, data, [(4, 7)], options=(str(table), {"fusedActivationFunction": activation})))


def _softmax(op: str, table: str) -> Iterator[Case]:
    options = (table, {"beta": 1.0} if op == "SOFTMAX" else {})
    for name, make in DATA.items():
        refused = {INT16: "its kernel takes values up to 163840"} if (op, name) == ("SOFTMAX", "huge") else {}
        yield Case(name, OneOp(op, {0: 3 * make(3, 17)}, [(3, 17)], options=options), refused=refused)
    yield Case("heads", OneOp(op, {0: normal(1, 4, 7, 7, scale=4)}, [(1, 4, 7, 7)], options=options))
    yield Case("entries-32", OneOp(op, {0: normal(20, 32, scale=10)}, [(20, 32)], options=options))
    refused = {INT16: "its kernel is about 2000 steps off over 1000 entries"} if op == "SOFTMAX" else {}
    yield Case("wide", OneOp(op, {0: normal(1, 1000, scale=4)}, [(1, 1000)], options=options), refused=refused)
    yield Case("masked", OneOp(op, {0: np.where(normal(3, 17) > 1, np.float32(-10000), normal(3, 17, scale=5))}, [(3, 17)], options=options))
    yield Case("one", OneOp(op, {0: normal(3, 1)}, [(3, 1)], options=options))
    yield Case("vector", OneOp(op, {0: normal(9)}, [(9,)], options=options))


def _reduce(op: str) -> Iterator[Case]:
    # The optimised MEAN of LiteRT over height and width is biased by a fraction of a step.
    kind: Allowed = {"rmse": 0.5} if op == "MEAN" else EXACT
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: make(2, 6, 6, 5)}, [(2, 5)], {1: ints(1, 2)}, ("ReducerOptions", {})), **kind)
    yield Case("keep-dims", OneOp(op, {0: normal(2, 6, 6, 5)}, [(2, 1, 1, 5)], {1: ints(1, 2)}, ("ReducerOptions", {"keepDims": True})), **kind)
    yield Case("last", OneOp(op, {0: normal(2, 6, 5)}, [(2, 6, 1)], {1: ints(2)}, ("ReducerOptions", {"keepDims": True})), **kind)
    yield Case("last-two", OneOp(op, {0: normal(2, 6, 5)}, [(2, 1, 1)], {1: ints(-1, 1)}, ("ReducerOptions", {"keepDims": True})), **kind)
    yield Case("first", OneOp(op, {0: normal(2, 6, 5)}, [(6, 5)], {1: ints(0)}, ("ReducerOptions", {})), **kind)
    yield Case("all", OneOp(op, {0: normal(2, 6, 5)}, [()], {1: ints(0, 1, 2)}, ("ReducerOptions", {})), **kind)
    yield Case("one", OneOp(op, {0: normal(2, 1, 5)}, [(2, 5)], {1: ints(1)}, ("ReducerOptions", {})), **kind)
    yield Case(
        "large", OneOp(op, {0: normal(1, 64, 64, 4, shift=0.5)}, [(1, 1, 1, 4)], {1: ints(1, 2)}, ("ReducerOptions", {"keepDims": True})), **kind
    )
    yield Case("rank-5", OneOp(op, {0: normal(1, 2, 3, 4, 5)}, [(1, 2, 5)], {1: ints(2, 3)}, ("ReducerOptions", {})), **kind)


def _pool(op: str) -> Iterator[Case]:
    options = {"padding": 0, "strideH": 2, "strideW": 2, "filterHeight": 3, "filterWidth": 3}
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: make(1, 8, 8, 5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", options)))
    valid = {"padding": 1, "strideH": 1, "strideW": 1, "filterHeight": 7, "filterWidth": 7}
    yield Case("global", OneOp(op, {0: normal(1, 7, 7, 5)}, [(1, 1, 1, 5)], options=("Pool2DOptions", valid)))
    relu6 = {**options, "fusedActivationFunction": 3}
    yield Case("relu6", OneOp(op, {0: normal(1, 8, 8, 5, scale=5)}, [(1, 4, 4, 5)], options=("Pool2DOptions", relu6)))
    same = {"padding": 0, "strideH": 1, "strideW": 1, "filterHeight": 3, "filterWidth": 3}
    yield Case("same", OneOp(op, {0: normal(1, 5, 5, 5)}, [(1, 5, 5, 5)], options=("Pool2DOptions", same)))


def _resize(op: str) -> Iterator[Case]:
    kind = BILINEAR if op == "RESIZE_BILINEAR" else EXACT
    table = "ResizeBilinearOptions" if op == "RESIZE_BILINEAR" else "ResizeNearestNeighborOptions"
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: make(1, 4, 5, 3)}, [(1, 8, 10, 3)], {1: ints(8, 10)}, (table, {})), **kind)
    # Bilinear positions are exact to 1/1024 pixel, which int16 values notice.
    off: Mapping[str, str] = {INT16: "pixels off"} if op == "RESIZE_BILINEAR" else {}
    for flag in ("halfPixelCenters", "alignCorners"):
        for name, given, made in (("", (4, 5), (8, 10)), ("-odd", (4, 5), (7, 13)), ("-down", (9, 8), (3, 4)), ("-one", (1, 1), (3, 2))):
            exact = name == "-one" or (flag == "halfPixelCenters" and name != "-odd")
            model = OneOp(op, {0: normal(1, *given, 3)}, [(1, *made, 3)], {1: ints(*made)}, (table, {flag: True}), version=3)
            yield Case(f"{flag}{name}", model, **refusing(kind, {} if exact else off))
    model = OneOp(op, {0: normal(1, 33, 3, 3)}, [(1, 100, 3, 3)], {1: ints(100, 3)}, (table, {"halfPixelCenters": True}), version=3)
    yield Case("wide", model, **refusing(kind, off and {**off, "static_wi8_ai8": "pixels off at the end of 100 x 3"}))


def _divisions() -> Iterator[Case]:
    options: Options = ("DivOptions", {})
    for name, make in DATA.items():
        # A dividend of zero comes out one step off where the output's scale has nothing to do with the quotient's.
        kind: Allowed = {"rmse": 1.02} if name == "zero" else {}
        yield Case(name, OneOp("DIV", {0: make(2, 5, 7)}, [(2, 5, 7)], {1: np.array([8], np.float32)}, options), **kind)
    for name, divisor in (("negative-divisor", -0.3), ("tiny-divisor", 1e-5), ("huge-divisor", 1e6)):
        yield Case(name, OneOp("DIV", {0: normal(4, 7)}, [(4, 7)], {1: np.full((4, 7), divisor, np.float32)}, options))
    refused = dict.fromkeys(("static_wi8_ai8", INT16), "its divisor 'in1' holds values from 0.5 to 8")
    yield Case("several", OneOp("DIV", {0: normal(5, 2)}, [(5, 2)], {1: np.array([0.5, 8], np.float32)}, options), refused=refused)
    refused = dict.fromkeys(("static_wi8_ai8", INT16), "its divisor 'in1' is computed at run time")
    yield Case("computed", OneOp("DIV", {0: normal(5, 2), 1: np.abs(normal(5, 2)) + 1}, [(5, 2)], {}, options), refused=refused)


def _steep(op: str) -> Iterator[Case]:
    for name, low, high in (("ordinary", 1, 4), ("wide", 0.5, 8), ("tiny", 1e-6, 1e-5), ("huge", 1e4, 1e5), ("constant", 3, 3)):
        span = np.linspace(low, high, SAMPLES * 12, dtype=np.float32)
        yield Case(name, OneOp(op, {0: span.reshape(SAMPLES, 3, 4)}, [(3, 4)]), rmse=0.5)  # a table: one rounding, but few distinct values
    yield Case("one", OneOp(op, {0: 3 + DATA["normal"](1, 4) / 10}, [(1, 4)]), rmse=0.5)
    refused = {"static_wi8_ai8": "it is too steep near zero for the input 'in0' from 0.1 to 8"}
    yield Case("near-zero", OneOp(op, {0: np.linspace(0.1, 8, SAMPLES * 12, dtype=np.float32).reshape(SAMPLES, 12)}, [(12,)]), refused=refused)


def _activations() -> Iterator[Case]:
    for op in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "ELU", "HARD_SWISH", "LOGISTIC", "TANH", "ABS"):
        yield from _unary(op)
    yield from _unary("L2_NORMALIZATION", ("L2NormOptions", {}))
    for prefix, approximate in (("", False), ("tanh-", True)):
        for case in _unary("GELU", ("GeluOptions", {"approximate": approximate})):
            yield Case(f"{prefix}{case.id}", case.model)
    for prefix, alpha in (("", 0.1), ("steep-", 1.5)):
        for case in _unary("LEAKY_RELU", ("LeakyReluOptions", {"alpha": alpha})):
            yield Case(f"{prefix}{case.id}", case.model)
    for name, make in DATA.items():
        yield Case(name, OneOp("PRELU", {0: make(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(6)}))
        yield Case(f"map-{name}", OneOp("PRELU", {0: make(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(1, 1, 6)}))
    yield Case("positive-alpha", OneOp("PRELU", {0: normal(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: np.abs(weight(1, 1, 6))}))
    yield Case("large-alpha", OneOp("PRELU", {0: normal(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(1, 1, 6, scale=20)}))
    for name, low, high in (("both-sides", -3, 3), ("negative", -60, 0), ("zero", 0, 0), ("tiny", -1e-6, 1e-6), ("large", 0, 20), ("huge", -1e5, -1)):
        span = np.linspace(low, high, SAMPLES * 12, dtype=np.float32)
        yield Case(name, OneOp("EXP", {0: span.reshape(SAMPLES, 3, 4)}, [(3, 4)]))
    yield Case("one", OneOp("EXP", {0: normal(1, 4)}, [(1, 4)]))


def value_cases() -> Iterator[Case]:
    """All of this file."""
    yield from _binary("ADD", "AddOptions", fused=True)
    yield from _binary("SUB", "SubOptions", fused=True)
    yield from _binary("MUL", "MulOptions", fused=True)
    yield from _binary("SQUARED_DIFFERENCE", None, broadcast_rank=4)
    yield from _binary("MAXIMUM", "MaximumMinimumOptions", broadcast_rank=5)
    yield from _binary("MINIMUM", "MaximumMinimumOptions", broadcast_rank=5)
    yield from _activations()
    yield from _softmax("SOFTMAX", "SoftmaxOptions")
    yield from _softmax("LOG_SOFTMAX", "LogSoftmaxOptions")
    for op in ("MEAN", "REDUCE_MAX", "REDUCE_MIN"):
        yield from _reduce(op)
    yield from _pool("AVERAGE_POOL_2D")
    yield from _pool("MAX_POOL_2D")
    yield from _resize("RESIZE_BILINEAR")
    yield from _resize("RESIZE_NEAREST_NEIGHBOR")
    yield from _divisions()
    yield from _steep("LOG")
    yield from _steep("RSQRT")
