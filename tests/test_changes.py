import pytest

from bridge.changes import unclipped
from bridge.types import Change, OpOutcome, TensorMap

CLIP = Change("clip", "sum", "sum_out", "", "-6 .. 6", False, "tails", "f.toml", 9)
REAL = Change("clip", "last", "y", "", "-6 .. 6", True, "tails", "f.toml", 9)


@pytest.mark.provokes("clip-without-effect")
def test_a_clip_by_range_on_an_operator_that_stayed_float_is_reported() -> None:
    tensor_map = TensorMap((), (), (), owners=("sum", "last"), absorbed={})
    ops = (OpOutcome(0, "ADD", "float32", "no int8 kernel", 0), OpOutcome(1, "SUB", "float32", "", 1))
    (said,) = unclipped((CLIP, REAL), tensor_map, ops)
    assert (said.code, said.node) == ("clip-without-effect", "sum")
    assert "Rule 'tails' (f.toml:9) clips 'sum_out' to -6 .. 6, but its operator stayed float" in said.message
    assert unclipped((CLIP,), tensor_map, (OpOutcome(0, "ADD", "static_wi8_ai8", "", 0),)) == ()
