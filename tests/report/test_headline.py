import math

import pytest

from bridge.report.headline import headline, next_step
from bridge.report.schema import Cost, Gate, Output, TaskMetric, WorstLayer

COST = Cost(float_ms=4.2, quantized_ms=1.4, float_bytes=1000, quantized_bytes=270)


@pytest.mark.parametrize(
    ("sqnr_db", "start"),
    [
        (math.inf, "Close to"),
        (30.0, "Close to"),
        (29.9, "Near the"),
        (19.9, "Clearly different from"),
        (9.9, "Far from"),
        (-math.inf, "Far from"),
        (math.nan, "Far from"),
    ],
)
def test_without_gates_the_worst_output_is_judged(sqnr_db: float, start: str) -> None:
    assert headline(Output(name="y", sqnr_db=sqnr_db), (), Cost(), (), deployable=True).startswith(start)


def test_the_sentence_holds_what_was_lost_and_what_was_gained() -> None:
    output = Output(name="y", sqnr_db=31.25, top1_agreement=0.99, top1_float=0.931, top1_quantized=0.926)
    assert headline(output, (), COST, (), deployable=True) == (
        "Close to the float model: 31.2 dB at the worst output, top-1 accuracy 92.6 % (float 93.1 %), 27 % of the bytes, 3.00x as fast on this machine."
    )


def test_a_task_metric_takes_the_place_of_the_accuracy() -> None:
    metrics = [
        TaskMetric(name="mean_iou", value=0.61, float_value=0.63, drop=0.02),
        TaskMetric(name="psnr", value=30, float_value=31, drop=1, unit="dB"),
    ]
    output = Output(name="y", sqnr_db=31.0, top1_agreement=0.99)
    assert (
        headline(output, metrics, Cost(), (), deployable=True)
        == "Close to the float model: 31.0 dB at the worst output, mean_iou 0.6100 (float 0.6300)."
    )


def test_gates_decide_whatever_the_error_is() -> None:
    failed, missing, met = (
        Gate(expression="sqnr>=25", passed=False, measured=12.3),
        Gate(expression="cosine>=1", passed=False, reason="cosine was not measured in this run"),
        Gate(expression="a", passed=True),
    )
    output = Output(name="y", sqnr_db=40.0)
    assert headline(output, (), Cost(), (met, failed, missing), deployable=True) == (
        "Not accepted, gate sqnr>=25 fails (measured 12.3) and 1 more: 40.0 dB at the worst output."
    )
    assert headline(output, (), Cost(), (missing,), deployable=True).startswith(
        "Not accepted, gate cosine>=1 fails (cosine was not measured in this run):"
    )
    assert headline(output, (), Cost(), (met,), deployable=True).startswith("Accepted, the gate holds:")


def test_a_slower_file_and_random_ranges_are_said() -> None:
    slower = headline(None, (), Cost(float_ms=1.0, quantized_ms=2.0), (), deployable=False)
    assert slower == (
        "Not for deployment, since the ranges come from random data. Not compared with the float model: 0.50x as fast on this machine, so not faster."
    )


def _worst(own_sqnr_db: float) -> WorstLayer:
    return WorstLayer(
        node="conv", tensor="t", op_type="Conv", precision="static_wi8_ai8", own_sqnr_db=own_sqnr_db, inherited_sqnr_db=None, rmse_over_scale=None
    )


def test_the_next_step_is_the_worst_layer_unless_no_layer_is_bad() -> None:
    bad = Output(name="y", sqnr_db=15.0)
    assert next_step(bad, (_worst(8.0),)) == "Start with 'conv', which loses most by itself (8.0 dB)."
    assert next_step(bad, (_worst(31.0),)).startswith("No layer loses much by itself (the worst keeps 31.0 dB)")
    assert next_step(Output(name="y", sqnr_db=30.0), (_worst(8.0),)) == ""
    assert next_step(None, ()) == next_step(bad, ()) == ""
