import pytest

from bridge.report.ranking import cause, worst_output
from bridge.report.schema import Output


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
