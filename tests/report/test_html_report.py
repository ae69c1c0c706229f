import base64
import hashlib
import math
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.report import cells, html_report
from bridge.report.schema import Diagnostic, Report
from bridge.types import Severity

SNAPSHOT = Path(__file__).parents[1] / "snapshots" / "report.html.txt"  # the words of the page, without its markup


class _Page(HTMLParser):
    """Tags with their attributes, and the text of the page without script and style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.assets: dict[str, str] = {}
        self._inside = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside in ("script", "style"):
            self.assets[self._inside] = data
        else:
            self.text.append(data)


def test_every_tensor_has_a_row_with_its_three_errors(report: Report) -> None:
    text = html_report.render(report)
    assert re.findall(r'<tr id="row-(\d+)"', text) == [str(i) for i in range(len(report.layers))]
    row = re.search(r'<tr id="row-7".*?</tr>', text, re.DOTALL)
    assert row is not None
    assert re.findall(r'data-v="([^"]*)"', row[0]) == ["8", "118.2", "22.8", "19.5", "1.25", "0.25", "0.001"]


def test_the_page_says_what_was_reviewed(report: Report) -> None:
    shown = "\n".join(filter(None, (" ".join(part.split()) for part in _Page(html_report.render(report)).text))) + "\n"
    if os.environ.get("UPDATE_SNAPSHOTS"):
        SNAPSHOT.write_text(shown, encoding="utf-8")
    assert shown == SNAPSHOT.read_text(encoding="utf-8"), f"review, then: UPDATE_SNAPSHOTS=1 pytest {__file__}"


def test_a_name_brings_no_tag_no_attribute_and_no_template(rename: Callable[[str], Report]) -> None:
    plain = _Page(html_report.render(rename("plain")))
    known = {(tag, *sorted(attributes)) for tag, attributes in plain.tags}
    for name in (
        "<script>alert(1)</script>",
        "</script></style><img src=x onerror=alert(1)>",
        '" onmouseover="alert(1)',
        "' x='",
        "{{ 7 * 7 }}{% raw %}",
    ):
        page = _Page(html_report.render(rename(name)))
        assert {(tag, *sorted(attributes)) for tag, attributes in page.tags} <= known
        assert len(page.tags) <= len(plain.tags)
        assert page.text.count(name) > 3
        assert page.assets == plain.assets


def test_the_page_asks_no_network(report: Report) -> None:
    page = _Page(html_report.render(report))
    assert not [tag for tag, attributes in page.tags if {"src", "srcset", "data"} & set(attributes)]
    assert all((attributes["href"] or "").startswith("#") for _, attributes in page.tags if "href" in attributes)
    assert not re.search(r"https?:|url\(|@import|fetch\(|XMLHttpRequest", "".join(page.assets.values()))


def test_only_the_pages_own_script_may_run(report: Report) -> None:
    page = _Page(html_report.render(report))
    policy = next(attributes["content"] for tag, attributes in page.tags if tag == "meta" and "http-equiv" in attributes)
    digest = base64.b64encode(hashlib.sha256(page.assets["script"].encode()).digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'")


@pytest.mark.parametrize(
    ("value", "key", "tint"),
    [(None, "", ""), (math.inf, "Infinity", ""), (-math.inf, "-Infinity", "bad"), (math.nan, "NaN", "bad"), (9.9, "9.9", "bad"), (10.0, "10.0", "poor"), (20.0, "20.0", "")],
)  # fmt: skip
def test_a_number_sorts_and_is_tinted_by_its_value(value: float | None, key: str, tint: str) -> None:
    assert (cells.sort_key(value), cells.tint(value)) == (key, tint)


def test_every_part_that_the_page_about_it_names_is_there(report: Report) -> None:
    page = (Path(__file__).parents[2] / "docs" / "html-report.md").read_text(encoding="utf-8")
    named = re.findall(r"\*\*([^*]+)\*\*", page)
    headings = re.findall(r"<h2>(.*?)</h2>", html_report.render(report))
    assert len(named) >= 9
    assert [name for name in named if not any(name in heading for heading in headings)] == []
    assert (Path(__file__).parents[2] / "docs" / "report.png").stat().st_size < 300_000


def test_warnings_of_one_kind_are_told_once_with_their_number() -> None:
    findings = [Diagnostic(code=code, severity="warning", message=f"{code} {i}") for i, code in enumerate(("a", "b", "a"))]
    assert [(finding.message, more) for finding, more in html_report.one_per_code(findings)] == [("a 0", 1), ("b 1", 0)]


def test_errors_stand_before_the_worst_layers_and_warnings_behind(report: Report) -> None:
    kinds: tuple[Severity, ...] = ("warning", "error", "info")
    findings = tuple(Diagnostic(code=kind, severity=kind, message=kind) for kind in kinds)
    page = html_report.render(report.model_copy(update={"diagnostics": findings}))
    places = [page.index(f'<section id="{part}"') for part in ("errors", "worst", "warnings", "depth-section", "findings")]
    assert places == sorted(places)
