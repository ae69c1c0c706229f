"""Any mix of precisions in one file: every operator computes what it did, and nothing is converted for nothing."""

from pathlib import Path

import numpy as np
import pytest
from nets import quantized, ranges, samples
from random_nets import CONVERSIONS, Ran, RandomNet, exact_output, random_precisions

from bridge.quantize import OPS
from bridge.quantize.op_table import Scales
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import QuantizedModel

SEEDS = range(36)
OPERATORS = 12
KERNELS: tuple[Kernels, ...] = ("optimized", "builtin", "reference")

# Distance to the exact value in steps of the output: one step for kernels that round their inputs to a common scale first. QUANTIZE between integers
# multiplies, rounds, divides by a power of two, rounds: half a step and a quarter where that power is 2. LOGISTIC and TANH of int16 interpolate a table.
STEPS = {"QUANTIZE": 0.76}
STEPS_INT16 = {"LOGISTIC": 1.3, "TANH": 2.5}
FLOAT_ERROR = 1e-5  # sums of float32 in another order


def net(seed: int, folder: Path) -> tuple[Path, QuantizedModel]:
    path = RandomNet(seed).grow(folder / "net.tflite", OPERATORS)
    count = len(tflite.main_graph(tflite.read(path)).operators)
    dtypes = ["float32", "int8", "uint8"]
    edges = (dtypes[seed % 3], dtypes[seed // 3 % 3]) if seed % 4 == 0 else ("float32", "float32")
    return path, quantized(path, *random_precisions(seed, count), input_dtype=edges[0], output_dtype=edges[1])


def run(path: Path, kernels: Kernels, feed: dict[str, np.ndarray]) -> Ran:
    """All activations of one run; inputs are stored in the form that the file asks for."""
    model = tflite.read(path)
    graph = tflite.main_graph(model)
    computed = [index for operator in graph.operators if not unpacks(model, operator) for index in map(int, operator.outputs)]
    shown = list(dict.fromkeys(computed))
    stored = {tflite.text(graph.tensors[index].name): index for index in graph.inputs}
    fed = {name: feed_in_form(feed[name], graph.tensors[index]) for name, index in stored.items()}
    outputs = Interpreter(tflite.expose(model, shown), kernels=kernels).run(fed)
    ran = Ran(model, dict(zip(shown, outputs, strict=True)) | {index: fed[name] for name, index in stored.items()})
    weights = {int(operator.outputs[0]): ran.real(int(operator.inputs[0])) for operator in graph.operators if unpacks(model, operator)}
    return Ran(model, {**ran.values, **weights})


def unpacks(model: tflite.ModelT, operator: tflite.OperatorT) -> bool:
    """Whether an operator turns a stored weight into floats: XNNPACK does not run it, it reads the weight itself."""
    return bool(tflite.op_name(model, operator) == "DEQUANTIZE" and tflite.is_constant(model, tflite.main_graph(model).tensors[operator.inputs[0]]))


def feed_in_form(value: np.ndarray, tensor: tflite.TensorT) -> np.ndarray:
    if tensor.quantization is None:
        return value
    steps = np.rint(value / tensor.quantization.scale[0]) + tensor.quantization.zeroPoint[0]
    limits = np.iinfo(tflite.dtype(tensor))
    stored: np.ndarray = np.clip(steps, limits.min, limits.max).astype(tflite.dtype(tensor))
    return stored


def allowed(ran: Ran, operator: tflite.OperatorT, exact: np.ndarray) -> float:
    """How far an operator's output may be off, in real units."""
    graph = tflite.main_graph(ran.model)
    name, output = tflite.op_name(ran.model, operator), graph.tensors[int(operator.outputs[0])]
    type_name = tflite.TYPE_NAMES[output.type]
    if type_name != "FLOAT32":
        steps = STEPS.get(name, 1.02) if type_name != "INT16" else STEPS_INT16.get(name, STEPS.get(name, 1.02))
        return steps * float(output.quantization.scale[0])
    error = FLOAT_ERROR * max(1.0, float(np.abs(exact).max()))
    weight = graph.tensors[int(operator.inputs[1])] if len(operator.inputs) > 1 else None
    if weight is not None and weight.quantization is not None and name not in CONVERSIONS:  # activations are rounded to int8 inside the kernel
        source, values = ran.real(int(operator.inputs[0])), ran.real(int(operator.inputs[1]))
        step = (max(float(source.max()), 0.0) - min(float(source.min()), 0.0)) / 255
        error += 0.51 * step * float(np.abs(values).reshape(values.shape[0], -1).sum(axis=1).max())
    return error


@pytest.mark.parametrize("seed", SEEDS)
def test_every_operator_of_a_mixed_file_computes_what_its_scales_imply(seed: int, tmp_path: Path) -> None:
    path, made = net(seed, tmp_path)
    (feed,) = samples(path, 1, seed=3)
    for kernels in KERNELS:
        ran = run(made.path, kernels, feed)
        graph = tflite.main_graph(ran.model)
        for operator in graph.operators:
            name, output = tflite.op_name(ran.model, operator), int(operator.outputs[0])
            exact = ran.real(int(operator.inputs[0])) if name in CONVERSIONS else exact_output(ran, operator)
            got, tensor = ran.real(output), graph.tensors[output]
            if tensor.quantization is not None:
                limits, scale, zero_point = np.iinfo(tflite.dtype(tensor)), float(tensor.quantization.scale[0]), int(tensor.quantization.zeroPoint[0])
                exact = np.clip(exact, (limits.min - zero_point) * scale, (limits.max - zero_point) * scale)
            assert np.abs(got - exact).max() <= allowed(ran, operator, exact), f"{kernels}: {name} writes {tflite.text(tensor.name)}"


def origins(model: tflite.ModelT) -> dict[int, int]:
    """Tensor -> the tensor whose value it holds in another form."""
    graph = tflite.main_graph(model)
    found: dict[int, int] = {}
    for operator in graph.operators:
        if tflite.op_name(model, operator) in CONVERSIONS:
            source = int(operator.inputs[0])
            found[int(operator.outputs[0])] = found.get(source, source)
    return found


@pytest.mark.parametrize("seed", SEEDS)
def test_without_its_conversions_a_mixed_file_is_the_float_file(seed: int, tmp_path: Path) -> None:
    path, made = net(seed, tmp_path)
    source, model = tflite.read(path), tflite.read(made.path)
    old, new = tflite.main_graph(source), tflite.main_graph(model)
    real = origins(model)
    kept = [operator for operator in new.operators if tflite.op_name(model, operator) not in CONVERSIONS]
    assert [tflite.op_name(model, operator) for operator in kept] == [tflite.op_name(source, operator) for operator in old.operators]
    same = {real.get(int(b), int(b)): int(a) for a, b in zip(old.inputs, new.inputs, strict=True)}
    for before, after in zip(old.operators, kept, strict=True):
        for mine, theirs in zip(before.inputs, after.inputs, strict=True):
            if not tflite.is_constant(source, old.tensors[int(mine)]):
                assert same[real.get(int(theirs), int(theirs))] == int(mine)
        same |= {int(b): int(a) for a, b in zip(before.outputs, after.outputs, strict=True)}
    assert [same[real.get(int(index), int(index))] for index in new.outputs] == [int(index) for index in old.outputs]


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_converted_for_nothing(seed: int, tmp_path: Path) -> None:
    _, made = net(seed, tmp_path)
    model = tflite.read(made.path)
    graph = tflite.main_graph(model)
    name = {int(operator.outputs[0]): tflite.op_name(model, operator) for operator in graph.operators}
    source = {int(operator.outputs[0]): int(operator.inputs[0]) for operator in graph.operators}
    readers: dict[int, list[int]] = {}
    for operator in graph.operators:
        for index in operator.inputs:
            readers.setdefault(int(index), []).append(int(operator.outputs[0]))
    made_forms = set()
    for tensor in [tensor for tensor, op in name.items() if op in CONVERSIONS]:
        assert tensor in readers or tensor in graph.outputs, "nobody reads it"
        assert form(graph.tensors[tensor]) != form(graph.tensors[source[tensor]]), "it is in that form already"
        key = (source[tensor], form(graph.tensors[tensor]))
        assert key not in made_forms, "it is converted to that form twice"
        made_forms.add(key)
        if name.get(source[tensor]) in CONVERSIONS:  # LiteRT has no kernel from int16 to uint8
            assert tflite.TYPE_NAMES[graph.tensors[tensor].type] == "UINT8"
            assert tflite.TYPE_NAMES[graph.tensors[source[source[tensor]]].type] == "INT16"
    for tensor, op in name.items():
        if op in OPS and OPS[op].moves_data and OPS[op].scales is Scales.INHERIT:
            before = name.get(source[tensor])
            after = {name[reader] for reader in readers.get(tensor, [])} | ({"output"} if tensor in graph.outputs else set())
            assert before != "QUANTIZE" or tflite.TYPE_NAMES[graph.tensors[source[source[tensor]]].type] != "FLOAT32" or after != {"DEQUANTIZE"}
            assert not (before == "DEQUANTIZE" and after == {"QUANTIZE"})


def form(tensor: tflite.TensorT) -> tuple[int, tuple[float, ...], tuple[int, ...]]:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return tensor.type, (), ()
    return tensor.type, tuple(map(float, quantization.scale)), tuple(map(int, quantization.zeroPoint))


def test_ranges_cover_what_a_random_net_computes(tmp_path: Path) -> None:
    """The other tests rest on it: values outside of a range saturate, and a saturated value is as far off as one likes."""
    path = RandomNet(0).grow(tmp_path / "net.tflite", OPERATORS)
    assert all(span.maximum > span.minimum for span in ranges(path).tensors.values())
