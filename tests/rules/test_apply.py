from collections.abc import Callable, Sequence

import pytest

from bridge.errors import RuleError, UsageError
from bridge.rules import Applied, RuleFile, apply, decisions
from bridge.types import Decision, NearMiss, NodeFacts, RangeChoice, RangeDecision

type Node = Callable[..., NodeFacts]
type Make = Callable[..., RuleFile]

CONV = '{ kind = "op_type", op_types = ["Conv"] }'
ANY = '{ kind = "name", glob = "**" }'


def run(files: Sequence[RuleFile], nodes: Sequence[NodeFacts]) -> Applied:
    applied = apply(files, nodes, default_precision="static_wi8_ai8")
    assert decisions(files, nodes, default_precision="static_wi8_ai8") == applied.decisions
    return applied


def refusal(files: Sequence[RuleFile], nodes: Sequence[NodeFacts]) -> str:
    with pytest.raises(RuleError) as caught:
        run(files, nodes)
    assert "optional = true" in caught.value.hint
    return caught.value.message


def test_without_rules_every_node_gets_the_default_and_says_so(node: Node) -> None:
    applied = run([], [node("a"), node("b")])
    assert list(applied.decisions) == ["a", "b"]
    assert applied.decisions["a"] == Decision("a", "static_wi8_ai8", None, None, None, "no rule matches, so the default precision")
    assert applied.outcomes == ()


def test_a_model_without_nodes_is_no_error_with_optional_rules(rule_file: Make) -> None:
    applied = run([rule_file(CONV, extra="optional = true")], [])
    assert applied.decisions == {}
    assert applied.outcomes[0].matched == ()


def test_a_rule_decides_for_the_nodes_it_matches(node: Node, rule_file: Make) -> None:
    file = rule_file(CONV)
    applied = run([file], [node("a", "Conv"), node("b", "Relu"), node("c", "Conv")])
    assert applied.decisions["a"] == Decision("a", "float32", "r0", file.label, 3, "because")
    assert applied.decisions["b"].rule is None
    (outcome,) = applied.outcomes
    assert (outcome.id, outcome.file, outcome.line, outcome.precision, outcome.reason) == ("r0", file.label, 3, "float32", "because")
    assert outcome.matched == ("a", "c")


def test_the_later_rule_wins_and_the_earlier_is_recorded(node: Node, rule_file: Make) -> None:
    one = rule_file(CONV, ANY, name="one.toml")
    two = rule_file(CONV, name="two.toml", precision="float16")
    applied = run([one, two], [node("a", "Conv"), node("b")])
    decision = applied.decisions["a"]
    assert (decision.precision, decision.file, decision.rule) == ("float16", two.label, "r0")
    assert decision.overridden == ("r0", "r1")
    assert applied.decisions["b"].rule == "r1"
    assert [outcome.matched for outcome in applied.outcomes] == [("a",), ("a", "b"), ("a",)]
    assert run([two, one], [node("a", "Conv"), node("b")]).decisions["a"].precision == "float32"


def test_all_conditions_must_hold(node: Node, rule_file: Make) -> None:
    file = rule_file(CONV + ', { kind = "name", glob = "head/*" }')
    applied = run([file], [node("head/a", "Conv"), node("head/b", "Relu"), node("c", "Conv")])
    assert applied.outcomes[0].matched == ("head/a",)


def test_near_misses_fail_one_condition_and_say_which(node: Node, rule_file: Make) -> None:
    file = rule_file(CONV + ', { kind = "name", glob = "head/*" }')
    (outcome,) = run([file], [node("head/a", "Conv"), node("head/b", "Relu"), node("c", "Conv"), node("d", "Relu")]).outcomes
    assert outcome.near_misses == (
        NearMiss("head/b", "op type is one of 'Conv'. Received: 'Relu'"),
        NearMiss("c", "node name matches glob 'head/*'. Received: 'c'"),
    )
    assert outcome.near_miss_count == 2


def test_five_near_misses_are_kept_the_nearest_first_and_all_are_counted(node: Node, rule_file: Make) -> None:
    file = rule_file(CONV + ', { kind = "name", glob = "head/*" }')
    nodes = [node("head/x", "Conv"), *(node(f"n{index}", "Conv") for index in range(7)), node("head/deeper/x", "Conv")]
    (outcome,) = run([file], nodes).outcomes
    assert [miss.node for miss in outcome.near_misses] == ["head/deeper/x", "n0", "n1", "n2", "n3"]
    assert outcome.near_miss_count == 8


def test_a_rule_of_one_condition_is_missed_nearly_only_by_what_comes_close(node: Node, rule_file: Make) -> None:
    file = rule_file('{ kind = "op_type", op_types = ["Softmax"] }')
    (outcome,) = run([file], [node("a", "Softmax"), node("b", "LogSoftmax"), node("c", "Conv")]).outcomes
    assert [miss.node for miss in outcome.near_misses] == ["b"]


def test_a_rule_that_matches_nothing_is_an_error_with_the_nearest_nodes(node: Node, rule_file: Make) -> None:
    file = rule_file(CONV + ', { kind = "name", glob = "head/*" }')
    text = refusal([file], [node("head/b", "Relu"), node("c", "Conv")])
    assert text == (
        f"{file.label}:3: rule 'r0' matches no node. Nearest: 'head/b' (op type is one of 'Conv'. Received: 'Relu'), "
        "'c' (node name matches glob 'head/*'. Received: 'c')"
    )


def test_many_nearest_nodes_are_counted(node: Node, rule_file: Make) -> None:
    text = refusal([rule_file(CONV + ', { kind = "name", glob = "head/*" }')], [node(f"n{index}", "Conv") for index in range(9)])
    assert text.endswith(" and 4 more")


def test_all_rules_that_match_nothing_are_told_at_once(node: Node, rule_file: Make) -> None:
    one = rule_file(CONV, '{ kind = "scope", glob = "head" }', name="one.toml")
    two = rule_file('{ kind = "name", glob = "layer.*" }', name="two.toml")
    assert refusal([one, two], [node("layer.0/a")]).splitlines() == [
        f"{one.label}:3: rule 'r0' matches no node. Nowhere holds: op type is one of 'Conv' (op type in this model: 'Relu')",
        f"{one.label}:9: rule 'r1' matches no node. Nowhere holds: module path matches glob 'head' (no node of this model has a module path)",
        f"{two.label}:3: rule 'r0' matches no node. Nearest: 'layer.0/a' (node name matches glob 'layer.*'. Received: 'layer.0/a')",
    ]


def test_conditions_that_exclude_each_other_are_named_as_such(node: Node, rule_file: Make) -> None:
    match = f'{CONV}, {{ kind = "name", glob = "b" }}, {{ kind = "scope", glob = "head" }}'
    text = refusal([rule_file(match)], [node("a", "Conv"), node("b"), node("c", scope="head")])
    assert text.endswith("rule 'r0' matches no node: each condition holds somewhere, but never all for one node")


def test_an_empty_model_is_named_as_such(rule_file: Make) -> None:
    assert refusal([rule_file(CONV)], []).endswith("(the model has no nodes)")


def test_an_optional_rule_may_match_nothing(node: Node, rule_file: Make) -> None:
    (outcome,) = run([rule_file(CONV, extra="optional = true")], [node("a")]).outcomes
    assert outcome.matched == ()


def test_reset_takes_back_the_files_before_it_and_nothing_else(node: Node, rule_file: Make) -> None:
    before = rule_file(CONV, name="before.toml")
    reset = rule_file('{ kind = "name", glob = "b" }', name="reset.toml", top="reset = true", precision="float16")
    after = rule_file('{ kind = "name", glob = "c" }', name="after.toml")
    nodes = [node("a", "Conv"), node("b", "Conv"), node("c", "Conv"), node("d")]
    applied = run([before, reset, after], nodes)
    taken_back = applied.decisions["a"]
    assert (taken_back.precision, taken_back.rule, taken_back.overridden) == ("static_wi8_ai8", None, ("r0",))
    assert taken_back.reason == f"{reset.label} takes back the rules before it, so the default precision"
    assert (applied.decisions["b"].precision, applied.decisions["b"].overridden) == ("float16", ("r0",))
    assert applied.decisions["c"].file == after.label
    assert applied.decisions["d"].reason == "no rule matches, so the default precision"
    assert applied.outcomes[0].matched == ("a", "b", "c")


def test_a_reset_in_the_first_file_changes_nothing(node: Node, rule_file: Make) -> None:
    assert run([rule_file(CONV, top="reset = true")], [node("a", "Conv")]).decisions["a"].precision == "float32"


def test_an_unknown_default_precision_is_refused(node: Node) -> None:
    with pytest.raises(UsageError, match=r"'static_wi8_a8' is not a precision, did you mean 'static_wi8_ai8'\?"):
        apply([], [node("a")], default_precision="static_wi8_a8")


def test_what_was_decided_cannot_be_changed(node: Node) -> None:
    applied = run([], [node("a")])
    with pytest.raises(TypeError):
        applied.decisions["a"] = applied.decisions["a"]  # type: ignore[index]  # that it fails is the test


def test_idle_rules_are_allowed_where_a_model_is_only_looked_at(node: Node, rule_file: Make) -> None:
    applied = apply([rule_file(CONV)], [node("a")], default_precision="float32", allow_idle=True)
    assert applied.outcomes[0].matched == ()


def test_a_rule_about_ranges_leaves_the_precision_to_earlier_rules(node: Node, rule_file: Make) -> None:
    one = rule_file(CONV, name="one.toml")
    two = rule_file(ANY, name="two.toml", precision=None, extra='observer = "percentile:99.9"\nclip = [-6, 6.5]')
    applied = run([one, two], [node("a", "Conv", outputs=["a/y"]), node("b", outputs=["b/y"])])
    assert (applied.decisions["a"].precision, applied.decisions["a"].file, applied.decisions["a"].overridden) == ("float32", one.label, ())
    assert applied.decisions["b"] == Decision("b", "static_wi8_ai8", None, None, None, "no rule matches, so the default precision")
    choice = RangeChoice("percentile:99.9", None, (-6.0, 6.5))
    assert applied.ranges == {f"{name}/y": RangeDecision(f"{name}/y", name, choice, "r0", two.label, 3) for name in ("a", "b")}
    assert (applied.outcomes[0].range, applied.outcomes[0].ranges_of) == (None, ())
    assert (applied.outcomes[1].precision, applied.outcomes[1].range, applied.outcomes[1].ranges_of) == ("", choice, ("a", "b"))


def test_the_later_rule_about_ranges_decides_all_of_the_range(node: Node, rule_file: Make) -> None:
    one = rule_file(CONV, name="one.toml", extra="range = [0, 6]")
    two = rule_file(CONV, name="two.toml", precision=None, extra='observer = "mse"')
    applied = run([one, two], [node("a", "Conv")])
    assert applied.decisions["a"].file == one.label
    assert applied.ranges["y"] == RangeDecision("y", "a", RangeChoice("mse"), "r0", two.label, 3, overridden=("r0",))
    assert run([two, one], [node("a", "Conv")]).ranges["y"].choice == RangeChoice(fixed=(0.0, 6.0))


def test_a_reset_takes_back_ranges_too(node: Node, rule_file: Make) -> None:
    one, two = rule_file(CONV, name="one.toml", precision=None, extra='observer = "mse"'), rule_file(name="two.toml", top="reset = true")
    assert run([one, two], [node("a", "Conv")]).ranges == {}


@pytest.mark.parametrize(
    ("choice", "text"),
    [
        (RangeChoice("mse"), "mse"),
        (RangeChoice(fixed=(-1.0, 2.5)), "range -1 .. 2.5"),
        (RangeChoice("percentile:99", clip=(0.0, 6.0)), "percentile:99, clip 0 .. 6"),
    ],
)
def test_a_choice_is_told_in_a_few_words(choice: RangeChoice, text: str) -> None:
    assert str(choice) == text
