"""Functions that a file brings along; onnxruntime, which inlines them itself, is the judge."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx_text import Normalize

from bridge.errors import UnsupportedModelError

HEAD = '<ir_version: 10, opset_import: ["" : 17, "mine" : 1, "com.microsoft" : 1]>'
LEAKY = '<domain: "mine", opset_import: ["" : 17]> Inner <slope> (a) => (b) { [l] b = LeakyRelu<alpha: float = @slope>(a) }'

CASES = {
    "nested, with an attribute handed on": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] y = mine.Outer<alpha = 0.25>(x) } '
        '<domain: "mine", opset_import: ["" : 17, "mine" : 1]> Outer <alpha> (a) => (b) { [i] b = mine.Inner<slope: float = @alpha>(a) } ' + LEAKY
    ),
    "default of an attribute": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] y = mine.F(x) } '
        '<domain: "mine", opset_import: ["" : 17]> F <alpha: float = 0.4> (a) => (b) { b = LeakyRelu<alpha: float = @alpha>(a) }'
    ),
    "optional input left out": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] y = mine.F(x, , x) } '
        '<domain: "mine", opset_import: ["" : 17]> F (a, low, high) => (b) { t = Clip(a, low) b = Max(t, high) }'
    ),
    "names that clash with those of the model": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] t = mine.F(x) [again] u = mine.F(t) y = Add(t, u) } '
        '<domain: "mine", opset_import: ["" : 17]> F (x) => (y) { t = Relu(x) u = Neg(t) y = Sub(u, x) }'
    ),
    "branches inside": (
        'g (float[2, 3] x) => (float[2, 3] y) <bool c = {1}> { [call] y = mine.F(x, c) } <domain: "mine", opset_import: ["" : 17]> '
        "F (x, c) => (y) { y = If(c) <then_branch = a () => (p) { p = Neg(x) }, else_branch = b () => (q) { q = Abs(x) }> }"
    ),
    "called in a branch": (
        "g (float[2, 3] x) => (float[2, 3] y) <bool c = {1}> "
        "{ [if] y = If(c) <then_branch = a () => (float[2, 3] p) { [call] p = mine.F(x) }, else_branch = b () => (float[2, 3] q) { q = Abs(x) }> } "
        '<domain: "mine", opset_import: ["" : 17]> F (x) => (y) { y = Neg(x) }'
    ),
    "an older opset in which its operators are the same": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] y = mine.F(x) } <domain: "mine", opset_import: ["" : 15]> F (x) => (y) { y = Neg(x) }'
    ),
    "an operator of onnxruntime inside": (
        'g (float[2, 3] x) => (float[2, 3] y) { [call] y = mine.F(x) } '
        '<domain: "mine", opset_import: ["" : 17, "com.microsoft" : 1]> F (x) => (y) { y = com.microsoft.QuickGelu(x) }'
    ),
}  # fmt: skip


@pytest.mark.parametrize("text", CASES.values(), ids=CASES.keys())
def test_a_function_computes_the_same_as_its_call(normalized: Normalize, text: str) -> None:
    result = normalized(onnx.parser.parse_model(HEAD + text))
    feeds = result.feeds()
    assert result.worst_sqnr_db(feeds) > 110
    names = [node.name for node in result.graph.source_nodes]
    assert len(set(names)) == len(names)
    inner = [node for node in result.graph.source_nodes if "call/" in node.name]
    assert inner
    assert {node.domain for node in inner} == {"mine"}  # a custom layer stays one for the rules


def test_what_an_exporter_spelled_as_a_function_is_no_custom_layer(normalized: Normalize) -> None:
    text = (
        '<ir_version: 10, opset_import: ["" : 17, "pkg.onnxscript.torch_lib" : 1]> '
        "g (float[2] x) => (float[2] y) { [call] y = pkg.onnxscript.torch_lib.aten_neg(x) } "
        '<domain: "pkg.onnxscript.torch_lib", opset_import: ["" : 17]> aten_neg (x) => (y) { [n] y = Neg(x) }'
    )
    assert [(node.name, node.domain) for node in normalized(onnx.parser.parse_model(text)).graph.nodes] == [("call/n", "")]


def test_a_fused_layer_norm_of_a_custom_layer_keeps_the_domain(normalized: Normalize) -> None:
    body = "m = ReduceMean<axes = [-1]>(x) d = Sub(x, m) s = Mul(d, d) v = ReduceMean<axes = [-1]>(s) e = Constant<value_float = 0.00001>() w = Add(v, e) r = Sqrt(w) y = Div(d, r)"
    text = (
        HEAD
        + f'g (float[2, 8] x) => (float[2, 8] y) {{ [norm] y = mine.Norm(x) }} <domain: "mine", opset_import: ["" : 17]> Norm (x) => (y) {{ {body} }}'
    )
    result = normalized(onnx.parser.parse_model(text))
    assert [(node.op_type, node.domain) for node in result.graph.nodes] == [("LayerNormalization", "mine")]
    assert result.worst_sqnr_db({"x": np.random.default_rng(0).standard_normal((2, 8)).astype(np.float32)}) > 100


def test_functions_that_call_themselves_are_refused(normalized: Normalize) -> None:
    text = HEAD + (
        'g (float[2] x) => (float[2] y) { y = mine.A(x) } <domain: "mine", opset_import: ["" : 17, "mine" : 1]> A (x) => (y) { t = Neg(x) y = mine.B(t) } '
        '<domain: "mine", opset_import: ["" : 17, "mine" : 1]> B (x) => (y) { y = mine.A(x) }'
    )
    with pytest.raises(UnsupportedModelError, match=r"Functions of the file call themselves: mine A, mine B\."):
        normalized(onnx.parser.parse_model(text))


def test_a_function_of_another_opset_is_refused_where_its_operators_differ(normalized: Normalize) -> None:
    text = HEAD.replace('"" : 17', '"" : 18') + (
        'g (float[2, 3] x) => (float[2] y) { y = mine.F(x) } <domain: "mine", opset_import: ["" : 13]> F (x) => (y) { y = ReduceMean<axes = [1], keepdims = 0>(x) }'
    )
    with pytest.raises(
        UnsupportedModelError, match="mine F is written for opset 13, the model for 18, and these operators differ between them: ReduceMean"
    ):
        normalized(onnx.parser.parse_model(text))
