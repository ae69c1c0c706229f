"""What no output depends on goes, whatever kind of thing it is: the pass of onnx_ir is left out only where it would find nothing."""

import onnx
import onnx_ir as ir
import onnx_ir.passes.common as common
import pytest

from bridge.graph.identities import remove_unused

HEAD = '<ir_version: 9, opset_import: ["" : 17]> g (float[2] x) => (float[2] y) '
BODIES = {
    "nothing": "{ y = Relu(x) }",
    "node": "{ dead = Exp(x) y = Relu(x) }",
    "constant": "<float[2] dead = {1, 2}> { y = Relu(x) }",
    "input left out": '{ y = Clip(x, "") }',
    "output of two": "{ y, dead = Dropout(x) }",
    "node in a branch": "{ c = Constant<value = bool {1}>() y = If(c)<then_branch = t () => (float[2] a) { dead = Exp(x) a = Relu(x) }, "
    "else_branch = e () => (float[2] b) { b = Neg(x) }> }",
    "mode of training": "<float[2] s = {1, 1}, float[2] o = {0, 0}> { z = Unsqueeze(x, k) w = BatchNormalization<training_mode = 0>(z, s, o, o, s) "
    "y = Squeeze(w, k) k = Constant<value = int64[1] {0}>() }",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_leaves_what_the_pass_leaves(body: str) -> None:
    ours, theirs = (ir.from_proto(onnx.parser.parse_model(HEAD + body)) for _ in range(2))
    remove_unused(ours)
    common.RemoveUnusedNodesPass()(theirs)
    assert ir.to_proto(ours) == ir.to_proto(theirs)
