"""Rankings of a net whose worst layer is known; levels; what cannot be ranked."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from workloads import chain

import bridge
from bridge.cli import main
from bridge.tune import sensitivity_result
from bridge.tune.ranking import METHODS, Figures, ranked
from bridge.tune.sensitivity_result import SensitivityReport, sensitivity_schema

SIZE, LAYERS, PLANTED = 16, 5, 2
MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A chain of layers; the weights of one have an outlier in each row, which meets an input that is always 0: only their rounding suffers."""
    rng = np.random.default_rng(0)
    layers = [(rng.normal(0.0, 0.3, (SIZE, SIZE)).astype(np.float32), np.full(SIZE, 0.1, np.float32)) for _ in range(LAYERS)]
    layers[PLANTED - 1][0][0] = 0.0
    layers[PLANTED - 1][1][0] = -1.0  # ReLU: this one is always 0
    layers[PLANTED][0][:, 0] = 20.0
    return chain(tmp_path_factory.mktemp("planted") / "net.tflite", layers)


def rank(source: Path, folder: Path, method: str, **options: object) -> SensitivityReport:
    data = bridge.Calibration.from_arrays({"x": np.random.default_rng(1).normal(size=(24, 1, SIZE)).astype(np.float32)})
    result = bridge.sensitivity(source, calibration=data, evaluation=data, method=method, output_dir=folder, **options)  # type: ignore[arg-type]  # of several types
    return result.report


@pytest.mark.parametrize("method", list(METHODS))
def test_the_planted_layer_is_first_by_every_method(method: str, planted: Path, tmp_path: Path) -> None:
    report = rank(planted, tmp_path, method)
    assert len(report.units) == LAYERS
    assert report.units[0].depth == PLANTED
    assert report.runs == {"propagation": 3, "own": 1}.get(method, LAYERS + 1)
    field = METHODS[method].figure
    first, second = (getattr(unit, field) for unit in report.units[:2])
    assert abs(first - second) > 3.0  # not by chance
    stored = (tmp_path / "sensitivity.json").read_bytes()
    assert SensitivityReport.from_json(stored, where="sensitivity.json") == report


def test_the_prediction_is_near_what_trials_measure(planted: Path, tmp_path: Path) -> None:
    predicted, alone, without = (rank(planted, tmp_path, method, samples=24) for method in ("propagation", "one-quantized", "one-float"))
    measured = {unit.name: unit.alone_db for unit in alone.units} | {"start": alone.start_db}
    assert alone.start_db == without.start_db
    for name, value in [*((unit.name, unit.alone_db) for unit in predicted.units), ("start", predicted.start_db)]:
        assert value == pytest.approx(measured[name], abs=3.0)
    gained, said = without.units[0], {unit.name: unit for unit in predicted.units}
    assert gained.gain_db == pytest.approx(said[gained.name].gain_db, abs=3.0)


def test_groups_are_ranked_whole(planted: Path, tmp_path: Path) -> None:
    (unit,) = rank(planted, tmp_path, "one-quantized", level="op_type").units
    assert len(unit.nodes) == LAYERS
    assert unit.macs == pytest.approx(1.0)
    whole = rank(planted, tmp_path, "one-quantized")
    assert unit.alone_db == whole.start_db  # all of them in int8 are the file without floats


def test_blocks_of_a_real_model_have_their_nodes_below_them(tmp_path: Path) -> None:
    options = {"calibration": MODEL / "calibration.npz", "evaluation": MODEL / "evaluation.npz"}
    report = bridge.sensitivity(MODEL / "model.onnx", level="block", output_dir=tmp_path, **options).report  # type: ignore[arg-type]  # of several types
    groups = {unit.name: unit.nodes for unit in report.units}
    assert len(groups) == len(report.units)
    assert any(len(nodes) > 1 for nodes in groups.values())
    assert all(node.lstrip("/").startswith(name.strip("/").replace(".", "/")) for name, nodes in groups.items() for node in nodes)
    assert sum(unit.macs for unit in report.units) == pytest.approx(1.0)


def test_what_stays_float_when_alone_has_no_figure(tmp_path: Path) -> None:
    """The quantizer puts no lone addition between floats into integers: a trial of it would measure the float file."""
    options = {"calibration": MODEL / "calibration.npz", "evaluation": MODEL / "evaluation.npz", "samples": 4, "output_dir": tmp_path}
    report = bridge.sensitivity(MODEL / "model.onnx", method="one-quantized", **options).report  # type: ignore[arg-type]  # of several types
    figures = {unit.name: unit.alone_db for unit in report.units}
    assert figures["/stay1/Add"] is None
    assert report.units[-1].alone_db is None
    assert all(value is None or value < 90.0 for value in figures.values())


def test_what_is_nan_is_first_and_what_is_unknown_last() -> None:
    figures = {
        "a": Figures(alone_db=30.0),
        "b": Figures(alone_db=math.nan),
        "c": Figures(),
        "d": Figures(alone_db=10.0),
        "e": Figures(alone_db=math.inf),
    }
    assert ranked([*figures, "f"], figures, METHODS["one-quantized"]) == ["b", "d", "a", "e", "c", "f"]
    gains = {"a": Figures(float_db=30.0), "b": Figures(float_db=40.0)}
    assert ranked(gains, gains, METHODS["one-float"]) == ["b", "a"]


def test_the_command_prints_what_it_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--calibration", str(MODEL / "calibration.npz"), "--evaluation", str(MODEL / "evaluation.npz"), "-o", str(tmp_path)]
    with pytest.raises(SystemExit) as end:
        main(["sensitivity", str(MODEL / "model.onnx"), *options, "--json"])
    assert end.value.code == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "sensitivity.json").read_text())
    rows = list(csv.DictReader(io.StringIO((tmp_path / "sensitivity.csv").read_text())))
    assert [row["name"] for row in rows] == [unit["name"] for unit in printed["units"]]


@pytest.mark.parametrize(("options", "words"), [(("--method", "hessian"), ("hessian", "propagation")), (("--level", "layer"), ("'layer'", "block"))])
def test_what_cannot_be_asked_is_refused(options: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["sensitivity", str(MODEL / "model.onnx"), "--calibration", str(MODEL / "calibration.npz"), *options])
    assert end.value.code == 2
    said = capsys.readouterr().err
    assert all(word in said for word in words)


def test_without_data_or_without_int8_there_is_nothing_to_rank(planted: Path, tmp_path: Path) -> None:
    with pytest.raises(bridge.UsageError, match="need calibration data"):
        bridge.sensitivity(planted, calibration=None, output_dir=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    rules = tmp_path / "all.toml"
    rules.write_text(
        'schema_version = 1\n[[rules]]\nid = "all"\nreason = "a test"\nmatch = [{ kind = "name", glob = "**" }]\nprecision = "float32"\n'
    )
    with pytest.raises(bridge.UsageError, match="Nothing of the model is int8"):
        rank(planted, tmp_path / "out", "own", rules=(rules,))


def test_the_committed_json_schema_is_current() -> None:
    file = Path(sensitivity_result.__file__).with_name("sensitivity.schema.json")
    assert file.read_text() == sensitivity_schema(), (
        f"run: python -c \"from bridge.tune.sensitivity_result import sensitivity_schema; print(sensitivity_schema(), end='')\" > {file}"
    )
