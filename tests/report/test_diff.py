import json
import math
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.cli import main
from bridge.report.baseline import TOLERANCES
from bridge.report.diff import ReportDiff, diff
from bridge.report.diff_formats import DIFF_FORMATS
from bridge.report.schema import Report

DEFAULTS = {name: tolerance.default for name, tolerance in TOLERANCES.items()}
HOSTILE = "<script>alert(1)</script>|`x`\n\x1b[31m"


@pytest.fixture
def worse(report: Report) -> Report:
    """One of each: an output, a layer, a precision, a size, a node that is new."""
    nodes = (*report.nodes[:-1], report.nodes[-1].model_copy(update={"name": "right"}))
    nodes = tuple(one.model_copy(update={"precision": "float32", "rule": "mine"}) if one.name == "fc" else one for one in nodes)
    layers = tuple(one.model_copy(update={"own_sqnr_db": 12.25}) if one.tensor == "fc_out" else one for one in report.layers)
    layers = tuple(one.model_copy(update={"node": "right"}) if one.node == "left" else one for one in layers)
    return report.model_copy(
        update={
            "nodes": nodes,
            "layers": layers,
            "outputs": (report.outputs[0].model_copy(update={"sqnr_db": 20.0, "top1_quantized": None}),),
            "cost": report.cost.model_copy(update={"quantized_bytes": 2_300_000, "quantized_ms": 9.9}),
        }
    )


def test_everything_that_differs_is_there_once(report: Report, worse: Report) -> None:
    found = diff(report, worse)
    losses = {(one.kind, one.measure): one.loss for one in found.differences if one.loss}
    assert losses == {("sqnr", "SQNR, dB"): pytest.approx(4.6), ("layer_sqnr", "own SQNR, dB"): 7.25, ("size", "bytes"): pytest.approx(1.0)}
    assert [(one.before, one.after, one.loss) for one in found.differences if one.kind == "latency"] == [(1.4, 9.9, None)]
    assert [(one.node, one.before, one.after, one.rule) for one in found.precisions] == [("fc", "static_wi8_ai8", "float32", "mine")]
    assert (found.only_before, found.only_after) == (("left",), ("right",))


def test_text_says_what_got_worse(report: Report, worse: Report) -> None:
    said = DIFF_FORMATS["text"](diff(report, worse), DEFAULTS).splitlines()
    assert said[0] == "4 measures worse than the tolerance, 1 node in another precision"
    assert any(line.split() == ["scores", "SQNR,", "dB", "24.6", "20.0", "-4.6", "worse"] for line in said)
    assert any(line.split() == ["scores", "top-1", "0.926", "-", "-", "worse"] for line in said)
    assert any(line.split() == ["fc_out", "own", "SQNR,", "dB", "19.5", "12.2", "-7.25", "worse"] for line in said)
    assert any(line.split() == ["fc", "Gemm", "static_wi8_ai8", "float32", "mine"] for line in said)
    assert any(line.split() == ["bytes", "1.15", "MB", "2.30", "MB", "+100.0", "%", "worse"] for line in said)
    assert any(line.split() == ["latency,", "ms", "1.4", "9.9", "+607.1", "%"] for line in said)  # never worse: noise


def test_json_comes_back_as_the_same_difference(report: Report, worse: Report) -> None:
    broken = worse.model_copy(update={"outputs": (worse.outputs[0].model_copy(update={"sqnr_db": math.nan}),)})
    found = diff(report, broken)
    again = ReportDiff.model_validate_json(DIFF_FORMATS["json"](found, DEFAULTS))
    assert again.differences[0].loss == math.inf
    assert json.loads(found.to_json(), parse_constant=pytest.fail)["differences"][0]["after"] == "nan"


def test_equal_reports_have_nothing_to_say(report: Report) -> None:
    said = DIFF_FORMATS["text"](diff(report, report), DEFAULTS)
    assert said.startswith("0 measures worse than the tolerance, 0 nodes in another precision\n")
    assert "worse\n" not in said.removeprefix("0 measures worse")


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.add(tag)


def test_a_hostile_name_stays_text_in_every_format(report: Report, rename: Callable[[str], Report]) -> None:
    found = diff(report, rename(HOSTILE))
    for name, render in DIFF_FORMATS.items():
        said = render(found, DEFAULTS)
        assert all(sign.isprintable() or sign == "\n" for sign in said), name
    tags = _Tags()
    tags.feed(DIFF_FORMATS["html"](found, DEFAULTS))
    assert "script" not in tags.seen
    tables = [line for line in DIFF_FORMATS["markdown"](found, DEFAULTS).splitlines() if line.startswith("| `")]
    assert tables
    assert all("<script>" not in line or "`<script>" in line or "`` <script>" in line for line in tables)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_the_commands_on_stored_reports(report: Report, worse: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before, after = tmp_path / "before.json", tmp_path / "after.json"
    before.write_text(report.to_json())
    after.write_text(worse.to_json())
    assert run("report", "gate", before, "--gate", "sqnr>=20", "--baseline", before) == 0
    assert capsys.readouterr().out.startswith("gates met: 8\n")
    assert run("report", "gate", after, "--gate", "sqnr>=20", "--baseline", before, "--tolerance", "precision=1", "--json") == 5
    gates = json.loads(capsys.readouterr().out)["gates"]
    assert [gate["passed"] for gate in gates] == [True, False, False, True, False, True, False, True]
    for form in DIFF_FORMATS:
        assert run("report", "diff", before, after, "--format", form, "-o", tmp_path / form) == 0
        assert (tmp_path / form).stat().st_size > 300
    assert run("report", "render", before, "--format", "markdown") == 0
    assert capsys.readouterr().out.startswith("## `net.onnx`")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("gate", "{}"), "There is neither a gate nor a baseline."),
        (("gate", "{}", "--gate", "nope>1"), "unknown name"),
        (("gate", "{}", "--gate", "sqnr>1", "--tolerance", "sqnr"), "--tolerance sqnr: not a name and a number."),
        (("diff", "{}", "{}", "--format", "pdf"), "Received: 'pdf'"),
        (("render", "{}", "--format", "pdf"), "Received: 'pdf'"),
        (("render", "nothing.json", "--format", "html"), "nothing.json: cannot be read"),
        (("render", "{}", "--format", "html", "-o", "/nowhere/x"), "/nowhere/x: cannot be written"),
    ],
)
def test_what_cannot_work_is_one_sentence(
    arguments: tuple[str, ...], said: str, report: Report, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(report.to_json())
    assert run("report", *(argument.format(tmp_path / "report.json") for argument in arguments)) == 2
    assert said in capsys.readouterr().err
