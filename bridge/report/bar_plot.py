"""Bars as SVG coordinates: one per unit, the taller the more it takes; their order is the caller's."""

import math
from collections.abc import Sequence

from msgspec import Struct

WIDTH, HEIGHT = 1160.0, 280.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 8.0, 12.0, 12.0
STEPS_DB = (1, 2, 5, 10, 20)
MOST_TICKS = 8
CEILING_DB = 80.0  # above, no reader sees a difference
LEAST = 1.5  # height of a bar for next to nothing


class Bar(Struct, frozen=True):
    """One unit: a rectangle, None where there is no figure."""

    x: float
    y: float
    width: float
    height: float


class Bars(Struct, frozen=True):
    """Everything the template draws; `ticks` holds (y, label)."""

    bars: tuple[Bar | None, ...]
    ticks: tuple[tuple[float, str], ...]
    zero: float
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    right: float = WIDTH - RIGHT


def bar_plot(values: Sequence[float | None], *, lowest_tallest: bool) -> Bars:
    """One bar per value, in their order.

    Args:
        values: dB. Beyond the axis they end at its ends; NaN is as tall as can be; None has no bar.
        lowest_tallest: for an SQNR, whose bars begin at the top value; otherwise they begin at 0 dB, negative ones below it.
    """
    known = [value for value in values if value is not None and math.isfinite(value)]
    low, high = min(known, default=0.0), min(CEILING_DB, max(known, default=0.0))
    if not lowest_tallest:
        low = min(0.0, low)
    step = next((one for one in STEPS_DB if (high - low) / one <= MOST_TICKS - 2), STEPS_DB[-1])
    low, high = step * math.floor(low / step), step * math.ceil(high / step)
    high = max(high, low) + step  # the shortest bar is still one
    start = high if lowest_tallest else 0.0

    def y(value: float) -> float:
        worst = low if lowest_tallest else high
        clipped = worst if math.isnan(value) else min(high, max(low, value))
        share = (high - clipped) / (high - low)
        return TOP + (HEIGHT - TOP - BOTTOM) * (1.0 - share if lowest_tallest else share)

    inner = (WIDTH - LEFT - RIGHT) / max(1, len(values))
    gap = min(2.0, 0.15 * inner)
    found: list[Bar | None] = []
    for place, value in enumerate(values):
        if value is None:
            found.append(None)
            continue
        ends = sorted((y(value), y(start)))
        found.append(Bar(LEFT + inner * place + gap / 2, min(ends[0], HEIGHT - BOTTOM - LEAST), inner - gap, max(LEAST, ends[1] - ends[0])))
    ticks = tuple((y(tick), f"{tick:g}") for tick in _ticks(low, high, step))
    return Bars(tuple(found), ticks, y(start))


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [low + step * place for place in range(round((high - low) / step) + 1)]
