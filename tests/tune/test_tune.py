"""The smallest float set, from a model to a rule file that `convert` takes."""

import json
from pathlib import Path

import pytest

import bridge
from bridge.cli import main
from bridge.tune.result import TuneReport

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
CALIBRATION, EVALUATION = MODEL / "calibration.npz", MODEL / "evaluation.npz"


def tune(folder: Path) -> bridge.TuneResult:
    return bridge.tune(
        MODEL / "model.onnx",
        target="sqnr>=33",
        calibration=CALIBRATION,
        evaluation=EVALUATION,
        observers=("min_max",),
        choices=("float32",),
        trials=24,
        output_dir=folder,
    )


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> bridge.TuneResult:
    return tune(tmp_path_factory.mktemp("tuned"))


def test_convert_gives_the_measured_file_again(tuned: bridge.TuneResult, tmp_path: Path) -> None:
    report = tuned.report
    assert report.met
    assert report.start.sqnr_db < 33.0 <= report.best.sqnr_db
    assert report.trials.made <= 24
    recover = () if "--no-recover" in report.command else ("range_search", "bias_correction")
    again = bridge.convert(
        MODEL / "model.onnx", calibration=CALIBRATION, evaluation=EVALUATION, rules=(tuned.rules,), recover=recover, output_dir=tmp_path / "out"
    )
    (output,) = again.report.outputs
    assert output.sqnr_db == report.best.sqnr_db
    assert again.report.cost.quantized_bytes == report.best.quantized_bytes
    rules = {row.id: row for row in again.report.rules}
    assert {rule.precision for rule in rules.values()} <= {"float32"}
    assert all("with this one in int8 the worst output has" in rule.reason for rule in rules.values())


def test_the_same_call_measures_nothing_again(tuned: bridge.TuneResult) -> None:
    again = tune(tuned.output_dir)
    assert again.report.trials.cached == again.report.trials.made + again.report.trials.further
    assert again.report.members == tuned.report.members
    stored = (tuned.output_dir / "tune.json").read_bytes()
    assert TuneReport.from_json(stored, where="tune.json").best.sqnr_db == tuned.report.best.sqnr_db


def test_a_target_out_of_reach_ends_with_exit_code_5(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--calibration", str(CALIBRATION), "--evaluation", str(EVALUATION), "--trials", "6", "-o", str(tmp_path / "out"), "--json"]
    with pytest.raises(SystemExit) as end:
        main(["tune", str(MODEL / "model.onnx"), "--target", "sqnr>=300", *options])
    assert end.value.code == 5
    said = json.loads(capsys.readouterr().out)
    assert said["met"] is False
    assert (tmp_path / "out" / "rules.toml").is_file()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "layer:own_sqnr>=20"), ("layer:own_sqnr>=20", "a trial does not measure")),
        (("--target", "sqnr>=30", "--choice", "float64"), ("float64", "float32")),
        (("--target", "sqnr>=30", "--level", "layer"), ("'layer'", "block")),
    ],
)
def test_what_cannot_be_asked_is_refused_before_any_work(
    options: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        main(["tune", str(MODEL / "model.onnx"), "--calibration", str(CALIBRATION), *options])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)
