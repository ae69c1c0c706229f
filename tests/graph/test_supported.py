"""What cannot become TFLite is refused with every cause in one message."""

import onnx.parser
import pytest
from onnx_text import Normalize

from bridge.errors import UnsupportedModelError

CUSTOM = """
<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
g (float[2] x) => (float[2] y) {
    [decode] a = com.example.DecodeImage(x)
    [wobble] b = Wobble(a)
    [encode] c = com.example.EncodeImage(b)
    [decode_again] y = com.example.DecodeImage(c)
}
"""


@pytest.mark.provokes("unknown-operator")
def test_every_unknown_operator_is_named_with_domain_and_node(normalized: Normalize) -> None:
    with pytest.raises(UnsupportedModelError) as caught:
        normalized(onnx.parser.parse_model(CUSTOM))
    assert caught.value.exit_code == 3
    message = caught.value.message
    assert "operator DecodeImage of domain com.example at 'decode', 'decode_again'" in message
    assert "operator EncodeImage of domain com.example at 'encode'" in message
    assert "operator Wobble, which ONNX opset" in message
    assert "'wobble'" in message
    assert caught.value.hint


@pytest.mark.provokes("foreign-domain")
def test_a_long_list_of_nodes_is_cut(normalized: Normalize) -> None:
    nodes = " ".join(f"[n{i}] t{i + 1} = com.example.Odd(t{i})" for i in range(8))
    text = f'<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]> g (float[2] t0) => (float[2] t8) {{ {nodes} }}'
    with pytest.raises(UnsupportedModelError, match=r"'n4' and 3 more"):
        normalized(onnx.parser.parse_model(text))


def test_a_custom_operator_that_nothing_needs_does_no_harm(normalized: Normalize) -> None:
    text = """
<ir_version: 8, opset_import: ["" : 17, "com.example" : 1]>
g (float[2] x) => (float[2] y) { t = com.example.Log(x) y = Relu(x) }
"""
    assert normalized(onnx.parser.parse_model(text)).ops == ["Relu"]


@pytest.mark.provokes("control-flow")
def test_control_flow_that_depends_on_data_is_refused(normalized: Normalize) -> None:
    text = """(bool c, float[2] x) => (float[2] y) {
        [choice] y = If(c) <then_branch = a () => (float[2] p) { p = Neg(x) }, else_branch = b () => (float[2] q) { q = Abs(x) }>
    }"""
    with pytest.raises(UnsupportedModelError, match=r"control flow \(If\) at 'choice'"):
        normalized(text)


@pytest.mark.provokes("sequence")
def test_sequences_that_stay_are_refused(normalized: Normalize) -> None:
    text = "(float[2] x, int64 i) => (float[2] y) { s = SequenceConstruct(x, x) [pick] y = SequenceAt(s, i) }"
    with pytest.raises(UnsupportedModelError, match=r"sequence or optional values \(SequenceConstruct\)"):
        normalized(text)


@pytest.mark.provokes("too-large")
def test_a_tensor_that_no_flatbuffer_holds_is_refused(normalized: Normalize) -> None:
    text = '(float["N", 4096] x) => (float["N", 4096] y) { [big] y = Relu(x) }'
    with pytest.raises(UnsupportedModelError, match=r"a tensor of more than 2 GB \(Relu\) at 'big'"):
        normalized(text, input_shapes={"x": (131072, 4096)})
    assert normalized(text, input_shapes={"x": (131071, 4096)}).ops == ["Relu"]
