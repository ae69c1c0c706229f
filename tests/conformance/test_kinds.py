"""Every row is tried on every kind of data that its operator can meet."""

import numpy as np
import pytest
from case_data import Case
from one_op import OneOp
from test_kernels import in_precision

from bridge.quantize import OPS, PRECISIONS
from bridge.quantize.op_table import Role

BROADCASTING = frozenset({"ADD", "SUB", "MUL", "DIV", "SQUARED_DIFFERENCE", "MAXIMUM", "MINIMUM", "SELECT_V2", "BATCH_MATMUL"})
STEEP = frozenset({"LOG", "RSQRT"})  # take nothing at or below zero
NO_TENSOR = frozenset({"FILL", "ONE_HOT"})  # their data are single constants


def data_of(model: OneOp) -> list[np.ndarray]:
    """Float operands that are data: fed, or constants that stand for activations."""
    row = OPS[model.op]
    fed = [value for value in model.feeds.values() if value.dtype == np.float32]
    return fed or [value[None] for at, value in model.constants.items() if value.dtype == np.float32 and row.input_role(at) is Role.DATA]


def kinds(case: Case) -> set[str]:
    """What a case tries, by its numbers and shapes."""
    first, found = data_of(case.model)[0], set()
    peak = float(np.abs(first).max(initial=0))
    found |= {"zero"} if peak == 0 else set()
    found |= {"tiny"} if 0 < peak < 1e-4 else set()
    found |= {"huge"} if peak > 1e4 else set()
    found |= {"negative"} if first.size and float(first.max()) < 0 else set()
    found |= {"random"} if 1e-4 <= peak <= 1e4 and len(np.unique(first)) > 2 else set()
    operands = [value.shape[1:] for value in case.model.feeds.values()] + [value.shape for value in case.model.constants.values()]
    found |= {"ones"} if any(1 in shape for shape in (*operands, *case.model.outputs)) else set()
    found |= {"broadcast"} if len({tuple(shape) for shape in operands}) > 1 else set()
    weights = [value for at, value in case.model.constants.items() if OPS[case.model.op].input_role(at) is Role.WEIGHT]
    if weights and OPS[case.model.op].inputs.count(Role.WEIGHT) == 1:
        peaks = np.abs(np.moveaxis(weights[0], OPS[case.model.op].weight_axis, 0).reshape(weights[0].shape[OPS[case.model.op].weight_axis], -1)).max(
            axis=1
        )
        found |= {"per-channel"} if peaks.max() > 100 * peaks.min() > 0 else set()
    return found


def wanted(op: str) -> set[str]:
    """The kinds that an operator needs."""
    needed = {"random"} if op in NO_TENSOR else {"random", "ones", "tiny", "huge"} | (set() if op in STEEP else {"zero", "negative"})
    needed |= {"broadcast"} if op in BROADCASTING else set()
    return needed | ({"per-channel"} if OPS[op].inputs.count(Role.WEIGHT) == 1 else set())


ROWS = [(op, precision) for op, row in OPS.items() for precision in row.kernels if op not in NO_TENSOR]


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "float32"])
def test_every_row_is_tried_on_every_kind_of_data(precision: str) -> None:
    """Values beyond the calibrated range are tried by every case of an integer kernel."""
    tried: dict[str, set[str]] = {}
    for case, _ in in_precision(precision):
        if precision not in case.refused or case.id.endswith("huge"):  # a range beyond what the kernel holds is refused: tried as well
            tried.setdefault(case.model.op, set()).update(kinds(case))
    missing = {op: wanted(op) - tried.get(op, set()) for op, asked in ROWS if asked == precision}
    assert {op: kinds for op, kinds in missing.items() if kinds} == {}
