"""What the page about the report says is there."""

import re
from pathlib import Path

from bridge.report.baseline import TOLERANCES
from bridge.report.gate_measures import LAYERS, MODELS, OUTPUTS
from bridge.report.gates import parse

PAGE = (Path(__file__).parents[1] / "docs" / "report.md").read_text(encoding="utf-8")


def test_every_name_that_a_gate_can_ask_for_is_listed() -> None:
    rows = "\n".join(line for line in PAGE.splitlines() if line.startswith("| "))
    assert {*OUTPUTS, *LAYERS, *MODELS} <= set(re.findall(r"`([a-z0-9_]+)`", rows))


def test_every_gate_on_the_page_can_be_read() -> None:
    gates = re.findall(r"--gate '([^']+)'", PAGE)
    assert len(gates) >= 4
    for gate in gates:
        parse(gate)


def test_the_tolerances_on_the_page_are_the_defaults() -> None:
    said = {name: float(value) for name, value in re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE)}
    assert said == {name: tolerance.default for name, tolerance in TOLERANCES.items()}
