"""Ranges by precision."""

from bridge.quantize.precisions import PRECISIONS
from bridge.quantize.spans import spans_by_precision
from bridge.types import RangeChoice, Ranges, TensorRange

RANGES = Ranges(
    {"x": TensorRange(-1.0, 3.0), "fixed": TensorRange(0.0, 1.0), "clipped": TensorRange(-50.0, 0.0), "observed": TensorRange(0.0, 2.0)},
    1,
    "test",
    "",
    choices={"fixed": RangeChoice(fixed=(0.0, 1.0)), "clipped": RangeChoice(clip=(-50.0, 0.0)), "observed": RangeChoice(observer="mse")},
)


def test_int16_has_room_for_half_as_much_again() -> None:
    spans = spans_by_precision(RANGES)["static_wi8_ai16"]
    assert spans["x"] == TensorRange(-1.5, 4.5)
    assert spans["observed"] == TensorRange(0.0, 3.0)


def test_a_range_that_a_rule_sets_or_clips_stays_as_it_is() -> None:
    spans = spans_by_precision(RANGES)["static_wi8_ai16"]
    assert spans["fixed"] == RANGES.tensors["fixed"]
    assert spans["clipped"] == RANGES.tensors["clipped"]


def test_eight_bits_have_none_to_give_away() -> None:
    spans = spans_by_precision(RANGES)
    assert all(spans[name] == RANGES.tensors for name in PRECISIONS if name != "static_wi8_ai16")
