"""Ranges that minimise the error of the outputs."""

from pathlib import Path

import numpy as np
from msgspec.structs import replace
from small_nets import RELU, Layers, job, min_max

from bridge.recover import recover
from bridge.types import TensorRange

RNG = np.random.default_rng(4)


def net(folder: Path) -> Path:
    """Two layers; the second does not read the last channel of the first."""
    first = RNG.standard_normal((5, 3, 3, 4))
    second = RNG.standard_normal((3, 1, 1, 5))
    first[-1] *= 30
    second[..., -1] = 0
    return Layers(1, 6, 6, 4).conv("a", first, np.zeros(5), activation=RELU).conv("b", second, np.zeros(3)).save(folder / "net.tflite")


VALUES = RNG.standard_normal((30, 1, 6, 6, 4)).astype(np.float32)


def test_values_that_nobody_needs_are_cut_off(tmp_path: Path) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    found = recover(job(path, VALUES), known, ["range_search"], ranges_given=False)
    assert found.ranges is not None
    assert found.ranges.tensors["a"].maximum < known.tensors["a"].maximum / 3
    (outcome,) = found.outcomes
    assert outcome.kept
    assert outcome.after_db is not None
    assert outcome.before_db is not None
    assert outcome.after_db > outcome.before_db + 6


def test_the_same_arguments_give_the_same_ranges(tmp_path: Path) -> None:
    path = net(tmp_path)
    found = [recover(job(path, VALUES), min_max(path, VALUES), ["range_search"], ranges_given=False).ranges for _ in range(2)]
    assert found[0] == found[1]


def test_given_ranges_stay_as_they_are(tmp_path: Path) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    found = recover(job(path, VALUES), known, ["range_search"], ranges_given=True)
    assert found.ranges is known
    assert found.diagnostics[0].message == "range_search: not tried, the ranges were given."


def test_without_budget_nothing_is_tried(tmp_path: Path) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    found = recover(job(path, VALUES, budget=0.0), known, ["range_search"], ranges_given=False)
    assert found.ranges is known
    assert found.diagnostics[0].message == "range_search: found nothing that helps."


def test_ranges_that_rules_chose_stay_as_they_are(tmp_path: Path) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    found = recover(replace(job(path, VALUES), fixed_ranges=frozenset({"a"})), known, ["range_search"], ranges_given=False)
    assert found.ranges is not None
    assert found.ranges.tensors["a"] == known.tensors["a"]


def test_only_ranges_that_may_cut_something_off_get_wider(tmp_path: Path) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    spans = {name: TensorRange(0.6 * span.minimum, 0.6 * span.maximum) if name == "b" else span for name, span in known.tensors.items()}
    narrow = replace(known, tensors=spans)
    held, cut = (
        recover(job(path, VALUES), replace(narrow, observer=observer), ["range_search"], ranges_given=False).ranges
        for observer in ("min_max", "percentile")
    )
    assert held is not None
    assert cut is not None
    assert held.tensors["b"].maximum <= spans["b"].maximum
    assert cut.tensors["b"].maximum > spans["b"].maximum
