"""What machines read: JUnit by schema, Markdown and annotations within GitHub's limits, tables, node data; hostile names do nothing in any of them."""

import csv
import io
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from bridge.cli import main
from bridge.errors import UsageError
from bridge.report import RENDERERS, evaluate, github_report, layer_table
from bridge.report.schema import Diagnostic, Gate, Output, Report, json_schema

HOSTILE = ("::error::x%0Ay", "=HYPERLINK(1)", "a,b:c\r\n::warning::z", '"]]><!--', "##[error]x", "\ud800", "%25%", "n" * 50_000)
STEP_SUMMARY = 1 << 20  # bytes that GitHub takes


def _gated(report: Report, *gates: str) -> Report:
    return report.model_copy(update={"verdict": evaluate(report, gates)})


def _large(report: Report, nodes: int = 3000) -> Report:
    """Every list that a format shows grown to `nodes` entries, with long names that need escapes."""
    name = "|`" * 90
    rule = "[[rules]]\n" + f"glob = {name}\n" * nodes
    findings = tuple(Diagnostic(code=f"c{i}", severity="warning", node=name, message=name * 10, hint=name * 10, rule=rule) for i in range(50))
    layers = tuple(report.layers[7].model_copy(update={"tensor": f"{name}{i}", "own_sqnr_db": 10.0 + i % 7}) for i in range(nodes))
    large = report.model_copy(
        update={
            "nodes": report.nodes + tuple(report.nodes[7].model_copy(update={"name": f"{name}{i}"}) for i in range(nodes)),
            "layers": layers,
            "outputs": tuple(Output(name=f"{name}{i}", sqnr_db=3.0) for i in range(nodes)),
            "diagnostics": findings,
        }
    )
    return _gated(large, *(f"layer:own_sqnr>={i}" for i in range(20, 520)))


def test_junit_has_a_case_for_every_layer_that_fails_a_gate(report: Report) -> None:
    suite = ET.fromstring(RENDERERS["junit"].render(_gated(report, "layer:own_sqnr>=30 and sqnr>=20", "layer:own_sqnr>=1", "sqnr>=30 or speedup>=1")))
    failures = {case.attrib["name"]: case.find("failure") for case in suite.iter("testcase") if case.find("failure") is not None}
    assert list(failures) == ["layer:own_sqnr>=30 and sqnr>=20", "fc_out: layer:own_sqnr>=30", "scores: layer:own_sqnr>=30"]
    assert suite.attrib["failures"] == "3"


def test_junit_lists_the_worst_of_many_layers_and_counts_the_rest(report: Report) -> None:
    layers = tuple(report.layers[7].model_copy(update={"tensor": f"t{i}", "own_sqnr_db": float(i)}) for i in range(150))
    suite = ET.fromstring(RENDERERS["junit"].render(_gated(report.model_copy(update={"layers": layers}), "layer:own_sqnr>=150")))
    places = [case.attrib["name"] for case in suite.iter("testcase") if case.attrib["classname"] == "bridge.place"]
    assert (len(places), places[0], places[99], places[100]) == (
        101,
        "t0: layer:own_sqnr>=150",
        "t99: layer:own_sqnr>=150",
        "50 more: layer:own_sqnr>=150",
    )


@pytest.mark.parametrize("name", [*HOSTILE, "fc"], ids=range(len(HOSTILE) + 1))
def test_junit_is_valid_by_the_schema_that_ci_servers_use(rename: Callable[[str], Report], name: str) -> None:
    xmlschema = pytest.importorskip("xmlschema", reason="xmlschema is in the group dev")
    error = Diagnostic(code="output-differs", severity="error", node=name, message=name, hint=name)
    renamed = _gated(rename(name), "layer:own_sqnr>=30", "metric:nothing>=1")
    lost = tuple(layer.model_copy(update={"status": "missing", "reason": name}) for layer in renamed.layers)
    text = RENDERERS["junit"].render(renamed.model_copy(update={"diagnostics": (error,), "layers": lost}))
    xmlschema.XMLSchema(str(Path(__file__).with_name("junit.xsd"))).validate(text)
    assert sum(case.find("failure") is not None for case in ET.fromstring(text)) >= 4


def test_report_json_is_valid_by_the_committed_schema(report: Report) -> None:
    jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is in the group dev")
    broken = report.model_copy(update={"outputs": (report.outputs[0].model_copy(update={"sqnr_db": math.nan, "max_abs": math.inf}),)})
    for one in (report, broken, _gated(report, "layer:own_sqnr>=30")):
        jsonschema.Draft202012Validator(json.loads(json_schema())).validate(json.loads(one.to_json()))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(json.loads(report.to_json()) | {"precision": 3}, json.loads(json_schema()))


def test_markdown_of_3000_nodes_fits_a_job_summary(report: Report) -> None:
    text = RENDERERS["markdown"].render(_large(report))
    assert 20_000 < len(text.encode()) < STEP_SUMMARY
    assert "and 2950 more in report.html" in text
    assert "and 300 more in report.html" in text
    assert "A rule of 3001 lines for it is in report.html." in text


def test_annotations_name_what_failed_and_stop_at_ten(report: Report) -> None:
    lines = RENDERERS["github"].render(_gated(report, "sqnr>=30", "layer:own_sqnr>=25")).splitlines()
    assert lines[:2] == [
        "::error title=Gate not met::sqnr>=30: 24.6 at scores",
        "::error title=Gate not met::layer:own_sqnr>=25: 19.5 at fc_out, 1 of 4 miss it",
    ]
    assert "::warning title=quantized-not-faster::int8 is not faster than float. See cost." in lines
    many = RENDERERS["github"].render(_gated(report, *(f"sqnr>={i}" for i in range(30, 45)))).splitlines()
    assert len([line for line in many if line.startswith("::error")]) == 10
    assert "::error title=bridge::and 6 more in report.html" in many


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_starts_no_command_of_its_own(rename: Callable[[str], Report], name: str) -> None:
    hostile = Gate(expression=name, passed=False, reason=name)
    report = rename(name)
    text = RENDERERS["github"].render(report.model_copy(update={"verdict": report.verdict.model_copy(update={"gates": (hostile,)})}))
    for line in text.splitlines():
        assert re.fullmatch(r"::(error|warning) title=[^:,\r\n]*::[^\r\n]*", line)
        assert not re.search(r"%(?!25|0A|0D|3A|2C)", line)
    assert len(text) < 20_000


def test_a_summary_is_printed_where_the_runner_reads_no_commands(
    report: Report, rename: Callable[[str], Report], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(rename("::add-mask::x").to_json())
    with pytest.raises(SystemExit):
        main(["report", "gate", str(tmp_path / "report.json"), "--gate", "layer:own_sqnr>=25", "--github"])
    printed = capsys.readouterr().out.splitlines()
    token = printed[0].removeprefix("::stop-commands::")
    assert re.fullmatch(r"[0-9a-f]{32}", token)
    end = printed.index(f"::{token}::")
    assert any("layer:own_sqnr>=25" in line for line in printed[1:end])
    assert [line.partition(" ")[0] for line in printed[end + 1 :]] == ["::error", "::warning", "::warning"]
    assert github_report.inert("x") != github_report.inert("x")


def test_csv_has_a_row_per_layer_with_exact_numbers(report: Report) -> None:
    rows = list(csv.DictReader(io.StringIO(RENDERERS["csv"].render(report))))
    assert [row["tensor"] for row in rows] == [layer.tensor for layer in report.layers]
    (fc,) = (row for row in rows if row["node"] == "fc")
    assert (fc["op_type"], fc["precision"], fc["scope"], fc["own_sqnr_db"], fc["clipped_share"]) == (
        "Gemm",
        "static_wi8_ai8",
        "head",
        "19.5",
        "0.001",
    )
    assert next(row for row in rows if row["tensor"] == "scores")["conversion_sqnr_db"] == "inf"
    assert next(row for row in rows if row["tensor"] == "left_out")["own_sqnr_db"] == ""


@pytest.mark.parametrize("name", [*HOSTILE, "+1", "-1", "@x"])
def test_no_cell_of_the_csv_is_a_formula_or_breaks_a_line(rename: Callable[[str], Report], name: str) -> None:
    text = RENDERERS["csv"].render(rename(name))
    rows = list(csv.reader(io.StringIO(text)))
    assert {len(row) for row in rows} == {len(rows[0])}
    assert len(rows) == 12 == text.count("\n")
    assert not [cell for row in rows[1:] for cell in row if cell[:1] in "=+-@" and cell and not _is_number(cell)]


def _is_number(cell: str) -> bool:
    return re.fullmatch(r"-?(inf|nan|[\d.e+-]+)", cell) is not None and cell not in ("+1", "-1")


def test_parquet_holds_the_same_table(report: Report, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the extra `parquet` is not installed")
    (tmp_path / "report.json").write_text(report.to_json())
    with pytest.raises(SystemExit) as ended:
        main(["report", "render", str(tmp_path / "report.json"), "--format", "parquet", "-o", str(tmp_path / "layers.parquet")])
    assert not ended.value.code
    table = parquet.read_table(tmp_path / "layers.parquet")
    assert table.to_pydict() == layer_table.columns(report)
    assert str(table.schema.field("own_sqnr_db").type) == "double"


def test_without_pyarrow_parquet_says_what_to_install(report: Report, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UsageError, match="Parquet needs pyarrow") as caught:
        layer_table.parquet(report)
    assert "uv sync --extra parquet" in caught.value.hint


def test_parquet_goes_to_no_terminal(report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "report.json").write_text(report.to_json())
    with pytest.raises(SystemExit) as ended:
        main(["report", "render", str(tmp_path / "report.json"), "--format", "parquet"])
    assert ended.value.code == 2
    assert "hint: Name a file: -o layers.parquet" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "measure"), [("model-explorer", "inherited_sqnr_db"), ("model-explorer-own", "own_sqnr_db")])
def test_model_explorer_gets_a_value_per_tensor_of_the_file(report: Report, name: str, measure: str) -> None:
    data: Mapping[str, Any] = json.loads(RENDERERS[name].render(report), parse_constant=pytest.fail)
    measured = {layer.tflite_tensor: getattr(layer, measure) for layer in report.layers if getattr(layer, measure) is not None}
    assert {tensor: min(value, 200.0) for tensor, value in measured.items()} == {key: one["value"] for key, one in data["results"].items()}
    assert [one["value"] for one in data["thresholds"]] == sorted(one["value"] for one in data["thresholds"])
    assert all(re.fullmatch(r"#[0-9a-f]{6}", one["bgColor"]) for one in data["thresholds"])


def test_what_is_no_number_is_at_the_end_of_the_scale(report: Report) -> None:
    layers = tuple(one.model_copy(update={"own_sqnr_db": math.nan}) if one.tensor == "fc_out" else one for one in report.layers)
    data = json.loads(RENDERERS["model-explorer-own"].render(report.model_copy(update={"layers": layers})))
    assert data["results"]["tfl_fc_out"] == {"value": -200.0}
