"""What `bridge inspect` says before anything is converted."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from msgspec.structs import replace
from onnx import numpy_helper

import bridge
from bridge.calibrate import Calibration
from bridge.errors import InputError, UnsupportedModelError
from bridge.findings import Diagnostic
from bridge.graph import refuse_large, size_findings
from bridge.inspect import inspect
from bridge.sources import open_model

SEED = 5


def saved(folder: Path, body: str, constants: Mapping[str, np.ndarray] = MappingProxyType({})) -> Path:
    model = onnx.parser.parse_model(f'<ir_version: 8, opset_import: ["" : 17]> g {body}')
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    path = folder / "model.onnx"
    onnx.save(model, path)
    return path


def found(path: Path, code: str, **options: str) -> list[Diagnostic]:
    return [finding for finding in inspect(path, rules=(), **options).diagnostics if finding.code == code]  # type: ignore[arg-type]


def weight(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(SEED).normal(size=(rows, columns)).astype(np.float32)


@pytest.mark.provokes("int64-input")
def test_int64_inputs_are_said(tmp_path: Path) -> None:
    path = saved(tmp_path, "(int64[1,4] ids) => (float[1,4,8] y) { y = Gather(table, ids) }", {"table": weight(16, 8)})
    (finding,) = found(path, "int64-input")
    assert (finding.severity, "'ids' is int64" in finding.message) == ("info", True)


@pytest.mark.provokes("no-integer-kernel")
@pytest.mark.parametrize(("precision", "op"), [("static_wi8_ai8", "SIN"), ("static_wi8_ai16", "SQUARED_DIFFERENCE")])
def test_operators_without_a_kernel_are_named_once_with_their_nodes(precision: str, op: str, tmp_path: Path) -> None:
    path = saved(tmp_path, "(float[1,4] x) => (float[1,4] y) { [first] a = Sin(x) [second] y = Sin(a) }")
    (finding,) = found(path, "no-integer-kernel", precision=precision)
    assert "2 nodes stay float, for SIN has no" in finding.message
    assert "'first', 'second'" in finding.message


@pytest.mark.provokes("dead-weights")
def test_channels_of_zeros_are_counted(tmp_path: Path) -> None:
    dead = weight(4, 6)
    dead[:, [1, 3]] = 0.0
    path = saved(tmp_path, "(float[1,4] x) => (float[1,6] z) { [one] y = MatMul(x, a) [two] z = MatMul(y, b) }", {"a": dead, "b": weight(6, 6)})
    (finding,) = found(path, "dead-weights")
    assert (finding.severity, finding.node) == ("info", "one")
    assert finding.message == "2 output channels have only zeros as weights: 2 of 6 in 'one'."


@pytest.mark.provokes("weight-outliers")
def test_weights_that_int8_cannot_hold_are_found_by_rounding_them(tmp_path: Path) -> None:
    graph = "(float[1,4096] x) => (float[1,3] y) { [fc] y = MatMul(x, w) }"
    normal = np.sign(weight(4096, 3))
    assert found(saved(tmp_path, graph, {"w": normal}), "weight-outliers") == []
    spoiled = normal.copy()
    spoiled[7] = 256.0  # a step of 2.02, so that all other weights of a channel round to 0: 256^2 + 4095 over 4095
    (finding,) = found(saved(tmp_path, graph, {"w": spoiled}), "weight-outliers")
    assert finding.node == "fc"
    assert "keep 12.3 dB in int8" in finding.message
    assert "largest of channel 0 is 256, its middle one 1." in finding.message


@pytest.mark.provokes("control-flow-written-out")
def test_a_loop_with_known_rounds_is_said_with_its_length(tmp_path: Path) -> None:
    body = """(float[1,4] x) => (float[1,4] y) {
        n = Constant<value = int64 {5}>() go = Constant<value = bool {1}>()
        [steps] y = Loop(n, go, x) <body = b (int64 i, bool c, float[1,4] a) => (bool d, float[1,4] e) { d = Identity(c) e = Sigmoid(a) }>
    }"""
    (finding,) = found(saved(tmp_path, body), "control-flow-written-out")
    assert (finding.severity, finding.node) == ("info", "steps")
    assert "has 5 rounds" in finding.message


def test_a_scan_over_a_sequence_of_known_length_is_said_with_its_length(tmp_path: Path) -> None:
    body = """(float[1,4] x, float[5,1,4] s) => (float[1,4] y, float[5,1,4] z) {
        [steps] y, z = Scan<num_scan_inputs = 1, body = b (float[1,4] a, float[1,4] t) => (float[1,4] e, float[1,4] f)
            { e = Add(a, t) f = Sigmoid(e) }>(x, s)
    }"""
    (finding,) = found(saved(tmp_path, body), "control-flow-written-out")
    assert (finding.node, "Scan 'steps' has 5 rounds" in finding.message) == ("steps", True)


@pytest.mark.provokes("large-model")
def test_weights_that_no_file_holds_are_an_error_and_stop_a_conversion(tmp_path: Path) -> None:
    normal = open_model(saved(tmp_path, "(float[1,4] x) => (float[1,6] y) { y = MatMul(x, w) }", {"w": weight(4, 6)}), input_shapes={}).graph
    assert size_findings(normal) == ()
    declared = ir.ExternalTensor("nowhere.bin", 0, 4 * 30000 * 20000, ir.DataType.FLOAT, shape=ir.Shape([30000, 20000]), name="table")
    large = normal.model.clone()
    large.graph.register_initializer(ir.Value(name="table", const_value=declared, type=ir.TensorType(ir.DataType.FLOAT), shape=declared.shape))
    (finding,) = size_findings(replace(normal, model=large))
    assert "take 2.40 GB in float32" in finding.message
    assert "'table' (2400 MB)" in finding.message
    with pytest.raises(UnsupportedModelError, match=r"2\.40 GB") as caught:
        refuse_large(replace(normal, model=large))
    assert (caught.value.code, caught.value.exit_code) == ("large-model", 3)


def declared_large(folder: Path, graph: str, shapes: dict[str, tuple[int, int]]) -> Path:
    """A model whose weights are declared to lie in a file that is not there."""
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 17]> g {graph}')
    for name, shape in shapes.items():
        tensor = model.graph.initializer.add(name=name, data_type=onnx.TensorProto.FLOAT, dims=shape, data_location=onnx.TensorProto.EXTERNAL)
        tensor.external_data.add(key="location", value="weights.bin")
    path = folder / "large.onnx"
    onnx.save(model, path)
    return path


def test_a_model_that_is_too_large_is_refused_before_its_weights_are_read(tmp_path: Path) -> None:
    path = declared_large(tmp_path, "(float[1,30000] x) => (float[1,20000] y) { y = MatMul(x, w) }", {"w": (30000, 20000)})
    with pytest.raises(UnsupportedModelError, match=r"take 2\.40 GB in float32.*'w' \(2400 MB\)"):
        bridge.convert(path, output_dir=tmp_path / "out")
    with pytest.raises(InputError, match=r"external data"):  # a part of it may be small enough
        bridge.convert(path, end=["y"], output_dir=tmp_path / "out")


@pytest.mark.parametrize(
    "graph",
    [
        "(float[1,4] x) => (float[1,4] y) { y = Relu(x) unused = MatMul(x, w) }",
        "(float[1,4] x) => (float[1,4] y) { z = Slice(w, a, b) y = MatMul(x, z) }",
    ],
    ids=["of no output", "of which folding leaves less"],
)
def test_only_weights_that_will_be_there_make_a_model_too_large(tmp_path: Path, graph: str) -> None:
    path = declared_large(tmp_path, graph, {"w": (30000, 20000), "a": (1, 1), "b": (1, 1)})
    with pytest.raises(InputError, match=r"external data"):
        bridge.convert(path, output_dir=tmp_path / "out")


def test_a_model_without_trouble_has_no_finding(tmp_path: Path) -> None:
    path = saved(tmp_path, "(float[1,4] x) => (float[1,6] y) { a = MatMul(x, w) y = Relu(a) }", {"w": weight(4, 6)})
    assert inspect(path).diagnostics == ()


@pytest.mark.provokes("input-empty")
def test_an_input_without_elements_is_left_out_and_said(tmp_path: Path) -> None:
    (finding,) = found(saved(tmp_path, "(float[3,2] x, int64[0] s) => (float[1,1] y) { y = ReduceSum(x, s) }"), "input-empty")
    assert "'s' has no elements" in finding.message


def test_samples_are_looked_at_without_a_conversion(tmp_path: Path) -> None:
    path = saved(tmp_path, "(float[1,4] x) => (float[1,6] y) { y = MatMul(x, w) }", {"w": weight(4, 6)})
    same = Calibration.from_arrays({"x": np.repeat(weight(1, 4), 100, axis=0), "labels": np.full(100, 2)})
    assert [finding.code for finding in inspect(path, calibration=same).diagnostics] == ["samples-alike", "one-class"]
    few = Calibration.from_arrays({"x": weight(3, 4)})
    assert [finding.code for finding in inspect(path, calibration=few).diagnostics] == ["few-calibration-samples"]
    good = Calibration.from_arrays({"x": weight(100, 4)})
    assert inspect(path, calibration=good).diagnostics == ()
    with pytest.raises(InputError, match="must be float32"):
        inspect(path, calibration=Calibration.from_arrays({"x": weight(100, 4).astype(np.float64)}))
