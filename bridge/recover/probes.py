"""Files that show the mean of what weighted operators compute before their activation, per channel."""

from collections.abc import Sequence

import numpy as np
from msgspec import Struct

from bridge.quantize.float_graph import FloatGraph
from bridge.recover.tail import Start
from bridge.recover.weighted import Weighted
from bridge.tflite import model as tflite
from bridge.tflite.compaction import compact
from bridge.tflite.run_file import RunFile

DEQUANTIZE_VERSIONS = {"INT8": 2, "INT16": 3}
FUSED_OPS = {tflite.ACTIVATION_CODES[name]: name for name in ("RELU", "RELU6", "RELU_N1_TO_1")}  # kernels ignore the other codes


class Probe(Struct, frozen=True, eq=False):
    """A float copy of an operator, put behind it, with constants of its own and without activation.

    Attributes:
        one: the operator.
        position: where it is in the file that is probed.
        weight: float32 in the shape of its weight.
        bias: float32 [channels], None without one.
    """

    one: Weighted
    position: int
    weight: np.ndarray
    bias: np.ndarray | None


def probed(model: tflite.ModelT, graph: FloatGraph, probes: Sequence[Probe], *, apart: bool, start: Start | None = None) -> RunFile:
    """The file with the mean of each probe over all positions as its only outputs, [channels] float32, in their order.

    Args:
        model: the file, float or quantized; belongs to the function from now on.
        graph: the float file that it is or was made of.
        probes: whose operators are in the file.
        apart: the first axis counts samples, which stay apart: the outputs are [samples, channels].
        start: where it begins, in front of all probes; at its first operator without one.
    """
    main = tflite.main_graph(model)
    behind: dict[int, list[tflite.OperatorT]] = {}
    real: dict[int, int] = {}
    outputs = []
    for number, probe in enumerate(probes):
        source = int(main.operators[probe.position].inputs[probe.one.data_at])
        added = behind.setdefault(probe.position, [])
        kind = tflite.TYPE_NAMES[main.tensors[source].type]
        if kind != "FLOAT32" and source not in real:
            real[source] = tflite.add_tensor(model, main, f"real {source}", "FLOAT32", tflite.shape(main.tensors[source]))
            added.append(tflite.add_op(model, "DEQUANTIZE", DEQUANTIZE_VERSIONS[kind], [source], [real[source]]))
        outputs.append(_add(model, graph, probe, number, real.get(source, source), added, apart=apart))
    first = 0 if start is None else start.first
    needed = main.operators[first : max(behind) + 1]  # the others would be packed and run for nothing
    main.operators = [one for position, op in enumerate(needed, first) for one in (op, *behind.get(position, ()))]
    if start is not None and start.first:
        main.inputs = np.asarray(start.inputs, np.int32)
    main.outputs, model.signatureDefs = np.asarray(outputs, np.int32), None
    compact(model)
    return tflite.run_file(model)


def bared(model: tflite.ModelT, graph: FloatGraph, ops: Sequence[Weighted], *, apart: bool) -> RunFile:
    """The float file with the mean of what operators compute before their activation as its only outputs, as for `probed`.

    No operator is there twice: activations stand behind the operators that had them fused.

    Args:
        model: the file; belongs to the function from now on.
        graph: the same.
        ops: some of its operators.
        apart: the first axis counts samples, which stay apart.
    """
    main = tflite.main_graph(model)
    behind: dict[int, list[tflite.OperatorT]] = {}
    outputs = []
    for number, one in enumerate(ops):
        op, added = main.operators[one.op.index], behind.setdefault(one.op.index, [])
        computed, fused = one.op.outputs[0], FUSED_OPS.get(getattr(one.op.options, "fusedActivationFunction", 0))
        shape = graph.tensors[computed].shape
        if fused is not None:
            computed = tflite.add_tensor(model, main, f"computed {number}", "FLOAT32", shape)
            op.outputs, op.builtinOptions = np.asarray([computed], np.int32), _without_activation(one.op.options)
            added.append(tflite.add_op(model, fused, 1, [computed], one.op.outputs))
        outputs.append(_mean(model, number, computed, shape, added, apart=apart))
    main.operators = [one for position, op in enumerate(main.operators[: max(behind) + 1]) for one in (op, *behind.get(position, ()))]
    main.outputs, model.signatureDefs = np.asarray(outputs, np.int32), None
    compact(model)
    return tflite.run_file(model)


def _add(model: tflite.ModelT, graph: FloatGraph, probe: Probe, number: int, source: int, added: list[tflite.OperatorT], *, apart: bool) -> int:
    """Adds the copy and the mean of its output; returns the tensor of the mean."""
    main = tflite.main_graph(model)
    op = probe.one.op
    shape = graph.tensors[op.outputs[0]].shape
    inputs = list(op.inputs)
    for position, tensor in enumerate(op.inputs):
        if position not in (probe.one.data_at, probe.one.weight_at, probe.one.bias_at) and tensor >= 0:
            inputs[position] = _constant(model, f"operand {number} {position}", graph.value(tensor))
    inputs[probe.one.data_at] = source
    inputs[probe.one.weight_at] = _constant(model, f"weight {number}", probe.weight)
    bias = np.zeros(shape[-1], np.float32) if probe.bias is None else probe.bias
    inputs = [*inputs[: probe.one.bias_at], _constant(model, f"bias {number}", bias)]
    computed = tflite.add_tensor(model, main, f"computed {number}", "FLOAT32", shape)
    copy = tflite.add_op(model, op.name, op.version, inputs, [computed])
    copy.builtinOptionsType, copy.builtinOptions = (
        tflite.main_graph(graph.model).operators[op.index].builtinOptionsType,
        _without_activation(op.options),
    )
    added.append(copy)
    return _mean(model, number, computed, shape, added, apart=apart)


def _mean(model: tflite.ModelT, number: int, computed: int, shape: tuple[int, ...], added: list[tflite.OperatorT], *, apart: bool) -> int:
    """The tensor of the mean of another one per channel, which an operator among the added ones computes where there are several positions."""
    positions = np.arange(apart, len(shape) - 1, dtype=np.int32)
    if not positions.size:
        return computed
    mean = tflite.add_tensor(model, tflite.main_graph(model), f"mean {number}", "FLOAT32", (*shape[:apart], shape[-1]))
    average = tflite.add_op(model, "MEAN", 1, [computed, _constant(model, f"axes {number}", positions)], [mean])
    tflite.set_options(average, "ReducerOptions")
    added.append(average)
    return mean


def _constant(model: tflite.ModelT, name: str, value: np.ndarray) -> int:
    kind = "FLOAT32" if value.dtype.kind == "f" else value.dtype.name.upper()
    return tflite.add_tensor(model, tflite.main_graph(model), name, kind, value.shape, buffer=tflite.add_buffer(model, value))


def _without_activation(options: tflite.OperatorT) -> tflite.OperatorT:
    """The options of the same operator that computes no activation."""
    bare = type(options)()
    for name, value in vars(options).items():
        setattr(bare, name, 0 if name == "fusedActivationFunction" else value)
    return bare
