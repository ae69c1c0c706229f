from collections.abc import Callable

import pytest

from bridge.errors import RuleError
from bridge.rules import RuleFile, apply, check, explain, render
from bridge.types import NodeFacts, ReplacementDecision

Node = Callable[..., NodeFacts]
Make = Callable[..., RuleFile]
INT8 = "static_wi8_ai8"
ALL = '{ kind = "name", glob = "**" }'
GELU = '{ kind = "pattern", patterns = ["gelu"] }'


def run(files: list[RuleFile], nodes: list[NodeFacts]) -> dict[str, ReplacementDecision]:
    return dict(apply(files, nodes, default_precision=INT8).replacements)


def test_a_rule_replaces_functions_by_pattern_and_by_operator(node: Node, rule_file: Make) -> None:
    nodes = [node("spelled", "Mul", patterns=["gelu"]), node("own", "Gelu"), node("other", "Relu")]
    file = rule_file(
        '{ kind = "any", conditions = [{ kind = "op_type", op_types = ["Gelu"] }, { kind = "pattern", patterns = ["gelu"] }] }',
        extra='replace = "gelu_tanh"',
    )
    assert run([file], nodes) == {name: ReplacementDecision(name, "gelu_tanh", "r0", file.label, 3) for name in ("spelled", "own")}
    (outcome,) = apply([file], nodes, default_precision=INT8).outcomes
    assert (outcome.replace, outcome.replaced) == ("gelu_tanh", ("spelled", "own"))


def test_an_operator_of_another_domain_is_another_function(node: Node, rule_file: Make) -> None:
    file = rule_file('{ kind = "domain", domains = ["my.ops"] }', extra='replace = "gelu_tanh"')
    with pytest.raises(RuleError, match=r"gelu_tanh replaces gelu, not 'own \(Gelu\)'"):
        run([file], [node("own", "Gelu", domain="my.ops")])


@pytest.mark.provokes("rule-impossible")
def test_what_a_replacement_is_not_defined_for_is_refused_with_all_nodes(node: Node, rule_file: Make) -> None:
    file = rule_file(ALL, precision=None, extra='replace = "hard_swish"')
    nodes = [node("a", "Conv"), node("b", "Gelu"), node("c", "Relu")]
    with pytest.raises(RuleError, match=r"mine.toml:3: rule 'r0': hard_swish replaces gelu and mish and silu, not 'a \(Conv\)', 'c \(Relu\)'$"):
        run([file], nodes)
    assert [fault.code for fault in check([file.label], nodes=nodes)] == ["rule-impossible"]


@pytest.mark.provokes("replacement-not-defined")
def test_an_optional_rule_replaces_what_it_can_and_lists_the_rest(node: Node, rule_file: Make) -> None:
    file = rule_file(ALL, precision=None, extra='replace = "hard_swish"\noptional = true')
    applied = apply([file], [node("a", "Conv"), node("b", "Gelu")], default_precision=INT8)
    assert list(applied.replacements) == ["b"]
    (said,) = applied.diagnostics
    assert (said.code, said.severity) == ("replacement-not-defined", "info")
    assert "not 'a (Conv)'; these nodes stay as they are." in said.message


def test_the_later_replacement_wins_and_none_takes_it_back(node: Node, rule_file: Make) -> None:
    nodes = [node("g", "Gelu")]
    one = rule_file(ALL, extra='replace = "hard_swish"', name="one.toml")
    two = rule_file(ALL, precision=None, extra='replace = "gelu_tanh"', name="two.toml")
    none = rule_file(ALL, precision=None, extra='replace = "none"', name="none.toml")
    assert run([one, two], nodes)["g"] == ReplacementDecision("g", "gelu_tanh", "r0", two.label, 3, overridden=("r0",))
    assert run([one, none], nodes) == {}
    assert run([none, one], nodes)["g"].name == "hard_swish"


def test_a_reset_takes_back_replacements(node: Node, rule_file: Make) -> None:
    one, reset = rule_file(ALL, extra='replace = "hard_swish"', name="one.toml"), rule_file(name="two.toml", top="reset = true")
    assert run([one, reset], [node("g", "Gelu")]) == {}


def test_the_explanation_names_the_rule_that_replaces(node: Node, rule_file: Make) -> None:
    one = rule_file(ALL, precision=None, extra='replace = "hard_swish"', name="one.toml")
    two = rule_file(GELU, precision=None, extra='replace = "gelu_tanh"', name="two.toml")
    (found,) = explain([one, two], [node("g", "Gelu", patterns=["gelu"])], "g", default_precision=INT8)
    text = render([found])
    assert f"replaced by gelu_tanh, which changes the model: rule 'r0' ({two.label}:3)" in text
    assert f"overridden: rule 'r0' ({one.label}:3), replaced by hard_swish" in text


def test_own_errors_cannot_choose_what_is_replaced(rule_file: Make) -> None:
    with pytest.raises(RuleError, match="own_error is measured on the converted model, so it cannot choose what is converted"):
        rule_file('{ kind = "own_error", below_db = 20.0 }', precision=None, extra='replace = "gelu_tanh"')


def test_an_unknown_replacement_is_refused_with_the_known_ones(rule_file: Make) -> None:
    with pytest.raises(RuleError, match=r"replace: .*'gelu_tanh'.*Received: 'gelu_tan'"):
        rule_file(ALL, precision=None, extra='replace = "gelu_tan"')
