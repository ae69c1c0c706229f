from collections.abc import Mapping

from bridge.decisions import needs_ranges, op_precisions
from bridge.types import Decision, TensorMap

INT8 = "static_wi8_ai8"


def decision(node: str, precision: str = INT8, rule: str | None = None) -> Decision:
    return Decision(node, precision, rule, None, None, "")


def asked(*decisions: Decision, owners: tuple[str, ...], absorbed: Mapping[str, tuple[str, ...]] | None = None) -> list[str]:
    tensor_map = TensorMap((), (), (), owners=owners, absorbed=absorbed or {})
    return op_precisions(tensor_map, {one.node: one for one in decisions}, INT8)


def test_an_operator_gets_the_precision_of_its_owner_and_without_one_the_default() -> None:
    found = asked(decision("norm", "float32", "r"), decision("conv"), owners=("norm", "norm", "conv", ""))
    assert found == ["float32", "float32", INT8, INT8]


def test_a_rule_on_a_node_inside_the_operator_of_another_makes_it_float() -> None:
    found = asked(decision("conv", "float32", "r"), decision("relu"), owners=("relu",), absorbed={"conv": ("relu",)})
    assert found == ["float32"]


def test_the_default_of_an_absorbed_node_asks_for_nothing() -> None:
    found = asked(decision("conv"), decision("relu", "float32", "r"), owners=("relu",), absorbed={"conv": ("relu",)})
    assert found == ["float32"]


def test_of_several_the_one_with_the_smallest_rounding_error_wins() -> None:
    both = {"a": ("c",), "b": ("c",)}
    assert asked(decision("a", "float16", "r"), decision("b"), decision("c"), owners=("c",), absorbed=both) == ["float16"]
    assert asked(decision("a", "float16", "r"), decision("b", "float32", "s"), decision("c"), owners=("c",), absorbed=both) == ["float32"]
    assert asked(decision("a", "dynamic_wi8_afp32", "r"), decision("b", "static_wi8_ai16", "s"), decision("c"), owners=("c",), absorbed=both) == [
        "static_wi8_ai16"
    ]


def test_ranges_are_needed_where_anything_can_become_an_integer_activation() -> None:
    both = {"a": decision("a", "float16"), "b": decision("b", "dynamic_wi8_afp32")}
    assert not needs_ranges(both, "weight_only_wi4_afp32", "float32", "float32")
    assert needs_ranges(both | {"c": decision("c", "static_wi8_ai16")}, "float32", "float32", "float32")
    assert needs_ranges(both, INT8, "float32", "float32")
    assert needs_ranges(both, "float32", "float32", "uint8")
