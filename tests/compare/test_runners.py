import numpy as np
import onnx
import pytest
from onnx import parser

from bridge.compare import OnnxRunner, runners
from bridge.errors import InputError, UnsupportedModelError
from bridge.types import TensorSpec

X = np.array([[1.0, -2.0, 3.0]], np.float32)


def model(body: str, opset: str = '"": 17', signature: str = "(float[N, 3] x) => (float[N, 3] y)") -> onnx.ModelProto:
    return parser.parse_model(f"<ir_version: 8, opset_import: [{opset}]> g {signature} {{ {body} }}")


def test_every_tensor_that_a_node_writes_is_shown() -> None:
    runner = OnnxRunner(model("a = Relu(x) b = Neg(a) y = Add(a, b)"))
    shown = runner.run({"x": X})
    assert list(shown) == ["y", "a", "b"]
    np.testing.assert_array_equal(shown["a"], np.maximum(X, 0))
    np.testing.assert_array_equal(shown["b"], -np.maximum(X, 0))
    assert list(runner.run({"x": X}, ["b"])) == ["b"]


def test_the_model_is_left_as_it_is() -> None:
    proto = model("a = Relu(x) y = Neg(a)")
    before = proto.SerializeToString()
    OnnxRunner(proto)
    assert proto.SerializeToString() == before


def test_what_is_no_tensor_is_not_shown() -> None:
    runner = OnnxRunner(model("s = SequenceConstruct(x, x) i = Constant<value_int = 1>() y = SequenceAt(s, i)"))
    assert "s" not in runner.tensors
    np.testing.assert_array_equal(runner.run({"x": X})["y"], X)


def test_inputs_keep_their_open_sizes_and_any_size_runs() -> None:
    runner = OnnxRunner(model("y = Relu(x)"))
    assert runner.inputs == (TensorSpec("x", ("N", 3), "float32"),)
    assert runner.outputs == ("y",)
    assert runner.run({"x": np.repeat(X, 5, axis=0)})["y"].shape == (5, 3)


def test_outputs_only_computes_the_same_outputs() -> None:
    runner = OnnxRunner(model("a = Relu(x) b = Sigmoid(a) y = Mul(a, b)"))
    fast = runner.outputs_only(threads=1)
    assert fast.tensors == ("y",)
    assert runner.showing({"b", "gone"}, threads=1).run({"x": X}).keys() == {"b", "y"}
    np.testing.assert_allclose(fast.run({"x": X})["y"], runner.run({"x": X})["y"], rtol=1e-6)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"x": X[:, :2]}, "invalid dimensions for input: x"),
        ({}, "Required inputs"),
    ],
)
def test_feeds_that_do_not_fit_are_the_users_fault(feeds: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(InputError, match=f"onnxruntime cannot run the model: .*{message}"):
        OnnxRunner(model("y = Relu(x)")).run(feeds)


def test_an_operator_that_does_not_exist_is_unsupported() -> None:
    with pytest.raises(UnsupportedModelError, match="not a registered function/op"):
        OnnxRunner(model("y = mine.Magic(x)", '"": 17, "mine": 1'))


def test_a_graph_that_reads_what_nobody_writes_is_malformed() -> None:
    with pytest.raises(InputError, match="Node input 'z' is not a graph input"):
        OnnxRunner(model("y = Relu(z)"))


def test_weights_beyond_what_one_message_holds_go_through_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runners, "MAX_PROTO_BYTES", 8)
    proto = model("a = Add(x, w) y = Neg(a)")
    proto.graph.initializer.append(onnx.numpy_helper.from_array(np.full((1, 3), 2.0, np.float32), "w"))
    runner = OnnxRunner(proto)
    np.testing.assert_array_equal(runner.run({"x": X})["a"], X + 2)
    assert not proto.graph.initializer[0].external_data
