import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from bridge.graph import provenance
from bridge.graph.batch_norm import batch_norm_to_conv

RNG = np.random.default_rng(0)
CONSTANTS = {
    "w": RNG.standard_normal((4, 3, 3, 3)),
    "t": RNG.standard_normal((3, 4, 2, 2)),
    "u": RNG.standard_normal((6, 2, 2, 2)),
    "g": RNG.standard_normal((3, 4)),
    "b": RNG.standard_normal(4),
    "scale": RNG.uniform(0.5, 2.0, 4),
    "bias": RNG.standard_normal(4),
    "mean": RNG.standard_normal(4),
    "var": RNG.uniform(0.01, 4.0, 4),
}


def model(body: str, inputs: str = "float[1,3,6,6] x", outputs: str = "y") -> ir.Model:
    text = f'<ir_version: 10, opset_import: ["" : 20]> g ({inputs}) => ({outputs}) {{ {body} }}'
    built = ir.from_onnx_text(text)
    used = {value.name for node in built.graph for value in node.inputs if value is not None}
    for name in CONSTANTS.keys() & used:
        tensor = ir.Tensor(CONSTANTS[name].astype(np.float32), name=name)
        value = next(value for node in built.graph for value in node.inputs if value is not None and value.name == name)
        value.const_value, value.shape, value.dtype = tensor, ir.Shape(tensor.shape), ir.DataType.FLOAT
        built.graph.register_initializer(value)
    for node in built.graph:
        provenance.stamp(node, node.outputs[0].name or "")
    return ir.from_proto(onnx.shape_inference.infer_shapes(ir.to_proto(built)))


def run(built: ir.Model) -> np.ndarray:
    session = onnxruntime.InferenceSession(ir.to_proto(built).SerializeToString(), providers=["CPUExecutionProvider"])
    feeds = {value.name: np.random.default_rng(1).standard_normal(value.shape).astype(np.float32) for value in session.get_inputs()}
    return np.asarray(session.run(None, feeds)[0])


def types(built: ir.Model) -> list[str]:
    return [node.op_type for node in built.graph]


NORM = "BatchNormalization <epsilon = 0.001> ({}, scale, bias, mean, var)"


@pytest.mark.parametrize(
    ("body", "inputs", "expected"),
    [
        (f"a = Conv(x, w) y = {NORM.format('a')}", "float[1,3,6,6] x", ["Conv"]),
        (f"a = Conv(x, w, b) y = {NORM.format('a')}", "float[1,3,6,6] x", ["Conv"]),
        (f"a = ConvTranspose(x, t) y = {NORM.format('a')}", "float[1,3,6,6] x", ["ConvTranspose"]),
        (f"a = ConvTranspose <group = 2> (x, u) y = {NORM.format('a')}", "float[1,6,6,6] x", ["ConvTranspose", "Conv"]),
        (f"a = Gemm(x, g, b) y = {NORM.format('a')}", "float[2,3] x", ["Gemm"]),
        (f"a = Relu(x) y = {NORM.format('a')}", "float[1,4,6,6] x", ["Relu", "Conv"]),
        (f"a = Gemm <alpha = 2.0> (x, g, b) y = {NORM.format('a')}", "float[2,3] x", ["Gemm", "BatchNormalization"]),
        (f"a = Relu(x) y = {NORM.format('a')}", "float[1,4,6] x", ["Relu", "BatchNormalization"]),
        (NORM.replace("mean", "other").format("x").join(("y = ", "")), "float[1,4,6,6] x, float[4] other", ["BatchNormalization"]),
    ],
)
def test_numbers_stay_and_only_exact_cases_are_rewritten(body: str, inputs: str, expected: list[str]) -> None:
    built = model(body, inputs)
    before = run(built)
    batch_norm_to_conv(built)
    assert types(built) == expected
    np.testing.assert_allclose(run(built), before, rtol=1e-4, atol=1e-5)  # the fold rounds weights to float32 once more


def test_a_convolution_whose_own_result_is_read_is_kept() -> None:
    built = model(f"a = Conv(x, w) n = {NORM.format('a')} y = Add(n, a)")
    before = run(built)
    batch_norm_to_conv(built)
    assert types(built) == ["Conv", "Conv", "Add"]
    np.testing.assert_allclose(run(built), before, rtol=1e-4, atol=1e-5)


def test_a_folded_norm_stands_under_the_name_of_the_convolution() -> None:
    built = model(f"a = Conv(x, w) y = {NORM.format('a')}")
    batch_norm_to_conv(built)
    (node,) = built.graph
    assert (provenance.name(node), provenance.origins(node), provenance.pattern(node)) == ("a", ("a", "y"), None)


def test_a_norm_of_its_own_stays_visible_as_rescaling() -> None:
    built = model(f"a = Relu(x) y = {NORM.format('a')}", "float[1,4,6,6] x")
    batch_norm_to_conv(built)
    node = next(node for node in built.graph if node.op_type == "Conv")
    assert (provenance.name(node), provenance.pattern(node)) == ("y", "batch_norm")
