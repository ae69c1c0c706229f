"""Model outputs that are read inside the model too."""

import numpy as np
from onnx_text import Normalize


def test_an_output_that_is_read_on_gets_an_operator_of_its_own(normalized: Normalize) -> None:
    text = "(float[1, 3, 4, 4] x) => (float[1, 3, 4, 4] y, float[1, 3, 4, 4] z) { [c] y = Conv(x, w) z = Relu(y) }"
    result = normalized(text, constants={"w": np.random.default_rng(0).standard_normal((3, 3, 1, 1)).astype(np.float32)})
    assert result.ops == ["Conv", "Add", "Relu"]
    assert [node.name for node in result.graph.nodes] == ["c", "Relu_1"]
    assert [spec.name for spec in result.graph.outputs] == ["y", "z"]
    assert result.worst_sqnr_db() == float("inf")


def test_an_output_that_is_a_copy_of_an_output_is_computed(normalized: Normalize) -> None:
    result = normalized("(int64[4] x) => (int64[4] y, int64[4] z) { y = Neg(x) z = Identity(y) }")
    assert "Identity" not in result.ops
    assert [spec.dtype for spec in result.graph.outputs] == ["int64", "int64"]
    assert result.worst_sqnr_db() == float("inf")


def test_an_output_that_nothing_reads_stays_as_it_is(normalized: Normalize) -> None:
    assert normalized("(float[4] x) => (float[4] y, float[4] z) { y = Neg(x) z = Relu(x) }").ops == ["Neg", "Relu"]
