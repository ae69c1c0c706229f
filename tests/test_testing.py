from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.testing import assert_quantizes
from bridge.tflite import model as tflite

SAMPLES = bridge.Calibration.from_arrays({"x": np.random.default_rng(0).standard_normal((16, 1, 6)).astype(np.float32)})


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """One FULLY_CONNECTED in a float TFLite file, which needs no converter."""
    model = tflite.new_model("a test")
    graph = tflite.main_graph(model)
    weights = tflite.add_buffer(model, np.random.default_rng(1).standard_normal((3, 6)).astype(np.float32))
    x, y = tflite.add_tensor(model, graph, "x", "FLOAT32", (1, 6)), tflite.add_tensor(model, graph, "scores", "FLOAT32", (1, 3))
    w = tflite.add_tensor(model, graph, "w", "FLOAT32", (3, 6), buffer=weights)
    graph.operators.append(tflite.add_op(model, "FULLY_CONNECTED", 1, [x, w, -1], [y]))
    tflite.set_options(graph.operators[0], "FullyConnectedOptions")
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    (tmp_path / "net.tflite").write_bytes(tflite.serialize(model))
    return tmp_path / "net.tflite"


def test_a_model_that_misses_a_gate_fails_with_its_worst_layers(net: Path) -> None:
    with pytest.raises(AssertionError, match=r"gates not met: sqnr>=200 (.|\n)*lose most by themselves:\n  scores \(FULLY_CONNECTED\): own SQNR"):
        assert_quantizes(net, SAMPLES, gate="sqnr>=200", threads=1)


def test_a_good_model_passes_and_gives_its_report(net: Path) -> None:
    assert assert_quantizes(net, SAMPLES, gate=("sqnr>=10",), threads=1).outputs
