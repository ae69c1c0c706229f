"""What stands in the quantized file: names, constants, versions, inputs and outputs."""

from pathlib import Path

import numpy as np
import pytest
from nets import INT8, Net, form, ops, quantized, samples, sqnr_db, tensors

from bridge.quantize import quantize
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter
from bridge.types import QuantizedModel, Ranges, TensorRange

FLOAT = "float32"


def island(folder: Path, *wanted: str, input_dtype: str = "float32", output_dtype: str = "float32") -> tuple[Path, QuantizedModel]:
    net = Net()
    first = net.conv(net.input("x", 1, 8, 8, 3), "first", 1, 8, 8, 4)
    rounded = net.op("FLOOR", [first], "rounded", 1, 8, 8, 4)
    again = net.op("CEIL", [first], "again", 1, 8, 8, 4)
    path = net.save(folder / "net.tflite", net.conv(rounded, "second", 1, 8, 8, 4, channels=4), net.op("ABS", [again], "size", 1, 8, 8, 4))
    return path, quantized(path, *wanted, input_dtype=input_dtype, output_dtype=output_dtype)


def test_a_tensor_keeps_its_name_and_its_other_form_gets_a_suffix(tmp_path: Path) -> None:
    _, made = island(tmp_path)
    assert form(made.path, "first")[0] == "INT8"
    assert form(made.path, "first_float")[0] == "FLOAT32"
    assert form(made.path, "rounded")[0] == "FLOAT32"
    assert form(made.path, "rounded_int8")[0] == "INT8"


def test_inputs_and_outputs_keep_their_names(tmp_path: Path) -> None:
    path, made = island(tmp_path)
    for kind in ("inputs", "outputs"):
        assert getattr(Interpreter(made.path), kind) == getattr(Interpreter(path), kind)
    assert form(made.path, "x_int8")[0] == "INT8"
    assert form(made.path, "second_int8")[0] == "INT8"


def test_a_border_is_crossed_once_for_all_readers(tmp_path: Path) -> None:
    _, made = island(tmp_path)
    assert ops(made.path).count("DEQUANTIZE") == 3  # for FLOOR and CEIL together, and one per output
    assert ops(made.path).count("QUANTIZE") == 3


def test_a_taken_name_gets_a_number(tmp_path: Path) -> None:
    net = Net()
    taken = net.op("ABS", [net.input("x", 1, 4)], "x_int8", 1, 4)
    made = quantized(net.save(tmp_path / "net.tflite", net.op("ABS", [taken], "y", 1, 4)))
    assert form(made.path, "x_int8_2")[0] == "INT8"


def test_float_weights_are_gone(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", net.conv(net.input("x", 1, 8, 8, 64), "y", 1, 8, 8, 64, channels=64))
    made = quantized(path)
    assert made.path.stat().st_size < 0.28 * path.stat().st_size
    model = tflite.read(made.path)
    assert [len(buffer.data) for buffer in model.buffers[1:]] == [64 * 9 * 64, 64 * 4]
    assert [tflite.TYPE_NAMES[tensors(made.path)[name].type] for name in ("y_weight", "y_bias")] == ["INT8", "INT32"]


def test_constants_of_equal_bytes_are_stored_once(tmp_path: Path) -> None:
    net, weights = Net(), np.ones((3, 300, 4), np.float32)
    weights[2, 7, 1] = 0.5  # which a glance at some of the bytes does not see
    x = net.input("x", 1, 4)
    ends = [net.op("FULLY_CONNECTED", [x, net.constant(f"w{place}", weight)], f"y{place}", 1, 300) for place, weight in enumerate(weights)]
    made = tflite.read(quantized(net.save(tmp_path / "net.tflite", *ends)).path)
    assert [len(buffer.data) for buffer in made.buffers[1:]] == [1200, 1200]


def test_a_constant_that_float_operators_read_too_stays_as_float(tmp_path: Path) -> None:
    net = Net()
    x, factor = net.input("x", 1, 4), net.constant("factor", np.array([2.5], np.float32))
    net.op("MUL", [x, factor], "int", 1, 4, options=("MulOptions", {}))
    net.op("MUL", [x, factor], "real", 1, 4, options=("MulOptions", {}))
    made = quantized(net.save(tmp_path / "net.tflite", "int", "real"), INT8, FLOAT)
    model = tflite.read(made.path)
    types = [tflite.TYPE_NAMES[tensor.type] for tensor in tflite.main_graph(model).tensors if tflite.text(tensor.name) == "factor"]
    assert sorted(types) == ["FLOAT32", "INT8"]


def test_weights_are_per_channel_and_biases_have_the_scale_of_the_accumulator(tmp_path: Path) -> None:
    _, made = island(tmp_path)
    weight, bias = tensors(made.path)["first_weight"], tensors(made.path)["first_bias"]
    assert weight.quantization.quantizedDimension == 0
    assert len(weight.quantization.scale) == 4
    assert bias.quantization.scale == pytest.approx(weight.quantization.scale * form(made.path, "x_int8")[1], rel=1e-6)
    assert not weight.quantization.zeroPoint.any()


def test_a_bias_may_have_axes_of_size_1(tmp_path: Path) -> None:
    net = Net()
    operands = [
        net.input("x", 2, 6),
        net.constant("w", np.array([[1], [20], [3]], np.float32) * np.ones((3, 6), np.float32)),
        net.constant("b", np.array([[1, 2, 3]], np.float32)),
    ]
    path = net.save(tmp_path / "net.tflite", net.op("FULLY_CONNECTED", operands, "y", 2, 3, options=("FullyConnectedOptions", {})))
    assert sqnr_db(path, quantized(path).path) > 25


def versions(path: Path) -> dict[str, int]:
    model = tflite.read(path)
    return {tflite.op_name(model, op): model.operatorCodes[op.opcodeIndex].version for op in tflite.main_graph(model).operators}


def test_operators_have_the_version_of_their_int8_kernel(tmp_path: Path) -> None:
    _, made = island(tmp_path)
    assert versions(made.path) == {"QUANTIZE": 1, "DEQUANTIZE": 2, "CONV_2D": 3, "FLOOR": 1, "CEIL": 1, "ABS": 2}


@pytest.mark.parametrize(("keep", "bias", "version"), [(False, True, 4), (True, True, 5), (False, False, 6)])
def test_fully_connected_versions(keep: bool, bias: bool, version: int, tmp_path: Path) -> None:
    net = Net()
    operands = [net.input("x", 2, 6), net.constant("w", np.ones((3, 6), np.float32))] + ([net.constant("b", np.ones(3, np.float32))] if bias else [])
    path = net.save(tmp_path / "net.tflite", net.op("FULLY_CONNECTED", operands, "y", 2, 3, options=("FullyConnectedOptions", {"keepNumDims": keep})))
    assert versions(quantized(path).path)["FULLY_CONNECTED"] == version


def test_a_higher_float_version_stays(tmp_path: Path) -> None:
    net = Net()
    moved = net.op("TRANSPOSE", [net.input("x", 1, 2, 3, 2, 2), net.constant("to", np.array([0, 2, 1, 4, 3], np.int32))], "y", 1, 3, 2, 2, 2)
    net.graph.operators[0].opcodeIndex = tflite.op_code(net.model, "TRANSPOSE", 4)
    made = quantized(net.save(tmp_path / "net.tflite", net.op("ABS", [moved], "z", 1, 3, 2, 2, 2)))
    assert versions(made.path)["TRANSPOSE"] == 4


@pytest.mark.parametrize("dtype", ["int8", "uint8"])
def test_integer_inputs_and_outputs(dtype: str, tmp_path: Path) -> None:
    path, made = island(tmp_path, input_dtype=dtype, output_dtype=dtype)
    loaded = Interpreter(made.path)
    assert [spec.dtype for spec in (*loaded.inputs, *loaded.outputs)] == [dtype] * 3
    assert [spec.name for spec in (*loaded.inputs, *loaded.outputs)] == ["x", "second", "size"]
    exact = Interpreter(path)
    for feed in samples(path, 3):
        (_, scale, zero_point), (_, out_scale, out_zero) = form(made.path, "x"), form(made.path, "second")
        limits = np.iinfo(dtype)
        stored = np.clip(np.rint(feed["x"] / scale) + zero_point, limits.min, limits.max).astype(dtype)
        got = (loaded.run({"x": stored})[0].astype(np.float32) - out_zero) * out_scale
        wanted = exact.run(feed)[0]
        assert 10 * np.log10(np.sum(wanted**2) / np.sum((got - wanted) ** 2)) > 8  # FLOOR turns small differences into whole ones


def test_uint8_input_is_requantized_once(tmp_path: Path) -> None:
    net = Net()
    path = net.save(tmp_path / "net.tflite", net.conv(net.input("x", 1, 8, 8, 3), "y", 1, 8, 8, 4))
    made = quantized(path, input_dtype="uint8", output_dtype="uint8")
    assert ops(made.path) == ["QUANTIZE", "CONV_2D", "QUANTIZE"]
    (_, scale, zero_point), (_, inner_scale, inner_zero) = form(made.path, "x"), form(made.path, "x_int8")
    assert (scale, zero_point) == (inner_scale, inner_zero + 128)


def test_integer_inputs_stay_what_they_are(tmp_path: Path) -> None:
    net = Net()
    table = net.constant("table", np.random.default_rng(0).standard_normal((90, 50)).astype(np.float32))
    path = net.save(
        tmp_path / "net.tflite", net.op("GATHER", [table, net.input("ids", 3, dtype="int32")], "rows", 3, 50, options=("GatherOptions", {}))
    )
    made = quantized(path, input_dtype="int8")
    assert Interpreter(made.path).inputs[0].dtype == "int32"
    assert sqnr_db(path, made.path) > 30
    assert made.path.stat().st_size < path.stat().st_size


def test_an_output_that_other_operators_read_is_shown_and_read(tmp_path: Path) -> None:
    net = Net()
    first = net.conv(net.input("x", 1, 8, 8, 3), "first", 1, 8, 8, 4)
    path = net.save(tmp_path / "net.tflite", first, net.conv(first, "second", 1, 8, 8, 4, channels=4))
    made = quantized(path)
    assert [spec.name for spec in Interpreter(made.path).outputs] == ["first", "second"]
    assert sqnr_db(path, made.path) > 25


def test_an_input_that_is_an_output_stays_both(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", 1, 4)
    net.op("ABS", [x], "y", 1, 4)
    path = net.save(tmp_path / "net.tflite", "x", "y")
    made = quantized(path)
    feed = samples(path)[0]
    assert np.array_equal(Interpreter(made.path).run(feed)[0], feed["x"])


def test_signatures_lead_to_the_new_outputs(tmp_path: Path) -> None:
    from ai_edge_litert import interpreter as litert

    net = Net()
    net.conv(net.input("x", 1, 8, 8, 3), "y", 1, 8, 8, 4)
    path = net.save(tmp_path / "net.tflite", "y")
    model = tflite.read(path)
    tflite.add_signature(model, "serving_default", {"image": net.index["x"]}, {"scores": net.index["y"]})
    path.write_bytes(tflite.serialize(model))
    made = quantized(path)
    feed = samples(path)[0]["x"]
    runner = litert.Interpreter(str(made.path)).get_signature_runner("serving_default")
    assert np.array_equal(runner(image=feed)["scores"], Interpreter(made.path).run({"x": feed})[0])


def test_stateful_tensors_keep_their_float_form(tmp_path: Path) -> None:
    net = Net()
    x = net.input("x", 1, 4)
    state = tflite.add_tensor(net.model, net.graph, "state", "FLOAT32", (1, 4))
    net.graph.tensors[state].isVariable = True
    net.index["state"] = state
    path = net.save(tmp_path / "net.tflite", net.op("FLOOR_DIV", [x, "state"], "y", 1, 4))
    made = quantize(
        path, tmp_path / "q.tflite", ranges=Ranges({"x": TensorRange(-1, 1), "y": TensorRange(-1, 1)}, 1, "test", ""), op_precisions=[INT8]
    )
    assert ops(made.path) == ["FLOOR_DIV"]
    assert tensors(made.path)["state"].isVariable
