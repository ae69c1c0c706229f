"""Inputs that lose their values because one operator forces them into the scale of a much wider neighbour."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from msgspec import Struct, field

from bridge.compare import attribution, metrics
from bridge.compare.attribution import Rewritten
from bridge.compare.candidates import open_exposed
from bridge.compare.cost import MACS
from bridge.compare.forms import Form, feeder, form_of
from bridge.compare.metrics import ErrorSums
from bridge.compare.samples import Samples, spread
from bridge.tflite import model as tflite
from bridge.types import ConvertedModel, JoinedInput, MismatchedScales, NodeFacts, Ranges, TensorRange

# What an input has to keep in the common scale. Where it goes on to a model output nothing else is lost behind it, and float there costs no
# arithmetic. Inside a network the rounding has to be the larger error: the class token of a ViT keeps 16 dB beside its patches, and float there gave
# 0.2 dB at the output; a decoder branch of an ESPNetV2 keeps 11 dB, and float there gave 1.1 dB.
POOR_AT_OUTPUT_DB, POOR_INSIDE_DB = 20.0, 15.0
LOSS_DB = 6.0  # one bit; an input that would be poor in a scale of its own is no victim of its neighbours

# Their results are bounded or mix all of what they read: behind them the parts of a joined tensor are no longer apart.
MIXING_OPS = MACS.keys() | {
    "ARG_MAX", "ARG_MIN", "AVERAGE_POOL_2D", "CUMSUM", "L2_NORMALIZATION", "LOGISTIC", "LOG_SOFTMAX", "MEAN", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD",
    "SOFTMAX", "SUM", "TANH", "TOPK_V2",
}  # fmt: skip
JOINS_WITHOUT_CHANGE = frozenset({"CONCATENATION", "PACK"})


class _Input(Struct, frozen=True):
    """One input of a joining operator under measurement, rounded to the common form and to the finest that holds its own range."""

    name: str
    span: TensorRange
    shared: Form
    alone: Form
    dtype: np.dtype[np.generic]
    in_shared: ErrorSums = field(default_factory=ErrorSums)
    in_alone: ErrorSums = field(default_factory=ErrorSums)

    def add(self, value: np.ndarray) -> None:
        """Takes in one sample."""
        for form, sums in ((self.shared, self.in_shared), (self.alone, self.in_alone)):
            sums.add(value, form.stored(value, self.dtype), form)

    def result(self) -> JoinedInput:
        """What the measurement says."""
        return JoinedInput(self.name, self.span.minimum, self.span.maximum, metrics.sqnr_db(self.in_shared), metrics.sqnr_db(self.in_alone))


class _Join(Struct, frozen=True):
    """A joining operator.

    Attributes:
        op: position in the float file.
        inputs: by tensor.
        behind: positions of the operators, `op` included, that hold the joined values side by side in integers.
        at_output: whether those lead to a model output.
    """

    op: int
    inputs: Mapping[int, _Input]

    behind: frozenset[int]
    at_output: bool

    def suffers(self) -> bool:
        """Whether one of the inputs loses in the common scale what it would keep in its own."""
        poor_db = POOR_AT_OUTPUT_DB if self.at_output else POOR_INSIDE_DB
        return any(one.sqnr_db < min(poor_db, one.own_sqnr_db - LOSS_DB) for one in (made.result() for made in self.inputs.values()))


def find_mismatched_scales(
    converted: ConvertedModel,
    quantized: Rewritten,
    nodes: Sequence[NodeFacts],
    ranges: Ranges,
    samples: Samples,
    *,
    joining: Collection[str],
    count: int,
    threads: int,
) -> tuple[MismatchedScales, ...]:
    """The operators of the quantized file that ruin one of their inputs by the one scale that all of them get.

    A sum has a scale per input and is none of them. What is measured is the rounding alone, on values of the float file.

    Args:
        converted: the float file.
        quantized: the quantized file.
        nodes: of the normalised graph; they know the inputs' names.
        ranges: calibrated ranges of the float file.
        samples: data to measure on.
        joining: TFLite operators whose kernels need one scale for all data inputs and the output.
        count: at most so many samples, spread evenly.
        threads: of each run.

    Raises:
        ToolError: the float file does not run.
    """
    float_model, (quantized_model, outcomes) = tflite.read_once(converted.path), quantized
    names = tflite.op_names(quantized_model)
    if not any(name in joining for name in names):
        return ()
    pairs = attribution.counterparts(float_model, quantized_model, outcomes)
    facts = {node.name: node for node in nodes}
    owners = converted.tensor_map.owners
    main = tflite.main_graph(quantized_model)
    integer = {index for position, index in pairs.ops.items() if form_of(main.tensors[main.operators[position].outputs[0]]) is not None}
    joins = []
    readers = _readers(float_model, integer)
    for position, index in pairs.ops.items():
        if index in integer and names[position] in joining:
            inputs = _inputs(float_model, index, main.tensors[main.operators[position].outputs[0]], facts.get(owners[index]), ranges)
            if len(inputs) > 1:
                joins.append(_Join(index, inputs, *_behind(float_model, readers, index)))
    if joins:
        _measure(joins, float_model, converted, samples, count=count, threads=threads)
    poor = [join for join in joins if join.suffers()]
    return tuple(
        MismatchedScales(
            node=owners[join.op],
            op=tflite.op_name(float_model, tflite.main_graph(float_model).operators[join.op]),
            inputs=tuple(one.result() for one in join.inputs.values()),
            float_nodes=tuple(dict.fromkeys(owners[op] for op in sorted(_together(join, poor)))),
            at_output=join.at_output,
        )
        for join in poor
    )


def _inputs(model: tflite.ModelT, op: int, output: tflite.TensorT, facts: NodeFacts | None, ranges: Ranges) -> dict[int, _Input]:
    """The data inputs of an operator of the float file, in order, under the user's names; none where a range is missing.

    Args:
        model: the float file.
        op: position of the operator.
        output: what it writes in the quantized file.
        facts: its node.
        ranges: calibrated ranges.
    """
    main, shared, dtype = tflite.main_graph(model), form_of(output), tflite.dtype(output)
    tensors = [int(tensor) for tensor in main.operators[op].inputs if tensor >= 0 and tflite.dtype(main.tensors[tensor]).kind == "f"]
    users = [spec.name for spec in facts.inputs if spec.dtype.startswith("float")] if facts is not None else []
    found = {}
    for place, tensor in enumerate(tensors):
        span = _span(model, tensor, ranges)
        if span is None or shared is None:
            return {}
        name = users[place] if len(users) == len(tensors) else tflite.text(main.tensors[tensor].name)
        found[tensor] = _Input(name, span, shared, _alone(span, dtype, shared), dtype)
    return found


def _span(model: tflite.ModelT, tensor: int, ranges: Ranges) -> TensorRange | None:
    """Range of an activation as calibrated, of a constant by its value; None where it has none."""
    flat = tflite.main_graph(model).tensors[tensor]
    if not tflite.is_constant(model, flat):
        return ranges.tensors.get(tflite.text(flat.name))
    value = tflite.constant(model, flat)
    return TensorRange(float(value.min()), float(value.max())) if value.size and np.isfinite(value).all() else None


def _alone(span: TensorRange, dtype: np.dtype[np.generic], shared: Form) -> Form:
    """The finest form of the type that holds the range and zero; the common one where the range is empty."""
    limits = np.iinfo(dtype.name)
    low, high = min(span.minimum, 0.0), max(span.maximum, 0.0)
    scale = (high - low) / (limits.max - limits.min)
    return Form(scale, round(limits.min - low / scale)) if scale > 0.0 else shared


def _measure(joins: Sequence[_Join], model: tflite.ModelT, converted: ConvertedModel, samples: Samples, *, count: int, threads: int) -> None:
    main = tflite.main_graph(model)
    fed = {int(tensor) for tensor in main.inputs}
    inputs = [(tensor, one) for join in joins for tensor, one in join.inputs.items()]
    for tensor, one in inputs:
        if tflite.is_constant(model, main.tensors[tensor]):
            one.add(tflite.constant(model, main.tensors[tensor]))
    shown = list(dict.fromkeys(tensor for tensor, _ in inputs if tensor not in fed and not tflite.is_constant(model, main.tensors[tensor])))
    feed = feeder(model, converted.tensor_map.inputs)
    chosen = spread(len(samples), count)
    names = {tensor: tflite.text(main.tensors[tensor].name) for tensor in fed}
    interpreter = open_exposed(tflite.expose(model, shown), feed(samples[chosen[0]]), what="the float file", threads=threads).interpreter
    for position in chosen:
        feeds = feed(samples[position])
        values = dict(zip(shown, interpreter.run_views(feeds), strict=True)) | {tensor: feeds[name] for tensor, name in names.items()}
        for tensor, one in inputs:
            if tensor in values:
                one.add(values[tensor])
        values.clear()


def _together(join: _Join, poor: Sequence[_Join]) -> frozenset[int]:
    """The operators to leave float: those behind all such joins that lead to the same place, or the next one would round the values again."""
    return join.behind.union(*(other.behind for other in poor if join.behind & other.behind))


def _readers(model: tflite.ModelT, integer: Collection[int]) -> dict[int, list[int]]:
    """Tensor -> the integer operators that read it."""
    found: dict[int, list[int]] = {}
    for index, op in enumerate(tflite.main_graph(model).operators):
        for tensor in op.inputs.tolist() if index in integer else ():
            found.setdefault(tensor, []).append(index)
    return found


def _behind(model: tflite.ModelT, readers: Mapping[int, Sequence[int]], op: int) -> tuple[frozenset[int], bool]:
    """The integer operators that hold the joined values side by side, with the first that mix them, and whether a model output is reached."""
    main = tflite.main_graph(model)
    reached, carrying = {op}, set[int]()
    queue = [int(tensor) for tensor in main.operators[op].outputs]
    while queue:
        tensor = queue.pop()
        carrying.add(tensor)
        for index in readers.get(tensor, ()):
            other = main.operators[index]
            if index not in reached:
                reached.add(index)
                if tflite.op_name(model, other) not in MIXING_OPS and _one_activation(model, other):
                    queue += map(int, other.outputs)
    return frozenset(reached), not carrying.isdisjoint(map(int, main.outputs))


def _one_activation(model: tflite.ModelT, op: tflite.OperatorT) -> bool:
    """Whether all values of the result come from one tensor, or are moved: a sum with another tensor has a range of its own."""
    main = tflite.main_graph(model)
    activations = {int(tensor) for tensor in op.inputs if tensor >= 0 and not tflite.is_constant(model, main.tensors[tensor])}
    return len(activations) == 1 or tflite.op_name(model, op) in JOINS_WITHOUT_CHANGE
