"""docs/kernels.md names every finding, and its list of missing kernels is the table of the code."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from findings import FINDINGS, Finding

from bridge.quantize.missing_kernels import ABSENT, INT8, MISSING

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "kernels.md").read_text(encoding="utf-8")
SHORT = {INT8: "int8", "static_wi8_ai16": "int16"}


def missing_table() -> str:
    """The Markdown table of what `missing_kernels.py` holds; operators with the same reason share a line."""
    lines: dict[tuple[str, str, str], list[str]] = {}
    for row in MISSING:
        family = row.finding.removesuffix(f"-{row.op}")
        lines.setdefault((", ".join(SHORT[precision] for precision in row.precisions), row.reason, family), []).append(row.op)
    told = [
        f"| {', '.join(ops)} | {precisions} | {'LiteRT has none: the file fails at load or at the first run' if why == ABSENT else why} | "
        f"{f'`{family}`' if family else '`test_no_kernel_exists`'} |"
        for (precisions, why, family), ops in lines.items()
    ]
    return "\n".join(["| Operator | Precision | Why | Finding |", "|---|---|---|---|", *told])


def test_the_list_of_missing_kernels_is_the_table() -> None:
    assert missing_table() in DOCS, f"docs/kernels.md has to hold:\n{missing_table()}"


@pytest.mark.parametrize("finding", FINDINGS, ids=lambda finding: finding.id)
def test_the_finding_is_in_the_documentation(finding: Finding) -> None:
    named = re.findall(r"`([a-z0-9_.-]+)`", DOCS)
    assert any(finding.id == one or finding.id.startswith(f"{one}-") for one in named)


def test_the_findings_can_be_reproduced(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(__file__).with_name("reproduce.py")), str(tmp_path), "neg-does-not"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "builtin   gives -128 for 127.00, 255.00 off" in done.stdout
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".npz", ".tflite"]
