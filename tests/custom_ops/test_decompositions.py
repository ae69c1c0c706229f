"""Registered decompositions in a model: onnxruntime runs them, and they are checked against their reference."""

from typing import Any

import numpy as np
import onnx
import onnx.parser
import onnxruntime as ort
import pytest
from custom_model import SWOOSH, model, scope, swoosh
from onnx import numpy_helper
from onnxscript import opset17 as op
from onnxscript import script
from onnxscript.values import Opset

import bridge
from bridge import graph
from bridge.custom_ops import check_decompositions, custom_calls, with_decompositions
from bridge.errors import UnsupportedModelError, UsageError
from bridge.types import SourceModel

FEED = {"x": np.random.default_rng(3).standard_normal((1, 16)).astype(np.float32)}
MINE = Opset("my.layers", 1)

__all__ = ["scope"]  # a fixture of every test here


def inlined(proto: onnx.ModelProto) -> onnx.ModelProto:
    return graph.inline_local_functions(SourceModel(proto=with_decompositions(proto), digest="d")).proto


def run(proto: onnx.ModelProto, feeds: Any, names: Any) -> dict[str, np.ndarray]:
    copy = onnx.ModelProto()
    copy.CopyFrom(proto)
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names if name not in {output.name for output in copy.graph.output})
    session = ort.InferenceSession(copy.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(list(names), feeds), strict=True))


def expected(proto: onnx.ModelProto) -> np.ndarray:
    w = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    return np.asarray(swoosh(FEED["x"] @ w["w1"] + w["b1"], w["b1"], gain=1.5) @ w["w2"] + w["b2"])


def build_swoosh(build: Any, x: Any, bias: Any = None, *, gain: float = 1.0) -> Any:
    y = x if bias is None else build.op("Add", x, bias)
    return build.op("Mul", y, build.op("Sigmoid", build.op("Mul", y, gain)))


FUNCTION = """
<domain: "elsewhere", opset_import: ["" : 17]>
Anything <gain: float = 1.0> (x, bias) => (y) {
    s = Add(x, bias)
    g = Constant<value_float: float = @gain>()
    z = Mul(s, g)
    p = Sigmoid(z)
    y = Mul(s, p)
}
"""


@script(MINE, default_opset=op)
def scripted(x: Any, bias: Any, gain: float = 1.0) -> Any:
    s = op.Add(x, bias)
    return op.Mul(s, op.Sigmoid(op.Mul(s, op.Constant(value_float=gain))))


@pytest.mark.parametrize("decomposition", [build_swoosh, onnx.parser.parse_function(FUNCTION), scripted], ids=["function", "proto", "onnxscript"])
def test_onnxruntime_runs_the_decomposition_in_every_form(decomposition: Any) -> None:
    bridge.register_op("my.layers", "Swoosh", decomposition)
    proto = model()
    content = proto.SerializeToString()
    np.testing.assert_allclose(run(inlined(proto), FEED, ["y"])["y"], expected(proto), atol=1e-5)
    assert proto.SerializeToString() == content


def test_its_nodes_are_named_after_the_call_and_keep_the_domain() -> None:
    bridge.register_op("my.layers", "Swoosh", build_swoosh)
    normal = graph.normalize(SourceModel(proto=inlined(model()), digest="d"), input_shapes={})
    assert [(node.name, node.domain) for node in normal.nodes] == [
        ("fc1", ""),
        ("act/Add", "my.layers"),
        ("act/Mul", "my.layers"),
        ("act/Sigmoid", "my.layers"),
        ("act/Mul_2", "my.layers"),
        ("fc2", ""),
    ]


def test_a_function_of_the_file_comes_before_what_is_registered() -> None:
    bridge.register_op("my.layers", "Swoosh", lambda build, *x, gain: build.op("Relu", x[0]))
    proto = model()
    function = onnx.parser.parse_function(FUNCTION)
    function.domain, function.name = "my.layers", "Swoosh"
    proto.functions.append(function)
    assert not custom_calls(proto)
    assert with_decompositions(proto) is proto


def test_nodes_of_one_operator_may_differ_in_attributes_and_outputs() -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17, "my.layers" : 1]>
g (float[1, 16] x) => (float[1, 16] y, float[1, 16] z) {
    a, b = my.layers.Pair<shift = 2.0, mode = "up">(x)
    y, z = my.layers.Pair<shift = 0.5, mode = "down">(b)
}
"""

    @bridge.register_op("my.layers", "Pair")
    def pair(build: Any, x: Any, *, shift: float, mode: str) -> Any:
        return x, build.op("Add" if mode == "up" else "Sub", x, shift)

    found = run(inlined(model(text, {})), FEED, ["y", "z"])
    np.testing.assert_allclose(found["y"], FEED["x"] + 2.0)
    np.testing.assert_allclose(found["z"], FEED["x"] + 1.5)


def checked(**registered: Any) -> Any:
    bridge.register_op("my.layers", "Swoosh", build_swoosh, **registered)
    proto = model()
    whole = inlined(proto)
    return check_decompositions(whole, custom_calls(proto), lambda feeds, names: run(whole, feeds, names), [FEED])


@pytest.mark.provokes("custom-op-checked")
def test_a_decomposition_that_agrees_is_reported_with_the_figure() -> None:
    (found,) = checked(reference=swoosh)
    assert found.code == "custom-op-checked"
    assert found.message.startswith("The decomposition of my.layers Swoosh agrees with its reference at 1 node: ")


def test_nothing_is_said_without_a_reference() -> None:
    assert checked() == ()


def test_a_decomposition_that_disagrees_stops_with_the_figure() -> None:
    with pytest.raises(UnsupportedModelError, match=r"my\.layers Swoosh at 'act': \d+\.\d dB, largest difference"):
        checked(reference=lambda x, bias, gain: swoosh(x, bias, gain=1.6))


def test_a_reference_of_another_shape_disagrees() -> None:
    with pytest.raises(UnsupportedModelError, match=r"at 'act': -inf dB"):
        checked(reference=lambda x, bias, gain: swoosh(x, bias, gain=gain)[0])


def test_a_reference_that_fails_is_named() -> None:
    with pytest.raises(UsageError, match=r"reference of my\.layers Swoosh, node 'act' raised ZeroDivisionError"):
        checked(reference=lambda x, bias, gain: 1 // 0)


def test_a_reference_with_too_few_outputs_is_named() -> None:
    with pytest.raises(UsageError, match=r"must return 1 arrays\. Received: 0"):
        checked(reference=lambda x, bias, gain: ())


@pytest.mark.parametrize(
    ("decomposition", "message"),
    [
        (lambda build, x: x, r"does not take what the node has: .*Received: 2 inputs, attributes \['gain'\]"),
        (lambda build, x, bias, gain: 7, r"must return 1 tensors of its builder. Received: 7"),
        (lambda build, x, bias, gain: [][1], "fails: IndexError"),
        (lambda build, x, bias, gain: build.op("Wobble", x), "uses Wobble, which ONNX does not have"),
    ],
)
def test_a_decomposition_that_cannot_work_is_named(decomposition: Any, message: str) -> None:
    bridge.register_op("my.layers", "Swoosh", decomposition)
    with pytest.raises(UsageError, match=message):
        with_decompositions(model(SWOOSH))
