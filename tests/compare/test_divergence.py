import math

from bridge.compare import first_divergence
from bridge.compare.divergence import describe
from bridge.types import LayerResult


def layer(node: str, conversion: float | None = math.inf, own: float | None = math.inf, rmse_over_scale: float | None = 0.3) -> LayerResult:
    return LayerResult(
        node=node, tensor=f"{node}:0", status="mapped", conversion_sqnr_db=conversion, own_sqnr_db=own, rmse_over_scale=rmse_over_scale
    )  # fmt: skip


def test_the_first_in_graph_order_is_named_not_the_worst() -> None:
    found = first_divergence([layer("a", own=30.0), layer("b", own=14.9), layer("c", own=3.0)])
    assert found is not None
    assert (found.layer.node, found.error, found.sqnr_db, found.threshold_db) == ("b", "own", 14.9, 15.0)
    assert "'b' ('b:0'): own error 14.9 dB, expected at least 15 dB" in describe(found).message
    assert describe(found).node == "b"


def test_a_value_at_the_threshold_is_fine() -> None:
    assert first_divergence([layer("a", conversion=40.0, own=15.0)]) is None


def test_what_was_not_measured_does_not_diverge() -> None:
    assert first_divergence([layer("a", conversion=None, own=None)]) is None


def test_the_conversion_comes_before_the_own_error() -> None:
    found = first_divergence([layer("a", conversion=12.0, own=3.0)])
    assert found is not None
    assert found.error == "conversion"
    assert "rules cannot help" in describe(found).hint


def test_a_float_node_behind_integers_is_not_told_to_become_float() -> None:
    found = first_divergence([layer("a", own=3.0, rmse_over_scale=None)])
    assert found is not None
    assert "keep the nodes before it float" in describe(found).hint


def test_a_conversion_error_that_is_suddenly_far_larger_is_one() -> None:
    found = first_divergence([layer("a", conversion=125.0), layer("b", conversion=118.0), layer("c", conversion=70.4), layer("d", conversion=70.0)])
    assert found is not None
    assert (found.layer.node, found.error, found.threshold_db) == ("c", "conversion", 80.0)
    assert first_divergence([layer("a", conversion=125.0), layer("b", conversion=95.0), layer("c", conversion=70.4)]) is None  # step by step
    assert first_divergence([layer("a", conversion=70.4)]) is None


def test_thresholds_can_be_given() -> None:
    assert first_divergence([layer("a", own=18.0)], own_sqnr_db=20.0) is not None


def test_a_node_that_rules_changed_has_no_fault_in_its_conversion_but_may_have_one_of_its_own() -> None:
    layers = [layer("a", conversion=12.0, own=30.0), layer("b", conversion=12.0, own=3.0)]
    assert first_divergence(layers, changed={"a", "b"}, own_sqnr_db=1.0) is None
    found = first_divergence(layers, changed={"a", "b"})
    assert found is not None
    assert (found.layer.node, found.error) == ("b", "own")
    found = first_divergence(layers, changed={"a"})
    assert found is not None
    assert (found.layer.node, found.error) == ("b", "conversion")
