from collections.abc import Callable
from pathlib import Path

import pytest

from bridge.rules import RuleFile, check, list_packs
from bridge.types import NodeFacts

type Node = Callable[..., NodeFacts]
type Make = Callable[..., RuleFile]

CONV = '{ kind = "op_type", op_types = ["Conv"] }'
HEAD = '{ kind = "scope", glob = "head" }'


def codes(files: list[RuleFile], nodes: list[NodeFacts] | None = None) -> list[tuple[str, str]]:
    return [(one.code, one.severity) for one in check([file.label for file in files], nodes=nodes)]


def test_good_files_have_no_faults(rule_file: Make) -> None:
    assert codes([rule_file(CONV, f"{CONV}, {HEAD}")]) == []
    assert check([pack.name for pack in list_packs()]) == ()


@pytest.mark.provokes("rule-file")
def test_faults_of_all_files_are_collected(tmp_path: Path, rule_file: Make) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("schema_version = 1\nrules = []\nmore = 1\nmost = 2")
    found = check([bad, "nowhere.toml", rule_file(CONV).label])
    assert [(one.code, one.severity) for one in found] == [("rule-file", "error")] * 3
    assert found[0].message.startswith(f"{bad}:3: more: unknown key 'more'")
    assert found[2].message == "nowhere.toml: no such rule file"


@pytest.mark.provokes("rule-unreachable")
def test_a_rule_that_a_later_one_always_overrides_is_unreachable(rule_file: Make) -> None:
    file = rule_file(f"{CONV}, {HEAD}", CONV)
    (found,) = check([file.label])
    assert (found.code, found.severity) == ("rule-unreachable", "warning")
    assert found.message == f"{file.label}:3: rule 'r0' never decides: 'r1' ({file.label}:9) takes all its nodes"


def test_the_same_match_again_is_unreachable_whatever_the_order_of_its_words(rule_file: Make) -> None:
    one = rule_file('{ kind = "op_type", op_types = ["Conv", "Gemm"] }', name="one.toml")
    two = rule_file('{ kind = "op_type", op_types = ["Gemm", "Conv"] }', name="two.toml")
    assert codes([one, two]) == [("rule-unreachable", "warning")]


def test_a_more_special_rule_later_is_no_fault(rule_file: Make) -> None:
    assert codes([rule_file(CONV, f"{CONV}, {HEAD}", HEAD)]) == [("rule-unreachable", "warning")]  # r1 below r2; r0 stays reachable
    assert codes([rule_file(CONV, HEAD)]) == []


def test_a_rule_is_reachable_while_one_of_its_actions_is(rule_file: Make) -> None:
    both = rule_file(CONV, extra='observer = "mse"', name="both.toml")
    ranges = rule_file(CONV, precision=None, extra="range = [0, 6]", name="ranges.toml")
    precision = rule_file(CONV, name="precision.toml")
    assert codes([both, ranges]) == codes([both, precision]) == codes([ranges, precision]) == codes([precision, ranges]) == []
    assert codes([both, ranges, precision]) == [("rule-unreachable", "warning")]
    assert codes([ranges, ranges]) == [("rule-unreachable", "warning")]


def test_what_a_reset_takes_back_is_not_called_unreachable(rule_file: Make) -> None:
    assert codes([rule_file(CONV, CONV, name="one.toml"), rule_file(CONV, name="two.toml", top="reset = true")]) == []


@pytest.mark.provokes("rule-unknown-operator")
def test_an_operator_that_onnx_does_not_have_is_a_warning(rule_file: Make) -> None:
    (found,) = check([rule_file('{ kind = "op_type", op_types = ["LayerNorm"] }').label])
    assert (found.code, found.severity) == ("rule-unknown-operator", "warning")
    assert found.message.endswith("rule 'r0': ONNX has no operator 'LayerNorm', did you mean 'LayerNormalization'?")


def test_rules_that_match_nothing_in_a_model_are_found(rule_file: Make, node: Node) -> None:
    needed, allowed = rule_file(CONV, name="a.toml"), rule_file(HEAD, extra="optional = true", name="b.toml")
    assert codes([needed, allowed], [node("a", "Relu")]) == [("rule-matches-nothing", "error"), ("rule-matches-nothing", "info")]
    assert codes([needed, allowed], [node("a", "Conv", scope="head"), node("b", "Conv")]) == []


def test_a_rule_that_waits_for_a_measurement_is_no_error(rule_file: Make, node: Node) -> None:
    file = rule_file('{ kind = "own_error", below_db = 20.0 }')
    assert codes([file], [node("a")]) == [("rule-matches-nothing", "info")]


SMALL = '{ kind = "channels", at_least = 4, at_most = 8 }'


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ('{ kind = "op_type", op_types = ["Conv"] }', '{ kind = "op_type", op_types = ["Conv", "Gemm"] }'),
        (SMALL, '{ kind = "channels", at_most = 8 }'),
        ('{ kind = "own_error", below_db = 12.0 }', '{ kind = "own_error", below_db = 24 }'),
        ('{ kind = "outliers", at_least = 20.0 }', '{ kind = "outliers", at_least = 10.0 }'),
        (f"{CONV}, {HEAD}", f'{{ kind = "any", conditions = [{HEAD}, {SMALL}] }}'),
        ('{ kind = "name", glob = "head/*" }', '{ kind = "name", glob = "**" }'),
        (f"{CONV}, {HEAD}", '{ kind = "name", glob = "**" }'),
        (f'{{ kind = "any", conditions = [{HEAD}, {CONV}] }}', f'{{ kind = "any", conditions = [{CONV}, {SMALL}, {HEAD}] }}'),
    ],
)
def test_a_later_rule_that_is_more_general_takes_all(earlier: str, later: str, rule_file: Make) -> None:
    assert codes([rule_file(earlier, later)]) == [("rule-unreachable", "warning")]
    assert codes([rule_file(later, earlier)]) == []


def test_bounds_of_another_axis_cover_nothing(rule_file: Make) -> None:
    assert codes([rule_file('{ kind = "axis_size", axis = 1, at_most = 8 }', '{ kind = "axis_size", axis = 2, at_most = 9 }')]) == []


def test_a_rule_all_of_whose_nodes_of_the_model_later_rules_take_is_found(rule_file: Make, node: Node) -> None:
    file = rule_file(HEAD, CONV, '{ kind = "op_type", op_types = ["Relu"] }')
    label = file.label
    (found,) = check([label], nodes=[node("a", "Conv", scope="head"), node("b", "Relu", scope="head")])
    assert (found.code, found.severity) == ("rule-unreachable", "warning")
    assert found.message == (
        f"{label}:3: rule 'r0' decides for none of the 2 nodes that it matches in this model: later ones do: 'r1' ({label}:9), 'r2' ({label}:15)"
    )
    assert codes([file], [node("a", "Conv", scope="head"), node("b", "Relu", scope="head"), node("c", "Gemm", scope="head")]) == []
    optional = rule_file(HEAD, CONV, extra="optional = true")
    assert codes([optional], [node("a", "Conv", scope="head")]) == [("rule-unreachable", "info")]


def test_what_no_model_can_reach_is_told_once(rule_file: Make, node: Node) -> None:
    assert codes([rule_file(f"{CONV}, {HEAD}", CONV)], [node("a", "Conv", scope="head")]) == [("rule-unreachable", "warning")]


def test_a_rule_that_decides_the_range_alone_is_reachable(rule_file: Make, node: Node) -> None:
    files = [rule_file(HEAD, extra='observer = "mse"', name="one.toml"), rule_file(CONV, name="two.toml")]
    assert codes(files, [node("a", "Conv", scope="head")]) == []
