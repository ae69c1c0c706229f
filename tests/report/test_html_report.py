import base64
import hashlib
import math
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.report import html_report
from bridge.report.schema import Histogram, Layer, Node, Report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
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
    assert (html_report.sort_key(value), html_report.tint(value)) == (key, tint)


def test_bars_are_heights_between_0_and_1() -> None:
    histogram = Histogram(tensor="t", minimum=0, maximum=1, reference=(0, 4), candidate=(1, 2))
    assert html_report.bars(histogram) == [(0.0, 0.0, 0.25), (0.5, 1.0, 0.5)]
    assert html_report.bars(Histogram(tensor="t", minimum=0, maximum=1, reference=(0,), candidate=(0,))) == [(0.0, 0.0, 0.0)]


def _dom(file: Path, profile: Path, fragment: str) -> list[tuple[int, bool]]:
    """Rows of the layer table after the page's script ran: (row, hidden)."""
    assert CHROMIUM is not None
    # --no-sandbox: containers give no user namespaces; the page is our own.
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", f"--user-data-dir={profile}", "--virtual-time-budget=5000")
    done = subprocess.run([CHROMIUM, *options, "--dump-dom", f"{file.as_uri()}{fragment}"], capture_output=True, text=True, timeout=120, check=True)
    return [(int(row), "hidden" in rest) for row, rest in re.findall(r'<tr id="row-(\d+)"([^>]*)>', done.stdout)]


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_sorts_and_filters_as_the_address_says(report: Report, tmp_path: Path) -> None:
    layers = (*report.layers[:-1], report.layers[-1].model_copy(update={"own_sqnr_db": math.nan}))
    file = tmp_path / "report.html"
    file.write_text(html_report.render(report.model_copy(update={"layers": layers})), encoding="utf-8")
    profile = tmp_path / "profile"
    # own: NaN (10), 19.5 (7), 28.1 (9), 35.2 (1), infinite (3), then those without in file order
    assert [row for row, _ in _dom(file, profile, "#sort=own")] == [10, 7, 9, 1, 3, 0, 2, 4, 5, 6, 8]
    assert [row for row, _ in _dom(file, profile, "#sort=own&order=desc")] == [3, 1, 9, 7, 10, 0, 2, 4, 5, 6, 8]
    assert [row for row, _ in _dom(file, profile, "#sort=node")][:3] == [0, 7, 3]  # conv, fc, flat
    assert [row for row, hidden in _dom(file, profile, "#find=ln%2F&precision=float32&status=mapped") if not hidden] == [4, 6]
    assert [row for row, hidden in _dom(file, profile, "#sort=no-such-column&precision=no-such") if not hidden] == list(range(11))


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
def test_a_browser_sorts_three_thousand_rows(report: Report, tmp_path: Path) -> None:
    nodes = tuple(Node(name=f"node_{i}", op_type="Conv", precision="static_wi8_ai8") for i in range(3000))
    layers = tuple(Layer(node=node.name, tensor=f"t_{i}", status="mapped", own_sqnr_db=float(i * 7919 % 3000)) for i, node in enumerate(nodes))
    file = tmp_path / "report.html"
    file.write_text(html_report.render(report.model_copy(update={"nodes": nodes, "layers": layers})), encoding="utf-8")
    assert [row for row, _ in _dom(file, tmp_path / "profile", "#sort=own")] == sorted(range(3000), key=lambda i: i * 7919 % 3000)
