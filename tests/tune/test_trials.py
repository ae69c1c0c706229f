"""Trials are measured as a conversion measures, wherever they run, and once."""

from pathlib import Path

import pytest

import bridge
from bridge.decisions import op_precisions
from bridge.preparing import Request, prepare
from bridge.progress import Silent, Stages
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec
from bridge.tune.workload import Workload

MODEL = Path(__file__).parents[2] / "models" / "digits_vit"
OPTIONS = {"calibration": MODEL / "calibration.npz", "evaluation": MODEL / "evaluation.npz", "metrics": ("top1", "cosine")}


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workload, tuple[str, ...]]:
    """The workload of a small ViT on all its evaluation samples, and the precisions that the default rules give."""
    folder = tmp_path_factory.mktemp("vit")
    request = Request(source=MODEL / "model.onnx", **OPTIONS)  # type: ignore[arg-type]  # of several types
    prepared = prepare(request, folder, folder / "log", Stages(Silent()))
    asked = op_precisions(prepared.converted.tensor_map, prepared.applied.decisions, request.precision)
    settings = [Setting("min_max", prepared.ranges)]
    return Workload.write(folder / "workload", prepared, settings, request=request, samples=10**6), tuple(asked)


def test_a_trial_measures_what_a_conversion_reports(everything: tuple[Workload, tuple[str, ...]], tmp_path: Path) -> None:
    workload, asked = everything
    with open_executor(workers=1) as executor:
        (trial,) = Lab(workload, executor, tmp_path / "cache").measure([Spec(asked, "min_max")])
    report = bridge.convert(MODEL / "model.onnx", output_dir=tmp_path / "out", recover=(), **OPTIONS).report  # type: ignore[arg-type]  # of several types
    assert trial.spec.op_precisions == asked
    assert [(one.name, one.sqnr_db, one.cosine, one.max_abs, one.conversion_sqnr_db, one.top1_agreement, one.top1_float, one.top1_quantized) for one in trial.outputs] == [
        (one.name, one.sqnr_db, one.cosine, one.max_abs, one.conversion_sqnr_db, one.top1_agreement, one.top1_float, one.top1_quantized) for one in report.outputs
    ]  # fmt: skip
    assert [(one.name, one.value, one.float_value) for one in trial.task_metrics] == [
        (one.name, one.value, one.float_value) for one in report.task_metrics
    ]
    cost = report.cost
    assert cost is not None
    assert (trial.float_mac_share, trial.quantized_bytes, trial.float_bytes) == (cost.float_mac_share, cost.quantized_bytes, cost.float_bytes)
    assert (trial.quantize_ops, trial.dequantize_ops, trial.converted_elements) == (cost.quantize_ops, cost.dequantize_ops, cost.converted_elements)
