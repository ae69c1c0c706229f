import re

import pytest

from bridge.report.growth import growth_median, growth_rows
from bridge.report.schema import Calibration
from bridge.report.value_plots import BASE, TOP, WIDTH, growth_plot, histogram_plot, weight_plot
from bridge.report.values import Growth, Histogram, WeightChannels
from bridge.types import Ranges, TensorMap, TensorPair

MAP = TensorMap((TensorPair("n", "y", "mapped", "", "tfl_y", (1,), (0,), "values", 100.0),), (), (), (), {})
RANGES = Ranges({}, 8, "d", "", growth={"tfl_y": (0.5, 1.0, 1.0, 1.0), "late": (0.1, 0.2, 0.3, 1.0), "still": (1.0, 1.0, 1.0, 1.0)})


def _histogram(**fields: object) -> Histogram:
    ends: dict[str, object] = {"minimum": 0.0, "maximum": 4.0, "reference": (0, 4, 1, 0), "candidate": (0, 0, 16, 0)}
    return Histogram.model_validate({"tensor": "t"} | ends | fields)


def _heights(path: str) -> list[float]:
    return [float(y) for y in re.findall(r"L[\d.]+,([\d.]+)(?=L)", path)][::2]


def test_bars_are_as_high_as_the_roots_of_their_counts() -> None:
    plot = histogram_plot(_histogram())
    full = BASE - TOP
    assert _heights(plot.reference) == pytest.approx([BASE, BASE - full / 2, BASE - full / 4, BASE], abs=0.06)
    assert _heights(plot.candidate) == pytest.approx([BASE, BASE, TOP, BASE], abs=0.06)
    assert plot.span is None


def test_values_and_range_share_one_axis() -> None:
    plot = histogram_plot(_histogram(range_minimum=-4.0, range_maximum=12.0, clipped_below=0.0, clipped_above=0.0))
    assert plot.span == (0.0, WIDTH)
    assert plot.reference.startswith(f"M{WIDTH / 4:.1f},")
    assert [label for _, label, _ in plot.ticks] == ["-4", "12", "0"]
    assert plot.says == "Range -4 to 12 clips nothing; these values use 25 % of it."


def test_what_is_clipped_is_said_for_each_side() -> None:
    plot = histogram_plot(_histogram(range_minimum=1.0, range_maximum=3.0, clipped_below=0.25, clipped_above=0.0001))
    assert plot.span == (WIDTH / 4, WIDTH * 3 / 4)
    assert plot.says == "Range 1 to 3 clips 25 % of the values below and 0.01 % of the values above."


def test_a_float_tensor_is_not_clipped() -> None:
    assert histogram_plot(_histogram()).says == "A float tensor: nothing is clipped."


def test_curves_are_those_asked_for_and_those_that_grew_last() -> None:
    assert growth_median(RANGES) == (0.5, 1.0, 1.0, 1.0)
    assert growth_rows(RANGES, MAP, ["y", "unknown"]) == (
        Growth(tensor="y", shares=(0.5, 1.0, 1.0, 1.0)),
        Growth(tensor="late", shares=(0.1, 0.2, 0.3, 1.0)),
    )


def test_a_curve_rises_from_nothing_to_its_full_width() -> None:
    plot = growth_plot(Calibration(samples=8, growth_median=(0.5, 1.0), growth=(Growth(tensor="y", shares=(0.25, 1.0)),)))
    assert plot is not None
    middle = (BASE + TOP) / 2
    assert plot.lines[-1] == ("median of all tensors", f"M0.0,{BASE}L{WIDTH / 2},{middle}L{WIDTH},{TOP}", True)
    assert plot.ticks == ((WIDTH / 2, "4"), (WIDTH, "8"))
    assert growth_plot(Calibration(samples=8)) is None


@pytest.mark.parametrize(("narrowest", "said"), [(0.25, "4.00 times the narrowest"), (0.0, "the narrowest holds nothing but zeros")])
def test_channels_are_told_with_their_ratio(narrowest: float, said: str) -> None:
    plot = weight_plot(WeightChannels(node="n", op="CONV_2D", channels=2, widths=(1.0, narrowest)))
    assert said in plot.says
    assert _heights(plot.area) == pytest.approx([TOP, BASE - (BASE - TOP) * narrowest], abs=0.06)
