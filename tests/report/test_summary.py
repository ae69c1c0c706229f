"""The summary of several conversions: its exit code, its schema, its formats."""

import json
import math
from pathlib import Path

import pytest

from bridge.report import summary as summary_module
from bridge.report.schema import Report
from bridge.report.summary import ModelRow, Summary, TaskFigure, row_of, summary_schema
from bridge.report.summary_formats import html, markdown, text

HOSTILE = "</script><img src=x onerror=alert(1)>|`\x1b[31m\udcff"


def row(name: str, exit_code: int | None = 0, **values: object) -> ModelRow:
    return ModelRow.model_validate({"name": name, "model": f"{name}.onnx", "exit_code": exit_code} | values)


@pytest.mark.parametrize(
    ("codes", "interrupted", "expected"),
    [((0, 0), False, 0), ((0, 5), False, 5), ((5, 3, 0), False, 3), ((4, 2, 1), False, 1), ((0, None), True, 130), ((2, None), True, 130)],
)
def test_the_exit_code_is_the_lowest_failure_of_all(codes: tuple[int | None, ...], interrupted: bool, expected: int) -> None:
    rows = tuple(row(str(place), code) for place, code in enumerate(codes))
    assert Summary(models=rows, interrupted=interrupted).exit_code == expected


def test_a_row_has_the_figures_of_the_report(report: Report) -> None:
    worst = min(report.outputs, key=lambda output: output.sqnr_db or 0.0)
    made = row_of(report, name="net", model="net.onnx")
    assert (made.output, made.sqnr_db) == (worst.name, worst.sqnr_db)
    assert made.float_mac_share == report.cost.float_mac_share
    assert (made.quantized_bytes, made.float_bytes) == (report.cost.quantized_bytes, report.cost.float_bytes)
    assert made.gates == len(report.verdict.gates)
    assert len(made.missed) == sum(not gate.passed for gate in report.verdict.gates)
    assert made.exit_code == (0 if report.verdict.passed else 5)


def test_the_committed_json_schema_is_current() -> None:
    file = Path(summary_module.__file__).with_name("summary.schema.json")
    assert file.read_text() == summary_schema(), (
        f"run: python -c \"from bridge.report.summary import summary_schema; print(summary_schema(), end='')\" > {file}"
    )


def test_json_has_no_number_that_json_does_not_have() -> None:
    summary = Summary(models=(row("a", sqnr_db=math.inf), row("b", sqnr_db=math.nan)))
    stored = json.loads(summary.to_json(), parse_constant=lambda name: pytest.fail(name))
    assert [one["sqnr_db"] for one in stored["models"]] == ["inf", "nan"]
    again = Summary.model_validate_json(summary.to_json())
    assert again.models[0] == summary.models[0]
    assert again.models[1].sqnr_db is not None
    assert math.isnan(again.models[1].sqnr_db)


def test_no_format_passes_on_markup_of_a_name() -> None:
    summary = Summary(models=(row(HOSTILE), row("b", 2, error=HOSTILE, hint=HOSTILE), row("c", 5, missed=(HOSTILE,), gates=1)))
    page, lines, plain = html(summary), markdown(summary), text(summary)
    assert "<img" not in page
    assert page.count("</script>") == 1
    assert "\x1b" not in page + lines + plain
    assert sum(line.startswith("| ") and line.count(" | ") == 8 for line in lines.splitlines()) == 5  # head, rule, rows
    for one in (page, lines, plain):
        one.encode()


def test_formats_say_the_same_of_each_row() -> None:
    figure = TaskFigure(name="psnr", float_value=31.25, value=31.0, unit="dB")
    good = row("good", sqnr_db=28.04, task=figure, quantized_bytes=1_500_000, size_ratio=0.26, float_mac_share=0.125, float_ms=3.0, quantized_ms=1.5)
    summary = Summary(models=(good, row("bad", 3, error="No kernel.", hint="Cut it."), row("later", None)), seconds=12.0, jobs=2)
    for shown in (html(summary), markdown(summary), text(summary)):
        assert "1 of 3 models converted, 1 not convertible, 1 not run, in 12 s" in shown
        for part in ("28.0 dB", "psnr 31.2500 → 31.0000 dB", "1.50 MB", "0.26x", "12.5 %", "No kernel"):
            assert part in shown
    for form in (html, markdown):
        assert "up to 2 models were converted at the same time" in form(summary)
        assert "at the same time" not in form(summary.model_copy(update={"jobs": 1}))
