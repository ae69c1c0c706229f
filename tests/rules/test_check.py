from collections.abc import Callable
from pathlib import Path

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


def test_faults_of_all_files_are_collected(tmp_path: Path, rule_file: Make) -> None:
    bad = tmp_path / "bad.toml"
    bad.write_text("schema_version = 1\nrules = []\nmore = 1\nmost = 2")
    found = check([bad, "nowhere.toml", rule_file(CONV).label])
    assert [(one.code, one.severity) for one in found] == [("rule-file", "error")] * 3
    assert found[0].message.startswith(f"{bad}:3: more: unknown key 'more'")
    assert found[2].message == "nowhere.toml: no such rule file"


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


def test_an_operator_that_onnx_does_not_have_is_a_warning(rule_file: Make) -> None:
    (found,) = check([rule_file('{ kind = "op_type", op_types = ["LayerNorm"] }').label])
    assert (found.code, found.severity) == ("rule-unknown-operator", "warning")
    assert found.message.endswith("rule 'r0': ONNX has no operator 'LayerNorm', did you mean 'LayerNormalization'?")


def test_rules_that_match_nothing_in_a_model_are_found(rule_file: Make, node: Node) -> None:
    needed, allowed = rule_file(CONV, name="a.toml"), rule_file(HEAD, extra="optional = true", name="b.toml")
    assert codes([needed, allowed], [node("a", "Relu")]) == [("rule-matches-nothing", "error"), ("rule-matches-nothing", "info")]
    assert codes([needed, allowed], [node("a", "Conv", scope="head")]) == []


def test_a_rule_that_waits_for_a_measurement_is_no_error(rule_file: Make, node: Node) -> None:
    file = rule_file('{ kind = "own_error", below_db = 20.0 }')
    assert codes([file], [node("a")]) == [("rule-matches-nothing", "info")]
