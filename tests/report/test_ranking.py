import tomllib
from pathlib import Path

import pytest

from bridge import rules
from bridge.report.ranking import cause, rule_text, worst_output
from bridge.report.schema import Output


@pytest.mark.parametrize(
    ("rmse_over_scale", "start"),
    [
        (0.29, "The output is rounded as well as its scale allows"),
        (0.4, "The output is rounded as well as its scale allows"),
        (0.41, "Somewhat more"),
        (0.7, "Somewhat more"),
        (0.71, "Far more"),
        (float("inf"), "Far more"),
        (float("nan"), "Leave it float"),
        (None, "Leave it float"),
    ],
)
def test_the_cause_follows_from_the_error_in_units_of_the_scale(rmse_over_scale: float | None, start: str) -> None:
    assert cause(29.9, rmse_over_scale).startswith(start)
    assert cause(30.0, rmse_over_scale) == "A good layer; there is little to gain here."


@pytest.mark.parametrize("name", ["/encoder/layer.3/fc", 'say "hi"', "back`tick", "Größe", "שלום", "a b", "#comment", "😀"])
def test_the_rule_for_a_layer_loads_as_a_rule_file_and_names_that_layer(tmp_path: Path, name: str) -> None:
    text = rule_text(name, 8.125, 64)
    entry = tomllib.loads(text)["rules"][0]
    assert (entry["match"], entry["precision"]) == ([{"kind": "name", "glob": name}], "float32")
    assert entry["reason"] == "Own SQNR 8.1 dB over 64 samples."
    file = tmp_path / "mine.toml"
    file.write_text(f"schema_version = 1\n\n{text}\n")
    rules.load([file])


@pytest.mark.parametrize("name", ["a*", "a?", "a[0]", "a{b}", "a\\b", "a\nb", "\u202ea", "", "n" * 1001])
def test_a_name_that_cannot_stand_in_a_glob_gets_no_rule(name: str) -> None:
    assert rule_text(name, 8.0, 64) == ""


def test_the_worst_output_is_the_lowest_and_nan_is_lower_than_any() -> None:
    low, high, unmeasured = Output(name="low", sqnr_db=-3.0), Output(name="high", sqnr_db=40.0), Output(name="unmeasured")
    assert worst_output((high, low, unmeasured)) == "low"
    assert worst_output((low, Output(name="broken", sqnr_db=float("nan")))) == "broken"
    assert worst_output((unmeasured,)) is None
