"""The table of missing kernels: each entry has its proof, and nothing that onnx2tf writes is left undecided."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pytest
from case_data import ints, normal
from cases import CASES
from findings import FINDINGS, POOLED, int8, int16
from one_op import OneOp, differences, with_forms

from bridge.errors import ToolError
from bridge.quantize import OPS, PRECISIONS
from bridge.quantize.missing_kernels import ABSENT, MISSING, NOTHING_TO_QUANTIZE, MissingKernel, why_no_kernel
from bridge.tflite import model as tflite

INTEGER = tuple(row.name for row in PRECISIONS.values() if row.integer)
UNARY = ("CEIL", "COS", "FLOOR", "ROUND", "SIGN", "SIN", "SQUARE", "ZEROS_LIKE")
SAMPLES = {op.op: op for op in (case.model for case in CASES)} | {
    **{name: OneOp(name, {0: normal(3, 17)}, [(3, 17)]) for name in UNARY},
    "ADD_N": OneOp("ADD_N", {0: normal(3, 9), 1: normal(3, 9)}, [(3, 9)]),
    "ATAN2": OneOp("ATAN2", {0: normal(3, 5), 1: normal(3, 5)}, [(3, 5)]),
    "CUMSUM": OneOp("CUMSUM", {0: normal(3, 9)}, [(3, 9)], {1: np.array(1, np.int32)}, ("CumsumOptions", {})),
    "L2_POOL_2D": OneOp("L2_POOL_2D", POOLED.feeds, POOLED.outputs, options=POOLED.options),
    "LOCAL_RESPONSE_NORMALIZATION": OneOp(
        "LOCAL_RESPONSE_NORMALIZATION", {0: normal(1, 8, 8, 5)}, [(1, 8, 8, 5)], options=("LocalResponseNormalizationOptions", {"radius": 2})
    ),
    "POW": OneOp("POW", {0: np.abs(normal(3, 17))}, [(3, 17)], {1: np.array([2], np.float32)}),
    "SCATTER_ND": OneOp("SCATTER_ND", {1: normal(2, 5)}, [(4, 5)], {0: ints([3], [1]), 2: ints(4, 5)}),
    "SEGMENT_SUM": OneOp("SEGMENT_SUM", {0: normal(3, 5)}, [(2, 5)], {1: ints(0, 0, 1)}),
}
ABSENT_ROWS = [(row, precision) for row in MISSING if row.reason == ABSENT for precision in row.precisions]


@pytest.mark.parametrize(("row", "precision"), ABSENT_ROWS, ids=lambda value: value.op if isinstance(value, MissingKernel) else value)
def test_no_kernel_exists(row: MissingKernel, precision: str) -> None:
    op = SAMPLES[row.op]
    form = int8(-3, 9) if precision == "static_wi8_ai8" else int16(-3, 9)
    floats = [f"in{position}" for position, value in {**op.feeds, **op.constants}.items() if value.dtype == np.float32]
    for version in (1, 2, 3):
        with pytest.raises(ToolError):
            differences(with_forms(op, dict.fromkeys((*floats, "out0"), form), version), op.samples(), "builtin")


@pytest.mark.parametrize("row", [row for row in MISSING if row.reason != ABSENT], ids=lambda row: f"{row.op}-{row.precisions[0]}")
def test_a_wrong_kernel_has_its_finding(row: MissingKernel) -> None:
    assert [finding.id for finding in FINDINGS if finding.id.startswith(row.finding)] != []
    assert row.finding != ""


def test_every_row_has_each_integer_kernel_or_the_table_says_why_not() -> None:
    asked = [(op, precision) for op in OPS for precision in INTEGER]
    assert [(op, precision) for op, precision in asked if (precision in OPS[op].kernels) == bool(why_no_kernel(op, precision))] == []


def test_missing_kernels_are_named_once_and_exist() -> None:
    named = [(row.op, precision) for row in MISSING for precision in row.precisions]
    assert sorted(named) == sorted(set(named))
    assert {op for op, _ in named} | NOTHING_TO_QUANTIZE <= set(tflite.OP_CODES)
    assert not {op for op, _ in named} & NOTHING_TO_QUANTIZE


def test_every_operator_that_onnx2tf_writes_is_decided() -> None:
    found = importlib.util.find_spec("onnx2tf")
    if found is None or found.origin is None:
        pytest.skip("onnx2tf is not installed")
    builders = Path(found.origin).parent / "tflite_builder" / "op_builders"
    words = {word for path in builders.glob("*.py") for word in re.findall(r'op_type="([A-Z0-9_]+)"', path.read_text(encoding="utf-8"))}
    written = words & set(tflite.OP_CODES)
    assert len(written) > 60
    decided = set(OPS) | {row.op for row in MISSING} | NOTHING_TO_QUANTIZE
    assert sorted(written - decided) == []
