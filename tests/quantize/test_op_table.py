"""The op table is consistent in itself; what its rows claim about kernels is tested in tests/conformance."""

import pytest

from bridge.quantize import OPS, PRECISIONS, has_kernel
from bridge.quantize.op_table import OpRow, Role, Scales
from bridge.tflite import model as tflite


@pytest.mark.parametrize("row", OPS.values(), ids=lambda row: row.name)
def test_row_is_consistent(row: OpRow) -> None:
    assert row.name in tflite.OP_CODES
    assert set(row.kernels) <= set(PRECISIONS)
    assert Role.DATA in row.inputs
    if any(PRECISIONS[precision].integer for precision in row.kernels):
        assert (Role.WEIGHT in row.inputs) == (Role.BIAS in row.inputs)
    if row.scales is Scales.INHERIT:
        assert row.inputs.count(Role.DATA) == 1
    if row.moves_data:
        assert row.scales is not Scales.OWN
    for kernel in row.kernels.values():
        assert all(row.input_role(position) is Role.DATA for position in kernel.symmetric)
        assert kernel.fixed_output is None or row.scales is Scales.OWN


def test_the_last_role_stands_for_all_further_operands() -> None:
    assert OPS["CONCATENATION"].input_role(7) is Role.DATA
    assert OPS["SLICE"].input_role(2) is Role.PLAIN
    assert OPS["SPLIT"].output_role(3) is Role.DATA
    assert OPS["TOPK_V2"].output_role(1) is Role.PLAIN


@pytest.mark.parametrize(
    ("name", "precision", "known"),
    [
        ("CONV_2D", "static_wi8_ai8", True),
        ("SQRT", "static_wi8_ai8", False),
        ("DIV", "static_wi8_ai8", False),  # only by one constant
        ("SQRT", "float32", True),
        ("CUSTOM:Foo", "static_wi8_ai8", False),
        ("CONV_2D", "wi2", False),
    ],
)
def test_has_kernel(name: str, precision: str, known: bool) -> None:
    assert has_kernel(name, precision) is known
