"""The HTML report in a real browser, used as a person does: with the mouse and the keyboard."""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import browser
import pytest
from browser import Browser

from bridge.report import html_report
from bridge.report.schema import Layer, Node, Report
from bridge.report.schema import Summary as ReportSummary
from bridge.report.summary import ModelRow, Summary
from bridge.report.summary_formats import write

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(browser.MISSING), reason=browser.MISSING)]
ROWS = "return [...document.querySelectorAll('#layer-table tbody tr')].map((row) => [Number(row.id.slice(4)), row.hidden])"
FOCUSED = "return document.activeElement.id"
LARGE = 3000
HOSTILE = (
    "</script></style><img src=x onerror=alert(1)>",
    '" onfocus="alert(1)" autofocus x="',
    "]]>&lt;script&gt;alert(1)<!--",
    "two\nlines\ttab\x00null\x1b[31mred\x9b",
    "\u202egnirts\u2066\u200b",
    "\u05d0\u05d1\u05d2 12 + 3",  # written from right to left
    "{{ 7 * 7 }}{% raw %}",
    "n" * 100_000,
)


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser.opened(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


@pytest.fixture
def show(window: Browser, tmp_path: Path) -> Callable[..., None]:
    def shown(report: Report, fragment: str = "") -> None:
        file = tmp_path / "report.html"
        file.write_text(html_report.render(report), encoding="utf-8")
        window.open(Path("/dev/null"))
        window.complaints()
        window.open(file, fragment)

    return shown


@pytest.fixture
def large(report: Report) -> Report:
    """A chain of many nodes with a shortcut over every third."""
    nodes = tuple(Node(name=f"node_{i}", op_type="Conv", precision="float32" if i % 7 == 0 else "static_wi8_ai8") for i in range(LARGE))
    layers = tuple(Layer(node=node.name, tensor=f"t_{i}", status="mapped", own_sqnr_db=float(i * 7919 % LARGE)) for i, node in enumerate(nodes))
    chain, shortcuts = [(i - 1, i) for i in range(1, LARGE)], [(i - 3, i) for i in range(3, LARGE, 3)]
    return report.model_copy(update={"nodes": nodes, "layers": layers, "edges": (*chain, *shortcuts), "islands": (), "summary": ReportSummary()})


def test_a_node_is_found_by_name_and_its_details_appear(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.click("#graph-find")
    window.keys(*"gelu")
    assert window.text("#graph-found") == "1 of 1"
    details = window.text("#graph-details")
    assert details.startswith("gelu")
    for part in ("Gelu", "float32", "21.0 dB", "117.9 dB", "no int8 kernel for GELU", "fc", "softmax", "cat.png (12.2 dB), sample 7 (14.0 dB)"):
        assert part in details
    window.keys(*"x")
    assert window.text("#graph-found") == "no such node"
    assert window.complaints() == []


def test_a_node_that_another_stands_for_is_found_there(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.click("#graph-find")
    window.keys(*"ln/sub")
    assert window.text("#graph-title") == "ln/div"
    assert "Stands for\nln/mean\nln/sub" in window.text("#graph-details")
    window.run("document.getElementById('row-4').focus()")  # ln/mean in the table
    window.keys("Enter")
    assert window.text("#graph-title") == "ln/div"


def test_a_report_without_edges_has_no_graph_and_works(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report.model_copy(update={"edges": ()}))
    assert window.run("return document.getElementById('graph-canvas')") is None
    window.click("th[data-key=own] button")
    assert window.run(ROWS)[0][0] == 7
    window.click("#layer-table tbody tr")
    window.keys("Enter")
    assert window.complaints() == []


def test_it_works_in_the_frame_of_a_notebook(window: Browser, show: Callable[..., None], report: Report, tmp_path: Path) -> None:
    file = tmp_path / "notebook.html"
    file.write_text(f"<!doctype html><meta charset='utf-8'>{report._repr_html_()}", encoding="utf-8")
    window.open(file)
    with window.inside("iframe"):
        window.click("th[data-key=own] button")
        assert window.run(ROWS)[0][0] == 7
        window.click("#graph-find")
        window.keys(*"gelu")
        assert window.text("#graph-title") == "gelu"
    assert window.complaints() == []


def test_a_click_on_a_drawn_node_chooses_it(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.click("#graph-canvas", right=-300)  # beside the nodes: only gives the focus
    window.keys("Home")
    assert window.text("#graph-title") == "conv"
    window.click("#graph-canvas", down=72)  # the next rank, 66 steps of 1.1 pixels below
    assert window.text("#graph-title") == "relu"
    window.click("#graph-details .step:last-of-type")
    assert window.text("#graph-title") != "relu"


def test_the_keyboard_follows_the_edges_and_zooms(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.click("#graph-canvas", right=-300)
    seen = []
    for key in ("Home", "ArrowDown", "ArrowDown", "ArrowUp", "End", "ArrowDown"):
        window.keys(key)
        seen.append(window.text("#graph-title"))
    assert seen == ["conv", "relu", "flat", "relu", "softmax", "softmax"]
    picture = "return document.getElementById('graph-canvas').toDataURL()"
    settle = "return new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
    window.run(settle)
    before = window.run(picture)
    window.keys("+")
    window.run(settle)
    larger = window.run(picture)
    window.keys("0")
    window.run(settle)
    assert len({before, larger, window.run(picture)}) == 3
    assert window.complaints() == []


def test_the_legend_goes_with_the_colours(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    shown = "return ['graph-errors', 'graph-precisions'].filter((id) => document.getElementById(id).offsetHeight > 0)"
    assert window.run(shown) == ["graph-errors"]
    window.run("document.getElementById('graph-colour').focus()")
    window.keys("End")
    assert window.run("return document.getElementById('graph-colour').value") == "precision"
    assert window.run(shown) == ["graph-precisions"]


def test_a_click_on_a_heading_sorts_and_another_turns_it_round(window: Browser, show: Callable[..., None], report: Report) -> None:
    layers = (*report.layers[:-1], report.layers[-1].model_copy(update={"own_sqnr_db": math.nan}))
    show(report.model_copy(update={"layers": layers}))
    window.click("th[data-key=own] button")
    # own: NaN (10), 19.5 (7), 28.1 (9), 35.2 (1), infinite (3), then those without in file order
    assert [row for row, _ in window.run(ROWS)] == [10, 7, 9, 1, 3, 0, 2, 4, 5, 6, 8]
    window.click("th[data-key=own] button")
    assert [row for row, _ in window.run(ROWS)] == [3, 1, 9, 7, 10, 0, 2, 4, 5, 6, 8]
    assert window.run("return location.hash") == "#sort=own&order=desc"


def test_the_address_says_how_the_table_is_sorted_and_filtered(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report, "#sort=node")
    assert [row for row, _ in window.run(ROWS)][:3] == [0, 7, 3]  # conv, fc, flat
    show(report, "#find=ln%2F&precision=float32&status=mapped")
    assert [row for row, hidden in window.run(ROWS) if not hidden] == [4, 6]
    show(report, "#sort=no-such-column&precision=no-such")
    assert [row for row, hidden in window.run(ROWS) if not hidden] == list(range(11))


def test_arrows_walk_the_rows_in_view_and_enter_goes_to_the_graph(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.click("#find")
    window.keys(*"gemm")
    window.click("#reset")
    window.run("document.querySelector('#layer-table tbody tr').focus()")
    window.keys("ArrowDown", "ArrowDown", "ArrowUp")
    assert window.run(FOCUSED) == "row-1"
    window.keys("Enter")
    assert window.run(FOCUSED) == "graph-canvas"
    assert window.text("#graph-title") == "relu"


def test_the_plot_is_walked_by_keys_too(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    window.run("document.getElementById('depth').focus()")
    window.keys("End")
    assert window.text("#tip").startswith("softmax")
    window.keys("ArrowLeft", "Enter")
    assert window.text("#graph-title") == "gelu"


def test_every_control_is_reached_by_tab_and_has_a_name(window: Browser, show: Callable[..., None], report: Report) -> None:
    show(report)
    unnamed = """return [...document.querySelectorAll('button, input, select, canvas:not([aria-hidden]), svg[tabindex], [role=application]')]
        .filter((one) => !(one.getAttribute('aria-label') || one.textContent.trim() || one.labels?.length)).map((one) => one.outerHTML.slice(0, 80))"""
    assert window.run(unnamed) == []
    window.run("document.getElementById('graph-fit').focus()")
    window.keys("Tab")
    assert window.run(FOCUSED) == "graph-canvas"
    assert window.run("return getComputedStyle(document.activeElement).outlineStyle") == "solid"
    window.keys("Tab")
    assert window.run(FOCUSED) == "graph-details"


def test_three_thousand_nodes_open_and_answer(window: Browser, show: Callable[..., None], large: Report) -> None:
    show(large, "#sort=own")
    window.wait("return document.getElementById('graph-title')")
    assert window.text("#graph-title") == "node_0"  # own error 0 dB
    assert [row for row, _ in window.run(ROWS)] == sorted(range(LARGE), key=lambda i: i * 7919 % LARGE)
    window.click("#graph-find")
    window.keys(*"node_2999")
    assert window.text("#graph-title") == "node_2999"
    window.click("#graph-canvas")
    window.keys("ArrowUp")
    assert window.text("#graph-title") in ("node_2998", "node_2996")
    window.click("#graph-fit")
    assert window.complaints() == []


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_name_is_only_text(window: Browser, show: Callable[..., None], rename: Callable[[str], Report], name: str) -> None:
    show(rename("plain"))
    count = "return [document.scripts.length, document.querySelectorAll('img, iframe, object').length, document.querySelectorAll('*').length]"
    scripts, foreign, elements = window.run(count)
    show(rename(name))
    assert window.run(count)[:2] == [scripts, foreign] == [1, 0]
    assert window.run(count)[2] <= elements
    window.click("#graph-find")
    window.keys(*"gemm")
    shown = window.text("#graph-title")
    assert shown.isprintable()
    assert 0 < len(shown) <= 1000
    assert window.complaints() == []


def test_it_is_dark_where_the_reader_wants_it_and_white_on_paper(window: Browser, show: Callable[..., None], report: Report, tmp_path: Path) -> None:
    ground = "return getComputedStyle(document.body).backgroundColor"
    show(report)
    light = window.run(ground)
    window.emulate(prefers_color_scheme="dark")
    try:
        assert sum(map(int, window.run(ground)[4:-1].split(","))) < 150
        window.print(tmp_path / "report.pdf")
        assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
    finally:
        window.emulate(prefers_color_scheme="light")
    assert window.run(ground) == light


def test_a_narrow_window_needs_no_sideways_scrolling(window: Browser, show: Callable[..., None], report: Report) -> None:
    window.resize(500, 900)
    try:
        show(report)
        assert window.run("return document.documentElement.scrollWidth <= window.innerWidth")
    finally:
        window.resize(1440, 1000)


def test_the_summary_of_several_models_is_sorted_by_a_click_and_what_is_missing_stays_last(window: Browser, tmp_path: Path) -> None:
    values = {"a": 20.0, "b": None, "c": math.nan, "d": math.inf, "e": 3.0}
    rows = tuple(ModelRow(name=name, model=name, exit_code=2 if value is None else 0, sqnr_db=value) for name, value in values.items())
    write(Summary(models=rows), tmp_path)
    window.open(Path("/dev/null"))
    window.complaints()
    window.open(tmp_path / "summary.html")
    names = "return [...document.querySelectorAll('#models tbody tr')].map((row) => row.cells[0].innerText[0]).join('')"
    assert window.run(names) == "abcde"
    window.click("#models th:nth-child(3) button")
    assert window.run(names) == "ceadb"
    window.click("#models th:nth-child(3) button")
    assert window.run(names) == "daecb"
    assert window.complaints() == []
