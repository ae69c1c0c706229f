"""Loops whose rounds are known are written out, others refused."""

import numpy as np
import pytest
from onnx_text import Normalize

from bridge.errors import UnsupportedModelError

BODY = """g1 (int64 i, bool c, float[2] s) => (bool go, float[2] t, float[2] seen) {{
    [step] t = Add(s, w) [square] seen = Mul(t, t) {condition}
}}"""


def loop(condition: str, *, limit: str = "m", start: str = "yes", inputs: str = "") -> str:
    body = BODY.format(condition=condition)
    return f'(float[2] x{inputs}) => (float[2] y, float["N", 2] z) {{ [loop] y, z = Loop({limit}, {start}, x) <body = {body}> }}'


CONSTANTS = {
    "m": np.array(4),
    "yes": np.array(True),
    "no": np.array(False),
    "w": np.array([0.5, -1], np.float32),
    "last": np.array(2),
    "one": np.array(1),
}


@pytest.mark.parametrize(
    ("condition", "rounds"),
    [
        ("go = Identity(c)", 4),
        ("go = Less(i, last)", 3),
        ("n = Add(i, one) go = Less(n, last)", 2),
        ("a = Less(i, last) go = And(a, c)", 3),
    ],
)
def test_rounds_are_written_out(normalized: Normalize, condition: str, rounds: int) -> None:
    result = normalized(loop(condition), constants=CONSTANTS)
    assert "Loop" not in result.ops
    assert result.ops.count("Mul") == rounds
    assert [spec.shape for spec in result.graph.outputs] == [(2,), (rounds, 2)]
    assert [(node.name, node.op_type) for node in result.graph.nodes if node.name.startswith("loop/")] == [
        ("loop/step", "Add"),
        ("loop/square", "Mul"),
    ]
    assert result.worst_sqnr_db() == float("inf")


def test_a_condition_alone_ends_the_loop(normalized: Normalize) -> None:
    result = normalized(loop("go = Less(i, last)", limit=""), constants=CONSTANTS)
    assert result.ops.count("Mul") == 3
    assert result.worst_sqnr_db() == float("inf")


@pytest.mark.parametrize(
    ("text", "constants"),
    [
        (loop("go = Identity(c)", limit="k", inputs=", int64 k"), CONSTANTS),  # as many rounds as the user says
        (
            loop("total = ReduceSum<keepdims = 0>(t) go = Greater(total, zero)"),
            CONSTANTS | {"zero": np.array(0, np.float32)},
        ),  # until the data says so
        (loop("go = Identity(c)", limit=""), CONSTANTS),  # for ever
        (loop("go = Identity(c)"), CONSTANTS | {"m": np.array(1000)}),  # too long to write out
    ],
)
def test_other_loops_are_refused(normalized: Normalize, text: str, constants: dict[str, np.ndarray]) -> None:
    with pytest.raises(UnsupportedModelError, match=r"control flow \(Loop\) at 'loop'"):
        normalized(text, constants=constants)


def test_a_loop_may_read_what_lies_around_it_and_carry_an_input_unchanged(normalized: Normalize) -> None:
    text = """(float[2] x) => (float[2] y, float[2] same) {
        outer = Neg(x)
        y, same = Loop(m, yes, x, x) <body = g1 (int64 i, bool c, float[2] s, float[2] k) => (bool go, float[2] t, float[2] k) {
            t = Add(s, outer) go = Identity(c)
        }>
    }"""
    result = normalized(text, constants=CONSTANTS)
    assert result.ops.count("Add") >= 4
    assert result.worst_sqnr_db() == float("inf")
