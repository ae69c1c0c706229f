"""Histograms, calibration curves and widths of weight channels as SVG coordinates."""

from collections.abc import Sequence

from msgspec import Struct

from bridge.report import wording
from bridge.report.schema import Calibration
from bridge.report.values import Growth, Histogram, WeightChannels

WIDTH, HEIGHT = 320.0, 118.0
TOP, BASE = 18.0, 96.0  # of the bars; below stands the axis
RARE = 0.02  # height of a bin that is not empty, so that a lone outlier is seen
WASTED = 0.5  # share of the range without a value from which on it is said


class HistogramPlot(Struct, frozen=True):
    """A histogram with the range that integers can hold.

    Attributes:
        tensor: user's name.
        reference: outline of the filled area.
        candidate: outline of the line.
        span: left and right end of the range, None for a float tensor.
        ticks: (x, label, anchor) under the axis.
        says: what the range clips or wastes, in words.
    """

    tensor: str
    reference: str
    candidate: str
    span: tuple[float, float] | None
    ticks: tuple[tuple[float, str, str], ...]
    says: str


def histogram_plot(histogram: Histogram) -> HistogramPlot:
    """The histogram over the values and the range together; heights are square roots of the counts, so that tails are seen."""
    ends = [end for end in (histogram.range_minimum, histogram.range_maximum) if end is not None]
    low, high = min(histogram.minimum, *ends) if ends else histogram.minimum, max(histogram.maximum, *ends) if ends else histogram.maximum
    scale = WIDTH / ((high - low) or 1.0)

    def x(value: float) -> float:
        return (value - low) * scale

    tallest = max((*histogram.reference, *histogram.candidate, 1)) ** 0.5
    width = (histogram.maximum - histogram.minimum) / max(1, len(histogram.reference))
    outlines = [
        _outline([x(histogram.minimum + bin_ * width) for bin_ in range(len(counts) + 1)], counts, tallest)
        for counts in (histogram.reference, histogram.candidate)
    ]
    span = (x(ends[0]), x(ends[1])) if len(ends) == 2 else None
    ticks = [(0.0, wording.significant(low), "start"), (WIDTH, wording.significant(high), "end")]
    if low < 0 < high and 40 < x(0.0) < WIDTH - 40:
        ticks.append((x(0.0), "0", "middle"))
    return HistogramPlot(histogram.tensor, outlines[0], outlines[1], span, tuple(ticks), _says(histogram))


def _outline(edges: Sequence[float], counts: Sequence[int], tallest: float) -> str:
    """The steps of the bins as a closed path."""
    path = [f"M{edges[0]:.1f},{BASE}"]
    for left, right, count in zip(edges[:-1], edges[1:], counts, strict=True):
        height = max(count**0.5 / tallest, RARE) if count else 0.0
        y = BASE - (BASE - TOP) * height
        path.append(f"L{left:.1f},{y:.1f}L{right:.1f},{y:.1f}")
    return "".join((*path, f"L{edges[-1]:.1f},{BASE}Z"))


def _says(histogram: Histogram) -> str:
    """The range and what it does to the values."""
    if histogram.range_minimum is None or histogram.range_maximum is None:
        return "A float tensor: nothing is clipped."
    shares = [(share, side) for share, side in ((histogram.clipped_below, "below"), (histogram.clipped_above, "above")) if share]
    span = f"{wording.significant(histogram.range_minimum)} to {wording.significant(histogram.range_maximum)}"
    if shares:
        return f"Range {span} clips {' and '.join(f'{share * 100:.2g} % of the values {side}' for share, side in shares)}."
    used = (min(histogram.maximum, histogram.range_maximum) - max(histogram.minimum, histogram.range_minimum)) / (
        (histogram.range_maximum - histogram.range_minimum) or 1.0
    )
    rest = f"; these values use {wording.percent(used, 0)} of it" if used < WASTED else ""
    return f"Range {span} clips nothing{rest}."


class GrowthPlot(Struct, frozen=True):
    """Calibration curves: `lines` are (name, path, whether it is the median), `ticks` (x, label)."""

    lines: tuple[tuple[str, str, bool], ...]
    ticks: tuple[tuple[float, str], ...]


def growth_plot(calibration: Calibration) -> GrowthPlot | None:
    """The curves, None without any."""
    if not calibration.growth_median:
        return None
    quarters = len(calibration.growth_median)
    median = Growth(tensor="median of all tensors", shares=calibration.growth_median)
    xs = [WIDTH * (quarter + 1) / quarters for quarter in range(quarters)]
    return GrowthPlot(
        lines=tuple((one.tensor, _line(xs, one.shares), one is median) for one in (*calibration.growth, median)),
        ticks=tuple((x, str(round(calibration.samples * (quarter + 1) / quarters))) for quarter, x in enumerate(xs)),
    )


def _line(xs: Sequence[float], shares: Sequence[float]) -> str:
    points = [(0.0, 0.0), *zip(xs, shares, strict=True)]
    return "".join(f"{'L' if place else 'M'}{x:.1f},{BASE - (BASE - TOP) * share:.1f}" for place, (x, share) in enumerate(points))


class WeightPlot(Struct, frozen=True):
    """Widths of the channels of one weight: `area` is their outline, the widest at the left."""

    node: str
    area: str
    widest: str
    says: str


def weight_plot(weight: WeightChannels) -> WeightPlot:
    """The widths on a linear axis."""
    count, widest = len(weight.widths), max((*weight.widths, 0.0)) or 1.0
    edges = [WIDTH * place / count for place in range(count + 1)]
    path = [f"M0,{BASE}"]
    for left, right, width in zip(edges[:-1], edges[1:], weight.widths, strict=True):
        y = BASE - (BASE - TOP) * width / widest
        path.append(f"L{left:.1f},{y:.1f}L{right:.1f},{y:.1f}")
    narrowest = weight.widths[-1]
    ratio = f"{wording.times(weight.widths[0] / narrowest)[:-1]} times the narrowest" if narrowest else "the narrowest holds nothing but zeros"
    says = f"{weight.channels} channels with a scale each; the widest reaches ±{wording.significant(weight.widths[0])}, {ratio}."
    return WeightPlot(weight.node, "".join((*path, f"L{WIDTH},{BASE}Z")), wording.significant(weight.widths[0]), says)
