"""What can be computed before the model runs is, and every shape becomes known."""

from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_text import Normalize

from bridge.errors import UnsupportedModelError
from bridge.graph.folding import fold_constants
from bridge.graph.values import static_shape


def test_a_reshape_target_computed_from_the_input_shape_becomes_constant(normalized: Normalize) -> None:
    text = """(float["N", 3, 4] x) => (float["N", "M"] y) {
        s = Shape(x) zero = Constant<value_int = 0>() n = Gather(s, zero) ax = Constant<value_ints = [0]>()
        n1 = Unsqueeze(n, ax) rest = Constant<value_ints = [-1]>() target = Concat<axis = 0>(n1, rest) y = Reshape(x, target)
    }"""
    result = normalized(text)
    assert result.ops == ["Reshape"]
    assert result.graph.nodes[0].constant_inputs == (1,)
    assert result.graph.outputs[0].shape == (1, 12)
    assert {node.name: node.status for node in result.graph.source_nodes} == {
        "Shape_0": "folded",
        "Constant_1": "constant",
        "Gather_2": "folded",
        "Constant_3": "constant",
        "Unsqueeze_4": "folded",
        "Constant_5": "constant",
        "Concat_6": "folded",
        "Reshape_7": "kept",
    }
    assert result.worst_sqnr_db() == float("inf")


def test_a_node_read_only_for_its_shape_is_folded_away(normalized: Normalize) -> None:
    text = """(float[2, 3] x) => (float[6] y) {
        wide = Transpose<perm = [1, 0]>(x) s = Shape(wide) n = ReduceProd<keepdims = 1>(s) y = Reshape(x, n)
    }"""
    result = normalized(text)
    assert result.ops == ["Reshape"]
    gone = result.origin("Transpose_0")
    assert (gone.status, gone.into, gone.reason) == ("folded", None, "only constants depended on it")


def test_a_node_without_readers_is_dead(normalized: Normalize) -> None:
    result = normalized("(float[2] x) => (float[2] y) { t = Neg(x) y = Relu(x) }")
    gone = result.origin("Neg_0")
    assert (gone.status, gone.into, gone.reason) == ("dead", None, "no output depends on it")


@pytest.mark.parametrize("body", ["t = Identity(x)", "t = Dropout(x)", "t, m = Dropout(x)", "t = Cast<to = 1>(x)"])
def test_a_node_that_passes_on_stands_with_the_one_that_computes(normalized: Normalize, body: str) -> None:
    result = normalized(f"(float[2] a) => (float[2] y) {{ x = Relu(a) {body} y = Neg(t) }}")
    assert result.ops == ["Relu", "Neg"]
    gone = result.graph.source_nodes[1]
    assert (gone.status, gone.into) == ("fused", "Relu_0")
    assert result.node("Relu_0").origins == ("Relu_0", gone.name)
    assert set(result.graph.tensor_names.values()) == {"a", "x", "y"}
    assert result.worst_sqnr_db() == float("inf")


def test_a_node_that_passes_an_input_on_is_folded(normalized: Normalize) -> None:
    result = normalized("(float[2] x) => (float[2] y) { t = Identity(x) y = Neg(t) }")
    assert result.origin("Identity_0").status == "folded"
    assert "passed" in result.origin("Identity_0").reason


def test_outputs_that_are_copies_keep_their_names(normalized: Normalize) -> None:
    result = normalized("(float[2] x) => (float[2] y, float[2] z, float[2] w) { y = Relu(x) z = Identity(y) w = Identity(x) }")
    assert [spec.name for spec in result.graph.outputs] == ["y", "z", "w"]
    assert result.worst_sqnr_db() == float("inf")


def test_weights_are_folded_however_large(normalized: Normalize) -> None:
    weight = np.random.default_rng(0).standard_normal((700, 700)).astype(np.float16)
    result = normalized(
        "(float[1, 700] x) => (float[1, 700] y) { w32 = Cast<to = 1>(w) wt = Transpose(w32) y = Gemm(x, wt) }", constants={"w": weight}
    )
    assert result.ops == ["Gemm"]
    assert result.worst_sqnr_db() > 120  # the order of float32 additions


def test_a_large_expansion_of_a_small_constant_stays_in_the_graph(normalized: Normalize) -> None:
    text = "(float[1, 1000, 1000] x) => (float[1, 1000, 1000] y) { big = Expand(one, s) y = Add(x, big) }"
    constants = {"one": np.array([[[1.5]]], np.float32), "s": np.array([1, 1000, 1000])}
    assert normalized(text, constants=constants).ops == ["Expand", "Add"]
    small = text.replace("1000", "100")
    assert normalized(small, constants=constants | {"s": np.array([1, 100, 100])}).ops == ["Add"]


def test_a_constant_output_stays_an_output(normalized: Normalize) -> None:
    result = normalized("(float[1, 4] x) => (float[1, 4] y, int64[2] z) { y = Relu(x) z = Shape(x) }")
    assert [spec.name for spec in result.graph.outputs] == ["y", "z"]
    assert result.worst_sqnr_db() == float("inf")


def test_a_shape_that_depends_on_data_is_refused_at_its_origin(normalized: Normalize) -> None:
    text = '(float[4] x) => (float["M"] y) { i = NonZero(x) t = Squeeze(i, ax) g = Gather(x, t) y = Relu(g) }'
    with pytest.raises(UnsupportedModelError, match=r"shape that is not known before the model runs \(NonZero\) at 'NonZero_0'") as caught:
        normalized(text, constants={"ax": np.array([0])})
    assert "Gather" not in caught.value.message


def test_a_split_of_a_constant_is_folded(normalized: Normalize) -> None:
    """Keras cuts the bias of a GRU like this."""
    text = "(float[1, 3] x) => (float[1, 3] y) { p, q = Split<axis = 0>(bias) a = Add(x, p) y = Add(a, q) }"
    result = normalized(text, constants={"bias": np.arange(6, dtype=np.float32).reshape(2, 3)})
    assert result.ops == ["Add", "Add"]
    assert result.origin("Split_0").status == "folded"
    assert result.worst_sqnr_db() == float("inf")


def test_shapes_that_are_split_one_behind_the_other_all_become_known(normalized: Normalize) -> None:
    text = """(float[4, 6] x) => (float[4, 6] y) {
        s = Shape(x) h, w = Split<num_outputs = 2>(s) t = Concat<axis = 0>(w, h) a = Reshape(x, t)
        s2 = Shape(a) h2, w2 = Split<num_outputs = 2>(s2) t2 = Concat<axis = 0>(w2, h2) y = Reshape(a, t2)
    }"""
    result = normalized(text, opset=18)
    assert result.graph.outputs[0].shape == (4, 6)
    assert set(result.ops) <= {"Add", "Identity", "Reshape"}


def test_folding_again_infers_shapes_only_of_what_is_new(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ir.from_onnx_text("""<ir_version: 9, opset_import: ["": 20]> g (float[1, 4] x) => (float[1, 4] z) { y = Relu(x) z = Neg(y) }""")
    inferred: list[str] = []
    infer = onnx.shape_inference.infer_node_outputs

    def counted(schema: onnx.defs.OpSchema, *rest: Any) -> Any:
        inferred.append(schema.name)
        return infer(schema, *rest)

    monkeypatch.setattr(onnx.shape_inference, "infer_node_outputs", counted)
    fold_constants(model)
    fold_constants(model)
    assert inferred == ["Relu", "Neg"]
    first = model.graph.node(0)
    first.outputs[0].shape = None
    fold_constants(model)
    assert inferred == ["Relu", "Neg", "Relu"]
    assert static_shape(first.outputs[0]) == (1, 4)


def test_shapes_of_nodes_that_differ_in_names_alone_are_inferred_once(monkeypatch: pytest.MonkeyPatch) -> None:
    same = [f"{after} = AveragePool<kernel_shape = [2, 2], pads = [0, 0, 1, 1]>({before})" for before, after in ("xa", "ab")]
    body = " ".join([*same, "y = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(b)"])
    model = ir.from_proto(
        onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]> g (float[1, 3, 8, 8] x) => (float[a, b, c, d] y) {{ {body} }}')
    )
    asked = []
    infer = onnx.shape_inference.infer_node_outputs

    def counted(*arguments: Any) -> Any:
        asked.append(arguments[1].output[0])
        return infer(*arguments)

    monkeypatch.setattr(onnx.shape_inference, "infer_node_outputs", counted)
    fold_constants(model)
    assert asked == ["a", "y"]
    assert [static_shape(node.outputs[0]) for node in model.graph] == [(1, 3, 8, 8), (1, 3, 8, 8), (1, 3, 4, 4)]
