import math
from typing import Any

import pytest

from bridge.errors import GateError, UsageError
from bridge.report.gates import evaluate, gate, metrics_of, parse
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


@pytest.mark.parametrize("text", ["sqnr", "sqnr=25", "sqnr>=", ">=25", "sqnr>=25dB", "sqnr>=nan", "sqnr>=inf", "", "a" * 500])
def test_what_is_no_comparison_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(
        UsageError, match=r"A gate is a name, one of >= <= > <, and a number; and, or, not and \(\) join several\. Received: "
    ) as caught:
        parse(text)
    assert "layer:own_sqnr>=15" in caught.value.hint
    assert len(caught.value.message) < 260


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown name\. Received: 'layer:sqnr'") as caught:
        parse("layer:sqnr>=3")
    assert "top1_agreement" in caught.value.hint


def test_gates_that_hold_give_the_verdict(report: Report) -> None:
    assert gate(report, "sqnr>=24", "speedup>=3").passed


@pytest.mark.provokes("gate-not-met")
def test_a_missed_gate_is_an_error_that_names_it_and_the_worst_place(report: Report) -> None:
    with pytest.raises(GateError, match=r"^1 of 2 gates not met: sqnr>=25 \(24\.6 at scores\)\.$"):
        gate(report, "sqnr>=25", "speedup>=3")


def test_no_gate_at_all_is_a_mistake(report: Report) -> None:
    with pytest.raises(UsageError, match="No gate was given"):
        gate(report)


@pytest.mark.parametrize(
    ("gate", "passed"),
    [
        ("sqnr>=24 and speedup>=3", True),
        ("sqnr>=30 or speedup>=3", True),
        ("sqnr>=30 or speedup>=4", False),
        ("not sqnr>=30", True),
        ("not (sqnr>=24 and speedup>=4)", True),
        ("sqnr>=30 and speedup>=3 or size_ratio<=0.3", True),  # `and` binds more tightly
        ("sqnr>=30 and (speedup>=3 or size_ratio<=0.3)", False),
        ("not sqnr>=30 and sqnr>=20", True),  # `not` more tightly still
        ("output:sqnr>=20", True),
        ("output[sco*]:sqnr>=20", True),
        ("layer[head]:own_sqnr>=20", False),  # a module path: fc is in it
        ("layer[feat*]:own_sqnr>=20", True),
        ("layer[fc]:own_sqnr>=20", False),
        ("layer[softmax]:own_sqnr>=20", True),
        ('layer["fc_out"]:own_sqnr<20', True),
        ("any layer:own_sqnr<20", True),
        ("not any layer:own_sqnr<15", True),
        ("any layer:own_sqnr>=30", True),
        ("layer:own_sqnr<20", False),
        ("metric:top5>=0.98", True),
        ("metric:top5:float>=0.99", True),
        ("metric:top5:drop<=0.01", True),
        ("metric:top5:drop<0.01", False),
        ("metric:edge_error<=1.5 and metric:edge_error:drop<=0.25", True),
        ("quantize_ops<=3 and size<1.2e6 and coverage>=1 and gzip_ratio<0.25 and zeros>=0.5", True),
    ],
)
def test_and_or_not_any_and_globs(report: Report, gate: str, passed: bool) -> None:
    assert _judge(report, gate).passed is passed


def test_a_failing_gate_of_several_parts_says_what_each_found(report: Report) -> None:
    judged = _judge(report, "sqnr>=30 and layer[head]:own_sqnr>=29")
    assert judged.reason == "sqnr>=30: 24.6 at scores; layer[head]:own_sqnr>=29: 19.5 at fc_out, 2 of 2 miss it"
    assert [(part.measured, part.worst, part.holds) for part in judged.parts] == [(24.6, "scores", False), (19.5, "fc_out", False)]


def test_where_any_suffices_the_best_value_decides(report: Report) -> None:
    assert _judge(report, "any layer:own_sqnr<15").worst == "fc_out"


@pytest.mark.parametrize("gate", ["not top1_drop>=0.1", "sqnr>=1 and top1_drop<=1", "not (top1_drop>=1 and sqnr>=1)", "top1_drop<=1 or sqnr>=90"])
def test_what_was_not_measured_does_not_pass_by_a_not(report: Report, gate: str) -> None:
    judged = _judge(_with_outputs(report, {"top1_float": None}), gate)
    assert not judged.passed
    assert "top1_drop was not measured in this run" in judged.reason


def test_a_part_that_decides_alone_needs_no_other(report: Report) -> None:
    assert _judge(_with_outputs(report, {"top1_float": None}), "top1_drop<=0.1 or sqnr>=20").passed


def test_nan_passes_neither_a_comparison_nor_its_opposite(report: Report) -> None:
    broken = _with_outputs(report, {"sqnr_db": math.nan})
    assert [_judge(broken, text).passed for text in ("sqnr>=20", "not sqnr>=20", "any output:sqnr<20")] == [False] * 3


def test_a_glob_that_takes_nothing_is_said(report: Report) -> None:
    assert _judge(report, "layer[nope.*]:own_sqnr>=1").reason == "no layer has a name that fits 'nope.*'"
    assert _judge(report, "layer[norm]:own_sqnr>=1").reason == "layer:own_sqnr was not measured in this run where a name fits 'norm'"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("sqnr>=25 and", "a name was expected at position 12"),
        ("(sqnr>=25", "')' was expected at position 9"),
        ("sqnr>=25 cosine>1", "'and' or 'or' was expected at position 9, not 'cosine'"),
        ("layer>=15", "':' and a name were expected at position 5, not '>='"),
        ("layer[a:own_sqnr>=15", "'[' at position 5 belongs to no gate"),
        ("not>=1", "a name was expected at position 3, not '>='"),
        ("(" * 60 + "sqnr>=1", "it is nested more than 50 deep"),
        ("sqnr>=1 or " * 1000, "it has more than 4000 characters"),
    ],
)
def test_a_malformed_gate_is_refused_at_its_place(text: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(text)
    assert caught.value.message.endswith(f": {why}.")


def test_names_in_a_gate_are_never_run(report: Report) -> None:
    with pytest.raises(UsageError):
        evaluate(report, ("__import__('os').system('true')>=0",))


def test_a_metric_that_was_not_measured_is_named(report: Report) -> None:
    judged = _judge(report, "metric:mean_iou:drop<=0.1")
    assert (judged.passed, judged.reason) == (False, "metric mean_iou was not measured in this run; --metric names what is")


def test_a_part_of_a_metric_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UsageError, match=r"unknown name\. Received: 'metric:top5:loss'"):
        parse("metric:top5:loss<=1")


def test_the_metrics_that_gates_ask_for() -> None:
    assert metrics_of(["sqnr>=1", "metric:a>=1 and (metric:b:drop<1 or not metric:c:float<2)"]) == ("a", "b", "c")
