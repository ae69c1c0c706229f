from collections.abc import Callable

import pytest

from bridge.errors import RuleError
from bridge.rules import RuleFile, explain, render
from bridge.types import NodeFacts

type Node = Callable[..., NodeFacts]
type Make = Callable[..., RuleFile]


@pytest.fixture
def files(rule_file: Make) -> list[RuleFile]:
    return [
        rule_file('{ kind = "pattern", patterns = ["layer_norm"] }', '{ kind = "op_type", op_types = ["Conv"] }', name="one.toml"),
        rule_file(
            '{ kind = "op_type", op_types = ["LayerNormalization"] }, { kind = "scope", glob = "encoder/layer.3" }',
            precision="float16",
            name="two.toml",
        ),
    ]


@pytest.fixture
def nodes(node: Node) -> list[NodeFacts]:
    def norm(layer: int) -> NodeFacts:
        name = f"encoder/layer.{layer}/ln/Add"
        return node(name, "LayerNormalization", patterns=("layer_norm",), scope=f"encoder/layer.{layer}/ln", origins=[f"ln{layer}/Sqrt", name])

    return [norm(2), norm(3), node("head/MatMul", "MatMul")]


def lines(files: list[RuleFile], nodes: list[NodeFacts], glob: str) -> list[str]:
    folder = files[0].label.removesuffix("one.toml")
    return render(explain(files, nodes, glob, default_precision="static_wi8_ai8")).replace(folder, "").splitlines()


def test_it_names_who_decided_and_whom_it_overrode(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    assert lines(files, nodes, "encoder/layer.3/**") == [
        "encoder/layer.3/ln/Add  [LayerNormalization, pattern layer_norm, in encoder/layer.3/ln]",
        "  float16: rule 'r0' (two.toml:3): because",
        "  overridden: rule 'r0' (one.toml:3), float32",
    ]


def test_it_names_the_condition_that_kept_a_rule_out(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    assert lines(files, nodes, "encoder/layer.2/ln/Add") == [
        "encoder/layer.2/ln/Add  [LayerNormalization, pattern layer_norm, in encoder/layer.2/ln]",
        "  float32: rule 'r0' (one.toml:3): because",
        "  near miss: rule 'r0' (two.toml:3): module path matches glob 'encoder/layer.3'. Received: 'encoder/layer.2/ln'",
    ]


def test_who_decided_about_the_range_has_a_line_of_its_own(files: list[RuleFile], nodes: list[NodeFacts], rule_file: Make) -> None:
    ranges = [
        rule_file('{ kind = "pattern", patterns = ["layer_norm"] }', precision=None, extra='observer = "mse"', name="three.toml"),
        rule_file('{ kind = "pattern", patterns = ["layer_norm"] }', precision=None, extra="range = [-1, 1]", name="four.toml"),
    ]
    assert lines([*files, *ranges], nodes, "encoder/layer.3/**")[1:] == [
        "  float16: rule 'r0' (two.toml:3): because",
        "  range of 'y': range -1 .. 1: rule 'r0' (four.toml:3)",
        "  overridden: rule 'r0' (one.toml:3), float32",
        "  overridden: rule 'r0' (three.toml:3), mse",
    ]


def test_a_node_without_a_rule_says_so_and_idle_rules_are_no_error(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    assert lines(files, nodes, "head/*") == [
        "head/MatMul  [MatMul]",
        "  static_wi8_ai8: no rule matches, so the default precision",
    ]


@pytest.mark.parametrize("glob", ["encoder/layer.3", "encoder/layer.3/*", "ln3/Sqrt", "**/layer.3/**"])
def test_a_node_is_found_by_its_module_and_by_every_name_it_stands_for(glob: str, files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    (one,) = explain(files, nodes, glob, default_precision="static_wi8_ai8")
    assert one.node == "encoder/layer.3/ln/Add"
    assert one.decision.overridden == ("r0",)
    assert (one.overridden[0].id, one.overridden[0].line) == ("r0", 3)


def test_paragraphs_are_parted_and_in_the_order_of_the_graph(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    heads = [paragraph.split("  ")[0] for paragraph in render(explain(files, nodes, "**", default_precision="float32")).split("\n\n")]
    assert heads == [one.name for one in nodes]


def test_a_reset_is_named(rule_file: Make, node: Node) -> None:
    conv = rule_file('{ kind = "op_type", op_types = ["Conv"] }', name="one.toml")
    reset = rule_file(name="two.toml", top="reset = true")
    (one,) = explain([conv, reset], [node("a", "Conv")], "a", default_precision="static_wi8_ai8")
    assert one.decision.reason == f"{reset.label} takes back the rules before it, so the default precision"
    assert [rule.id for rule in one.overridden] == ["r0"]


def test_a_glob_that_fits_no_node_names_the_closest(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    with pytest.raises(RuleError, match=r"'head/MatMull' fits no node of the model: 'head/MatMull', did you mean 'head/MatMul'\?"):
        explain(files, nodes, "head/MatMull", default_precision="static_wi8_ai8")


def test_a_huge_glob_is_refused(files: list[RuleFile], nodes: list[NodeFacts]) -> None:
    with pytest.raises(RuleError, match="1024 are allowed"):
        explain(files, nodes, "*a" * 1000, default_precision="static_wi8_ai8")


def test_control_characters_are_spelled_out(node: Node) -> None:
    text = render(explain([], [node("\x1b[31mred")], "*", default_precision="float32"))
    assert text.startswith(r"\x1b[31mred  [Relu]")
