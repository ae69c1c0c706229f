"""Instance, group and batch norms carry their names."""

import numpy as np
import pytest
from recognition import Recognise

generator = np.random.default_rng(8)
C = {
    "s2": np.ones(2),
    "b2": np.zeros(2),
    "s4": generator.normal(size=4),
    "b4": generator.normal(size=4),
    "c4": generator.normal(size=(4, 1, 1)),
    "d4": generator.normal(size=(4, 1, 1)),
    "rows": generator.normal(size=(5, 1)),
    "groups": np.array([0, 2, -1]),
    "whole": np.array([1, 4, 5, 6]),
    "flat": np.array([1, 120]),
    "v4": np.array([0.5, 1.0, 2.0, 3.0]),
}
X = "float[1,4,5,6] x"
GROUPED = "f = Reshape(x, groups) i = InstanceNormalization(f, s2, b2) h = Reshape(i, whole)"


def test_an_instance_norm_is_marked(recognised: Recognise) -> None:
    assert recognised("y = InstanceNormalization(x, s4, b4)", C, inputs=X).marks == {"y": "instance_norm"}


def test_a_group_norm_as_torch_writes_it_is_marked_with_its_affine(recognised: Recognise) -> None:
    outcome = recognised(f"{GROUPED} t = Mul(h, c4) y = Add(t, d4)", C, inputs=X)
    assert outcome.marks == dict.fromkeys("fihty", "group_norm")


def test_a_group_norm_without_affine_ends_at_its_reshape(recognised: Recognise) -> None:
    outcome = recognised(f"{GROUPED} y = Relu(h)", C, inputs=X)
    assert outcome.marks == {"f": "group_norm", "i": "group_norm", "h": "group_norm", "y": None}


def test_an_instance_norm_that_is_reshaped_to_something_else_is_no_group_norm(recognised: Recognise) -> None:
    outcome = recognised("f = Reshape(x, groups) i = InstanceNormalization(f, s2, b2) y = Reshape(i, flat)", C, inputs=X, outputs="float[1,120] y")
    assert outcome.marks == {"f": None, "i": "instance_norm", "y": None}


def test_the_group_norm_operator_is_marked(recognised: Recognise) -> None:
    outcome = recognised("y = GroupNormalization<num_groups=2>(x, s4, b4)", C, inputs=X, opset=21)
    assert outcome.marks == {"y": "group_norm"}


def test_a_batch_norm_is_marked(recognised: Recognise) -> None:
    assert recognised("y = BatchNormalization(x, s4, b4, b4, v4)", C, inputs=X).marks == {"y": "batch_norm"}


@pytest.mark.parametrize("body", ["t = Mul(x, c4) y = Add(t, d4)", "t = Mul(c4, x) y = Sub(t, d4)"])
def test_a_batch_norm_written_as_scale_and_offset_is_marked(recognised: Recognise, body: str) -> None:
    assert recognised(body, C, inputs=X).marks == {"t": "batch_norm", "y": "batch_norm"}


@pytest.mark.parametrize(
    "body",
    ["t = Mul(x, c4) y = Add(t, rows)", "t = Mul(x, c4) r = Relu(t) y = Add(r, d4)", "t = Mul(x, c4) u = Add(t, d4) y = Add(u, t)", "y = Mul(x, c4)"],
    ids=["another axis", "something between", "another reader", "no offset"],
)
def test_other_scales_are_left_alone(recognised: Recognise, body: str) -> None:
    assert set(recognised(body, C, inputs=X).marks.values()) == {None}
