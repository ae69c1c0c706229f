from collections.abc import Callable

import pytest

from bridge.errors import RuleError
from bridge.rules import RuleFile, apply, check, explain, render
from bridge.types import NodeFacts, RangeChoice, TensorSpec

Node = Callable[..., NodeFacts]
Make = Callable[..., RuleFile]
INT8 = "static_wi8_ai8"
IMAGE = '{ kind = "tensor", glob = "image" }'
BYTES = RangeChoice(fixed=(0.0, 255.0))


def ids(node: NodeFacts, dtype: str) -> NodeFacts:
    """The node with inputs of another dtype."""
    return NodeFacts(
        node.name, node.op_type, "", (), "", node.origins, tuple(TensorSpec(one.name, one.shape, dtype) for one in node.inputs), node.outputs
    )


def test_a_rule_that_names_a_model_input_decides_its_range_and_no_other(node: Node, rule_file: Make) -> None:
    nodes = [node("conv", "Conv", inputs=["image"], outputs=["c"]), node("skip", inputs=["image"], outputs=["s"])]
    applied = apply([rule_file(IMAGE, precision=None, extra="range = [0, 255]")], nodes, default_precision=INT8)
    assert {tensor: (one.node, one.choice) for tensor, one in applied.ranges.items()} == {"image": ("conv", BYTES)}
    assert applied.outcomes[0].ranges_of == ("conv",)


def test_a_rule_that_names_an_inner_tensor_decides_its_range_and_not_that_of_its_readers(node: Node, rule_file: Make) -> None:
    nodes = [node("a", outputs=["image"]), node("b", inputs=["image"], outputs=["z"])]
    applied = apply([rule_file(IMAGE, precision=None, extra="range = [0, 255]")], nodes, default_precision=INT8)
    assert {tensor: one.node for tensor, one in applied.ranges.items()} == {"image": "a"}


def test_constants_of_that_name_have_no_range(node: Node, rule_file: Make) -> None:
    nodes = [node("a", inputs=["x", "image"], constants=[1], outputs=["y"])]
    assert apply([rule_file(IMAGE, precision=None, extra="range = [0, 255]")], nodes, default_precision=INT8).ranges == {}


def test_the_later_rule_about_a_model_input_wins_and_says_what_it_overrode(node: Node, rule_file: Make) -> None:
    nodes = [node("conv", "Conv", inputs=["image"], outputs=["c"])]
    text = render(explain([rule_file(IMAGE, IMAGE, precision=None, extra="range = [0, 255]")], nodes, "conv", default_precision=INT8))
    assert "range of 'image': range 0 .. 255: rule 'r1' (" in text
    assert "overridden: rule 'r0' (" in text


def test_a_range_of_integers_alone_is_refused(node: Node, rule_file: Make) -> None:
    nodes = [ids(node("embed", "Gather", inputs=["image"], outputs=["e"]), "int64")]
    file = rule_file(IMAGE, precision=None, extra="range = [0, 255]")
    with pytest.raises(RuleError, match=r"rule 'r0': range 0 .. 255, but only float tensors have a range. Received: 'image: int64'"):
        apply([file], nodes, default_precision=INT8)
    assert [fault.code for fault in check([file.label], nodes=nodes)] == ["rule-impossible"]


@pytest.mark.provokes("range-of-integers")
def test_an_optional_range_of_integers_is_said(node: Node, rule_file: Make) -> None:
    nodes = [ids(node("embed", "Gather", inputs=["image"], outputs=["e"]), "int64")]
    applied = apply([rule_file(IMAGE, precision=None, extra="range = [0, 255]\noptional = true")], nodes, default_precision=INT8)
    assert applied.ranges == {}
    assert [(one.code, one.severity) for one in applied.diagnostics] == [("range-of-integers", "info")]
