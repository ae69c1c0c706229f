"""Contrib operators in company: forms that are refused with a reason, loops, whole models as onnxruntime's optimizer leaves them."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from contrib_model import AGREEMENT, Case, normalized, run_graph, worst
from onnx import numpy_helper
from onnx_text import Normalize, run

from bridge.errors import UnsupportedModelError
from bridge.graph import normalize
from bridge.types import SourceModel

MODELS = Path(__file__).parents[3] / "models"


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (Case("Attention", [(2, 6, 8), (8, 24), (24,)], {"num_heads": 2, "do_rotary": 1}, (1, 2)), "its rotary embedding"),
        (Case("Attention", [(2, 6, 8), (8, 24), (24,), np.ones((2, 1, 6, 6), np.int32)], {"num_heads": 2}), r"its mask of shape \[2, 1, 6, 6\]"),
        (Case("MultiHeadAttention", [(2, 6, 2, 3, 4)], {"num_heads": 2}), "its packed queries, keys and values"),
        (Case("GroupQueryAttention", [(1, 1, 16), (1, 1, 8), (1, 1, 8), (1, 2, 3, 4), (1, 2, 3, 4)], {"num_heads": 4, "kv_num_heads": 2}), "its past keys"),
        (Case("GroupQueryAttention", [(1, 6, 16), (1, 6, 8), (1, 6, 8)], {"num_heads": 4, "kv_num_heads": 2, "local_window_size": 3}), "its local window"),
        (Case("FusedGemm", [(3, 4), (4, 5)], {"activation": "Sine"}), "its activation Sine"),
        (Case("CDist", [(5, 3), (4, 3)], {"metric": "cosine"}), "its metric cosine"),
        (Case("ExpandDims", [(2, 3), np.array(1, np.int32)]), "its axis, which is no constant"),
        (Case("BiasSoftmax", [(2, 4, 3, 5), (2, 1, 1, 5)], {"axis": 2, "is_inner_broadcast": 1}), "its softmax over several axes at once"),
        (Case("MatMulNBits", [(2, 32), np.zeros((5, 2, 8), np.uint8), (5, 2)], {"N": 5, "K": 32, "bits": 4, "block_size": 16}), "its weights, which are no constants"),
        (Case("SkipLayerNormalization", [(2, 3, 8), (2, 3, 8), (8,)], {}, (2,), (1, 1)), "an output that only training needs is read"),
        (Case("RotaryEmbedding", [(1, 3, 16), np.array([[0, 1, 2]]), (10, 4), (10, 4)], {"scale": 2.0}), "its packed batches or its scale"),
    ],
    ids=str,
)  # fmt: skip
def test_a_form_that_is_not_covered_is_refused_with_the_reason(case: Case, reason: str) -> None:
    with pytest.raises(UnsupportedModelError, match=rf"operator {case.op_type} of domain com\.microsoft \({reason}.*\) at 'n'"):
        normalized(case)


def test_an_operator_without_a_row_is_refused_by_name() -> None:
    with pytest.raises(UnsupportedModelError, match=r"operator Tokenizer of domain com\.microsoft at 'n'"):
        normalized(Case("Tokenizer", [(2,)], {"mark": 0}))


def test_several_nodes_of_one_operator_show_as_that_operator() -> None:
    _, graph = normalized(Case("SkipLayerNormalization", [(2, 3, 8), (2, 3, 8), (8,), (8,)], {}, (2, 3)))
    assert [(node.name, node.op_type, "layer_norm" in node.patterns) for node in graph.nodes] == [("n", "SkipLayerNormalization", True)]


BERT = """
<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (int64["batch", 7] ids, int64["batch", 7] attention_mask) => (float["batch", 7, 8] y) {
    [cast_ids] words = Cast<to = 6>(ids)
    [cast_mask] mask = Cast<to = 6>(attention_mask)
    [segments] none = Sub(words, words)
    [embed] e, index = com.microsoft.EmbedLayerNormalization(words, none, word, place, segment, gamma, beta)
    [attention_0] a0 = com.microsoft.Attention<num_heads = 2>(e, qkv, qkv_bias, mask)
    [out_0] p0 = com.microsoft.FusedMatMul<transB = 1>(a0, w)
    [norm_0] n0 = com.microsoft.SkipLayerNormalization(p0, e, gamma, beta, gamma)
    [attention_1] a1 = com.microsoft.Attention<num_heads = 4>(n0, qkv, qkv_bias, mask)
    [norm_1] n1, m, v, sum = com.microsoft.SkipLayerNormalization(a1, n0, gamma, beta)
    [up] u = MatMul(n1, w)
    [gelu] h = com.microsoft.BiasGelu(u, beta)
    [norm_2] y = com.microsoft.SkipLayerNormalization(h, sum, gamma, beta)
}
"""


def test_layers_behind_one_another_get_their_shapes_in_rounds(normalized: Normalize) -> None:
    random = np.random.default_rng(2)
    sizes = {"word": (11, 8), "place": (9, 8), "segment": (2, 8), "gamma": (8,), "beta": (8,), "qkv": (8, 24), "qkv_bias": (24,), "w": (8, 8)}
    model = onnx.parser.parse_model(BERT)
    for name, size in sizes.items():
        model.graph.initializer.append(numpy_helper.from_array(random.standard_normal(size).astype(np.float32), name))
    result = normalized(model, input_shapes={"ids": (2, 7), "attention_mask": (2, 7)})
    feeds = {"ids": random.integers(0, 11, (2, 7)), "attention_mask": np.array([[1] * 7, [1] * 4 + [0] * 3])}
    assert result.worst_sqnr_db(feeds) > 100
    assert result.node("attention_0").op_type == "Attention"


def test_an_operator_in_a_loop_that_is_written_out_is_spelled_out_too(normalized: Normalize) -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]>
g (float[2, 3] x) => (float[2, 3] y) <int64 rounds = {2}, bool go = {1}> {
    [loop] y = Loop(rounds, go, x) <body = b (int64 i, bool c, float[2, 3] s) => (bool d, float[2, 3] t) {
        d = Identity(c)
        t = com.microsoft.QuickGelu(s)
    }>
}
"""
    result = normalized(onnx.parser.parse_model(text))
    assert result.ops.count("Sigmoid") == 2
    assert result.worst_sqnr_db() > 110


@pytest.mark.parametrize("name", sorted(path.parent.name for path in MODELS.glob("*/model.onnx")))
def test_a_model_that_onnxruntime_optimised_computes_the_same(name: str, tmp_path: Path) -> None:
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 4
    ort.InferenceSession(str(MODELS / name / "model.onnx"), options, providers=["CPUExecutionProvider"])
    model = onnx.load(tmp_path / "optimised.onnx")
    graph = normalize(SourceModel(proto=model, digest="d"), input_shapes={})
    with np.load(MODELS / name / "evaluation.npz") as data:
        feeds = {spec.name: data[spec.name][0].reshape([int(size) for size in spec.shape]) for spec in graph.inputs}
    expected = run(model, feeds, [])
    assert worst([expected[spec.name] for spec in graph.outputs], run_graph(graph, feeds)) < 10 * AGREEMENT
