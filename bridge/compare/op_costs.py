"""Where the time of a file goes: every kind of operator timed in a file of its own.

LiteRT's Python interpreter has no profiler. An operator alone runs on the kernel that it has inside the file; what a call costs by itself is taken
off. It finds its values in other caches than inside, so times are shares of a sum, not parts of the file's latency.
"""

import copy
import math
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from statistics import median

import numpy as np
from msgspec import Struct

from bridge.compare.borders import BORDER_OPS, links
from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

BUDGET_S = 1.5  # for all operators of a file; those that touch most values come first
LEAST_RUNS, MOST_RUNS, RUNS_S = 3, 20, 0.01  # of one operator
SHOWN_NODES, SHOWN_CONVERSIONS = 10, 20
CONVERSIONS = BORDER_OPS | {"TRANSPOSE"}
NOT_ALONE = (
    "ASSIGN_VARIABLE",
    "CALL",
    "CUSTOM",
    "HASHTABLE",
    "IF",
    "READ_VARIABLE",
    "STABLEHLO",
    "VAR_HANDLE",
    "WHILE",
)  # need more than their inputs


class OperatorCost(Struct, frozen=True):
    """All operators of one name and type.

    Attributes:
        op: TFLite operator.
        type: of the tensor that it writes, `INT8`, `FLOAT32`, ...
        count: how many there are.
        alone_ms: sum of their times alone; None where none was measured.
        share: of the sum of all, 0..1.
    """

    op: str
    type: str
    count: int
    alone_ms: float | None
    share: float | None


class NodeCost(Struct, frozen=True):
    """The operators of one node: user's name, their names, their times alone, their share of the sum of all."""

    node: str
    ops: tuple[str, ...]
    alone_ms: float
    share: float


class Conversion(Struct, frozen=True):
    """A QUANTIZE, DEQUANTIZE or TRANSPOSE and the nodes around it.

    Attributes:
        op: TFLite operator.
        behind: node that writes its input; empty for a model input.
        before: nodes that read its output; empty for a model output.
        elements: values that it writes in one run.
        alone_ms: its time alone; None where it was not measured.
    """

    op: str
    behind: str
    before: tuple[str, ...]
    elements: int
    alone_ms: float | None


class OpCosts(Struct, frozen=True):
    """The most expensive first."""

    operators: tuple[OperatorCost, ...] = ()
    busiest: tuple[NodeCost, ...] = ()
    conversions: tuple[Conversion, ...] = ()


def op_costs(model: tflite.ModelT, owners: Mapping[int, str]) -> OpCosts:
    """Times the operators of the main graph on zeros, one thread, optimised kernels.

    Args:
        model: the file.
        owners: position of an operator -> user's node that it belongs to; what a border added has none.
    """
    times = _times(model)
    total = sum(times.values())
    return OpCosts(_by_operator(model, times, total), _by_node(model, owners, times, total), _conversions(model, owners, times))


def _by_operator(model: tflite.ModelT, times: Mapping[int, float], total: float) -> tuple[OperatorCost, ...]:
    main = tflite.main_graph(model)
    groups: dict[tuple[str, str], list[int]] = defaultdict(list)
    for position, (name, op) in enumerate(zip(tflite.op_names(model), main.operators, strict=True)):
        groups[name, tflite.TYPE_NAMES[main.tensors[op.outputs[0]].type] if len(op.outputs) else ""].append(position)
    rows = []
    for (name, kind), positions in groups.items():
        known = [times[position] for position in positions if position in times]
        spent = sum(known) if known else None
        rows.append(OperatorCost(name, kind, len(positions), spent, spent / total if spent is not None and total else None))
    return tuple(sorted(rows, key=lambda row: -(row.alone_ms or 0.0)))


def _by_node(model: tflite.ModelT, owners: Mapping[int, str], times: Mapping[int, float], total: float) -> tuple[NodeCost, ...]:
    main = tflite.main_graph(model)
    spent: dict[str, float] = defaultdict(float)
    names: dict[str, list[str]] = defaultdict(list)
    for position, ms in times.items():
        if position in owners:
            spent[owners[position]] += ms
            names[owners[position]].append(tflite.op_name(model, main.operators[position]))
    first = sorted(spent, key=lambda node: -spent[node])[:SHOWN_NODES]
    return tuple(NodeCost(node, tuple(names[node]), spent[node], spent[node] / total if total else 0.0) for node in first)


def _conversions(model: tflite.ModelT, owners: Mapping[int, str], times: Mapping[int, float]) -> tuple[Conversion, ...]:
    main, found = tflite.main_graph(model), links(model)
    rows = []
    for position, (name, op) in enumerate(zip(tflite.op_names(model), main.operators, strict=True)):
        if name not in CONVERSIONS or tflite.is_constant(model, main.tensors[op.inputs[0]]):
            continue
        writer = found.writers.get(int(op.inputs[0]))
        readers = (owners[reader] for reader in found.readers.get(int(op.outputs[0]), ()) if reader in owners)
        behind = "" if writer is None else owners.get(writer, "")
        rows.append(Conversion(name, behind, tuple(dict.fromkeys(readers)), _size(model, op), times.get(position)))
    return tuple(sorted(rows, key=lambda row: (-(row.alone_ms or 0.0), -row.elements))[:SHOWN_CONVERSIONS])


def _times(model: tflite.ModelT) -> dict[int, float]:
    """Position of an operator -> ms; equal ones are measured once, and none after the budget is used up."""
    groups: dict[object, list[int]] = defaultdict(list)
    described = [(tensor.type, tflite.shape(tensor)) for tensor in tflite.main_graph(model).tensors]
    for position, (name, op) in enumerate(zip(tflite.op_names(model), tflite.main_graph(model).operators, strict=True)):
        if not name.startswith(NOT_ALONE):
            groups[_signature(name, op, described)].append(position)
    order = sorted(groups.values(), key=lambda positions: -len(positions) * _touched(model, positions[0]))
    found: dict[int, float] = {}
    started = time.perf_counter()
    call_ms = _alone_ms(_nothing())
    for positions in order:
        if time.perf_counter() - started > BUDGET_S:
            break
        try:
            ms = max(0.0, _alone_ms(single(model, positions[0])) - call_ms)
        except ToolError:  # an operator that needs more than its inputs: it stays without a time
            continue
        found |= dict.fromkeys(positions, ms)
    return found


def _signature(name: str, op: tflite.OperatorT, described: Sequence[object]) -> object:
    """Equal for operators that take equally long; `described` has type and shape of each tensor."""
    operands = tuple(described[index] if index >= 0 else None for index in (*op.inputs.tolist(), *op.outputs.tolist()))
    options = sorted((name, str(value)) for name, value in vars(op.builtinOptions).items()) if op.builtinOptions is not None else []
    return name, operands, tuple(options)


def _touched(model: tflite.ModelT, position: int) -> int:
    """Elements of all tensors that an operator reads and writes, those of weights as often as they are used."""
    main = tflite.main_graph(model)
    op = main.operators[position]
    sizes = [math.prod(tflite.shape(main.tensors[index])) for index in (*op.inputs, *op.outputs) if index >= 0]
    weights = max(
        (math.prod(tflite.shape(main.tensors[index])[1:]) for index in op.inputs if index >= 0 and tflite.is_constant(model, main.tensors[index])),
        default=0,
    )
    return sum(sizes) + _size(model, op) * weights


def _size(model: tflite.ModelT, op: tflite.OperatorT) -> int:
    return math.prod(tflite.shape(tflite.main_graph(model).tensors[op.outputs[0]])) if len(op.outputs) else 0


def single(model: tflite.ModelT, position: int) -> bytes:
    """A file with nothing but one operator; `model` is left as it is."""
    main = tflite.main_graph(model)
    op = copy.copy(main.operators[position])
    used = sorted({int(index) for index in _operands(op) if index >= 0})
    place = {-1: -1} | {old: new for new, old in enumerate(used)}
    made = tflite.new_model("one operator")
    graph = tflite.main_graph(made)
    made.operatorCodes, op.opcodeIndex = [model.operatorCodes[op.opcodeIndex]], 0
    for name in ("inputs", "outputs", "intermediates"):
        if getattr(op, name) is not None:
            setattr(op, name, np.asarray([place[int(index)] for index in getattr(op, name)], np.int32))
    for old in used:
        tensor = copy.copy(main.tensors[old])
        if tflite.is_constant(model, tensor):
            made.buffers.append(model.buffers[tensor.buffer])
            tensor.buffer = len(made.buffers) - 1
        else:
            tensor.buffer = 0
        graph.tensors.append(tensor)
    fed = (int(index) for index in op.inputs if index >= 0)
    graph.inputs = np.asarray(list(dict.fromkeys(index for index in fed if _fed(made, graph.tensors[index]))), np.int32)
    graph.outputs, graph.operators = np.asarray(op.outputs, np.int32), [op]
    return tflite.serialize(made)


def _operands(op: tflite.OperatorT) -> Iterable[int]:
    return (*op.inputs, *op.outputs, *(op.intermediates if op.intermediates is not None else ()))


def _fed(model: tflite.ModelT, tensor: tflite.TensorT) -> bool:
    return not tensor.isVariable and not tflite.is_constant(model, tensor)


def _nothing() -> bytes:
    """A file with next to no work: the call alone."""
    model = tflite.new_model("one value")
    graph = tflite.main_graph(model)
    source, target = (tflite.add_tensor(model, graph, name, "FLOAT32", (1,)) for name in ("x", "y"))
    graph.operators.append(tflite.add_op(model, "ABS", 1, [source], [target]))
    graph.inputs, graph.outputs = np.asarray([source], np.int32), np.asarray([target], np.int32)
    return tflite.serialize(model)


def _alone_ms(content: bytes) -> float:
    runner = Interpreter(content)
    feeds = {spec.name: np.zeros(tuple(int(size) for size in spec.shape), spec.dtype) for spec in runner.inputs}
    runner.run_views(feeds)
    taken: list[float] = []
    started = time.perf_counter()
    while len(taken) < LEAST_RUNS or (len(taken) < MOST_RUNS and time.perf_counter() - started < RUNS_S):
        begin = time.perf_counter()
        runner.run_views(feeds)
        taken.append((time.perf_counter() - begin) * 1e3)
    return median(taken)
