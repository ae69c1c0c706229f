import math
from typing import Any

import pytest

from bridge.errors import GateError, UsageError
from bridge.report.gates import evaluate, gate, parse
from bridge.report.schema import Gate, Report


def _judge(report: Report, gate: str) -> Gate:
    return evaluate(report, (gate,)).gates[0]


def _with_outputs(report: Report, *values: dict[str, Any]) -> Report:
    first = report.outputs[0]
    return report.model_copy(update={"outputs": tuple(first.model_copy(update=value) for value in values)})


@pytest.mark.parametrize(
    ("gate", "passed", "measured", "worst"),
    [
        ("sqnr>=24.6", True, 24.6, "scores"),
        ("sqnr>24.6", False, 24.6, "scores"),
        (" sqnr >= 2.46e1 ", True, 24.6, "scores"),
        ("max_abs<=0.031", True, 0.031, "scores"),
        ("max_abs<0.031", False, 0.031, "scores"),
        ("top1_agreement>=0.99", False, 0.985, "scores"),
        ("top1_drop<=0.005", True, 0.005, "scores"),  # 0.931 - 0.926 is 0.0050000000000000044 in binary
        ("layer:own_sqnr>=15", True, 19.5, "fc_out"),
        ("layer:rmse_over_scale<0.7", False, 1.25, "fc_out"),
        ("float_mac_share<=0.1", True, 0.02, "the model"),
        ("quantized_bytes<2e6", True, 1_150_000, "the model"),
        ("speedup>=3", True, 3.0, "the model"),
        ("unexplained_nodes<=0", True, 0, "the model"),
    ],
)
def test_a_gate_reports_the_worst_value_and_where_it_stands(report: Report, gate: str, passed: bool, measured: float, worst: str) -> None:
    judged = _judge(report, gate)
    assert (judged.passed, judged.worst) == (passed, worst)
    assert judged.measured == pytest.approx(measured, abs=1e-9)


def test_the_worst_of_several_outputs_decides(report: Report) -> None:
    two = _with_outputs(report, {"name": "good", "sqnr_db": 40.0, "max_abs": 0.1}, {"name": "bad", "sqnr_db": 3.0, "max_abs": 9.0})
    assert _judge(two, "sqnr>=20").worst == "bad"
    assert _judge(two, "max_abs<=1").worst == "bad"


def test_nan_fails_every_gate_even_beside_minus_infinity(report: Report) -> None:
    two = _with_outputs(report, {"name": "low", "sqnr_db": -math.inf}, {"name": "broken", "sqnr_db": math.nan})
    for text in ("sqnr>=-1000", "sqnr<=1000"):
        assert (_judge(two, text).passed, _judge(two, text).worst) == (False, "broken")


def test_infinity_passes_a_lower_bound(report: Report) -> None:
    assert _judge(report, "conversion_sqnr>=100").passed


def test_a_gate_without_a_measurement_is_not_met_and_says_so(report: Report) -> None:
    judged = _judge(_with_outputs(report, {"top1_agreement": None}), "top1_agreement>=0.5")
    assert (judged.passed, judged.measured, judged.reason) == (False, None, "top1_agreement was not measured in this run")


def test_no_gates_pass(report: Report) -> None:
    assert evaluate(report, ()).passed


@pytest.mark.parametrize(
    "text", ["sqnr", "sqnr=25", "sqnr>=", ">=25", "sqnr>=25dB", "sqnr>=25 and cosine>1", "sqnr>=nan", "sqnr>=inf", "", "a" * 500]
)
def test_what_is_no_comparison_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"A gate is a name, one of >= <= > <, and a number. Received: ") as caught:
        parse(text)
    assert "layer:own_sqnr>=15" in caught.value.hint
    assert len(caught.value.message) < 200


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown name\. Received: 'layer:sqnr'") as caught:
        parse("layer:sqnr>=3")
    assert "top1_agreement" in caught.value.hint


def test_gates_that_hold_give_the_verdict(report: Report) -> None:
    assert gate(report, "sqnr>=24", "speedup>=3").passed


def test_a_missed_gate_is_an_error_that_names_it_and_the_worst_place(report: Report) -> None:
    with pytest.raises(GateError, match=r"^1 of 2 gates not met: sqnr>=25 \(24\.6 at scores\)\.$"):
        gate(report, "sqnr>=25", "speedup>=3")


def test_no_gate_at_all_is_a_mistake(report: Report) -> None:
    with pytest.raises(UsageError, match="No gate was given"):
        gate(report)
