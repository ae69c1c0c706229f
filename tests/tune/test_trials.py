"""A trial measures what a conversion with the same decisions reports, to the last digit."""

from pathlib import Path

import pytest
from workloads import INT8, LAYERS, prepared

import bridge
from bridge.decisions import op_precisions
from bridge.preparing import Prepared, Request, prepare
from bridge.progress import Silent, Stages
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec, Trial
from bridge.tune.workload import Workload

MODEL = Path(__file__).parents[2] / "models" / "digits_vit"
OF_OUTPUTS = ("name", "sqnr_db", "cosine", "max_abs", "conversion_sqnr_db", "top1_agreement", "top1_float", "top1_quantized")
OF_METRICS = ("name", "value", "float_value")
OF_COST = ("float_mac_share", "quantized_bytes", "float_bytes", "quantize_ops", "dequantize_ops", "converted_elements")


def figures(owners: object, names: tuple[str, ...]) -> list[tuple[object, ...]]:
    assert isinstance(owners, tuple)
    return [tuple(getattr(owner, name) for name in names) for owner in owners]


def trial_of(request: Request, made: Prepared, asked: tuple[str, ...], folder: Path) -> Trial:
    """On all evaluation samples."""
    workload = Workload.write(folder / "workload", made, [Setting("min_max", made.ranges)], request=request, samples=10**6)
    with open_executor() as executor:
        (trial,) = Lab(workload, executor, folder / "cache").measure([Spec(asked, "min_max")])
    return trial


def assert_as_reported(trial: Trial, report: bridge.Report) -> None:
    assert figures(trial.outputs, OF_OUTPUTS) == figures(report.outputs, OF_OUTPUTS) != []
    assert figures(trial.task_metrics, OF_METRICS) == figures(report.task_metrics, OF_METRICS) != []
    assert figures((trial,), OF_COST) == figures((report.cost,), OF_COST)


def test_of_a_transformer_with_float_islands(tmp_path: Path) -> None:
    calibration, evaluation, metrics = MODEL / "calibration.npz", MODEL / "evaluation.npz", ("top1", "cosine")
    request = Request(source=MODEL / "model.onnx", calibration=calibration, evaluation=evaluation, metrics=metrics)
    made = prepare(request, tmp_path, tmp_path / "log", Stages(Silent()))
    asked = tuple(op_precisions(made.converted.tensor_map, made.applied.decisions, request.precision))
    result = bridge.convert(
        MODEL / "model.onnx", calibration=calibration, evaluation=evaluation, metrics=metrics, recover=(), output_dir=tmp_path / "out"
    )
    assert "float32" in asked
    assert_as_reported(trial_of(request, made, asked, tmp_path), result.report)


@pytest.mark.parametrize("edges", [("int8", "uint8"), ("uint8", "float32")])
def test_of_integer_inputs_and_outputs(tmp_path: Path, edges: tuple[str, str]) -> None:
    request, made = prepared(tmp_path, edges=edges)
    result = bridge.convert(
        request.source,
        calibration=request.calibration,
        evaluation=request.evaluation,
        metrics=request.metrics,
        rules=(),
        recover=(),
        input_dtype=edges[0],
        output_dtype=edges[1],
        output_dir=tmp_path / "out",
    )
    assert_as_reported(trial_of(request, made, (INT8,) * LAYERS, tmp_path), result.report)
