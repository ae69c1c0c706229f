"""What the quantized file costs next to the float file: bytes, conversions at borders, float arithmetic left, latency side by side."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np

from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

MIN_RUNS, MAX_RUNS = 5, 50
LATENCY_BUDGET_S = 0.4  # for both files together; the median of five runs is the least that is worth a report

type Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Cost:
    """The report's `cost` block; milliseconds are medians of alternating runs of both files with one thread."""

    float_ms: float
    quantized_ms: float
    quantize_ops: int
    dequantize_ops: int
    transpose_ops: int
    float_mac_share: float
    float_bytes: int
    quantized_bytes: int


def _conv(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[1][1:])  # weights [out, h, w, in]


def _depthwise(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[1][1:3])  # weights [1, h, w, out]


def _fully_connected(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * inputs[1][-1]  # weights [out, in]


def _batch_matmul(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[0]) // max(1, math.prod(output[:-1]))  # exact unless the batch broadcasts


def _transpose_conv(inputs: Shapes, output: tuple[int, ...]) -> int:
    del output
    return math.prod(inputs[2]) * math.prod(inputs[1][:3])  # input 0 is the output shape, weights [out, h, w, in]


def _lstm(inputs: Shapes, output: tuple[int, ...]) -> int:
    units = output[-1]
    return math.prod(output[:-1]) * 4 * units * (inputs[0][-1] + units)  # four gates, each reads the input and the state


# Multiply-accumulates by operator; what is not listed multiplies no weights or matrices.
MACS: Mapping[str, Callable[[Shapes, tuple[int, ...]], int]] = MappingProxyType(
    {
        "BATCH_MATMUL": _batch_matmul,
        "CONV_2D": _conv,
        "CONV_3D": lambda inputs, output: math.prod(output) * math.prod(inputs[1][:4]),  # weights [d, h, w, in, out]
        "DEPTHWISE_CONV_2D": _depthwise,
        "FULLY_CONNECTED": _fully_connected,
        "TRANSPOSE_CONV": _transpose_conv,
        "UNIDIRECTIONAL_SEQUENCE_LSTM": _lstm,
    }
)


def measure_cost(float_model: Path, quantized_model: Path) -> Cost:
    """Measures both files on constant inputs.

    Raises:
        ToolError: LiteRT cannot run one of them.
    """
    model = tflite.read(quantized_model)
    counts = Counter(tflite.op_name(model, op) for op in tflite.main_graph(model).operators)
    float_ms, quantized_ms = side_by_side_ms(float_model, quantized_model)
    return Cost(
        float_ms=float_ms,
        quantized_ms=quantized_ms,
        quantize_ops=counts["QUANTIZE"],
        dequantize_ops=counts["DEQUANTIZE"],
        transpose_ops=counts["TRANSPOSE"],
        float_mac_share=float_mac_share(model),
        float_bytes=float_model.stat().st_size,
        quantized_bytes=quantized_model.stat().st_size,
    )


def float_mac_share(model: tflite.ModelT) -> float:
    """Share of the multiply-accumulates, 0..1, done by operators that read float activations and float weights; 0 when there are none at all."""
    main = tflite.main_graph(model)
    total = in_float = 0
    for op in main.operators:
        count = MACS.get(tflite.op_name(model, op))
        if count is None:
            continue
        inputs = [main.tensors[index] for index in op.inputs]
        macs = count(tuple(tflite.shape(tensor) for tensor in inputs), tflite.shape(main.tensors[op.outputs[0]]))
        total += macs
        if all(tflite.dtype(tensor).kind == "f" or tflite.TYPE_NAMES[tensor.type] == "INT32" for tensor in inputs):
            in_float += macs
    return in_float / total if total else 0.0


def side_by_side_ms(first: Path, second: Path) -> tuple[float, float]:
    """Median latency of both files in ms, runs alternating so that both meet the same machine; one thread, optimised kernels."""
    runners = [Interpreter(path) for path in (first, second)]
    feeds = [{spec.name: np.zeros(tuple(int(size) for size in spec.shape), spec.dtype) for spec in runner.inputs} for runner in runners]
    for runner, values in zip(runners, feeds, strict=True):
        runner.run_views(values)
    times: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    while len(times[0]) < MIN_RUNS or (len(times[0]) < MAX_RUNS and time.perf_counter() - started < LATENCY_BUDGET_S):
        for runner, values, measured in zip(runners, feeds, times, strict=True):
            begin = time.perf_counter()
            runner.run_views(values)
            measured.append((time.perf_counter() - begin) * 1e3)
    return median(times[0]), median(times[1])
