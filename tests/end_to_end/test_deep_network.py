"""A network of very many layers: none of them is bad, and the result is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import bridge

SIZE = 48


def chain(folder: Path, layers: int) -> Path:
    """Layers that keep the size of their values: a random matrix of He's deviation and a Relu each."""
    generator = np.random.default_rng(1)
    nodes, constants = [], []
    for layer in range(layers):
        weight = generator.normal(size=(SIZE, SIZE)) * np.sqrt(2.0 / SIZE)
        constants.append(numpy_helper.from_array(weight.astype(np.float32), f"w{layer}"))
        nodes.append(helper.make_node("MatMul", [f"x{layer}", f"w{layer}"], [f"h{layer}"], f"fc{layer}"))
        nodes.append(helper.make_node("Relu", [f"h{layer}"], [f"x{layer + 1}"], f"act{layer}"))
    inputs = [helper.make_tensor_value_info("x0", onnx.TensorProto.FLOAT, [1, SIZE])]
    outputs = [helper.make_tensor_value_info(f"x{layers}", onnx.TensorProto.FLOAT, [1, SIZE])]
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "deep.onnx")
    return folder / "deep.onnx"


@pytest.mark.parametrize(("layers", "accumulates"), [(100, True), (8, False)])
def test_error_that_accumulates_is_said_of_the_deep_network_only(layers: int, accumulates: bool, tmp_path: Path) -> None:
    samples = {"x0": np.random.default_rng(2).normal(size=(64, 1, SIZE)).astype(np.float32)}
    data = bridge.Calibration.from_arrays(samples)
    report = bridge.convert(
        chain(tmp_path, layers), calibration=data, rules=(), recover=(), output_dir=tmp_path / "out", threads=1, layer_samples=8
    ).report
    found = [finding for finding in report.diagnostics if finding.code == "error-accumulates"]
    assert bool(found) == accumulates
    if found:
        assert f"The error grows along {layers} layers" in found[0].message
        assert (report.outputs[0].sqnr_db or 0.0) < 20
