import os
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from rich.console import Console

from bridge.errors import UsageError
from bridge.report import FORMATS, RENDERERS, show, write
from bridge.report.schema import Diagnostic, Report

SNAPSHOTS = Path(__file__).parents[1] / "snapshots"
HOSTILE = (
    "<script>alert(1)</script>",
    "two\nlines\ttab\x00null\x1b[31mred\x9b",
    "\u202egnirts\u2066\u200b",
    "`code` | **bold** [x](http://example.com) ``",
    "{{ 7 * 7 }}{% raw %}",
    "[bold red]markup[/] :smile:",
    "]]> &amp; <!-- --> \ufffe",
    "n" * 100_000,
)


@pytest.mark.parametrize("name", ["json", "markdown", "junit", "terminal", "github", "csv", "model-explorer"])
def test_the_format_is_as_reviewed(report: Report, name: str) -> None:
    file = SNAPSHOTS / RENDERERS[name].file
    text = RENDERERS[name].render(report)
    if os.environ.get("UPDATE_SNAPSHOTS"):
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"review, then: UPDATE_SNAPSHOTS=1 pytest {__file__}"


def test_write_makes_one_file_per_format_and_nothing_else(report: Report, tmp_path: Path) -> None:
    files = write(report, tmp_path)
    assert {name: file.name for name, file in files.items()} == {
        "json": "report.json",
        "html": "report.html",
        "markdown": "report.md",
        "junit": "junit.xml",
    }
    assert sorted(path.name for path in tmp_path.iterdir()) == ["junit.xml", "report.html", "report.json", "report.md"]
    assert Report.from_json(files["json"].read_bytes()) == report


def test_an_unknown_format_writes_nothing_and_lists_the_known_ones(report: Report, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"Unknown report format\. Received: 'pdf'") as caught:
        write(report, tmp_path, ("json", "pdf"))
    assert "markdown" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


def test_the_same_report_gives_the_same_text(report: Report) -> None:
    for name in FORMATS:
        assert RENDERERS[name].render(report) == RENDERERS[name].render(report)


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_no_hostile_name_brings_a_control_character_into_a_text_format(rename: Callable[[str], Report], name: str) -> None:
    for renderer in RENDERERS.values():
        text = renderer.render(rename(name))
        assert all(sign.isprintable() or sign == "\n" for sign in text), renderer.file
        assert len(text) < 200_000 or renderer.file in ("report.json", "layers.csv"), renderer.file  # those cut no name


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_changes_nothing_about_the_shape_of_the_text(report: Report, rename: Callable[[str], Report], name: str) -> None:
    changed = rename(name)
    assert Report.from_json(changed.to_json()) == changed
    assert [element.tag for element in ET.fromstring(RENDERERS["junit"].render(changed)).iter("testcase")] == ["testcase"] * 4
    tables = [line for line in RENDERERS["markdown"].render(changed).splitlines() if line.startswith("|")]
    before = [line for line in RENDERERS["markdown"].render(report).splitlines() if line.startswith("|")]
    assert [_cells(line) for line in tables] == [_cells(line) for line in before]


def _cells(line: str) -> int:
    """Columns of a Markdown table row, as GitHub splits it: at every | that no backslash precedes."""
    return len(line.replace("\\|", "").split("|"))


def test_markdown_shows_markup_in_a_name_and_a_message_as_text(rename: Callable[[str], Report]) -> None:
    text = RENDERERS["markdown"].render(rename("**b** <i> [x](http://y) @me `c`"))
    assert "`` **b** <i> [x](http://y) @me `c` ``" in text  # a code span with a longer fence
    assert r"\*\*b\*\* \<i\> \[x\](http\://y) \@me \`c\`" in text  # the same as a message


def test_junit_fails_where_the_run_fails_and_skips_what_could_not_be_checked(report: Report) -> None:
    error = Diagnostic(code="output-differs", severity="error", node="fc", message="Outputs differ.", hint="Look.")
    lost = tuple(layer.model_copy(update={"status": "missing", "reason": "no values"}) if layer.node == "gelu" else layer for layer in report.layers)
    suite = ET.fromstring(RENDERERS["junit"].render(report.model_copy(update={"diagnostics": (error,), "layers": lost})))
    assert {key: suite.attrib[key] for key in ("tests", "failures", "skipped")} == {"tests": "6", "failures": "3", "skipped": "1"}
    failures = {case.attrib["name"]: failure.attrib["message"] for case in suite for failure in case.iter("failure")}
    assert failures == {
        "layer:own_sqnr>=25": "measured 19.5000 at fc_out (1 of 4 miss it)",
        "fc_out: layer:own_sqnr>=25": "measured 19.5000",
        "output-differs fc": "Outputs differ. Look.",
    }


def test_junit_has_a_case_also_without_gates(report: Report) -> None:
    suite = ET.fromstring(RENDERERS["junit"].render(report.model_copy(update={"verdict": report.verdict.model_copy(update={"gates": ()})})))
    assert [case.attrib["name"] for case in suite.iter("testcase")] == ["static_wi8_ai8"]


@pytest.mark.parametrize("name", ["html", "markdown", "terminal"])
def test_random_ranges_are_called_not_for_deployment(report: Report, name: str) -> None:
    synthetic = report.model_copy(update={"summary": report.summary.model_copy(update={"deployable": False})})
    assert "not for deployment" in RENDERERS[name].render(synthetic).lower()
    assert "not for deployment" not in RENDERERS[name].render(report).lower()


def test_many_warnings_are_cut_short_and_counted(report: Report) -> None:
    many = tuple(Diagnostic(code=f"code-{i}", severity="warning", message=f"Message {i}.") for i in range(40))
    noisy = report.model_copy(update={"diagnostics": many})
    assert "and 33 more in report.html" in RENDERERS["markdown"].render(noisy)
    assert "and 36 more warnings in report.html" in RENDERERS["terminal"].render(noisy)
    assert RENDERERS["html"].render(noisy).count("Message 39.") == 1


@pytest.mark.parametrize("name", ["json", "html", "markdown", "junit", "terminal"])
def test_a_run_that_measured_nothing_still_renders(report: Report, name: str) -> None:
    bare = Report.model_validate(
        {"model": report.model, "versions": {}, "precision": "float32", "artifacts": {}, "coverage": report.coverage}
        | dict.fromkeys(("inputs", "outputs", "rules", "nodes", "layers"), ())
    )
    assert "net.onnx" in RENDERERS[name].render(bare)


def test_show_prints_names_as_text_not_as_markup(rename: Callable[[str], Report]) -> None:
    console = Console(width=200, record=True, quiet=False, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, PTH123  # closed with the console
    show(rename("[bold]x[/bold] :smile:"), console)
    assert "[bold]x[/bold] :smile:" in console.export_text()
    console.file.close()


@pytest.mark.parametrize("name", ["html", "markdown", "terminal"])
def test_task_metrics_of_both_models_are_shown(report: Report, name: str) -> None:
    text = RENDERERS[name].render(report)
    assert "top5 of scores" in text
    assert all(figure in text for figure in ("0.9900", "0.9800", "0.0100", "1.2500 px", "1.5000 px", "0.2500 px"))
