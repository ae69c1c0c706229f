import pytest

from bridge.report.ranking import cause, worst_layers, worst_output
from bridge.report.schema import Layer, Node, Output


@pytest.mark.parametrize(
    ("rmse_over_scale", "start"),
    [
        (0.29, "The output is rounded as well as its scale allows"),
        (0.4, "The output is rounded as well as its scale allows"),
        (0.41, "Somewhat more"),
        (0.7, "Somewhat more"),
        (0.71, "Far more"),
        (float("inf"), "Far more"),
        (float("nan"), "Leave it float"),
        (None, "Leave it float"),
    ],
)
def test_the_cause_follows_from_the_error_in_units_of_the_scale(rmse_over_scale: float | None, start: str) -> None:
    assert cause(29.9, rmse_over_scale).startswith(start)
    assert cause(30.0, rmse_over_scale) == "A good layer; there is little to gain here."


def test_the_worst_output_is_the_lowest_and_nan_is_lower_than_any() -> None:
    low, high, unmeasured = Output(name="low", sqnr_db=-3.0), Output(name="high", sqnr_db=40.0), Output(name="unmeasured")
    assert worst_output((high, low, unmeasured)) == "low"
    assert worst_output((low, Output(name="broken", sqnr_db=float("nan")))) == "broken"
    assert worst_output((unmeasured,)) is None


def _row(node: str, own_sqnr_db: float) -> Layer:
    return Layer(node=node, tensor=f"{node}_out", status="mapped", own_sqnr_db=own_sqnr_db)


def test_a_float_layer_is_cured_by_a_rule_for_what_it_reads() -> None:
    rows = (Node(name="conv", op_type="Conv", precision="static_wi8_ai8"), Node(name="sigmoid", op_type="Sigmoid", precision="float32"))
    nodes = {node.name: node for node in rows}
    layers = (_row("conv", 43.0), _row("sigmoid", 26.1))
    sigmoid, conv = worst_layers(layers, nodes, ((0, 1),), 16)
    assert sigmoid.hint.startswith("It runs in float already: what it loses is the rounding of what it reads")
    assert 'glob = "conv"' in sigmoid.rule
    assert "sigmoid 26.1 dB" in sigmoid.rule
    assert conv.node == "conv"
    assert 'glob = "conv"' in conv.rule
    fused = {"conv": rows[0], "bias": Node(name="bias", op_type="Add", precision="float32"), "sigmoid": rows[1]}
    (behind_another,) = worst_layers(layers[1:], fused, ((0, 1), (1, 2)), 16)
    assert 'glob = "conv"' in behind_another.rule
    (alone,) = worst_layers(layers[1:], nodes, (), 16)
    assert alone.rule == ""
    assert "writes for its integer readers" in alone.hint
