import tomllib
from pathlib import Path

import pytest

from bridge import rules
from bridge.report.rule_text import float_rule
from bridge.types import NodeFacts


def matched(folder: Path, text: str, names: list[str]) -> list[str]:
    """The nodes that a rule file with that entry leaves float."""
    file = folder / "mine.toml"
    file.write_text(f"schema_version = 1\n\n{text}\n", encoding="utf-8")
    nodes = [NodeFacts(name, "Op", "", (), "", (name,), (), ()) for name in names]
    decisions = rules.apply(rules.load([file]), nodes, default_precision="static_wi8_ai8").decisions
    return [name for name, decision in decisions.items() if decision.precision == "float32"]


@pytest.mark.parametrize(
    "name", ["/encoder/layer.3/fc", 'say "hi"', "back`tick", "Größe", "שלום", "a b", "#comment", "😀", "a*", "x[0]/y?", "a{b}", "a\\b"]
)
def test_an_entry_leaves_its_node_float_and_no_other(tmp_path: Path, name: str) -> None:
    text = float_rule("own-error", "Own SQNR 8.1 dB.", [name])
    (entry,) = tomllib.loads(text)["rules"]
    assert (entry["id"], entry["reason"], entry["precision"]) == ("own-error", "Own SQNR 8.1 dB.", "float32")
    assert matched(tmp_path, text, [name, "other", "a0", f"{name}x"]) == [name]


def test_an_entry_for_several_nodes_holds_for_each(tmp_path: Path) -> None:
    names = ["head/concat", "head/reshape[0]", "head/last"]
    assert matched(tmp_path, float_rule("head", "Why.", names), [*names, "head"]) == names


def test_a_path_becomes_an_id_with_dashes() -> None:
    (entry,) = tomllib.loads(float_rule("/head/concat", "Why.", ["/head/concat"]))["rules"]
    assert entry["id"] == "head-concat"


@pytest.mark.parametrize("name", ["a\nb", "\u202ea", "", "n" * 1001, "*" * 129])
def test_a_name_that_cannot_stand_in_a_rule_file_gets_no_entry(name: str) -> None:
    assert float_rule("id", "Why.", ["good", name]) == ""
