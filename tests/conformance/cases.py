"""One-operator models for every row of the op table: random, edge and broadcast data."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from one_op import OneOp

SAMPLES = 4

# Interpolation weights have 10 bits: each axis adds up to 255 / 2**10 = 0.25 steps to two roundings.
BILINEAR = {"steps": 1.5}

# Distance to the exact value in output steps. A kernel that rounds once is off by half a step; fixed-point multipliers of 31 bits and
# tables add a little to that. Two roundings (both inputs are rescaled first, or XNNPACK and the kernel round ties differently) make one step.
ONE_ROUNDING = 0.52
TWO_ROUNDINGS = 1.02


@dataclass(frozen=True)
class Case:
    """A model, and how far its integer kernel may be off, in steps of the output: at most `steps`, in the mean of squares `rmse`."""

    id: str
    model: OneOp
    steps: float = TWO_ROUNDINGS
    rmse: float = 0.45  # ideal rounding gives 0.29, two roundings 0.41


def _rng(*key: object) -> np.random.Generator:
    return np.random.default_rng([ord(letter) for letter in repr(key)])


def normal(*shape: int, scale: float = 1.0, shift: float = 0.0, key: object = 0) -> np.ndarray:
    """[SAMPLES, *shape] float32."""
    return (shift + scale * _rng(shape, key).standard_normal((SAMPLES, *shape))).astype(np.float32)


def weight(*shape: int, scale: float = 0.3, key: object = 1) -> np.ndarray:
    """A constant of that shape, float32."""
    return (scale * _rng(shape, key).standard_normal(shape)).astype(np.float32)


def ints(*values: int) -> np.ndarray:
    """A constant int32 vector."""
    return np.asarray(values, np.int32)


# Values an activation can have: ordinary, all negative (stays negative: the range is widened to zero), all zero, tiny, huge, one-sided with outliers.
DATA = {
    "normal": lambda *shape: normal(*shape),
    "negative": lambda *shape: -np.abs(normal(*shape, key=2)) - 3,
    "zero": lambda *shape: np.zeros((SAMPLES, *shape), np.float32),
    "tiny": lambda *shape: normal(*shape, scale=1e-6, key=3),
    "huge": lambda *shape: normal(*shape, scale=1e5, key=4),
    "outlier": lambda *shape: np.where(_rng(shape, 5).random((SAMPLES, *shape)) < 0.02, 30, np.abs(normal(*shape, key=6))).astype(np.float32),
}


def _unary(
    op: str, options: tuple[str, Mapping[str, object]] | None = None, *, scale: float = 3.0, shape: tuple[int, ...] = (2, 5, 7), **kind: float
) -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: scale * make(*shape)}, [shape], options=options), **kind)
    yield Case("vector", OneOp(op, {0: normal(33, scale=scale)}, [(33,)], options=options), **kind)
    yield Case("rank-5", OneOp(op, {0: normal(1, 2, 3, 2, 4, scale=scale)}, [(1, 2, 3, 2, 4)], options=options), **kind)


CONV = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
DEAD = np.float32([1, 1e-25, 0, 1, 1, 1, 1, 1])  # output channels that training has switched off


def _conv() -> Iterator[Case]:
    bias = weight(8, key=3)
    for name, make in DATA.items():
        model = OneOp("CONV_2D", {0: make(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 6), 2: bias}, ("Conv2DOptions", CONV))
        yield Case(name, model)
    for name, activation in (("relu", 1), ("relu6", 3), ("relu-n1-to-1", 2)):
        options = ("Conv2DOptions", {**CONV, "fusedActivationFunction": activation})
        yield Case(name, OneOp("CONV_2D", {0: normal(1, 9, 9, 6, scale=3)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 6), 2: bias}, options))
    channels = np.float32([1e-4, 1e-3, 1e-2, 0.1, 1, 10, 3, 0.5])[:, None, None, None]
    yield Case(
        "per-channel", OneOp("CONV_2D", {0: normal(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: channels * weight(8, 3, 3, 6), 2: bias}, ("Conv2DOptions", CONV))
    )
    dead = DEAD[:, None, None, None] * weight(8, 3, 3, 6)
    yield Case("dead-channels", OneOp("CONV_2D", {0: normal(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: dead, 2: bias}, ("Conv2DOptions", CONV)))
    yield Case("no-weights", OneOp("CONV_2D", {0: normal(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: 0 * dead, 2: bias}, ("Conv2DOptions", CONV)))
    options = ("Conv2DOptions", {**CONV, "padding": 1, "strideH": 2, "strideW": 2})
    yield Case("valid-stride", OneOp("CONV_2D", {0: normal(2, 9, 9, 6)}, [(2, 4, 4, 8)], {1: weight(8, 3, 3, 6), 2: bias}, options))
    options = ("Conv2DOptions", {**CONV, "dilationHFactor": 2, "dilationWFactor": 2})
    yield Case("dilated", OneOp("CONV_2D", {0: normal(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 6), 2: bias}, options))
    yield Case("one-by-one", OneOp("CONV_2D", {0: normal(1, 5, 5, 16)}, [(1, 5, 5, 8)], {1: weight(8, 1, 1, 16), 2: bias}, ("Conv2DOptions", CONV)))
    yield Case("grouped", OneOp("CONV_2D", {0: normal(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 3), 2: bias}, ("Conv2DOptions", CONV)))
    yield Case("single", OneOp("CONV_2D", {0: normal(1, 1, 1, 1)}, [(1, 1, 1, 1)], {1: weight(1, 1, 1, 1), 2: weight(1)}, ("Conv2DOptions", CONV)))


def _depthwise() -> Iterator[Case]:
    options = {**CONV, "depthMultiplier": 1}
    for name, make in DATA.items():
        model = OneOp(
            "DEPTHWISE_CONV_2D", {0: make(1, 9, 9, 8)}, [(1, 9, 9, 8)], {1: weight(1, 3, 3, 8), 2: weight(8)}, ("DepthwiseConv2DOptions", options)
        )
        yield Case(name, model)
    dead = OneOp(
        "DEPTHWISE_CONV_2D",
        {0: normal(1, 9, 9, 8)},
        [(1, 9, 9, 8)],
        {1: DEAD * weight(1, 3, 3, 8), 2: weight(8)},
        ("DepthwiseConv2DOptions", options),
    )
    yield Case("dead-channels", dead)
    relu6 = ("DepthwiseConv2DOptions", {**options, "fusedActivationFunction": 3})
    yield Case("relu6", OneOp("DEPTHWISE_CONV_2D", {0: normal(1, 9, 9, 8, scale=5)}, [(1, 9, 9, 8)], {1: weight(1, 3, 3, 8), 2: weight(8)}, relu6))
    doubled = ("DepthwiseConv2DOptions", {**options, "depthMultiplier": 2})
    yield Case("multiplier-2", OneOp("DEPTHWISE_CONV_2D", {0: normal(1, 9, 9, 8)}, [(1, 9, 9, 16)], {1: weight(1, 3, 3, 16), 2: weight(16)}, doubled))
    dilated = ("DepthwiseConv2DOptions", {**options, "dilationHFactor": 2, "dilationWFactor": 2})
    yield Case(
        "dilated", OneOp("DEPTHWISE_CONV_2D", {0: normal(1, 9, 9, 8)}, [(1, 9, 9, 8)], {1: weight(1, 3, 3, 8), 2: weight(8)}, dilated, version=2)
    )
    strided = ("DepthwiseConv2DOptions", {**options, "strideH": 2, "strideW": 2, "padding": 1})
    yield Case("strided", OneOp("DEPTHWISE_CONV_2D", {0: normal(1, 9, 9, 8)}, [(1, 3, 3, 8)], {1: weight(1, 5, 5, 8), 2: weight(8)}, strided))


def _fully_connected() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(name, OneOp("FULLY_CONNECTED", {0: make(3, 20)}, [(3, 8)], {1: weight(8, 20), 2: weight(8)}, ("FullyConnectedOptions", {})))
    yield Case("no-bias", OneOp("FULLY_CONNECTED", {0: normal(3, 20)}, [(3, 8)], {1: weight(8, 20)}, ("FullyConnectedOptions", {})))
    keep = ("FullyConnectedOptions", {"keepNumDims": True})
    yield Case("keep-num-dims", OneOp("FULLY_CONNECTED", {0: normal(2, 3, 20)}, [(2, 3, 8)], {1: weight(8, 20), 2: weight(8)}, keep))
    relu = ("FullyConnectedOptions", {"fusedActivationFunction": 1})
    yield Case("relu", OneOp("FULLY_CONNECTED", {0: normal(3, 20)}, [(3, 8)], {1: weight(8, 20), 2: weight(8)}, relu))
    yield Case(
        "dead-channels",
        OneOp("FULLY_CONNECTED", {0: normal(3, 20)}, [(3, 8)], {1: DEAD[:, None] * weight(8, 20), 2: weight(8)}, ("FullyConnectedOptions", {})),
    )
    yield Case("one-row", OneOp("FULLY_CONNECTED", {0: normal(1, 64)}, [(1, 8)], {1: weight(8, 64), 2: weight(8)}, ("FullyConnectedOptions", {})))


def _transpose_conv() -> Iterator[Case]:
    options = {"padding": 0, "strideH": 2, "strideW": 2}
    for name, make in DATA.items():
        constants = {0: ints(1, 8, 8, 8), 1: weight(8, 3, 3, 4), 3: weight(8)}
        yield Case(name, OneOp("TRANSPOSE_CONV", {2: make(1, 4, 4, 4)}, [(1, 8, 8, 8)], constants, ("TransposeConvOptions", options), version=3))
    constants = {0: ints(1, 8, 8, 8), 1: weight(8, 2, 2, 4)}
    yield Case("no-bias", OneOp("TRANSPOSE_CONV", {2: normal(1, 4, 4, 4)}, [(1, 8, 8, 8)], constants, ("TransposeConvOptions", options)))
    constants = {0: ints(1, 8, 8, 8), 1: weight(8, 3, 3, 4), 3: weight(8)}
    relu = ("TransposeConvOptions", {**options, "fusedActivationFunction": 1})
    yield Case("relu", OneOp("TRANSPOSE_CONV", {2: normal(1, 4, 4, 4)}, [(1, 8, 8, 8)], constants, relu, version=4))


def _batch_matmul() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(name, OneOp("BATCH_MATMUL", {0: make(2, 3, 16), 1: normal(2, 16, 5, shift=1)}, [(2, 3, 5)], options=("BatchMatMulOptions", {})))
    one_sided = {0: normal(2, 3, 16), 1: np.abs(normal(2, 16, 5))}
    yield Case("second-positive", OneOp("BATCH_MATMUL", one_sided, [(2, 3, 5)], options=("BatchMatMulOptions", {})))
    transposed = {0: normal(2, 3, 16), 1: normal(2, 5, 16, shift=1)}
    yield Case("adj-y", OneOp("BATCH_MATMUL", transposed, [(2, 3, 5)], options=("BatchMatMulOptions", {"adjY": True})))
    transposed = {0: normal(2, 16, 3), 1: normal(2, 16, 5, shift=1)}
    yield Case("adj-x", OneOp("BATCH_MATMUL", transposed, [(2, 3, 5)], options=("BatchMatMulOptions", {"adjX": True})))
    heads = {0: normal(1, 4, 7, 16), 1: normal(1, 4, 16, 7)}
    yield Case("four-dimensions", OneOp("BATCH_MATMUL", heads, [(1, 4, 7, 7)], options=("BatchMatMulOptions", {})))
    broadcast = {0: normal(2, 4, 3, 16), 1: normal(1, 1, 16, 5)}
    yield Case("broadcast", OneOp("BATCH_MATMUL", broadcast, [(2, 4, 3, 5)], options=("BatchMatMulOptions", {})))
    yield Case("second-constant", OneOp("BATCH_MATMUL", {0: normal(2, 3, 16)}, [(2, 3, 5)], {1: weight(2, 16, 5)}, ("BatchMatMulOptions", {})))
    yield Case("second-constant-shared", OneOp("BATCH_MATMUL", {0: normal(2, 3, 16)}, [(2, 3, 5)], {1: weight(16, 5)}, ("BatchMatMulOptions", {})))
    yield Case(
        "first-constant", OneOp("BATCH_MATMUL", {1: normal(2, 16, 5, shift=1)}, [(2, 3, 5)], {0: weight(2, 3, 16)}, ("BatchMatMulOptions", {}))
    )
    yield Case(
        "first-constant-shared", OneOp("BATCH_MATMUL", {1: normal(2, 16, 5, shift=1)}, [(2, 3, 5)], {0: weight(3, 16)}, ("BatchMatMulOptions", {}))
    )


BROADCASTS = {
    "equal": ((2, 5, 7), (2, 5, 7)),
    "channel": ((1, 4, 5, 6), (6,)),
    "rows": ((2, 5, 7), (2, 1, 7)),
    "scalar": ((2, 5, 7), (1,)),
    "both": ((2, 1, 7), (1, 5, 1)),
    "rank-5": ((1, 2, 3, 2, 4), (1, 2, 1, 2, 1)),
    "rank-6": ((1, 2, 3, 2, 4, 2), (1, 2, 1, 2, 1, 1)),
}


def _binary(
    op: str,
    table: str | None,
    *,
    activations: bool = True,
    positive: bool = False,
    broadcasts: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = BROADCASTS,
    **kind: float,
) -> Iterator[Case]:
    options = None if table is None else (table, {})
    second = (lambda values: np.abs(values) + np.float32(0.5)) if positive else (lambda values: values)
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: make(2, 5, 7), 1: second(normal(2, 5, 7, scale=2, key=8))}, [(2, 5, 7)], options=options), **kind)
    yield Case("both-tiny", OneOp(op, {0: DATA["tiny"](4, 7), 1: second(normal(4, 7, scale=1e-6, key=9))}, [(4, 7)], options=options), **kind)
    yield Case("both-huge", OneOp(op, {0: DATA["huge"](4, 7), 1: second(normal(4, 7, scale=1e6, key=9))}, [(4, 7)], options=options), **kind)
    for name, (left, right) in broadcasts.items():
        shape = np.broadcast_shapes(left, right)
        yield Case(f"broadcast-{name}", OneOp(op, {0: normal(*left), 1: second(normal(*right, key=10))}, [shape], options=options), **kind)
        constant = second(weight(*right, scale=1))
        yield Case(f"constant-{name}", OneOp(op, {0: normal(*left)}, [shape], {1: constant}, options), **kind)
        yield Case(f"constant-first-{name}", OneOp(op, {1: second(normal(*left))}, [shape], {0: weight(*right, scale=1)}, options), **kind)
    yield Case("constant-negative", OneOp(op, {0: normal(4, 7)}, [(4, 7)], {1: second(np.float32([-3]))}, options), **kind)
    yield Case("constant-zero", OneOp(op, {0: normal(4, 7)}, [(4, 7)], {1: second(np.float32([0]))}, options), **kind)
    if activations and table is not None:
        for name, activation in (("relu", 1), ("relu6", 3), ("relu-n1-to-1", 2)):
            fused = (table, {"fusedActivationFunction": activation})
            yield Case(name, OneOp(op, {0: normal(4, 7, scale=4), 1: second(normal(4, 7, scale=4, key=11))}, [(4, 7)], options=fused), **kind)


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
    for flag in ("halfPixelCenters", "alignCorners"):
        yield Case(flag, OneOp(op, {0: normal(1, 4, 5, 3)}, [(1, 8, 10, 3)], {1: ints(8, 10)}, (table, {flag: True}), version=3), **kind)
        yield Case(f"{flag}-odd", OneOp(op, {0: normal(1, 4, 5, 3)}, [(1, 7, 13, 3)], {1: ints(7, 13)}, (table, {flag: True}), version=3), **kind)
        yield Case(f"{flag}-down", OneOp(op, {0: normal(1, 9, 8, 3)}, [(1, 3, 4, 3)], {1: ints(3, 4)}, (table, {flag: True}), version=3), **kind)


def _concatenation() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(name, OneOp("CONCATENATION", {0: make(2, 5, 3), 1: normal(2, 5, 4)}, [(2, 5, 7)], options=("ConcatenationOptions", {"axis": 2})))
    yield Case("axis-0", OneOp("CONCATENATION", {0: normal(2, 5), 1: normal(3, 5)}, [(5, 5)], options=("ConcatenationOptions", {"axis": 0})))
    yield Case("axis-minus-1", OneOp("CONCATENATION", {0: normal(2, 5), 1: normal(2, 3)}, [(2, 8)], options=("ConcatenationOptions", {"axis": -1})))
    yield Case("constant", OneOp("CONCATENATION", {0: normal(2, 5)}, [(2, 8)], {1: weight(2, 3)}, ("ConcatenationOptions", {"axis": 1})))
    many = {position: normal(1, 2, 3, key=position) for position in range(9)}
    yield Case("nine", OneOp("CONCATENATION", many, [(1, 18, 3)], options=("ConcatenationOptions", {"axis": 1})))
    yield Case(
        "rank-5",
        OneOp(
            "CONCATENATION", {0: normal(1, 2, 3, 2, 2), 1: normal(1, 2, 3, 2, 1)}, [(1, 2, 3, 2, 3)], options=("ConcatenationOptions", {"axis": 4})
        ),
    )


def _reduce(op: str) -> Iterator[Case]:
    # The optimised MEAN of LiteRT over height and width is biased by a fraction of a step.
    kind = {"rmse": 0.5} if op == "MEAN" else EXACT
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


EXACT = {"steps": 1e-3, "rmse": 1e-3}  # float32 has 24 bits for the exact value


def _moved(
    op: str,
    name: str,
    shape: tuple[int, ...],
    output: tuple[int, ...],
    constants: Mapping[int, np.ndarray],
    options: tuple[str, Mapping[str, object]] | None = None,
    *,
    data: int = 0,
    outputs: int = 1,
) -> Iterator[Case]:
    yield Case(name, OneOp(op, {data: normal(*shape)}, [output] * outputs, constants, options), **EXACT)


def _movement() -> Iterator[Case]:
    yield from _moved("RESHAPE", "flat", (2, 3, 4), (6, 4), {1: ints(6, 4)}, ("ReshapeOptions", {}))
    yield from _moved("TRANSPOSE", "rank-4", (1, 3, 4, 5), (1, 5, 3, 4), {1: ints(0, 3, 1, 2)})
    yield from _moved("TRANSPOSE", "rank-5", (1, 3, 4, 5, 2), (2, 1, 5, 3, 4), {1: ints(4, 0, 3, 1, 2)})
    yield from _moved("TRANSPOSE", "rank-6", (1, 3, 4, 5, 2, 2), (2, 2, 1, 5, 3, 4), {1: ints(5, 4, 0, 3, 1, 2)})
    yield from _moved("PAD", "rank-4", (1, 3, 4, 5), (1, 5, 6, 5), {1: np.int32([[0, 0], [1, 1], [2, 0], [0, 0]])})
    yield from _moved("PAD", "rank-2", (3, 4), (5, 4), {1: np.int32([[1, 1], [0, 0]])})
    yield from _moved("PAD", "rank-5", (1, 3, 4, 5, 2), (1, 5, 4, 5, 2), {1: np.int32([[0, 0], [1, 1], [0, 0], [0, 0], [0, 0]])})
    positive = np.abs(normal(1, 3, 4, 5)) + np.float32(2)
    yield Case("positive", OneOp("PAD", {0: positive}, [(1, 5, 4, 5)], {1: np.int32([[0, 0], [1, 1], [0, 0], [0, 0]])}), **EXACT)
    yield from _moved(
        "MIRROR_PAD", "reflect", (1, 3, 4, 5), (1, 5, 6, 5), {1: np.int32([[0, 0], [1, 1], [2, 0], [0, 0]])}, ("MirrorPadOptions", {"mode": 0})
    )
    yield from _moved(
        "MIRROR_PAD", "symmetric", (1, 3, 4, 5), (1, 5, 6, 5), {1: np.int32([[0, 0], [1, 1], [2, 0], [0, 0]])}, ("MirrorPadOptions", {"mode": 1})
    )
    yield from _moved("SLICE", "rank-3", (2, 5, 4), (1, 3, 4), {1: ints(1, 1, 0), 2: ints(1, 3, -1)})
    yield from _moved("SLICE", "rank-5", (2, 5, 4, 2, 2), (1, 3, 4, 2, 2), {1: ints(1, 1, 0, 0, 0), 2: ints(1, 3, -1, 2, 2)})
    strides = {1: ints(0, 1, 0), 2: ints(2, 5, 4), 3: ints(1, 2, 1)}
    yield from _moved("STRIDED_SLICE", "step-2", (2, 5, 4), (2, 2, 4), strides, ("StridedSliceOptions", {}))
    strides = {1: ints(0, 4, 0), 2: ints(2, 0, 4), 3: ints(1, -1, 1)}
    yield from _moved("STRIDED_SLICE", "backwards", (2, 5, 4), (2, 4, 4), strides, ("StridedSliceOptions", {}))
    strides = {1: ints(0, 1, 0), 2: ints(2, 2, 4), 3: ints(1, 1, 1)}
    yield from _moved("STRIDED_SLICE", "shrink", (2, 5, 4), (2, 4), strides, ("StridedSliceOptions", {"shrinkAxisMask": 2}))
    yield from _moved("GATHER", "axis-1", (2, 5, 4), (2, 3, 4), {1: ints(4, 0, 2)}, ("GatherOptions", {"axis": 1}))
    yield Case(
        "table",
        OneOp("GATHER", {1: np.int32([[0, 3], [4, 2], [1, 1], [4, 4]])}, [(2, 6)], {0: weight(5, 6)}, ("GatherOptions", {"axis": 0})),
        **EXACT,
    )
    yield from _moved("GATHER_ND", "rows", (4, 5), (2, 5), {1: np.int32([[3], [1]])})
    yield from _moved("SPLIT", "two", (2, 6, 4), (2, 3, 4), {0: np.int32(1)}, ("SplitOptions", {"numSplits": 2}), data=1, outputs=2)
    sizes = OneOp("SPLIT_V", {0: normal(2, 6, 4)}, [(2, 4, 4), (2, 2, 4)], {1: ints(4, 2), 2: np.int32(1)}, ("SplitVOptions", {"numSplits": 2}))
    yield Case("uneven", sizes, **EXACT)
    yield from _moved("SQUEEZE", "one", (1, 3, 1, 4), (1, 3, 4), {}, ("SqueezeOptions", {"squeezeDims": ints(2)}))
    yield from _moved("EXPAND_DIMS", "one", (3, 4), (3, 1, 4), {1: np.int32(1)}, ("ExpandDimsOptions", {}))
    yield from _moved("UNPACK", "axis-1", (3, 2, 4), (3, 4), {}, ("UnpackOptions", {"num": 2, "axis": 1}), outputs=2)
    yield from _moved("DEPTH_TO_SPACE", "two", (1, 3, 4, 8), (1, 6, 8, 2), {}, ("DepthToSpaceOptions", {"blockSize": 2}))
    yield from _moved("SPACE_TO_DEPTH", "two", (1, 6, 8, 2), (1, 3, 4, 8), {}, ("SpaceToDepthOptions", {"blockSize": 2}))
    yield from _moved("BATCH_TO_SPACE_ND", "two", (4, 3, 4, 2), (1, 6, 8, 2), {1: ints(2, 2), 2: np.int32([[0, 0], [0, 0]])})
    yield from _moved("SPACE_TO_BATCH_ND", "pad", (1, 5, 8, 2), (4, 3, 4, 2), {1: ints(2, 2), 2: np.int32([[0, 1], [0, 0]])})
    yield from _moved("TILE", "two", (2, 3), (4, 9), {1: ints(2, 3)})
    yield from _moved("REVERSE_V2", "axis-1", (2, 5, 3), (2, 5, 3), {1: ints(1)})
    yield Case("rows", OneOp("BROADCAST_TO", {0: normal(1, 3)}, [(4, 3)], {1: ints(4, 3)}, version=2), **EXACT)
    yield Case("embedding", OneOp("EMBEDDING_LOOKUP", {0: np.int32([[0, 3], [4, 2], [1, 1], [4, 4]])}, [(2, 6)], {1: weight(5, 6)}), **EXACT)


def _selections() -> Iterator[Case]:
    for name, make in DATA.items():
        yield Case(
            name,
            OneOp("PACK", {0: make(2, 5), 1: normal(2, 5)}, [(2, 2, 5)], options=("PackOptions", {"valuesCount": 2, "axis": 1})),
            steps=ONE_ROUNDING,
        )
        padv2 = OneOp("PADV2", {0: make(1, 3, 4, 2)}, [(1, 5, 4, 2)], {1: np.int32([[0, 0], [1, 1], [0, 0], [0, 0]]), 2: np.float32(-1.5)})
        yield Case(name, padv2, steps=ONE_ROUNDING)
        mask = _rng(name).random((SAMPLES, 4, 5)) < 0.5
        yield Case(name, OneOp("SELECT", {0: mask, 1: make(4, 5), 2: normal(4, 5)}, [(4, 5)]), steps=ONE_ROUNDING)
        yield Case(name, OneOp("SELECT_V2", {0: mask, 1: make(4, 5), 2: normal(4, 5)}, [(4, 5)]), steps=ONE_ROUNDING)
    mask = _rng("mask").random((SAMPLES, 4, 1)) < 0.5
    yield Case("broadcast", OneOp("SELECT_V2", {0: mask, 1: normal(4, 5), 2: normal(1, 5)}, [(4, 5)]))
    yield Case("constant", OneOp("SELECT_V2", {0: mask, 1: normal(4, 5)}, [(4, 5)], {2: np.float32([-2.0])}))
    for op in ("ARG_MAX", "ARG_MIN"):
        options = (op.title().replace("_", "") + "Options", {"outputType": 2})
        for name in ("normal", "negative", "outlier"):
            yield Case(name, OneOp(op, {0: DATA[name](3, 9)}, [(3,)], {1: np.int32(1)}, options, ["int32"]), **EXACT)


def _comparisons() -> Iterator[Case]:
    for op in ("GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL"):
        options = (op.title().replace("_", "") + "Options", {})
        yield Case("two", OneOp(op, {0: normal(4, 9), 1: normal(4, 9, scale=7, key=12)}, [(4, 9)], {}, options, ["bool"]), **EXACT)
        yield Case("constant", OneOp(op, {0: normal(4, 9)}, [(4, 9)], {1: np.float32([0.1])}, options, ["bool"]), **EXACT)
        same = normal(4, 9)
        half_same = np.concatenate([same[:, :2], same[:, :1:-1]], axis=1)  # the same values, so the same scale
        yield Case("ties", OneOp(op, {0: same, 1: half_same}, [(4, 9)], {}, options, ["bool"]), **EXACT)


def _softmax(op: str, table: str) -> Iterator[Case]:
    options = (table, {"beta": 1.0} if op == "SOFTMAX" else {})
    for name, make in DATA.items():
        yield Case(name, OneOp(op, {0: 3 * make(3, 17)}, [(3, 17)], options=options))
    yield Case("heads", OneOp(op, {0: normal(1, 4, 7, 7, scale=4)}, [(1, 4, 7, 7)], options=options))
    yield Case("wide", OneOp(op, {0: normal(1, 1000, scale=4)}, [(1, 1000)], options=options))
    yield Case("masked", OneOp(op, {0: np.where(normal(3, 17) > 1, np.float32(-10000), normal(3, 17, scale=5))}, [(3, 17)], options=options))
    yield Case("one", OneOp(op, {0: normal(3, 1)}, [(3, 1)], options=options))
    yield Case("vector", OneOp(op, {0: normal(9)}, [(9,)], options=options))


def _all() -> Iterator[Case]:
    yield from _conv()
    yield from _depthwise()
    yield from _fully_connected()
    yield from _transpose_conv()
    yield from _batch_matmul()
    yield from _binary("ADD", "AddOptions")
    yield from _binary("SUB", "SubOptions")
    yield from _binary("MUL", "MulOptions")
    yield from _binary("SQUARED_DIFFERENCE", None)
    yield from _binary("MAXIMUM", "MaximumMinimumOptions", activations=False)
    yield from _binary("MINIMUM", "MaximumMinimumOptions", activations=False)
    for op in ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1", "ELU", "HARD_SWISH", "LOGISTIC", "TANH", "ABS"):
        yield from _unary(op)
    for name, low, high in (("both-sides", -3, 3), ("negative", -60, 0), ("zero", 0, 0), ("tiny", -1e-6, 1e-6), ("large", 0, 20)):
        span = np.linspace(low, high, SAMPLES * 12, dtype=np.float32)
        yield Case(name, OneOp("EXP", {0: span.reshape(SAMPLES, 3, 4)}, [(3, 4)]))
    yield from _unary("GELU", ("GeluOptions", {"approximate": False}))
    for case in _unary("GELU", ("GeluOptions", {"approximate": True})):
        yield Case(f"tanh-{case.id}", case.model)
    yield from _unary("LEAKY_RELU", ("LeakyReluOptions", {"alpha": 0.1}))
    for case in _unary("LEAKY_RELU", ("LeakyReluOptions", {"alpha": 1.5})):
        yield Case(f"steep-{case.id}", case.model)
    yield from _unary("L2_NORMALIZATION", ("L2NormOptions", {}))
    for name, make in DATA.items():
        yield Case(name, OneOp("PRELU", {0: make(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(6)}))
        yield Case(f"map-{name}", OneOp("PRELU", {0: make(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(1, 1, 6)}))
    yield Case("positive-alpha", OneOp("PRELU", {0: normal(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: np.abs(weight(1, 1, 6))}))
    yield Case("large-alpha", OneOp("PRELU", {0: normal(1, 4, 5, 6)}, [(1, 4, 5, 6)], {1: weight(1, 1, 6, scale=20)}))
    yield from _softmax("SOFTMAX", "SoftmaxOptions")
    yield from _softmax("LOG_SOFTMAX", "LogSoftmaxOptions")
    for op in ("MEAN", "REDUCE_MAX", "REDUCE_MIN"):
        yield from _reduce(op)
    yield from _pool("AVERAGE_POOL_2D")
    yield from _pool("MAX_POOL_2D")
    yield from _resize("RESIZE_BILINEAR")
    yield from _resize("RESIZE_NEAREST_NEIGHBOR")
    yield from _concatenation()
    yield from _movement()
    yield from _selections()
    yield from _comparisons()
    values = OneOp("TOPK_V2", {0: normal(3, 9)}, [(3, 4), (3, 4)], {1: np.int32(4)}, ("TopKV2Options", {}), ["float32", "int32"])
    yield Case("four", values, **EXACT)
    yield Case("zeros", OneOp("FILL", {0: np.int32([[2, 3]] * SAMPLES)}, [(2, 3)], {1: np.float32(0)}), **EXACT)
    yield Case("minus-3", OneOp("FILL", {0: np.int32([[2, 3]] * SAMPLES)}, [(2, 3)], {1: np.float32(-3)}), **EXACT)
    hot = {1: np.int32(5), 2: np.float32(1), 3: np.float32(0)}
    yield Case("five", OneOp("ONE_HOT", {0: np.int32([[0, 3], [4, 2], [1, 1], [4, 4]])}, [(2, 5)], hot, ("OneHotOptions", {"axis": -1})), **EXACT)
    update = {0: normal(1, 8, 4), 1: normal(1, 2, 4)}
    yield Case("rows", OneOp("DYNAMIC_UPDATE_SLICE", update, [(1, 8, 4)], {2: ints(0, 3, 0)}), **EXACT)


CASES = tuple(_all())
