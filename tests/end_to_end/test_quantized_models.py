"""Models that onnxruntime's quantizer made: their scales are in the TFLite file, and its integer kernels give what onnxruntime gives."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

import bridge
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

NETWORK = """<ir_version: 9, opset_import: ["" : 19]> g (float[1,3,12,12] x) => (float[1,5] y) {
    c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (x, w, b)
    r = Relu(c)
    d = Conv <pads = [1, 1, 1, 1]> (r, v, a)
    s = Add(r, d)
    p = GlobalAveragePool(s)
    f = Flatten(p)
    y = Gemm(f, m, o)
}"""
# Share of values within one step of the output. The int16 kernels of ADD and MEAN round twice: of 5,000 values 99.78 % are within one step, the
# others two steps away.
WITHIN_ONE_STEP = {"uint8": 0.999, "int8": 0.999, "int16": 0.995}
TYPES = {"uint8": QuantType.QUInt8, "int8": QuantType.QInt8, "int16": QuantType.QInt16}
RNG = np.random.default_rng(0)
SAMPLES = RNG.standard_normal((64, 1, 3, 12, 12)).astype(np.float32)


class Reader(CalibrationDataReader):  # type: ignore[misc]  # onnxruntime carries no types
    def __init__(self) -> None:
        self.samples = iter(SAMPLES[:32])

    def get_next(self) -> Mapping[str, np.ndarray] | None:
        sample = next(self.samples, None)
        return None if sample is None else {"x": sample}


def quantized(folder: Path, activations: str, *, per_channel: bool, form: QuantFormat = QuantFormat.QDQ) -> Path:
    rng = np.random.default_rng(1)
    shapes = {"w": (8, 3, 3, 3), "b": (8,), "v": (8, 8, 3, 3), "a": (8,), "m": (8, 5), "o": (5,)}
    proto = onnx.parser.parse_model(NETWORK)
    proto.graph.initializer.extend(
        numpy_helper.from_array((rng.standard_normal(shape) / 4).astype(np.float32), name) for name, shape in shapes.items()
    )
    for node in proto.graph.node:
        node.name = f"net/{node.output[0]}"
    onnx.save(proto, folder / "float.onnx")
    path = folder / "model.onnx"
    quantize_static(
        folder / "float.onnx", path, Reader(), quant_format=form, per_channel=per_channel, activation_type=TYPES[activations],
        weight_type=QuantType.QInt8, extra_options={"ActivationSymmetric": activations == "int16"},
    )  # fmt: skip
    return path


def stored(proto: onnx.ModelProto) -> Iterator[tuple[str, float]]:
    """What QuantizeLinear reads and what DequantizeLinear makes of activations -> its scale."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        if node.op_type == "QuantizeLinear":
            yield node.input[0], float(constants[node.input[1]])
        elif node.op_type == "DequantizeLinear" and node.input[0] not in constants:
            yield node.output[0], float(constants[node.input[1]])


@pytest.mark.provokes("quantized-model")
@pytest.mark.parametrize(
    ("activations", "per_channel", "form"),
    [("uint8", False, QuantFormat.QDQ), ("int8", True, QuantFormat.QDQ), ("int16", True, QuantFormat.QDQ), ("uint8", False, QuantFormat.QOperator)],
)
def test_integer_kernels_with_the_scales_of_the_file_give_what_onnxruntime_gives(
    activations: str, per_channel: bool, form: QuantFormat, tmp_path: Path
) -> None:
    source = quantized(tmp_path, activations, per_channel=per_channel, form=form)
    result = bridge.convert(source, calibration=bridge.Calibration.from_arrays({"x": SAMPLES}), output_dir=tmp_path / "out", threads=1)
    file = result.artifacts["static_wi8_ai8"]
    model = tflite.read(file)
    graph = tflite.main_graph(model)
    names = {tflite.op_name(model, operator) for operator in graph.operators}
    assert {"CONV_2D", "ADD", "FULLY_CONNECTED"} <= names
    assert not any(tflite.dtype(graph.tensors[i]).kind == "f" for op in graph.operators[1:-1] for i in (*op.inputs, *op.outputs) if i >= 0)
    proto = onnx.load(source)
    scales = dict(stored(proto))
    held = {
        np.float32(one)
        for tensor in graph.tensors
        if tensor.quantization and tensor.quantization.scale is not None
        for one in tensor.quantization.scale
    }
    assert {np.float32(scale) for scale in scales.values()} <= held

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    interpreter = Interpreter(file)
    (spec,) = interpreter.inputs
    expected = np.stack([session.run(None, {"x": sample})[0] for sample in SAMPLES])
    received = np.stack([interpreter.run({spec.name: sample.transpose(0, 2, 3, 1)})[0].copy() for sample in SAMPLES])
    step = scales["y"]
    steps = np.rint(np.abs(expected - received) / step)
    assert np.mean(steps <= 1) >= WITHIN_ONE_STEP[activations]
    assert steps.max() <= 2
    (finding,) = [finding for finding in result.report.diagnostics if finding.code == "quantized-model"]
    assert "0 of" in finding.message
    assert result.report.divergence is None
    rows = {node.name for node in result.report.nodes}
    assert {node.name for node in proto.graph.node} <= rows
    assert result.report.coverage.mapped + result.report.coverage.explained == result.report.coverage.nodes
    mapped = [layer.tensor for layer in result.report.layers if layer.status == "mapped"]
    assert len(mapped) == len(set(mapped))
    assert "3 weights have its scales" in finding.message


def test_what_the_file_leaves_float_stays_float_and_says_why(tmp_path: Path) -> None:
    text = """<ir_version: 9, opset_import: ["" : 19]> g (float[1,4] x) => (float[1,4] y) {
    qx = QuantizeLinear(x, s, z)
    dx = DequantizeLinear(qx, s, z)
    h = Gemm(dx, w)
    q = QuantizeLinear(h, s, z)
    d = DequantizeLinear(q, s, z)
    y = Gemm(d, w)
}"""
    proto = onnx.parser.parse_model(text)
    constants = {"s": np.float32(0.05), "z": np.array(0, np.int8), "w": RNG.standard_normal((4, 4)).astype(np.float32)}
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    for node in proto.graph.node:
        node.name = node.output[0]
    onnx.save(proto, tmp_path / "model.onnx")
    report = bridge.convert(tmp_path / "model.onnx", output_dir=tmp_path / "out", threads=1).report
    rows = {node.name: (node.precision, node.reason) for node in report.nodes}
    assert rows["h"][0] == "static_wi8_ai8"
    assert rows["y"] == ("float32", "the file leaves 'y' float")
