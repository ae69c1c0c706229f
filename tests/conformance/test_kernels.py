"""Every row of the op table against the kernels that LiteRT really has: XNNPACK, its own optimised kernels, its reference kernels."""

from pathlib import Path

import numpy as np
import pytest
from case_data import Case
from cases import CASES
from one_op import calibrate, differences, quantized

from bridge.quantize import OPS

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
