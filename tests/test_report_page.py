"""What the page about the report says is there."""

import re
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bridge.cli import main
from bridge.report import BINARY, RENDERERS
from bridge.report.baseline import TOLERANCES
from bridge.report.gate_measures import LAYERS, MODELS, OUTPUTS
from bridge.report.gates import parse
from bridge.task_metrics import BUILT_IN, find_metrics

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


def test_the_metrics_on_the_page_are_all_there_are_and_its_functions_work() -> None:
    table = PAGE[PAGE.index("## Task metrics") : PAGE.index("```python")]
    assert set(re.findall(r"`([a-z0-9_]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))) == set(BUILT_IN)
    (source,) = re.findall(r"^```python\n(.*?worst_pixel.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    names: dict[str, Any] = {}
    exec(compile(source, "report.md", "exec"), names)  # the page's own snippet
    worst, rate = find_metrics([names["worst_pixel"], names["error_rate"]], [])
    assert rate.needs_truth
    assert rate.better == "lower"
    for metric, expected in ((worst, 0.5), (rate, 0.5)):
        score = metric.start()
        for label in (0, 1):
            outputs = {"mask": np.full(3, 0.5 * label), "scores": np.array([[1.0, 0.0]])}
            score.add({"mask": np.full(3, 0.25 + 0.5 * label) - 0.25 + 0.5, "scores": outputs["scores"]}, outputs, np.asarray(label))
        assert score.result() == expected


def test_every_format_is_on_the_page() -> None:
    table = PAGE[PAGE.index("## Formats") : PAGE.index("### What stays")]
    assert set(re.findall(r"`([a-z-]+)`", "".join(line.split("|")[1] for line in table.splitlines() if line.startswith("| `")))) == {
        *RENDERERS,
        *BINARY,
    }


def test_every_command_and_option_on_the_page_exists(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [shlex.split(line)[1:] for line in PAGE.splitlines() if line.startswith("bridge ")]
    assert len(commands) >= 9
    for words in commands:
        name = words[:2] if words[0] == "report" else words[:1]
        with pytest.raises(SystemExit):
            main([*name, "--help"])
        helped = capsys.readouterr().out
        assert all(word in helped for word in words if word.startswith("--"))
