from types import SimpleNamespace
from typing import Any, cast

from bridge.report.node_rows import node_rows
from bridge.types import Decision, Graph, OpOutcome, SourceNode, TensorMap


def source(name: str) -> SourceNode:
    return SourceNode(name, "Op", "", "", (f"{name}_out",), "kept", name)


def decision(name: str, precision: str, rule: str | None) -> Decision:
    return Decision(name, precision, rule, None, None, f"reason of {rule}")


def test_a_node_in_one_operator_with_a_float_one_says_whose_rule_it_was() -> None:
    graph = cast(Graph, SimpleNamespace(source_nodes=(source("conv"), source("relu"), source("other"))))
    decisions = {
        "conv": decision("conv", "static_wi8_ai8", None),
        "relu": decision("relu", "float32", "mine"),
        "other": decision("other", "static_wi8_ai8", None),
    }
    tensor_map = TensorMap((), (), (), owners=("relu", "other"), absorbed={"conv": ("relu",)})
    ops = (OpOutcome(0, "CONV_2D", "float32", "", 0), OpOutcome(1, "ADD", "static_wi8_ai8", "", 1))
    rows: dict[str, Any] = {row.name: row for row in node_rows(graph, decisions, tensor_map, ops)}
    assert rows["conv"].precision == "float32"
    assert rows["conv"].reason == "in one operator with 'relu', which rule 'mine' decided: reason of mine"
    assert rows["relu"].reason == "reason of mine"
    assert rows["other"].reason == "reason of None"


def test_the_reason_of_the_quantizer_comes_first() -> None:
    graph = cast(Graph, SimpleNamespace(source_nodes=(source("div"),)))
    tensor_map = TensorMap((), (), (), owners=("div",), absorbed={})
    ops = (OpOutcome(0, "DIV", "float32", "no static_wi8_ai8 kernel for DIV", 0),)
    (row,) = node_rows(graph, {"div": decision("div", "static_wi8_ai8", None)}, tensor_map, ops)
    assert row.reason == "no static_wi8_ai8 kernel for DIV"
