"""Names that want to be more than names, patterns that want to run for ever, and small files that are damaged, through the command line."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import door
import numpy as np
import onnx
import onnx.parser
import pytest
from door import Refused, code_of
from markdown_it import MarkdownIt

from bridge.calibrate.preprocessing import find_preprocessing
from bridge.errors import InputError

fixture = door.refusal  # pytest finds it by its name, `refused`

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "tests" / "snapshots" / "report.json"
NAMES = {
    "html": "<script>alert(1)</script><img src=x onerror=alert(1)>",
    "newline": "a\n::error::injected\nb",
    "control": "\x1b]0;title\x07\x1b[2J\x08\x00"[:-1],
    "right to left": "\u202egnp.exe\u2066",
    "formula": "=cmd|' /C calc'!A0",
    "markdown": "`|**[x](javascript:alert(1))<br>",
}


class Tags(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag, *(f"{tag} {name}" for name, _ in attrs if name.startswith("on"))]


def without_commands(text: str) -> bool:
    return all(sign.isprintable() or sign == "\n" for sign in text)


def test_a_name_is_only_a_name_in_every_output(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A model with such names, from the file to every format of its report."""
    kinds = list(NAMES.values())
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4] x) => (float[1, 4] y) { y = MatMul(x, w) }')
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.eye(4, dtype=np.float32) / 3, "w"))
    del model.graph.node[:]
    edges = [f"{name}{place}" for place, name in enumerate([*kinds, kinds[0]])]
    for name, read, written in zip(kinds, edges, edges[1:], strict=False):
        model.graph.node.append(onnx.helper.make_node("MatMul", [read, "w"], [written], name=name))
    model.graph.input[0].name, model.graph.output[0].name = edges[0], edges[-1]
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert code_of("inspect", tmp_path / "model.onnx") == 0
    assert without_commands(capsys.readouterr().out)
    out = tmp_path / "out"
    assert code_of("convert", tmp_path / "model.onnx", "-o", out, "--no-recover", "--gate", "layer:own_sqnr>=300", "--github") == 5
    printed = capsys.readouterr().out
    assert without_commands(printed)
    assert not [line for line in printed.splitlines() if line.startswith("::error::")]
    report = json.loads((out / "report.json").read_text())
    assert {node["name"] for node in report["nodes"]} == set(kinds)
    page = Tags((out / "report.html").read_text())
    assert not [tag for tag in page.found if tag in ("img", "iframe", "object", "embed") or " on" in tag]
    assert page.found.count("script") <= 2  # the page's own
    ET.parse(out / "junit.xml")  # a parser that refuses control characters
    markdown = (out / "report.md").read_text()
    assert without_commands(markdown)
    shown = Tags(MarkdownIt("commonmark", {"html": True}).enable("table").render(markdown))
    assert not {"a", "img", "script", "br"} & set(shown.found)
    for form in ("csv", "terminal", "github"):
        assert code_of("report", "render", out / "report.json", "--format", form) == 0
        text = capsys.readouterr().out
        assert without_commands(text.replace("\r\n", "\n"))
        if form == "csv":
            assert not [cell for row in csv.reader(io.StringIO(text)) for cell in row if cell.startswith(("=", "@"))]
        if form == "github":
            assert all(line.startswith(("::error title=", "::warning title=")) for line in text.splitlines())


RULE = """schema_version = 1
[[rules]]
id = "slow"
reason = "r"
precision = "float32"
optional = true
match = [{{ kind = "name", {kind} = '{text}' }}]
"""


@pytest.mark.parametrize(
    ("kind", "text"),
    [("regex", "(a+)+b"), ("regex", "(a|a|aa)*b"), ("regex", "(.*)*(.*)*(.*)*b"), ("glob", "*a" * 300 + "b"), ("glob", "**/" * 200 + "b")],
)
def test_a_pattern_that_backtracks_elsewhere_ends_here(kind: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4] x) => (float[1, 4] y) { y = Relu(x) }')
    model.graph.node[0].name = "a" * 3000
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "rules.toml").write_text(RULE.format(kind=kind, text=text))
    assert code_of("rules", "check", tmp_path / "rules.toml", "--model", tmp_path / "model.onnx") == 0
    assert "match" in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    ["(a{99}){99}", "(" * 100 + "a" + ")" * 100, "a" * 300, r"(a)\1", "(?<=a)b"],
    ids=["counts", "depth", "length", "back reference", "lookbehind"],
)
def test_a_regex_that_only_backtracking_can_answer_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "rules.toml").write_text(RULE.format(kind="regex", text=text))
    assert code_of("rules", "check", tmp_path / "rules.toml") == 2
    assert "rules.toml:7: " in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[" * 100_000, "a = " + "{x=" * 3000, "a." * 50_000 + "b = 1", 'a = "' + "x" * (2 << 20) + '"', "\udcff"])
def test_a_hostile_toml_is_refused(
    text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("rules.toml", "pictures.toml", "bridge.toml"):
        (tmp_path / name).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert code_of("rules", "check", tmp_path / "rules.toml") == 2
    assert "rules.toml" in capsys.readouterr().out
    (tmp_path / "pictures").mkdir()
    onnx.save(
        onnx.parser.parse_model('<ir_version: 8, opset_import: ["" : 17]> g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu(x) }'),
        tmp_path / "m.onnx",
    )
    assert "pictures.toml" in refused(
        "trace", tmp_path / "m.onnx", "--data", tmp_path / "pictures", "--preprocess", tmp_path / "pictures.toml", "-o", tmp_path / "t.npz"
    )
    monkeypatch.chdir(tmp_path)
    assert "bridge.toml" in refused("inspect", tmp_path / "m.onnx")


def test_what_a_preprocessing_holds_is_shown_with_escapes(tmp_path: Path) -> None:
    path = tmp_path / "pictures.toml"
    path.write_text('base = "image\\u0000net\\u202e"\n')
    with pytest.raises(InputError, match=r"Received: image\\x00net\\u202e\."):
        find_preprocessing(path)


@pytest.mark.parametrize("damage", ["cut", "nested", "no text"])
def test_a_damaged_report_is_refused_wherever_it_is_read(damage: str, tmp_path: Path, refused: Refused) -> None:
    content = REPORT.read_bytes()
    path = tmp_path / "report.json"
    path.write_bytes({"cut": content[: len(content) // 2], "nested": b"[" * 200_000, "no text": b"\xff" + content}[damage])
    for arguments in (
        ("render", path, "--format", "html"),
        ("gate", path, "--gate", "sqnr>=1"),
        ("diff", REPORT, path),
        ("gate", REPORT, "--baseline", path),
    ):
        assert "report.json" in refused("report", *arguments)
