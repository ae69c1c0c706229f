import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from bridge.graph import provenance
from bridge.graph.affine import fold_constant_factors

RNG = np.random.default_rng(0)
CONSTANTS = {
    "w": RNG.standard_normal((4, 3, 3, 3)),
    "t": RNG.standard_normal((3, 4, 2, 2)),
    "g": RNG.standard_normal((3, 4)),
    "gt": RNG.standard_normal((4, 3)),
    "b": RNG.standard_normal(4),
    "k": RNG.uniform(-2.0, 2.0, 4),
    "o": RNG.standard_normal(4),
    "k4": RNG.uniform(0.5, 2.0, (1, 4, 1, 1)),
    "o4": RNG.standard_normal((4, 1, 1)),
    "one": RNG.standard_normal(()),
    "columns": RNG.standard_normal(6),
}


def model(body: str, inputs: str, outputs: str = "y") -> ir.Model:
    built = ir.from_onnx_text(f'<ir_version: 10, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}')
    found = {value.name: value for node in built.graph for value in node.inputs if value is not None}
    for name in CONSTANTS.keys() & found.keys():
        value = found[name]
        value.const_value = ir.Tensor(np.asarray(CONSTANTS[name], np.float32), name=name)
        value.shape, value.dtype = ir.Shape(CONSTANTS[name].shape), ir.DataType.FLOAT
        built.graph.register_initializer(value)
    for node in built.graph:
        provenance.stamp(node, node.outputs[0].name or "")
    return ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(built)))


def run(built: ir.Model) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(ir.to_proto(built).SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {value.name: np.random.default_rng(1).standard_normal(value.shape).astype(np.float32) for value in session.get_inputs()}
    return [np.asarray(value) for value in session.run(None, feeds)]


@pytest.mark.parametrize(
    ("body", "inputs", "expected"),
    [
        ("a = Gemm(x, g, b) m = Mul(a, k) y = Add(m, o)", "float[2,3] x", ["Gemm"]),
        ("a = Gemm <transB = 1> (x, gt) m = Mul(k, a) y = Sub(m, o)", "float[2,3] x", ["Gemm"]),
        ("a = Gemm(x, g, b) y = Mul(a, one)", "float[2,3] x", ["Gemm"]),
        ("a = Conv(x, w) m = Mul(a, k4) y = Add(o4, m)", "float[1,3,6,6] x", ["Conv"]),
        ("a = ConvTranspose(x, t) y = Mul(a, k4)", "float[1,3,6,6] x", ["ConvTranspose"]),
        ("a = Gemm(x, g, b) m = Mul(a, k) y = Sub(o, m)", "float[2,3] x", ["Gemm", "Sub"]),
        ("a = Conv(x, w) y = Mul(a, columns)", "float[1,3,8,8] x", ["Conv", "Mul"]),
        ("a = Gemm <alpha = 2.0> (x, g, b) y = Mul(a, k)", "float[2,3] x", ["Gemm", "Mul"]),
        ("a = Relu(x) y = Mul(a, k)", "float[2,4] x", ["Relu", "Mul"]),
        ("a = Gemm(x, g, b) y = Mul(a, z)", "float[2,3] x, float[4] z", ["Gemm", "Mul"]),
        ("a = Gemm(x, g, b) m = Mul(a, k) n = Add(m, o) y = Mul(n, m)", "float[2,3] x", ["Gemm", "Add", "Mul"]),
    ],
)
def test_numbers_stay_and_only_factors_per_channel_become_weights(body: str, inputs: str, expected: list[str]) -> None:
    built = model(body, inputs)
    (before,) = run(built)
    fold_constant_factors(built)
    assert [node.op_type for node in built.graph] == expected
    np.testing.assert_allclose(run(built)[0], before, rtol=1e-4, atol=1e-5)  # the fold rounds weights to float32 once more


@pytest.mark.parametrize("outputs", ["y, a", "y, m"])
def test_a_result_that_others_read_is_kept(outputs: str) -> None:
    built = model("a = Gemm(x, g, b) m = Mul(a, k) y = Add(m, o)", "float[2,3] x", outputs)
    before = run(built)
    fold_constant_factors(built)
    for value, expected in zip(run(built), before, strict=True):
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)


def test_the_whole_stands_under_the_name_of_the_product_with_the_weights() -> None:
    built = model("a = Gemm(x, g, b) m = Mul(a, k) y = Add(m, o)", "float[2,3] x")
    fold_constant_factors(built)
    (node,) = built.graph
    assert (provenance.name(node), provenance.origins(node)) == ("a", ("a", "m", "y"))
