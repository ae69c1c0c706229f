"""Measures every row of the op table and writes what `bridge ops` shows: `python tests/conformance/measure.py`."""

import importlib.metadata
import json
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
TARGET = HERE.parents[1] / "bridge" / "quantize" / "measured.json"


class Collector:
    """What the conformance tests record: (operator, precision, worst distance) per case."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, list[float]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest after every phase of a test."""
        if report.when == "call" and report.passed:
            for key, value in report.user_properties:
                if key == "measured" and isinstance(value, tuple):
                    op, precision, worst = value
                    self.rows.setdefault(op, {}).setdefault(precision, []).append(worst)


def main() -> int:
    """Runs the tests; writes nothing when one fails."""
    collector = Collector()
    failed = pytest.main(["-q", "-p", "no:cacheprovider", str(HERE / "test_kernels.py"), str(HERE / "test_lstm_kernel.py")], plugins=[collector])
    if failed:
        return int(failed)
    rows = {
        op: {precision: {"cases": len(worst), "worst": round(max(worst), 2)} for precision, worst in sorted(kernels.items())}
        for op, kernels in sorted(collector.rows.items())
    }
    lines = ",\n".join(f"{json.dumps(op)}: {json.dumps(row)}" for op, row in rows.items())
    litert = importlib.metadata.version("ai-edge-litert")
    TARGET.write_text(f'{{"litert": "{litert}", "rows": {{\n{lines}\n}}}}\n', encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
