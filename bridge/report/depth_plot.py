"""The error-along-depth plot as SVG coordinates: one position per measured tensor in the order of the file, one curve per kind of error."""

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby

from msgspec import Struct

from bridge.report.schema import Layer, Node

WIDTH, HEIGHT = 1160.0, 260.0
LEFT, RIGHT, TOP, BOTTOM = 44.0, 8.0, 14.0, 22.0
STEP_DB, CEILING_DB, FLOOR_DB = 20, 80, -20  # above, no reader sees a difference; below, there is only noise
DOTS = ((100, 6.0), (400, 4.4), (math.inf, 2.8))  # positions up to which dots have this diameter

type Read = Callable[[Layer], float | None]

CURVES: tuple[tuple[str, Read], ...] = (
    ("conversion", lambda layer: layer.conversion_sqnr_db),
    ("inherited", lambda layer: layer.inherited_sqnr_db),
    ("own", lambda layer: None if layer.own_sqnr_db == math.inf else layer.own_sqnr_db),  # layers that only move data lose nothing: no news
)


class Curve(Struct, frozen=True):
    """One kind of error as SVG paths: through its points, and of strokes without length, which round caps turn into dots."""

    name: str
    line: str
    dots: str


class Span(Struct, frozen=True):
    """A stretch of the precision strip."""

    x: float
    width: float
    precision: str
    count: int
    first: str
    last: str


class Plot(Struct, frozen=True):
    """Everything the template draws; `positions` holds (x, row) of every measured tensor, `ticks` (y, label)."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    curves: tuple[Curve, ...]
    strip: tuple[Span, ...]
    ticks: tuple[tuple[float, str], ...]
    positions: tuple[tuple[float, int], ...]
    dot: float


def depth_plot(layers: Sequence[Layer], nodes: Sequence[Node]) -> Plot | None:
    """The plot, None when nothing was measured. Rows are positions in `layers`; values beyond the axis sit on its ends, NaN at the foot."""
    rows = [row for row, layer in enumerate(layers) if any(read(layer) is not None for _, read in CURVES)]
    if not rows:
        return None
    values = [value for row in rows for _, read in CURVES if (value := read(layers[row])) is not None and math.isfinite(value)]
    low = min(0, max(FLOOR_DB, STEP_DB * math.floor(min(values, default=0.0) / STEP_DB)))
    high = max(low + 2 * STEP_DB, min(CEILING_DB, STEP_DB * math.ceil(max(values, default=0.0) / STEP_DB)))
    inner = WIDTH - LEFT - RIGHT
    xs = {row: LEFT + inner * (place + 0.5) / len(rows) for place, row in enumerate(rows)}

    def y(value: float) -> float:
        clipped = low if math.isnan(value) else min(high, max(low, value))
        return TOP + (HEIGHT - TOP - BOTTOM) * (high - clipped) / (high - low)

    return Plot(
        width=WIDTH,
        height=HEIGHT,
        left=LEFT,
        right=WIDTH - RIGHT,
        top=TOP,
        bottom=HEIGHT - BOTTOM,
        curves=tuple(_curve(name, [(xs[row], y(value)) for row in rows if (value := read(layers[row])) is not None]) for name, read in CURVES),
        strip=tuple(_strip([layers[row] for row in rows], {node.name: node for node in nodes})),
        ticks=tuple((y(tick), f"≥{tick}" if tick == CEILING_DB else str(tick)) for tick in range(low, high + 1, STEP_DB)),
        positions=tuple((xs[row], row) for row in rows),
        dot=next(diameter for most, diameter in DOTS if len(rows) <= most),
    )


def _curve(name: str, points: Sequence[tuple[float, float]]) -> Curve:
    line = "".join(f"{'L' if position else 'M'}{x:.1f},{y:.1f}" for position, (x, y) in enumerate(points))
    return Curve(name, line, "".join(f"M{x:.1f},{y:.1f}h0" for x, y in points))


def _strip(layers: Sequence[Layer], nodes: dict[str, Node]) -> Iterator[Span]:
    """Neighbours of one precision share a stretch; a node without an operator goes with what is before it."""
    inner = WIDTH - LEFT - RIGHT
    precisions: list[str] = []
    for layer in layers:
        precisions.append(nodes[layer.node].precision or (precisions[-1] if precisions else "none"))
    for precision, group in groupby(range(len(layers)), key=precisions.__getitem__):
        places = list(group)
        yield Span(
            x=LEFT + inner * places[0] / len(layers),
            width=inner * len(places) / len(layers),
            precision=precision,
            count=len(places),
            first=layers[places[0]].node,
            last=layers[places[-1]].node,
        )
