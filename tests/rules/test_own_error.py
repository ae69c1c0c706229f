from collections.abc import Callable

import pytest
from msgspec.structs import replace

from bridge.errors import RuleError
from bridge.rules import RuleFile, apply, load, waits_for_measurement
from bridge.types import NodeFacts

Node = Callable[..., NodeFacts]
Rules = Callable[..., RuleFile]
OWN = '{ kind = "own_error", below_db = 20.0 }'


def measured(node: NodeFacts, own_sqnr_db: float | None) -> NodeFacts:
    return replace(node, own_sqnr_db=own_sqnr_db)


@pytest.mark.parametrize(
    ("own_sqnr_db", "precision"), [(19.9, "float32"), (20.0, "static_wi8_ai8"), (float("inf"), "static_wi8_ai8"), (None, "static_wi8_ai8")]
)
def test_a_node_that_loses_more_than_the_bound_matches(node: Node, rule_file: Rules, own_sqnr_db: float | None, precision: str) -> None:
    nodes = [measured(node("a", "Conv"), own_sqnr_db), measured(node("b", "Conv"), 3.0)]
    assert apply([rule_file(OWN)], nodes, default_precision="static_wi8_ai8").decisions["a"].precision == precision


def test_the_near_miss_names_the_measured_error(node: Node, rule_file: Rules) -> None:
    nodes = [measured(node("a", "Conv"), 21.5), measured(node("b", "Conv"), 3.0)]
    (outcome,) = apply([rule_file(OWN)], nodes, default_precision="static_wi8_ai8").outcomes
    assert [(miss.node, miss.condition) for miss in outcome.near_misses] == [("a", "own error is below 20 dB. Received: 21.5 dB")]


@pytest.mark.parametrize(
    "match", [OWN, f'{{ kind = "not", condition = {OWN} }}, {{ kind = "op_type", op_types = ["Gemm"] }}', f'{{ kind = "any", conditions = [{OWN}] }}']
)
def test_before_the_measurement_matching_nothing_is_no_error(node: Node, rule_file: Rules, match: str) -> None:
    assert apply([rule_file(match)], [node("a", "Conv")], default_precision="static_wi8_ai8").decisions["a"].rule is None


def test_after_the_measurement_matching_nothing_is_an_error(node: Node, rule_file: Rules) -> None:
    with pytest.raises(RuleError, match=r"own errors run from 30\.0 dB"):
        apply([rule_file(OWN)], [measured(node("a", "Conv"), 30.0)], default_precision="static_wi8_ai8")


def test_a_rule_that_counts_waits_until_own_errors_are_known(node: Node, rule_file: Rules) -> None:
    fresh, known = [node("a", "Conv")], [measured(node("a", "Conv"), 30.0)]
    assert waits_for_measurement([rule_file(OWN)], fresh)
    assert not waits_for_measurement([rule_file(OWN)], known)
    assert not waits_for_measurement([rule_file(OWN), *load(["all-int8"])], fresh)
    assert not waits_for_measurement([rule_file('{ kind = "op_type", op_types = ["Conv"] }')], fresh)
