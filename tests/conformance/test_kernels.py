"""Every row of the op table against the kernels that LiteRT really has: XNNPACK, its own optimised kernels, its reference kernels."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from case_data import TWO_ROUNDINGS, Case
from cases import CASES
from one_op import Exact, calibrate, differences, hybrid_differences, moved, quantized, stored_differences

from bridge.quantize import OPS, PRECISIONS
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Kernels
from bridge.types import Ranges, TensorRange

INTEGER = tuple(row.name for row in PRECISIONS.values() if row.integer)
STORED = tuple(row.name for row in PRECISIONS.values() if row.unpacked)
DYNAMIC = "dynamic_wi8_afp32"
type Record = Callable[[str, object], None]  # pytest's record_property: measure.py gathers it

NO_RANGES = Ranges({}, 0, "none", "")

# LiteRT's reference resolver does not know these operators, in float neither.
NO_REFERENCE = frozenset({"ELU", "DEPTH_TO_SPACE", "TILE", "BROADCAST_TO"})

# Rounding errors of independent values add up to something close to a normal distribution: 6 deviations are out of its reach.
DEVIATIONS, DEVIATIONS_RMSE = 6.0, 1.3


def in_precision(*precisions: str) -> list[tuple[Case, str]]:
    """The cases that have a row in a precision; with float activations those with weights."""
    rows = [(case, precision) for precision in precisions for case in CASES if case.model.op in OPS and precision in OPS[case.model.op].kernels]
    return [(case, precision) for case, precision in rows if PRECISIONS[precision].integer or _stores(case, precision)]


def _stores(case: Case, precision: str) -> bool:
    row = OPS[case.model.op]
    given = row.kernels[precision].weights
    weights = given if given is not None else [position for position in case.model.constants if row.input_role(position).value == "weight"]
    return any(position in case.model.constants for position in weights)


def name(value: object) -> str:
    return f"{value.model.op}-{value.id}" if isinstance(value, Case) else str(value)


def kernel_sets(case: Case) -> tuple[Kernels, ...]:
    return ("optimized", "builtin") if case.model.op in NO_REFERENCE else ("optimized", "builtin", "reference")


@pytest.mark.parametrize("precision", [precision for precision in PRECISIONS if precision != "float32"])
def test_every_row_has_a_case(precision: str) -> None:
    assert {row.name for row in OPS.values() if precision in row.kernels} == {case.model.op for case, _ in in_precision(precision)}


def test_case_names_are_unique() -> None:
    names = [name(case) for case in CASES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize(("case", "precision"), in_precision(*INTEGER), ids=name)
def test_integer_kernels_hit_the_float_value_within_rounding(case: Case, precision: str, tmp_path: Path, record_property: Record) -> None:
    content, samples = case.model.build(), case.model.samples()
    ranges = calibrate(content, samples)
    if OPS[case.model.op].moves_data and precision != "static_wi8_ai8":
        model = moved(case.model, ranges, precision)
    else:
        model, outcome = quantized(content, ranges, tmp_path, precision)
        if precision in case.refused:
            assert case.refused[precision] in outcome.reason
            return
        assert (outcome.precision, outcome.reason) == (precision, "")
    steps, bound = case.allowed(precision)
    seen = 0.0
    beyond = [{name: 3 * value if value.dtype == np.float32 else value for name, value in sample.items()} for sample in samples]
    for label, fed in (("inside", samples), ("beyond", beyond)):
        exact = Exact(model, fed)
        for kernels in kernel_sets(case):
            for output, off in enumerate(exact.differences(kernels)):
                worst, rmse = float(np.abs(off).max()), float(np.sqrt(np.mean(off**2)))
                assert worst <= steps, f"{kernels} kernel, {label} its range, output {output}: {worst:.2f} steps off"
                assert rmse <= bound, f"{kernels} kernel, {label} its range, output {output}: RMSE {rmse:.2f} steps"
                seen = max(seen, worst)
    record_property("measured", (case.model.op, precision, seen))


@pytest.mark.parametrize(("case", "precision"), in_precision(*STORED), ids=name)
def test_stored_weights_give_what_their_values_give_in_float(case: Case, precision: str, tmp_path: Path, record_property: Record) -> None:
    model, outcome = quantized(case.model.build(), NO_RANGES, tmp_path, precision)
    if precision in case.refused:
        assert case.refused[precision] in outcome.reason
        return
    assert (outcome.precision, outcome.reason) == (precision, "")
    worst = max(stored_differences(model, case.model.samples(), kernels) for kernels in kernel_sets(case))
    assert worst <= 3e-6  # float32 sums in another order: some parts in a million of the largest value, which cancels in what is cut off
    record_property("measured", (case.model.op, precision, 1e6 * worst))


ONE_ACTIVATION = [(case, precision) for case, precision in in_precision(DYNAMIC) if case.model.op != "UNIDIRECTIONAL_SEQUENCE_LSTM"]


@pytest.mark.parametrize(("case", "precision"), ONE_ACTIVATION, ids=name)
def test_activations_rounded_at_run_time_cost_one_rounding(case: Case, precision: str, tmp_path: Path, record_property: Record) -> None:
    model, outcome = quantized(case.model.build(), NO_RANGES, tmp_path, precision)
    if precision in case.refused:
        assert case.refused[precision] in outcome.reason
        return
    assert (outcome.precision, outcome.reason) == (precision, "")
    seen = 0.0
    for kernels in kernel_sets(case):
        off = hybrid_differences(model, case.model.samples(), kernels)
        worst, rmse = float(np.abs(off).max()), float(np.sqrt(np.mean(off**2)))
        assert worst <= DEVIATIONS, f"{kernels} kernel: {worst:.2f} deviations off"
        assert rmse <= DEVIATIONS_RMSE, f"{kernels} kernel: RMSE {rmse:.2f} deviations"
        seen = max(seen, worst)
    record_property("measured", (case.model.op, precision, seen))


SUMS = [(case, precision) for case, precision in in_precision(*INTEGER) if case.id == "normal" and OPS[case.model.op].finest]


@pytest.mark.parametrize(("case", "precision"), SUMS, ids=name)
@pytest.mark.parametrize("narrower", [1e-3, 1e-6, 1e-9])
def test_an_output_range_far_below_what_the_inputs_give_saturates(case: Case, precision: str, narrower: float, tmp_path: Path) -> None:
    """A layer that training has switched off, or a difference of equals: the kernel loads, runs, and cuts off at the right end."""
    content, samples = case.model.build(), case.model.samples()
    known = calibrate(content, samples)
    spans = {name: TensorRange(narrower * span.minimum, narrower * span.maximum) if name == "out0" else span for name, span in known.tensors.items()}
    model, _ = quantized(content, Ranges(spans, 1, "test", ""), tmp_path, precision)
    (made,) = [tensor for tensor in tflite.main_graph(model).tensors if tflite.text(tensor.name) == "out0"]
    peak = max(abs(known.tensors["out0"].minimum), abs(known.tensors["out0"].maximum))
    unresolved = peak * 2.0**-22 / float(made.quantization.scale[0])  # in steps: the exact value is a float32 sum of terms as large as that
    for kernels in kernel_sets(case):
        for off in differences(model, samples, kernels):
            assert np.abs(off).max() <= max(TWO_ROUNDINGS, case.allowed(precision)[0]) + unresolved
