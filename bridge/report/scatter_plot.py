"""Points on two linear axes as SVG coordinates, with steps through some of them and a line to reach."""

import math
from collections.abc import Sequence

from msgspec import Struct

WIDTH, HEIGHT = 1160.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 64.0, 16.0, 16.0, 34.0
TICKS = 6
MARGIN = 0.06  # of the span, on both sides


class Scatter(Struct, frozen=True):
    """Everything the template draws.

    Attributes:
        points: (x, y) of every point in the caller's order; None where one of its values is no finite number.
        path: the steps, from left to right.
        x_ticks: (x, value).
        y_ticks: (y, value).
        line: y of the line to reach, None without one.
    """

    points: tuple[tuple[float, float] | None, ...]
    path: str
    x_ticks: tuple[tuple[float, float], ...]
    y_ticks: tuple[tuple[float, float], ...]
    line: float | None
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT
    top: float = TOP
    bottom: float = HEIGHT - BOTTOM


def scatter_plot(points: Sequence[tuple[float | None, float | None]], *, through: Sequence[int] = (), line: float | None = None) -> Scatter | None:
    """The plot; None where no point has two finite values.

    Args:
        points: (x, y).
        through: positions of points that steps go through, from left to right.
        line: y to reach; the axis is long enough to show it.
    """
    shown = {place: (x, y) for place, (x, y) in enumerate(points) if x is not None and y is not None and math.isfinite(x) and math.isfinite(y)}
    if not shown:
        return None
    xs, x_values = _axis([x for x, _ in shown.values()])
    ys, y_values = _axis([*(y for _, y in shown.values()), *([] if line is None else [line])])

    def at(x: float, y: float) -> tuple[float, float]:
        return LEFT + (WIDTH - LEFT - RIGHT) * (x - xs[0]) / (xs[1] - xs[0]), TOP + (HEIGHT - TOP - BOTTOM) * (ys[1] - y) / (ys[1] - ys[0])

    placed = {place: at(*point) for place, point in shown.items()}
    path = ""
    for x, y in sorted(placed[place] for place in through if place in placed):
        path += f"H{x:.1f}V{y:.1f}" if path else f"M{x:.1f},{y:.1f}"
    return Scatter(
        points=tuple(placed.get(place) for place in range(len(points))),
        path=path,
        x_ticks=tuple((at(value, ys[0])[0], value) for value in x_values),
        y_ticks=tuple((at(xs[0], value)[1], value) for value in y_values),
        line=None if line is None else at(xs[0], line)[1],
    )


def _axis(values: Sequence[float]) -> tuple[tuple[float, float], list[float]]:
    """Both ends, and round values between them."""
    low, high = min(values), max(values)
    span = (high - low) or abs(high) or 1.0
    low, high = low - MARGIN * span, high + MARGIN * span
    raw = (high - low) / TICKS
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    first = math.ceil(low / step)
    return (low, high), [step * place for place in range(first, math.floor(high / step) + 1)]
