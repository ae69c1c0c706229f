"""What the quantized file costs next to the float file: bytes, conversions at borders, float arithmetic left, latency side by side."""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from types import MappingProxyType

import numpy as np
from msgspec import Struct

from bridge.compare import borders
from bridge.compare.op_costs import CONVERSIONS, Conversion, NodeCost, OperatorCost, op_costs
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import ConvertedModel, Diagnostic, QuantizedModel

MIN_RUNS, MAX_RUNS = 5, 50
LATENCY_BUDGET_S = 0.4  # for both files together; the median of five runs is the least that is worth a report
TIMED_LONE_OPS, LONE_BUDGET_S = 8, 0.05
CONVERTING_SHARE, CONVERTING_MS = 0.2, 0.1  # 0.08 or less in 22 of 24 models, 0.28 in one whose layouts alternate; less time is not worth a word
SLOWER = 1.05  # times the float file; a file timed against itself was within 1.03 in 40 of 42 cases on a busy machine
NAMED, LARGE_SHARE = 2, 0.1  # operators that are said to take long, and how much of the time of all
REDUCED_TYPES = frozenset({"INT2", "INT4", "INT8", "UINT8", "INT16"})

type Shapes = tuple[tuple[int, ...], ...]


class LoneFloatOp(Struct, frozen=True):
    """A float operator that only integers surround.

    Attributes:
        node: the user's node.
        op: TFLite operator.
        converted_elements: what the DEQUANTIZE and QUANTIZE around it convert in one run.
        alone_ms: latency of the operator with its conversions in a file of their own; None where it was not measured.
        latency_share: `alone_ms` over the latency of the whole file: an estimate, since inside the file the conversions may be shared.
    """

    node: str
    op: str
    converted_elements: int
    alone_ms: float | None
    latency_share: float | None


class Cost(Struct, frozen=True):
    """The report's `cost` block; milliseconds are medians of alternating runs of both files with one thread.

    Attributes:
        operators: of the quantized file, by name and type.
        busiest: the nodes that take longest.
        conversions: where values change their type or their order.
    """

    float_ms: float
    quantized_ms: float
    quantize_ops: int
    dequantize_ops: int
    transpose_ops: int
    float_mac_share: float
    float_bytes: int
    quantized_bytes: int
    converted_elements: int
    cancelling_pairs: int
    lone_float_ops: tuple[LoneFloatOp, ...] = ()
    operators: tuple[OperatorCost, ...] = ()
    busiest: tuple[NodeCost, ...] = ()
    conversions: tuple[Conversion, ...] = ()


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


def measure_cost(converted: ConvertedModel, quantized: QuantizedModel) -> Cost:
    """Measures both files on constant inputs.

    Raises:
        ToolError: LiteRT cannot run one of them.
    """
    model = tflite.read_once(quantized.path)
    counts = Counter(tflite.op_names(model))
    owners = {op.quantized_index: converted.tensor_map.owners[op.index] for op in quantized.ops if op.quantized_index is not None}
    float_ms, quantized_ms = side_by_side_ms(converted.path, quantized.path)
    where = op_costs(model, owners)
    return Cost(
        float_ms=float_ms,
        quantized_ms=quantized_ms,
        quantize_ops=counts["QUANTIZE"],
        dequantize_ops=counts["DEQUANTIZE"],
        transpose_ops=counts["TRANSPOSE"],
        float_mac_share=float_mac_share(model),
        float_bytes=converted.path.stat().st_size,
        quantized_bytes=quantized.path.stat().st_size,
        converted_elements=borders.converted_elements(model),
        cancelling_pairs=borders.cancelling_pairs(model),
        lone_float_ops=_lone_ops(model, owners, quantized, quantized_ms),
        operators=where.operators,
        busiest=where.busiest,
        conversions=where.conversions,
    )


def _lone_ops(model: tflite.ModelT, owners: Mapping[int, str], quantized: QuantizedModel, quantized_ms: float) -> tuple[LoneFloatOp, ...]:
    """Those that convert most first; the first few are timed."""
    found = sorted(borders.lone_float_ops(model), key=lambda one: -one.converted_elements)
    rows = []
    for place, one in enumerate(found):
        op = tflite.main_graph(model).operators[one.position]
        own_ms = median_ms(borders.alone(tflite.read(quantized.path), one)) if place < TIMED_LONE_OPS else None
        share = own_ms / quantized_ms if own_ms is not None else None
        rows.append(LoneFloatOp(owners[one.position], tflite.op_name(model, op), one.converted_elements, own_ms, share))
    return tuple(rows)


def float_mac_share(model: tflite.ModelT) -> float:
    """Share of the multiply-accumulates, 0..1, that float kernels do; 0 when there are none at all.

    Weights that a DEQUANTIZE unpacks are multiplied as floats; a kernel that reads integer weights rounds float activations to integers itself.
    """
    main = tflite.main_graph(model)
    total = in_float = 0
    for name, op in zip(tflite.op_names(model), main.operators, strict=True):
        macs = _macs(model, name, op)
        total += macs
        if macs and REDUCED_TYPES.isdisjoint(tflite.TYPE_NAMES[main.tensors[index].type] for index in op.inputs.tolist() if index >= 0):
            in_float += macs
    return in_float / total if total else 0.0


def multiply_accumulates(model: tflite.ModelT) -> int:
    """Of one run of a file."""
    return sum(_macs(model, name, op) for name, op in zip(tflite.op_names(model), tflite.main_graph(model).operators, strict=True))


def _macs(model: tflite.ModelT, name: str, op: tflite.OperatorT) -> int:
    count = MACS.get(name)
    if count is None:
        return 0
    tensors = tflite.main_graph(model).tensors
    return count(tuple(tflite.shape(tensors[index]) if index >= 0 else () for index in op.inputs), tflite.shape(tensors[op.outputs[0]]))


def median_ms(content: bytes) -> float:
    """Median latency of a file in ms on constant inputs; one thread, optimised kernels.

    Raises:
        ToolError: LiteRT cannot run it.
    """
    runner = Interpreter(content)
    feeds = _zeros(runner)
    runner.run_views(feeds)
    times: list[float] = []
    started = time.perf_counter()
    while len(times) < MIN_RUNS or (len(times) < MAX_RUNS and time.perf_counter() - started < LONE_BUDGET_S):
        times.append(_run_ms(runner, feeds))
    return median(times)


def side_by_side_ms(first: Path, second: Path) -> tuple[float, float]:
    """Median latency of both files in ms, runs alternating so that both meet the same machine; one thread, optimised kernels."""
    runners = [Interpreter(path) for path in (first, second)]
    feeds = [_zeros(runner) for runner in runners]
    for runner, values in zip(runners, feeds, strict=True):
        runner.run_views(values)
    times: tuple[list[float], list[float]] = ([], [])
    started = time.perf_counter()
    while len(times[0]) < MIN_RUNS or (len(times[0]) < MAX_RUNS and time.perf_counter() - started < LATENCY_BUDGET_S):
        for runner, values, measured in zip(runners, feeds, times, strict=True):
            measured.append(_run_ms(runner, values))
    return median(times[0]), median(times[1])


def _zeros(runner: Interpreter) -> dict[str, np.ndarray]:
    return {spec.name: np.zeros(tuple(int(size) for size in spec.shape), spec.dtype) for spec in runner.inputs}


def _run_ms(runner: Interpreter, feeds: Mapping[str, np.ndarray]) -> float:
    begin = time.perf_counter()
    runner.run_views(feeds)
    return (time.perf_counter() - begin) * 1e3


def cost_findings(cost: Cost) -> tuple[Diagnostic, ...]:
    """Says so when the quantized file does not run faster than the float file on this machine, and when conversions take a large part of its time."""
    return (*_slower(cost), *_conversions(cost))


def _slower(cost: Cost) -> tuple[Diagnostic, ...]:
    if cost.quantized_ms <= SLOWER * cost.float_ms:
        return ()
    longest = sorted(cost.operators, key=lambda row: -(row.alone_ms or 0.0))[:NAMED]
    named = ", ".join(
        f"{row.count} {row.op} of {row.type} ({row.share:.0%})" for row in longest if row.share is not None and row.share >= LARGE_SHARE
    )
    message = (
        f"The quantized file takes {cost.quantized_ms:.2f} ms, the float file {cost.float_ms:.2f} ms (one thread, optimised kernels of this machine): "
        f"{cost.quantize_ops} QUANTIZE, {cost.dequantize_ops} DEQUANTIZE and {cost.transpose_ops} TRANSPOSE operators."
        f"{f' Most of its time: {named}.' if named else ''}"
    )
    return (
        Diagnostic("quantized-not-faster", "warning", message, "Fewer float islands, or operators that the delegate has in int8, make it faster."),
    )


def _conversions(cost: Cost) -> tuple[Diagnostic, ...]:
    spent: dict[str, float] = {}
    for row in cost.operators:
        if row.op in CONVERSIONS:
            spent[row.op] = spent.get(row.op, 0.0) + (row.alone_ms or 0.0)
    total, converting = sum(row.alone_ms or 0.0 for row in cost.operators), sum(spent.values())
    if converting < max(CONVERTING_MS, CONVERTING_SHARE * total):
        return ()
    counts = Counter({op: sum(row.count for row in cost.operators if row.op == op) for op in spent})
    named = ", ".join(f"{counts[op]} {op} ({ms / total:.0%})" for op, ms in sorted(spent.items(), key=lambda one: -one[1]))
    first = next((one for one in cost.conversions if one.behind), None)
    place = f" Most behind {first.behind!r}." if first is not None else ""
    message = f"{converting / total:.0%} of the time of the quantized file's operators goes into conversions: {named}.{place}"
    hint = (
        "Keep float islands together: leave small integer parts between two of them float too. --input-layout nhwc saves a TRANSPOSE at the inputs."
    )
    return (Diagnostic("conversion-cost", "warning", message, hint, first.behind if first is not None else None),)
