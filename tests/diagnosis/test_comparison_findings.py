"""What the comparison says about depth, channels and conversions: where it should, and nowhere else."""

import itertools
import math
from collections.abc import Sequence

import numpy as np
import pytest

from bridge.compare.accumulation import accumulated_error
from bridge.compare.channel_findings import channel_findings
from bridge.compare.channels import Usage
from bridge.compare.cost import Cost, cost_findings
from bridge.compare.forms import Form
from bridge.compare.op_costs import Conversion, OperatorCost
from bridge.compare.rows import Row
from bridge.types import LayerResult, OutputResult, TensorPair

SEED = 11


def layers(own: Sequence[float], inherited: Sequence[float]) -> list[LayerResult]:
    return [
        LayerResult(node=f"n{place}", tensor=f"t{place}", status="mapped", own_sqnr_db=one, inherited_sqnr_db=both)
        for place, (one, both) in enumerate(zip(own, inherited, strict=True))
    ]


def output(sqnr_db: float) -> OutputResult:
    return OutputResult(name="y", sqnr_db=sqnr_db, cosine=1.0, max_abs=0.0)


def summed(own_db: Sequence[float]) -> list[float]:
    """The error behind each of some layers that add their noise: powers add up."""
    return [-10 * math.log10(total) for total in itertools.accumulate(10 ** (-one / 10) for one in own_db)]


@pytest.mark.provokes("error-accumulates")
def test_noise_that_adds_up_over_many_good_layers_is_found() -> None:
    own = [30.0] * 80
    finding = accumulated_error(layers(own, summed(own)), [output(summed(own)[-1])])
    assert finding is not None
    assert summed(own)[-1] == pytest.approx(30 - 10 * math.log10(80))
    assert "along 80 layers, from 19.8 dB in the first quarter to 11.5 dB in the last" in finding.message
    assert "keeps 30.0 dB (median)" in finding.message


@pytest.mark.parametrize(
    ("own", "inherited", "end"),
    [
        pytest.param([30.0] * 80, summed([30.0] * 80), 25.0, id="good outputs"),
        pytest.param([30.0] * 20, summed([30.0] * 20), 17.0, id="few layers"),
        pytest.param([30.0] * 79 + [12.0], [*summed([30.0] * 79), 9.0], 9.0, id="one bad layer, which is named anyhow"),
        pytest.param([16.0] + [40.0] * 79, summed([16.0] + [40.0] * 79), 15.0, id="one layer has most of the noise"),
        pytest.param([36.0] * 80, [36.0] * 5 + [18.0] * 75, 18.0, id="lost in one place early"),
        pytest.param([36.0] * 80, [26.0] * 40 + [10.0] * 40, 10.0, id="lost in one place in the middle"),
        pytest.param([36.0] * 80, [36.0] * 20 + [15.0] * 20 + [30.0] * 20 + [14.0] * 20, 14.0, id="up and down"),
        pytest.param([], [], -math.inf, id="nothing measured"),
    ],
)
def test_other_errors_are_not_taken_for_it(own: list[float], inherited: list[float], end: float) -> None:
    assert accumulated_error(layers(own, inherited), [output(end)]) is None


def row(values: Sequence[np.ndarray], form: Form) -> Row:
    """A row that has seen some samples, each rounded as the form says."""
    made = Row(TensorPair(node="layer", tensor="y", status="mapped", permutation=(0, 1, 2)), 0, 0, "layer", form, own=True, reason="")
    for number, value in enumerate(values):
        stored = form.stored(value, np.dtype(np.int8))
        made.add(f"sample {number}", value, {0: value}, {0: stored}, {0: stored})
    return made


def samples(scale: np.ndarray, count: int = 4) -> list[np.ndarray]:
    """[1, 32, channels] values of a normal distribution, each channel with its own scale."""
    generator = np.random.default_rng(SEED)
    return [(generator.normal(size=(1, 32, len(scale))) * scale).astype(np.float32) for _ in range(count)]


@pytest.mark.provokes("lost-channels")
def test_channels_below_a_step_are_lost() -> None:
    scale = np.full(8, 1e-4)
    scale[0] = 1.0
    (finding,) = channel_findings([row(samples(scale), Form(0.04, 0))])
    assert (finding.code, finding.severity, finding.node) == ("lost-channels", "warning", "layer")
    assert "7 of 8 channels of 'layer' are constant in the quantized file, for all 4 samples" in finding.message
    assert channel_findings([row(samples(scale, count=3), Form(0.04, 0))]) == ()  # too few samples to say so
    assert channel_findings([row(samples(np.full(8, 1.0)), Form(0.04, 0))]) == ()


def test_small_probabilities_round_to_zero_as_they_should() -> None:
    scale = np.full(8, 1e-4)
    scale[0] = 1.0
    assert channel_findings([row([np.abs(value) for value in samples(scale)], Form(1 / 256, -128))]) == ()


@pytest.mark.provokes("dead-channels")
def test_channels_that_are_dead_in_the_float_model_are_information() -> None:
    scale = np.array([1.0, 1.0, 1.0, 0.0])
    (finding,) = channel_findings([row(samples(scale), Form(0.04, 0))])
    assert (finding.code, finding.severity) == ("dead-channels", "info")
    assert "'layer' (1 of 4)" in finding.message
    assert channel_findings([row(samples(np.array([1.0] * 7 + [0.0])), Form(0.04, 0))]) == ()  # one of eight is not worth a word


@pytest.mark.provokes("saturated-channels")
def test_a_channel_beyond_the_range_is_saturated() -> None:
    values = samples(np.full(4, 1.0))
    for value in values:
        value[..., 2] += 20.0
    (finding,) = channel_findings([row(values, Form(0.04, 0))])
    assert finding.code == "saturated-channels"
    assert "1 of 4 channels" in finding.message


def test_a_sigmoid_of_one_is_not_saturated() -> None:
    values = np.full((1, 32, 4), 0.9999, np.float32)  # the largest that the form holds is 0.996
    values[:, ::3] = 0.5
    assert channel_findings([row([values] * 4, Form(1 / 256, -128))]) == ()


@pytest.mark.provokes("activation-outliers")
def test_outliers_are_found_where_the_layer_loses_by_them() -> None:
    values = samples(np.full(256, 0.5))
    for value in values:
        value[0, 0, 0] = 127.0  # one of 8192, so a step of 1 for the rest
    (finding,) = channel_findings([row(values, Form(1.0, 0))])
    assert finding.code == "activation-outliers"
    assert "have 5 of the" in finding.message
    for value in values:
        value[0, :, 0] = 127.0  # one of 256: no outlier but half of the signal
    assert "activation-outliers" not in {finding.code for finding in channel_findings([row(values, Form(1.0, 0))])}


def test_the_integers_in_use_are_counted_by_hand() -> None:
    usage = Usage()
    usage.add(np.arange(8, dtype=np.float32).reshape(1, 2, 4), np.array([[[0, 0, 0, 0], [0, 0, 0, 5]]], np.int8))
    assert (usage.channels, usage.width(), usage.dead(), usage.lost()) == (4, 6, 0, 3)
    usage.cut(np.array([[[True, False, False, False], [True, False, False, False]]]))
    assert (usage.saturated(0.5), usage.lost()) == (1, 2)


def cost(*operators: tuple[str, int, float]) -> Cost:
    rows = tuple(OperatorCost(op, "INT8", count, ms, None) for op, count, ms in operators)
    borders = (Conversion("QUANTIZE", "", ("conv",), 10, 0.1), Conversion("TRANSPOSE", "neck", ("head",), 10, 0.1))
    return Cost(2.0, 1.0, 1, 1, 1, 0.0, 400, 100, 0, 0, operators=rows, conversions=borders)


@pytest.mark.provokes("conversion-cost")
def test_conversions_that_take_a_fifth_of_the_time_are_said() -> None:
    (finding,) = cost_findings(cost(("CONV_2D", 4, 0.6), ("TRANSPOSE", 3, 0.3), ("QUANTIZE", 1, 0.1)))
    assert finding.message == (
        "40% of the time of the quantized file's operators goes into conversions: 3 TRANSPOSE (30%), 1 QUANTIZE (10%). Most behind 'neck'."
    )
    assert finding.node == "neck"
    assert cost_findings(cost(("CONV_2D", 4, 0.9), ("TRANSPOSE", 3, 0.1))) == ()
    assert cost_findings(cost(("CONV_2D", 4, 0.01), ("TRANSPOSE", 3, 0.09))) == ()  # a tenth of a millisecond is not worth a word
    assert cost_findings(cost()) == ()


@pytest.mark.provokes("quantized-not-faster")
def test_a_file_that_is_not_faster_is_said() -> None:
    (finding,) = cost_findings(Cost(1.0, 2.0, 3, 4, 5, 0.0, 400, 100, 0, 0))
    assert "takes 2.00 ms, the float file 1.00 ms" in finding.message
    assert cost_findings(Cost(1.0, 1.04, 3, 4, 5, 0.0, 400, 100, 0, 0)) == ()  # as much as a file differs from itself


def test_a_file_that_is_not_faster_names_the_operators_that_take_its_time() -> None:
    rows = (OperatorCost("CONV_2D", "INT8", 31, 0.25, 0.25), OperatorCost("PRELU", "INT8", 29, 0.7, 0.7), OperatorCost("ADD", "INT8", 13, 0.05, 0.05))
    (finding,) = cost_findings(Cost(1.0, 2.0, 2, 2, 0, 0.0, 400, 100, 0, 0, operators=rows))
    assert finding.message.endswith("0 TRANSPOSE operators. Most of its time: 29 PRELU of INT8 (70%), 31 CONV_2D of INT8 (25%).")
