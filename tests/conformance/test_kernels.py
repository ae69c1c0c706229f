"""Every row of the op table against the kernels that LiteRT really has: XNNPACK, its own optimised kernels, its reference kernels."""

from pathlib import Path

import numpy as np
import pytest
from case_data import TWO_ROUNDINGS, Case
from cases import CASES
from one_op import calibrate, differences, quantized

from bridge.quantize import OPS
from bridge.types import Ranges, TensorRange

PRECISION = "static_wi8_ai8"
WITH_ROW = [case for case in CASES if case.model.op in OPS and PRECISION in OPS[case.model.op].kernels]

# LiteRT's reference resolver does not know these operators, in float neither.
NO_REFERENCE = frozenset({"ELU", "DEPTH_TO_SPACE", "TILE", "BROADCAST_TO"})


def test_every_row_has_a_case() -> None:
    assert {row.name for row in OPS.values() if PRECISION in row.kernels} == {case.model.op for case in WITH_ROW}


def test_case_names_are_unique() -> None:
    names = [f"{case.model.op}-{case.id}" for case in CASES]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("case", WITH_ROW, ids=lambda case: f"{case.model.op}-{case.id}")
def test_int8_kernels_hit_the_float_value_within_rounding(case: Case, tmp_path: Path) -> None:
    content, samples = case.model.build(), case.model.samples()
    model, outcome = quantized(content, calibrate(content, samples), tmp_path)
    assert (outcome.precision, outcome.reason) == (PRECISION, "")
    beyond = [{name: 3 * value if value.dtype == np.float32 else value for name, value in sample.items()} for sample in samples]
    for kernels in ("optimized", "builtin", "reference"):
        if kernels == "reference" and case.model.op in NO_REFERENCE:
            continue
        for label, fed in (("inside", samples), ("beyond", beyond)):
            for output, off in enumerate(differences(model, fed, kernels)):
                worst, rmse = float(np.abs(off).max()), float(np.sqrt(np.mean(off**2)))
                assert worst <= case.steps, f"{kernels} kernel, {label} its range, output {output}: {worst:.2f} steps off"
                assert rmse <= case.rmse, f"{kernels} kernel, {label} its range, output {output}: RMSE {rmse:.2f} steps"


@pytest.mark.parametrize("case", [case for case in WITH_ROW if case.id == "normal" and OPS[case.model.op].finest], ids=lambda case: case.model.op)
@pytest.mark.parametrize("narrower", [1e-3, 1e-6, 1e-9])
def test_an_output_range_far_below_what_the_inputs_give_saturates(case: Case, narrower: float, tmp_path: Path) -> None:
    """A layer that training has switched off, or a difference of equals: the kernel loads, runs, and cuts off at the right end."""
    content, samples = case.model.build(), case.model.samples()
    known = calibrate(content, samples)
    spans = {name: TensorRange(narrower * span.minimum, narrower * span.maximum) if name == "out0" else span for name, span in known.tensors.items()}
    model, _ = quantized(content, Ranges(spans, 1, "test", ""), tmp_path)
    for kernels in ("optimized", "builtin", "reference"):
        for off in differences(model, samples, kernels):
            assert np.abs(off).max() <= TWO_ROUNDINGS
