"""The pages of a ranking and of a search: every figure is there, links lead somewhere, and no name is more than text."""

import csv
import io
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bridge.report.bar_plot import bar_plot
from bridge.report.scatter_plot import scatter_plot
from bridge.tune import result as result_module
from bridge.tune import sensitivity_page, tune_page
from bridge.tune.result import Member, Point, Trials, TuneReport, front, tune_schema
from bridge.tune.rule_file import rule_entries, rule_text
from bridge.tune.search import Found
from bridge.tune.sensitivity_result import SensitivityReport, Unit
from bridge.tune.trial import Spec, Trial
from bridge.types import OutputResult

HOSTILE = "</script><img src=x onerror=alert(1)>|`\x1b[31m\u202e"


class Page(HTMLParser):
    """Tags of a page with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def unit(name: str, depth: int, alone_db: float | None, op_type: str = "Conv") -> Unit:
    return Unit(name=name, nodes=(name,), op_type=op_type, depth=depth, macs=0.25, weights=0.125, alone_db=alone_db)


def ranking(*units: Unit) -> SensitivityReport:
    return SensitivityReport(
        model=f"{HOSTILE}.onnx", method="one-quantized", predicted=False, level="node", observer="min_max", source=HOSTILE, samples=8, runs=4,
        start_db=17.25, units=units, seconds={"rank": 1.5, HOSTILE: 2.0},
    )  # fmt: skip


def point(cost: float, sqnr_db: float, *, met: bool, **assignment: str) -> Point:
    return Point(
        assignment=assignment, cost=cost, met=met, affordable=True, worst_output=HOSTILE, sqnr_db=sqnr_db, top1_drop=0.01, metrics={"psnr": 31.0},
        drops={"psnr": 0.5}, float_mac_share=cost / 2, size_ratio=0.25 + cost, quantized_bytes=1000, quantize_ops=1, dequantize_ops=1,
    )  # fmt: skip


def search(target: str = "sqnr>=30") -> TuneReport:
    start, best = point(0.0, 21.5, met=False), point(0.25, 32.25, met=True, **{HOSTILE: "float32"})
    member = Member(name=HOSTILE, nodes=(HOSTILE,), precision="float32", float_macs=0.125, without_db=24.75, reason=HOSTILE)
    named = Member(name="a[0]*/b", nodes=("a[0]*/b",), precision="dynamic_wi8_afp32", float_macs=0.0, reason="Because.")
    return TuneReport(
        model=f"{HOSTILE}.onnx", target=target, budgets=("size<=1000",), met=True, observer="mse", recovery=(), samples=8, confirmed_on=16,
        source=HOSTILE, candidates=9, trials=Trials(allowed=60, made=11, further=3, cached=2), start=start, best=best, members=(member, named),
        front=(start, point(0.125, 28.0, met=False, x="float32"), best), seconds={"search": 4.0}, command=f"bridge convert {HOSTILE}", rules="rules.toml",
    )  # fmt: skip


@pytest.mark.parametrize(
    "text", [sensitivity_page.html(ranking(unit(HOSTILE, 0, 20.0, HOSTILE))), tune_page.html(search())], ids=["ranking", "search"]
)
def test_no_name_is_more_than_text(text: str) -> None:
    page = Page(text)
    assert not page.all("img")
    (script,) = page.all("script")
    assert not script  # written here, from nowhere
    assert all("\x1b" not in part and "\u202e" not in part for part in (text, page.text))
    assert "<img src=x onerror=alert(1)>" in page.text
    (policy,) = (meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    targets = [link["href"] or "" for link in page.all("a")]
    assert targets
    assert all(target.startswith("#") for target in targets)
    identifiers = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(set(identifiers)) == len(identifiers)
    assert {target[1:] for target in targets} <= set(identifiers)


def test_every_unit_has_a_bar_in_both_orders_and_a_row() -> None:
    text = sensitivity_page.html(ranking(unit("late", 7, 12.5), unit("early", 1, 31.5, "Add"), unit("unknown", 3, None)))
    order = [re.findall(r"<title>(\w+) ", part) for part in text.split("<svg")[1:]]
    assert order == [["late", "early"], ["early", "late"]]
    page = Page(text)
    assert len(page.all("rect")) == 4  # nothing is drawn of what is unknown
    assert [row["id"] for row in page.all("tr") if "id" in row] == ["unit-0", "unit-1", "unit-2"]
    assert "late takes most: 12.5 dB" in page.text
    assert "17.2 dB with all in int8" in page.text


def test_bars_have_the_heights_of_their_values() -> None:
    down = bar_plot([10.0, 20.0, 30.0, float("nan"), float("inf"), None], lowest_tallest=True)
    heights = [None if bar is None else bar.height for bar in down.bars]
    assert heights[5] is None
    assert heights[3] == heights[0]
    known = [height for height in heights[:3] if height is not None]
    assert known[0] - known[1] == pytest.approx(known[1] - known[2])
    assert known[2] > (heights[4] or 0.0) > 0.0
    up = bar_plot([4.0, -2.0], lowest_tallest=False)
    positive, negative = up.bars
    assert positive is not None
    assert negative is not None
    assert positive.y + positive.height == pytest.approx(up.zero) == pytest.approx(negative.y)
    assert positive.height == pytest.approx(2 * negative.height)


def test_points_stand_where_their_values_are() -> None:
    plot = scatter_plot([(0.0, 10.0), (1.0, 30.0), (0.5, 20.0), (None, 1.0)], through=(0, 2, 1), line=40.0)
    assert plot is not None
    first, last, middle, missing = plot.points
    assert first is not None
    assert last is not None
    assert missing is None
    assert middle == pytest.approx(((first[0] + last[0]) / 2, (first[1] + last[1]) / 2))
    assert plot.line == pytest.approx(last[1] - (first[1] - last[1]) / 2)
    assert plot.path.count("H") == 2
    assert scatter_plot([(None, 1.0)]) is None


@pytest.mark.parametrize(
    ("target", "label", "value", "bound"),
    [
        ("sqnr>=30", "SQNR of the worst output, dB", 32.25, 30.0),
        ("top1_drop<=0.005", "top1 drop", 0.01, 0.005),
        ("metric:psnr:drop<=0.2 and sqnr>=3", "loss of psnr", 0.5, 0.2),
        ("metric:psnr>=30", "psnr", 31.0, 30.0),
        ("cosine>=0.9", "SQNR of the worst output, dB", 32.25, None),
    ],
)
def test_the_plot_is_about_what_the_target_asks(target: str, label: str, value: float, bound: float | None) -> None:
    report = search(target)
    asked = tune_page.measure(target)
    assert (asked.label, asked.read(report.best), asked.bound) == (label, value, bound)
    text = tune_page.html(report)
    assert text.count('<line class="target"') == (3 if bound is not None else 0)
    assert text.count("<circle") == 3 * 4  # over three axes: the start, which is the first of the front, two more, the result
    assert text.count('class="best"') == 3


def test_markdown_has_the_table_the_reasons_and_the_rules() -> None:
    text = tune_page.markdown(search())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert [row.split("|")[1].strip() for row in rows[2:6]] == ["all in int8", "front", "front", "result"]
    assert "32.2 dB instead of 21.5 dB with 2 of 9 not in int8" in text
    assert 'precision = "dynamic_wi8_afp32"' in text
    plain = "\n".join(line for line in text.splitlines() if not line.startswith("    "))  # without the command, a block of code
    without_spans = re.sub(r"(?<!`)(`+)(?!`).*?(?<!`)\1(?!`)", "", plain, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<", without_spans)


def test_rules_name_nodes_with_signs_of_a_glob_and_those_alone() -> None:
    members = search().members
    hostile, entry = rule_entries(members)
    assert hostile == ""  # no pattern of a rule file takes what cannot be printed
    rules = tomllib.loads(rule_text(members, description="a test", reset=True))["rules"]
    assert rules == tomllib.loads(entry)["rules"]
    (condition,) = rules[0]["match"]
    assert condition["kind"] == "name"
    assert re.fullmatch(condition["regex"], "a[0]*/b")
    assert not any(re.fullmatch(condition["regex"], other) for other in ("a0/b", "a[0]x/b", "a[0]*/bc"))
    assert rules[0]["reason"] == "Because."


def test_the_front_holds_what_nothing_beats() -> None:
    def found(cost: float, *sqnr_db: float) -> Found:
        outputs = tuple(OutputResult(str(place), value, 1.0, 0.0) for place, value in enumerate(sqnr_db))
        return Found({}, Trial(Spec((), ""), outputs, (), (), 0.0, 1, 1, 0, 0, 0), cost, met=True, affordable=True)

    history = [found(0.3, 30.0), found(0.1, 20.0), found(0.2, 25.0, 19.0), found(0.3, 28.0), found(0.0, 10.0, 90.0), found(0.4, 30.0)]
    assert [(one.cost, one.worst_db) for one in front(history)] == [(0.0, 10.0), (0.1, 20.0), (0.3, 30.0)]


def test_a_name_is_no_formula_of_a_spreadsheet() -> None:
    (row,) = csv.DictReader(io.StringIO(ranking(unit('=HYPERLINK("x"),\n', 0, 20.0)).to_csv()))
    assert row["name"] == '\'=HYPERLINK("x"),\n'
    assert (row["rank"], row["alone_db"], row["own_db"]) == ("1", "20.0", "")


def test_the_committed_json_schema_is_current() -> None:
    file = Path(result_module.__file__).with_name("tune.schema.json")
    assert file.read_text() == tune_schema(), f"run: python -c \"from bridge.tune.result import tune_schema; print(tune_schema(), end='')\" > {file}"
