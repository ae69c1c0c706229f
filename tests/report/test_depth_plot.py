import math
import re

import pytest

from bridge.report.depth_plot import depth_plot
from bridge.report.schema import Layer, Node


def _layers(*values: float | None) -> tuple[Layer, ...]:
    return tuple(Layer(node=f"n{i}", tensor=f"t{i}", status="mapped", own_sqnr_db=value) for i, value in enumerate(values))


def _nodes(*precisions: str | None) -> tuple[Node, ...]:
    return tuple(Node(name=f"n{i}", op_type="Conv", precision=precision) for i, precision in enumerate(precisions))


def _heights(*values: float | None) -> list[float]:
    plot = depth_plot(_layers(*values), _nodes(*["static_wi8_ai8"] * len(values)))
    assert plot is not None
    own = next(curve for curve in plot.curves if curve.name == "own")
    return [float(y) for y in re.findall(r",([\d.]+)h0", own.dots)]


def test_infinity_sits_on_the_top_and_nan_on_the_foot() -> None:
    layers = tuple(layer.model_copy(update={"inherited_sqnr_db": layer.own_sqnr_db}) for layer in _layers(math.inf, 0.0, math.nan))
    plot = depth_plot(layers, _nodes(*["static_wi8_ai8"] * 3))
    assert plot is not None
    assert re.findall(r",([\d.]+)h0", plot.curves[1].dots) == ["14.0", "238.0", "238.0"]
    assert plot.curves[2].dots.count("h0") == 2  # a layer that loses nothing itself is no point of the third curve


def test_values_beyond_the_axis_sit_on_its_ends() -> None:
    assert _heights(500.0, 80.0, -500.0, -20.0) == pytest.approx([14.0, 14.0, 238.0, 238.0])


def test_a_better_layer_stands_higher_in_proportion() -> None:
    assert _heights(0.0, 20.0, 40.0) == pytest.approx([238.0, 126.0, 14.0])


def test_a_tensor_without_a_measurement_takes_no_place() -> None:
    plot = depth_plot(_layers(10.0, None, 20.0), _nodes(*["float32"] * 3))
    assert plot is not None
    assert [row for _, row in plot.positions] == [0, 2]


def test_nothing_measured_gives_no_plot() -> None:
    assert depth_plot(_layers(None, None), _nodes("float32", "float32")) is None


def test_the_strip_joins_neighbours_and_an_opless_node_follows_what_is_before_it() -> None:
    plot = depth_plot(_layers(1.0, 2.0, 3.0, 4.0), _nodes("static_wi8_ai8", None, "float32", "static_wi8_ai8"))
    assert plot is not None
    assert [(span.precision, span.count, span.first, span.last) for span in plot.strip] == [
        ("static_wi8_ai8", 2, "n0", "n1"),
        ("float32", 1, "n2", "n2"),
        ("static_wi8_ai8", 1, "n3", "n3"),
    ]
    assert sum(span.width for span in plot.strip) == pytest.approx(plot.right - plot.left)
