import math
from typing import Any

import pytest

from bridge.errors import UsageError
from bridge.report.baseline import TOLERANCES, baseline_findings, judge, read_baseline
from bridge.report.schema import Gate, Report


def _edit(report: Report, **changes: Any) -> Report:
    """The report with other figures: of its output, of the layer fc_out, of the cost, of the node fc, or of itself."""
    output = report.outputs[0].model_copy(update=changes.pop("output", {}))
    layers = tuple(one.model_copy(update=changes.get("layer", {})) if one.tensor == "fc_out" else one for one in report.layers)
    nodes = tuple(one.model_copy(update=changes.get("node", {})) if one.name == "fc" else one for one in report.nodes)
    cost = report.cost.model_copy(update=changes.get("cost", {}))
    own = {key: value for key, value in changes.items() if key not in ("layer", "node", "cost")}
    return report.model_copy(update={"outputs": (output,), "layers": layers, "nodes": nodes, "cost": cost} | own)


def _missed(before: Report, after: Report, **tolerances: float) -> dict[str, Gate]:
    verdict = judge(after, (), read_baseline(before, tolerances))
    return {gate.expression.removeprefix("baseline: "): gate for gate in verdict.gates if not gate.passed}


def test_a_run_is_no_worse_than_itself(report: Report) -> None:
    verdict = judge(report, (), read_baseline(report, {}))
    assert verdict.passed
    assert [gate.expression for gate in verdict.gates] == [
        "baseline: SQNR lost by an output <= 0.5 dB",
        "baseline: top-1 accuracy or agreement lost <= 0.005",
        "baseline: task metric lost, over its value before <= 0.01",
        "baseline: own SQNR lost by a layer below 30 dB <= 3 dB",
        "baseline: nodes in another precision <= 0",
        "baseline: growth of the file, plain or after gzip <= 0.01",
        "baseline: growth of the share of float MACs <= 0.01",
    ]


@pytest.mark.parametrize(
    ("changes", "expression", "measured", "worst"),
    [
        ({"output": {"sqnr_db": 24.0}}, "SQNR lost by an output <= 0.5 dB", 0.6, "scores"),
        ({"output": {"sqnr_db": math.nan}}, "SQNR lost by an output <= 0.5 dB", math.inf, "scores"),
        ({"output": {"top1_quantized": 0.92}}, "top-1 accuracy or agreement lost <= 0.005", 0.006, "scores, top-1"),
        ({"output": {"top1_agreement": 0.97}}, "top-1 accuracy or agreement lost <= 0.005", 0.015, "scores, top-1 agreement"),
        ({"layer": {"own_sqnr_db": 16.0}}, "own SQNR lost by a layer below 30 dB <= 3 dB", 3.5, "fc_out"),
        ({"node": {"precision": "float32"}}, "nodes in another precision <= 0", 1, "fc, static_wi8_ai8 before and float32 now"),
        ({"cost": {"quantized_bytes": 1_200_000}}, "growth of the file, plain or after gzip <= 0.01", 1200 / 1150 - 1, "the file, bytes"),
        ({"cost": {"float_mac_share": 0.05}}, "growth of the share of float MACs <= 0.01", 0.03, "the file, share of float MACs"),
    ],
)
def test_what_got_worse_is_a_gate_that_says_how_much_and_where(
    report: Report, changes: dict[str, Any], expression: str, measured: float, worst: str
) -> None:
    missed = _missed(report, _edit(report, **changes))
    assert list(missed) == [expression]
    assert missed[expression].measured == pytest.approx(measured, abs=1e-9)
    assert missed[expression].worst == worst


@pytest.mark.parametrize(
    "changes",
    [
        {"output": {"sqnr_db": 24.1}},
        {"output": {"sqnr_db": 40.0, "top1_quantized": 0.99}},
        {"output": {"top1_quantized": 0.921}},
        {"layer": {"own_sqnr_db": 16.5}},
        {"cost": {"quantized_bytes": 1_161_000}},
        {"cost": {"quantized_bytes": 10, "quantized_ms": 999.0}},  # latency is noise
    ],
)
def test_what_is_better_or_within_the_tolerance_passes(report: Report, changes: dict[str, Any]) -> None:
    assert _missed(report, _edit(report, **changes)) == {}


def test_float_noise_of_an_exact_output_is_no_loss(report: Report) -> None:
    assert _missed(_edit(report, output={"sqnr_db": math.inf}), _edit(report, output={"sqnr_db": 120.0})) == {}
    assert "SQNR lost by an output <= 0.5 dB" in _missed(_edit(report, output={"sqnr_db": math.inf}), _edit(report, output={"sqnr_db": 79.0}))


def test_a_good_layer_may_lose_what_nobody_misses(report: Report) -> None:
    assert _missed(_edit(report, layer={"own_sqnr_db": 60.0}), _edit(report, layer={"own_sqnr_db": 29.0})) == {}


def test_what_the_baseline_measured_and_the_run_did_not_is_not_met(report: Report) -> None:
    (missed,) = _missed(report, _edit(report, output={"top1_quantized": None})).values()
    assert missed.reason == "top-1 of scores was measured in the baseline, but not in this run"


def test_a_baseline_that_compared_nothing_does_not_pass_in_silence(report: Report) -> None:
    bare = _edit(report, output={"sqnr_db": None, "top1_quantized": None, "top1_agreement": None})
    (missed,) = _missed(bare, report).values()
    assert "the baseline has no SQNR of an output" in missed.reason
    assert _missed(bare, report, sqnr=math.inf) == {}


def test_tolerances_can_be_chosen_and_infinity_asks_nothing(report: Report) -> None:
    worse = _edit(report, output={"sqnr_db": 23.0}, node={"precision": "float32"})
    assert _missed(report, worse, sqnr=1.6, precision=1) == {}
    assert len(judge(worse, (), read_baseline(report, dict.fromkeys(TOLERANCES, math.inf))).gates) == 0


@pytest.mark.parametrize(
    ("tolerances", "message"),
    [
        ({"snr": 1.0}, r"Unknown tolerance\. Received: 'snr'"),
        ({"sqnr": -1.0}, r"Tolerance sqnr is no number of 0 or more\. Received: -1\.0"),
        ({"sqnr": math.nan}, r"Received: nan"),
    ],
)
def test_a_tolerance_that_cannot_be_is_refused(report: Report, tolerances: dict[str, float], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_baseline(report, tolerances)


def test_tolerances_without_a_baseline_are_a_mistake() -> None:
    with pytest.raises(UsageError, match="nothing to hold tolerances to"):
        read_baseline(None, {"sqnr": 1.0})


def test_what_makes_both_incomparable_is_a_warning(report: Report) -> None:
    other = report.model_copy(update={"precision": "float16", "model": report.model.model_copy(update={"sha256": "0"})})
    found = baseline_findings(other, read_baseline(report, {}))
    assert [one.message for one in found] == [
        "The model files differ. Baseline: the baseline.",
        "The precisions differ: static_wi8_ai8 before, float16 now. Baseline: the baseline.",
    ]
    assert baseline_findings(report, read_baseline(report, {})) == ()


def test_a_task_metric_is_judged_in_its_own_direction(report: Report) -> None:
    accuracy, error = report.task_metrics
    for changed, lost in ((accuracy.model_copy(update={"value": 0.9604}), 0.02), (error.model_copy(update={"value": 1.56}), 0.04)):
        after = report.model_copy(update={"task_metrics": tuple(changed if one.name == changed.name else one for one in report.task_metrics)})
        (missed,) = _missed(report, after).values()
        assert missed.worst == changed.name
        assert missed.measured == pytest.approx(lost)
    better = (accuracy.model_copy(update={"value": 1.0}), error.model_copy(update={"value": 0.5}))
    assert _missed(report, report.model_copy(update={"task_metrics": better})) == {}
    (missed,) = _missed(report, report.model_copy(update={"task_metrics": (error,)})).values()
    assert missed.reason == "value of top5 was measured in the baseline, but not in this run"
