import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from onnx import numpy_helper

from bridge.graph import split_quantization
from bridge.types import QuantizedSource, StoredAs

RNG = np.random.default_rng(0)
WEIGHT = RNG.integers(-127, 128, (4, 3)).astype(np.int8)
SCALES = np.array([0.01, 0.02, 0.03, 0.04], np.float32)

TWO_LAYERS = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3] x) => (float[2,4] y) {
    qx = QuantizeLinear(x, sx, zx)
    dx = DequantizeLinear(qx, sx, zx)
    dw = DequantizeLinear <axis = 0> (w, sw, zw)
    h = Gemm <transB = 1> (dx, dw)
    r = Relu(h)
    qr = QuantizeLinear(r, sr, zr)
    dr = DequantizeLinear(qr, sr, zr)
    y = Exp(dr)
}"""


def model(text: str, **constants: np.ndarray | np.floating) -> onnx.ModelProto:
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    return proto


def two_layers(zero: np.ndarray) -> onnx.ModelProto:
    scales: dict[str, np.ndarray | np.floating] = {"sx": np.float32(0.02), "sr": np.float32(0.05), "sw": SCALES}
    return model(TWO_LAYERS, **scales, zx=zero, zr=zero, w=WEIGHT, zw=np.zeros(4, np.int8))


def split(proto: onnx.ModelProto) -> tuple[onnx.ModelProto, QuantizedSource]:
    found = split_quantization(proto)
    assert found is not None
    return found.inside, found.said


def run(proto: onnx.ModelProto, **feeds: np.ndarray) -> np.ndarray:
    session = ort.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    result: np.ndarray = session.run(None, feeds)[0]
    return result


def test_a_float_model_is_left_alone() -> None:
    assert (
        split_quantization(onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) { y = Relu(x) }')) is None
    )


@pytest.mark.parametrize(("zero", "point"), [(np.array(3, np.int8), 3), (np.array(131, np.uint8), 3), (np.array(0, np.int16), 0)])
def test_scales_are_noted_in_the_signed_type_and_the_float_model_is_inside(zero: np.ndarray, point: int) -> None:
    proto = two_layers(zero)
    inside, source = split(proto)
    type_name = "INT16" if zero.dtype == np.int16 else "INT8"
    assert source.activations == {
        "x": StoredAs(type_name, (float(np.float32(0.02)),), (point,), 1),
        "dr": StoredAs(type_name, (float(np.float32(0.05)),), (point,), 1),
    }
    (weight,) = source.weights.values()
    assert weight == StoredAs("INT8", tuple(map(float, SCALES)), (0,) * 4, 0)
    assert [node.op_type for node in inside.graph.node] == ["Gemm", "Relu", "Exp"]
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    hand = np.exp(np.maximum(x @ (WEIGHT * SCALES[:, None]).T, 0))
    np.testing.assert_allclose(run(inside, x=x), hand, rtol=1e-5)


@pytest.mark.parametrize(("zero", "positive"), [(np.array(0, np.uint8), True), (np.array(1, np.uint8), False)])
def test_a_range_that_begins_at_zero_is_a_relu(zero: np.ndarray, positive: bool) -> None:
    """onnxruntime's quantizer leaves a Relu out where saturation does the same."""
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3] x) => (float[2,3] y) {
    h = Neg(x)
    q = QuantizeLinear(h, s, z)
    d = DequantizeLinear(q, s, z)
    e = DequantizeLinear(q, s, z)
    y = Add(d, e)
}"""
    inside, source = split(model(text, s=np.float32(0.02), z=zero))
    assert [node.op_type for node in inside.graph.node] == ["Neg", *["Relu"] * positive, "Add"]
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_allclose(run(inside, x=x), 2 * (np.maximum(-x, 0) if positive else -x), rtol=1e-6)
    assert set(source.activations) == {"d"}


def test_what_writes_no_quantized_value_is_float() -> None:
    _, source = split(two_layers(np.array(3, np.int8)))
    names = {name.partition("_")[0] for name in source.integer_nodes}
    assert names == {"Gemm", "Relu"}


def test_a_float_weight_is_rounded_as_its_pair_rounds_it() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3] x) => (float[2,4] y) {
    qw = QuantizeLinear <axis = 0> (w, sw, zw)
    dw = DequantizeLinear <axis = 0> (qw, sw, zw)
    y = Gemm <transB = 1> (x, dw)
}"""
    proto = model(text, w=RNG.standard_normal((4, 3)).astype(np.float32), sw=SCALES, zw=np.zeros(4, np.int8))
    inside, source = split(proto)
    x = RNG.standard_normal((2, 3)).astype(np.float32)
    np.testing.assert_allclose(run(inside, x=x), run(proto, x=x), rtol=1e-5)
    assert len(source.weights) == 1
    assert source.integer_nodes == frozenset()


def test_a_quantized_output_keeps_its_name() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y) {
    a = Relu(x)
    q = QuantizeLinear(a, s, z)
    y = DequantizeLinear(q, s, z)
}"""
    inside, source = split(model(text, s=np.float32(0.1), z=np.array(0, np.int8)))
    assert [value.name for value in inside.graph.output] == ["y"]
    assert [node.op_type for node in inside.graph.node] == ["Relu"]
    assert set(source.activations) == {"y"}


@pytest.mark.provokes("quantized-twice")
def test_a_tensor_quantized_in_two_ways_is_reported() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21]> g (float[2] x) => (float[2] y, float[2] v) {
    q = QuantizeLinear(x, s, z)
    d = DequantizeLinear(q, s, z)
    p = QuantizeLinear(x, t, z)
    e = DequantizeLinear(p, t, z)
    y = Relu(d)
    v = Relu(e)
}"""
    _, source = split(model(text, s=np.float32(0.1), t=np.float32(0.3), z=np.array(0, np.int8)))
    (finding,) = source.diagnostics
    assert finding.code == "quantized-twice"
    assert "'x' is quantized in two ways; scale 0.1, zero point 0 is kept. Received: 0.3, 0." in finding.message
