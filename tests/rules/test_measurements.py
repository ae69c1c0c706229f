from collections.abc import Callable, Mapping, Sequence

import pytest
from pydantic import TypeAdapter, ValidationError

from bridge.rules import RuleFile, apply, waits_for_measurement
from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher
from bridge.rules.matchers import Matcher
from bridge.types import NodeFacts, TensorStatistics

ADAPTER: TypeAdapter[BaseMatcher] = TypeAdapter(Matcher)
type Node = Callable[..., NodeFacts]
type Rules = Callable[..., RuleFile]


def matcher(kind: str, at_least: object) -> BaseMatcher:
    return ADAPTER.validate_python({"kind": kind, "at_least": at_least})


def holds(one: BaseMatcher, node: NodeFacts) -> bool:
    return one.matches(node, Context([node]))


def refusal(one: BaseMatcher, node: NodeFacts) -> str:
    return one.refusal(node, Context([node]))


def spans(**ends: tuple[float, float]) -> Mapping[str, TensorStatistics]:
    return {name: TensorStatistics(low, high) for name, (low, high) in ends.items()}


WIDE = {"y": TensorStatistics(-2.5, 195.5, half=0.5, most=9.0)}  # 198 wide: 396 times the middle half, 22 times what 99.9 % need


@pytest.mark.parametrize(("kind", "ratio"), [("dynamic_range", 396), ("outliers", 22)])
def test_a_range_is_compared_with_what_most_values_need(kind: str, ratio: int, node: Node) -> None:
    one = node("a", "Gemm", statistics=WIDE)
    assert holds(matcher(kind, ratio), one)
    assert not holds(matcher(kind, ratio + 1), one)
    assert refusal(matcher(kind, ratio + 1), one).endswith(f"ratio is at least {ratio + 1}. Received: {ratio}")
    assert matcher(kind, ratio * 1.2).nearly(one, Context([one]))
    assert not matcher(kind, ratio * 1.3).nearly(one, Context([one]))


def test_only_what_a_node_writes_counts_for_its_spread(node: Node) -> None:
    assert not holds(matcher("outliers", 1), node("a", outputs=["z"], inputs=["y"], statistics=WIDE))


@pytest.mark.parametrize("statistics", [{}, spans(y=(0, 1)), {"y": TensorStatistics(0.0, 1.0, half=0.0, most=0.0)}])
def test_without_a_measurement_or_a_width_nothing_matches(statistics: Mapping[str, TensorStatistics], node: Node) -> None:
    one = node("a", statistics=statistics)
    assert not holds(matcher("dynamic_range", 1), one)
    received = refusal(matcher("dynamic_range", 1), one).removeprefix("dynamic range ratio is at least 1. Received: ")
    known = any(made.most is not None for made in statistics.values())
    assert received == ("no dynamic range ratio" if known else "not measured, a conversion with calibration samples does that")


BOXES = spans(boxes=(0, 640), scores=(0, 1), offsets=(-0.5, 0.5), nothing=(0, 0))


@pytest.mark.parametrize(
    ("op_type", "inputs", "ratio"),
    [
        ("Concat", ["boxes", "scores"], 640),
        ("Add", ["scores", "boxes"], 640),
        ("Concat", ["offsets", "scores"], 1),  # both 1 wide
        ("Concat", ["boxes", "nothing", "scores"], 640),  # what is always 0 needs no scale
    ],
)
def test_a_join_is_judged_by_its_widest_and_its_narrowest_input(op_type: str, inputs: Sequence[str], ratio: int, node: Node) -> None:
    one = node("a", op_type, inputs=inputs, statistics=BOXES)
    assert holds(matcher("scale_mismatch", ratio), one)
    assert not holds(matcher("scale_mismatch", ratio + 1), one)


@pytest.mark.parametrize(
    ("op_type", "inputs"), [("Mul", ["boxes", "scores"]), ("Concat", ["boxes"]), ("Add", ["boxes", "boxes"]), ("Concat", ["boxes", "unknown"])]
)
def test_a_product_and_a_lone_input_have_no_mismatch(op_type: str, inputs: Sequence[str], node: Node) -> None:
    assert not holds(matcher("scale_mismatch", 1), node("a", op_type, inputs=inputs, statistics=BOXES))


def test_a_range_away_from_zero_is_as_wide_as_from_zero(node: Node) -> None:
    one = node("a", "Concat", inputs=["far", "near"], statistics=spans(far=(99, 100), near=(0, 1)))
    assert holds(matcher("scale_mismatch", 100), one)


@pytest.mark.parametrize("ratio", [0.5, float("inf"), True, "2"])
def test_a_ratio_is_a_number_of_at_least_one(ratio: object) -> None:
    with pytest.raises(ValidationError):
        matcher("outliers", ratio)


@pytest.mark.parametrize(
    ("kind", "asked", "known"), [("outliers", "spreads", WIDE), ("dynamic_range", "spreads", WIDE), ("scale_mismatch", "ranges", BOXES)]
)
def test_a_rule_waits_until_its_measurement_is_made(
    kind: str, asked: str, known: Mapping[str, TensorStatistics], node: Node, rule_file: Rules
) -> None:
    file = rule_file(f'{{ kind = "{kind}", at_least = 1000.0 }}')
    assert waits_for_measurement([file], [node("a")]) == {asked}
    assert waits_for_measurement([file], [node("a", statistics=known)]) == frozenset()
    assert apply([file], [node("a")], default_precision="static_wi8_ai8").outcomes[0].matched == ()


def test_spreads_are_waited_for_while_only_ranges_are_known(node: Node, rule_file: Rules) -> None:
    file = rule_file('{ kind = "not", condition = { kind = "outliers", at_least = 8.0 } }, { kind = "own_error", below_db = 20.0 }')
    assert waits_for_measurement([file], [node("a", statistics=spans(y=(0, 1)))]) == {"spreads", "own_errors"}


def test_where_no_node_reaches_the_ratio_the_largest_is_named(node: Node) -> None:
    assert matcher("outliers", 50).suggestion(Context([node("a", statistics=WIDE)])) == "outlier ratio goes up to 22 in this model"
    assert matcher("outliers", 50).suggestion(Context([node("a")])) == "nothing was measured"
