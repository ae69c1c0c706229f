"""For test suites of training repositories: one assertion that a model survives quantization."""

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bridge.calibrate import Calibration
from bridge.errors import GateError
from bridge.pipeline import convert
from bridge.report.gates import gate as hold

if TYPE_CHECKING:
    from bridge.report.schema import Report, WorstLayer


def assert_quantizes(
    model: object,
    calibration: Path | str | Calibration,
    *,
    gate: str | Sequence[str],
    **options: Any,  # those of `convert`
) -> "Report":
    """Converts a model and fails where a gate does not hold; the message lists the layers that lose most.

    Args:
        model: what `convert` takes.
        calibration: likewise.
        gate: one expression such as `sqnr>=25`, or several.
        options: further options of `convert`; without `output_dir` nothing is left behind.

    Returns:
        The report of the conversion, where all gates hold.

    Raises:
        AssertionError: a gate does not hold.
        BridgeError: what `convert` raises.
    """
    gates = (gate,) if isinstance(gate, str) else tuple(gate)
    with tempfile.TemporaryDirectory() as folder:
        report = convert(model, calibration=calibration, **{"output_dir": folder} | options).report
    try:
        hold(report, *gates)
    except GateError as error:
        raise AssertionError("\n".join((error.message, *_worst(report.summary.worst)))) from None
    return report


def _worst(layers: "Sequence[WorstLayer]") -> list[str]:
    return (
        ["Layers that lose most by themselves:", *(f"  {one.node} ({one.op_type}): own SQNR {one.own_sqnr_db:.1f} dB" for one in layers)]
        if layers
        else []
    )
