import onnx_ir as ir
import pytest

from bridge.convert.layout import channels_last_inputs


def model(body: str, inputs: str = "float[1,3,8,8] x") -> ir.Model:
    return ir.from_onnx_text(f"<ir_version: 8, opset_import: ['' : 17]> g ({inputs}, float[4,3,3,3] w) => (y) {{ {body} }}".replace("'", '"'))


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("y = Conv(x, w)", ("x",)),
        ("a = Relu(x) y = Conv(a, w)", ("x",)),
        ("a = Transpose<perm = [0, 3, 1, 2]>(x) y = Conv(a, w)", ()),
        ("a = Conv(x, w) y = Flatten(x)", ()),
        ("y = Relu(x)", ()),
        ("y = MatMul(x, w)", ()),
    ],
)
def test_auto_moves_only_images_that_reach_a_convolution(body: str, found: tuple[str, ...]) -> None:
    assert channels_last_inputs(model(body), "auto") == found


def test_keep_moves_nothing_and_nhwc_moves_every_input_of_rank_4() -> None:
    pair = model("y = Conv(x, w)", "float[1,3,8,8] x, float[1,5] z")
    assert channels_last_inputs(pair, "keep") == ()
    assert channels_last_inputs(pair, "nhwc") == ("x", "w")


def test_a_sequence_that_reaches_a_convolution_is_moved_too() -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[1,3,8] x, float[4,3,3] w) => (y) { y = Conv(x, w) }'
    assert channels_last_inputs(ir.from_onnx_text(text), "auto") == ("x",)
