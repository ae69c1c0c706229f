"""Every input gets a static shape, from the user or by guessing, and nothing is guessed in silence."""

import numpy as np
import pytest
from onnx_text import Normalize

from bridge.errors import InputError

OPEN = '(float["N", 3, "H", "W"] x) => (float["N", 3, "H", "W"] y) { y = Relu(x) }'


@pytest.mark.provokes("free-dimension")
def test_unknown_sizes_become_one_and_it_is_said(normalized: Normalize) -> None:
    result = normalized(OPEN)
    assert [(spec.name, spec.shape) for spec in result.graph.inputs] == [("x", (1, 3, 1, 1))]
    (found,) = result.graph.diagnostics
    assert (found.code, found.severity) == ("free-dimension", "warning")
    assert "'x' is [N, 3, H, W]" in found.message
    assert "[1, 3, 1, 1]" in found.message


def test_a_free_batch_alone_is_no_warning(normalized: Normalize) -> None:
    result = normalized('(float["N", 3] x) => (float["N", 3] y) { y = Relu(x) }')
    assert [found.severity for found in result.graph.diagnostics] == ["info"]


def test_given_sizes_are_taken(normalized: Normalize) -> None:
    result = normalized(OPEN, input_shapes={"x": (2, 3, 4, 5)})
    assert result.graph.inputs[0].shape == (2, 3, 4, 5)
    assert result.graph.outputs[0].shape == (2, 3, 4, 5)
    assert result.graph.diagnostics == ()
    assert result.worst_sqnr_db() == float("inf")


def test_sizes_of_zero_in_the_file_count_as_unknown(normalized: Normalize) -> None:
    assert normalized("(float[0, 3] x) => (float[0, 3] y) { y = Relu(x) }").graph.inputs[0].shape == (1, 3)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"z": (1,)}, r"no input 'z'"),
        ({"x": (1, 3, 4)}, r"Input 'x' has shape \[N, 3, H, W\] in the model, which \[1, 3, 4\] does not fit"),
        ({"x": (1, 4, 4, 4)}, r"Input 'x' has shape .* which \[1, 4, 4, 4\] does not fit"),
        ({"x": (1, 3, 0, 4)}, r"Input 'x': every size must be at least 1\. Received: \[1, 3, 0, 4\]"),
    ],
)
def test_shapes_that_do_not_fit_name_the_input(normalized: Normalize, shapes: dict[str, tuple[int, ...]], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        normalized(OPEN, input_shapes=shapes)
    assert caught.value.exit_code == 2


def test_an_input_without_a_rank_asks_for_a_shape(normalized: Normalize) -> None:
    text = "(float x) => (float y) { y = Relu(x) }"
    model = normalized(text).source
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(InputError, match="'x' has no shape in the model"):
        normalized(model)
    assert normalized(model, input_shapes={"x": (4,)}).graph.outputs[0].shape == (4,)


def test_shapes_recorded_for_other_input_sizes_are_forgotten(normalized: Normalize) -> None:
    model = normalized('(float["N", 8] x) => (float["N", 8] y) { t = Relu(x) y = Neg(t) }').source
    recorded = model.graph.value_info.add(name="t")
    recorded.CopyFrom(model.graph.output[0])
    recorded.name = "t"
    recorded.type.tensor_type.shape.dim[0].dim_value = 7
    result = normalized(model, input_shapes={"x": (2, 8)})
    assert [spec.shape for node in result.graph.nodes for spec in node.outputs] == [(2, 8), (2, 8)]


def test_an_initializer_listed_as_input_is_a_constant(normalized: Normalize) -> None:
    """ONNX IR version 3 wants every initializer among the inputs."""
    result = normalized("(float[1, 2] x, float[2] w) => (float[1, 2] y) { y = Add(x, w) }", constants={"w": np.ones(2, np.float32)})
    assert [spec.name for spec in result.graph.inputs] == ["x"]
    assert result.graph.nodes[0].constant_inputs == (1,)
