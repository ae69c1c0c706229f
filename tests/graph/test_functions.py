"""Operators replaced by their own ONNX definition."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx_text import Normalize

from bridge.errors import UnsupportedModelError

RANDOM = np.random.default_rng(7)


def floats(*shape: int) -> np.ndarray:
    return RANDOM.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize(
    ("text", "opset", "constants", "gone"),
    [
        ("(float[1, 4, 5] x) => (float[1, 4, 5] y) { [n] y = RMSNormalization(x, g) }", 23, {"g": floats(5)}, "RMSNormalization"),
        ("(float[1, 3, 4, 5] x) => (float[1, 3, 4, 5] y) { [n] y = MeanVarianceNormalization(x) }", 17, {}, "MeanVarianceNormalization"),
        ("(float[2, 4, 5] x) => (float[2, 4, 5] y) { [n] y = Swish(x) }", 24, {}, "Swish"),
        ("(float[2, 4, 5] x) => (float[2, 4, 5] y) { [n] y = Swish<alpha = 0.5>(x) }", 24, {}, "Swish"),
        ("(float[1, 2, 6, 8] q, float[1, 2, 6, 8] k, float[1, 2, 6, 8] v) => (float[1, 2, 6, 8] y) { [n] y = Attention<is_causal = 1>(q, k, v) }", 23, {}, "Attention"),
        (
            "(float[1, 6, 16] q, float[1, 6, 16] k, float[1, 6, 16] v) => (float[1, 6, 16] y) { [n] y = Attention<q_num_heads = 2, kv_num_heads = 2>(q, k, v) }",
            23,
            {},
            "Attention",
        ),
        (
            "(float[1, 2, 6, 8] x) => (float[1, 2, 6, 8] y) { [n] y = RotaryEmbedding(x, c, s, p) }",
            23,
            {"c": floats(10, 4), "s": floats(10, 4), "p": np.arange(6)[None]},
            "RotaryEmbedding",
        ),
    ],
)  # fmt: skip
def test_an_operator_without_a_counterpart_is_spelled_out_under_its_name(
    normalized: Normalize, text: str, opset: int, constants: dict[str, np.ndarray], gone: str
) -> None:
    result = normalized(text, opset=opset, constants=constants)
    assert gone not in result.ops
    assert {origin for node in result.graph.nodes for origin in node.origins} == {"n"}
    assert result.origin("n").status == "kept"
    assert result.node("n").op_type == gone  # rules still see it
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize(("opset", "channels"), [(18, 2), (21, 4)])
def test_group_normalization_keeps_its_meaning_in_both_versions(normalized: Normalize, opset: int, channels: int) -> None:
    """Opset 18 scales groups, opset 21 channels; onnx infers no shape for either."""
    text = "(float[1, 4, 5, 5] x) => (float[1, 4, 5, 5] y) { [gn] t = GroupNormalization<num_groups = 2>(x, s, b) [r] y = Relu(t) }"
    result = normalized(text, opset=opset, constants={"s": floats(channels), "b": floats(channels)})
    assert result.origin("gn").status == "kept"
    assert result.graph.outputs[0].shape == (1, 4, 5, 5)
    assert result.worst_sqnr_db() > 110


def test_the_same_name_in_another_domain_is_left_to_the_check_of_operators(normalized: Normalize) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Swish", ["x"], ["y"], domain="com.example")], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)], ir_version=8)
    with pytest.raises(UnsupportedModelError, match=r"operator Swish of domain com\.example"):
        normalized(model)
