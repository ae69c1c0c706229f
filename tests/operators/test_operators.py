"""A part of the backend node tests: what docs/operators.md says of these operators still holds."""

import importlib.util
import re
from collections import Counter
from pathlib import Path

import backend_cases
import pytest
from outcomes import outcome

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
# Modules of ONNX whose cases cover lowerings, function bodies, settled inputs and refusals, and are few.
MODULES = ("mish", "lppool", "dft", "squeeze", "det", "scatternd", "hannwindow", "compress")

pytestmark = pytest.mark.skipif(importlib.util.find_spec("onnx2tf") is None, reason="onnx2tf is not installed")


def stated() -> dict[str, tuple[int, int]]:
    """Operator -> cases and right ones, from the page."""
    rows = re.findall(r"^\| (\w+) \| (\d+) \| (\d+) \| .*\|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {name: (int(cases), int(right)) for name, cases, right in rows}


def test_the_page_counts_at_least_a_thousand_right_and_none_wrong() -> None:
    cases, right, wrong, cannot_run, _ = re.findall(
        r"\d+", next(line for line in PAGE.read_text("utf-8").splitlines() if "function bodies |" in line)
    )
    assert int(right) >= 1000
    assert (wrong, cannot_run) == ("0", "0")
    assert int(cases) == sum(count for count, _ in stated().values())


@pytest.mark.slow
def test_operators_come_out_as_the_page_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    cases = backend_cases.collect(MODULES)
    found = {name: outcome(case, with_samples=False) for name, case in cases.items()}
    right, every = Counter[str](), Counter[str]()
    for name, case in cases.items():
        every[case.op_type] += 1
        right[case.op_type] += found[name]["status"] == "right"
    page = stated()
    assert {op: (every[op], right[op]) for op in every} == {op: page[op] for op in every}
    assert all(result["status"] in ("right", "refused") for result in found.values())
    assert all(result["causes"] for result in found.values() if result["status"] == "refused")


def test_a_case_is_refused_with_its_cause(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    case = backend_cases.collect(("compress",))["test_compress_0"]
    result = outcome(case, with_samples=False)
    assert (result["status"], result["exit"], result["causes"]) == ("refused", 3, ["dynamic-shape"])
