"""Cases of operators with weights, and of matrix products."""

from collections.abc import Iterator

import numpy as np
from case_data import DATA, Case, ints, normal, weight
from one_op import OneOp

CONV = {"padding": 0, "strideH": 1, "strideW": 1, "dilationHFactor": 1, "dilationWFactor": 1}
SPREAD = np.array([1e-4, 1e-3, 1e-2, 0.1, 1, 10, 3, 0.5], np.float32)  # output channels of very different weights
DEAD = np.array([1, 1e-25, 0, 1, 1, 1, 1, 1], np.float32)  # output channels that training has switched off


def _conv() -> Iterator[Case]:
    bias = weight(8, key=3)
    for name, make in DATA.items():
        model = OneOp("CONV_2D", {0: make(1, 9, 9, 6)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 6), 2: bias}, ("Conv2DOptions", CONV))
        yield Case(name, model)
    for name, activation in (("relu", 1), ("relu6", 3), ("relu-n1-to-1", 2)):
        options = ("Conv2DOptions", {**CONV, "fusedActivationFunction": activation})
        yield Case(name, OneOp("CONV_2D", {0: normal(1, 9, 9, 6, scale=3)}, [(1, 9, 9, 8)], {1: weight(8, 3, 3, 6), 2: bias}, options))
    channels = SPREAD[:, None, None, None]
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
    yield Case("single", OneOp("CONV_2D", {0: normal(32, 1, 1, 1)}, [(32, 1, 1, 1)], {1: weight(1, 1, 1, 1), 2: weight(1)}, ("Conv2DOptions", CONV)))


def _depthwise() -> Iterator[Case]:
    options = {**CONV, "depthMultiplier": 1}
    for name, make in DATA.items():
        model = OneOp(
            "DEPTHWISE_CONV_2D", {0: make(1, 9, 9, 8)}, [(1, 9, 9, 8)], {1: weight(1, 3, 3, 8), 2: weight(8)}, ("DepthwiseConv2DOptions", options)
        )
        yield Case(name, model)
    spread = {1: SPREAD * weight(1, 3, 3, 8), 2: weight(8)}
    yield Case("per-channel", OneOp("DEPTHWISE_CONV_2D", {0: normal(1, 9, 9, 8)}, [(1, 9, 9, 8)], spread, ("DepthwiseConv2DOptions", options)))
    single = {1: weight(1, 1, 1, 1), 2: weight(1)}
    yield Case("single", OneOp("DEPTHWISE_CONV_2D", {0: normal(32, 1, 1, 1)}, [(32, 1, 1, 1)], single, ("DepthwiseConv2DOptions", options)))
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
    spread = {1: SPREAD[:, None] * weight(8, 20), 2: weight(8)}
    yield Case("per-channel", OneOp("FULLY_CONNECTED", {0: normal(3, 20)}, [(3, 8)], spread, ("FullyConnectedOptions", {})))
    yield Case("single", OneOp("FULLY_CONNECTED", {0: normal(32, 1)}, [(32, 1)], {1: weight(1, 1), 2: weight(1)}, ("FullyConnectedOptions", {})))
    yield Case("one-row", OneOp("FULLY_CONNECTED", {0: normal(1, 64)}, [(1, 8)], {1: weight(8, 64), 2: weight(8)}, ("FullyConnectedOptions", {})))


def _transpose_conv() -> Iterator[Case]:
    options = {"padding": 0, "strideH": 2, "strideW": 2}
    for name, make in DATA.items():
        constants = {0: ints(1, 8, 8, 8), 1: weight(8, 3, 3, 4), 3: weight(8)}
        yield Case(name, OneOp("TRANSPOSE_CONV", {2: make(1, 4, 4, 4)}, [(1, 8, 8, 8)], constants, ("TransposeConvOptions", options), version=3))
    spread = {0: ints(1, 8, 8, 8), 1: SPREAD[:, None, None, None] * weight(8, 3, 3, 4), 3: weight(8)}
    yield Case("per-channel", OneOp("TRANSPOSE_CONV", {2: normal(1, 4, 4, 4)}, [(1, 8, 8, 8)], spread, ("TransposeConvOptions", options), version=3))
    single = {0: ints(32, 1, 1, 1), 1: weight(1, 1, 1, 1), 3: weight(1)}
    model = OneOp(
        "TRANSPOSE_CONV",
        {2: normal(32, 1, 1, 1)},
        [(32, 1, 1, 1)],
        single,
        ("TransposeConvOptions", {"padding": 0, "strideH": 1, "strideW": 1}),
        version=3,
    )
    yield Case("single", model)
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
    for name, make in DATA.items():
        constant = {1: weight(16, 5)}
        yield Case(f"constant-{name}", OneOp("BATCH_MATMUL", {0: make(2, 1, 16)}, [(2, 1, 5)], constant, ("BatchMatMulOptions", {})))
    shared = {1: SPREAD * weight(16, 8)}
    yield Case("per-channel", OneOp("BATCH_MATMUL", {0: normal(2, 3, 16)}, [(2, 3, 8)], shared, ("BatchMatMulOptions", {})))
    turned = {1: SPREAD[:, None] * weight(8, 16)}
    yield Case(
        "adj-y-constant",
        OneOp("BATCH_MATMUL", {0: normal(2, 3, 16)}, [(2, 3, 8)], turned, ("BatchMatMulOptions", {"adjY": True})),
        refused={"dynamic_wi8_afp32": "its second operand is transposed"},
    )
    yield Case(
        "first-constant", OneOp("BATCH_MATMUL", {1: normal(2, 16, 5, shift=1)}, [(2, 3, 5)], {0: weight(2, 3, 16)}, ("BatchMatMulOptions", {}))
    )
    yield Case(
        "first-constant-shared", OneOp("BATCH_MATMUL", {1: normal(2, 16, 5, shift=1)}, [(2, 3, 5)], {0: weight(3, 16)}, ("BatchMatMulOptions", {}))
    )


def _conv_3d() -> Iterator[Case]:
    names = [f"stride{axis}" for axis in "DHW"] + [f"dilation{axis}Factor" for axis in "DHW"]
    options = ("Conv3DOptions", dict.fromkeys(names, 1))
    spread = np.array([1e-3, 1, 0.1, 3, 0.01], np.float32)
    for name, make in DATA.items():
        model = OneOp("CONV_3D", {0: make(1, 4, 4, 4, 3)}, [(1, 4, 4, 4, 5)], {1: weight(3, 3, 3, 3, 5), 2: weight(5)}, options)
        yield Case(name, model)
        constants = {0: ints(1, 4, 4, 4, 5), 1: weight(3, 3, 3, 5, 3)}
        yield Case(name, OneOp("CONV_3D_TRANSPOSE", {2: make(1, 4, 4, 4, 3)}, [(1, 4, 4, 4, 5)], constants, options))
    yield Case(
        "per-channel", OneOp("CONV_3D", {0: normal(1, 4, 4, 4, 3)}, [(1, 4, 4, 4, 5)], {1: spread * weight(3, 3, 3, 3, 5), 2: weight(5)}, options)
    )
    yield Case("single", OneOp("CONV_3D", {0: normal(1, 1, 1, 1, 1)}, [(1, 1, 1, 1, 1)], {1: weight(1, 1, 1, 1, 1), 2: weight(1)}, options))
    constants = {0: ints(1, 4, 4, 4, 5), 1: spread[:, None] * weight(3, 3, 3, 5, 3)}
    yield Case("per-channel", OneOp("CONV_3D_TRANSPOSE", {2: normal(1, 4, 4, 4, 3)}, [(1, 4, 4, 4, 5)], constants, options))
    constants = {0: ints(1, 1, 1, 1, 1), 1: weight(1, 1, 1, 1, 1)}
    yield Case("single", OneOp("CONV_3D_TRANSPOSE", {2: normal(1, 1, 1, 1, 1)}, [(1, 1, 1, 1, 1)], constants, options))


def weighted_cases() -> Iterator[Case]:
    """All of this file."""
    yield from _conv()
    yield from _depthwise()
    yield from _fully_connected()
    yield from _transpose_conv()
    yield from _batch_matmul()
    yield from _conv_3d()
