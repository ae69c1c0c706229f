"""Stored reports may come from anybody: what is no report, or contradicts itself, is one sentence, and what is read can be shown in every format."""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bridge.errors import InputError
from bridge.report import RENDERERS, diff, judge, read_baseline, read_report
from bridge.report.baseline import TOLERANCES
from bridge.report.diff_formats import DIFF_FORMATS
from bridge.report.schema import Report

DEFAULTS = {name: tolerance.default for name, tolerance in TOLERANCES.items()}
PAIRED = "the histogram of 'fc_out' has 1 bins beside"


def test_what_is_no_report_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.json: cannot be read: No such file"):
        read_report(tmp_path / "nothing.json")
    (tmp_path / "bad.json").write_text("{}")
    with pytest.raises(InputError, match=r"bad\.json: "):
        read_report(tmp_path / "bad.json")


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        (("nodes",), [], "a layer names the node 'conv', which is not among its nodes"),
        (("summary", "worst", 0, "tensor"), "nope", "its worst layer 'nope' is not among its layers"),
        (("histograms", 0, "reference"), [1], PAIRED),
    ],
)
def test_parts_that_contradict_each_other_are_refused(report: Report, place: tuple[Any, ...], value: object, message: str, tmp_path: Path) -> None:
    content = json.loads(report.to_json())
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = value
    (tmp_path / "report.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match=message):
        read_report(tmp_path / "report.json")


def test_a_changed_report_is_refused_or_shown_but_never_an_accident(report: Report, tmp_path: Path) -> None:
    path, text = tmp_path / "report.json", report.to_json()
    places = [place for place in _places(json.loads(text)) if place]
    shown = 0
    for seed in range(120):
        path.write_text(json.dumps(_changed(json.loads(text), places, random.Random(seed))))
        try:
            changed = read_report(path)
        except InputError:
            continue
        shown += 1
        for renderer in RENDERERS.values():
            renderer.render(changed)
        judge(changed, ("sqnr>=1 and layer[*]:own_sqnr>=1", "size_ratio<1"), read_baseline(report, {}))
        judge(report, (), read_baseline(changed, {}))
        for form in DIFF_FORMATS.values():
            form(diff(changed, report), DEFAULTS)
    assert shown > 20


def _places(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, one in inner:
        yield from _places(one, (*place, step))


def _changed(content: Any, places: list[tuple[Any, ...]], rng: random.Random) -> object:
    """One place of the report removed, emptied, or with another value."""
    place = rng.choice(places)
    inner = content
    for step in place[:-1]:
        inner = inner[step]
    value = inner[place[-1]]
    match rng.randrange(3), value:
        case 0, _:
            del inner[place[-1]]
        case _, list():
            inner[place[-1]] = rng.choice([[], value[:1], value * 2])
        case _, str():
            inner[place[-1]] = rng.choice(["", "nope", "\u202e::x"])
        case _, int() | float():
            inner[place[-1]] = rng.choice([0, -1, 10**9, 1e308, "nan", "inf", "-inf"])
        case _:
            inner[place[-1]] = None
    return content
