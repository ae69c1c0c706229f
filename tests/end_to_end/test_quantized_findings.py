"""What of a quantized model TFLite cannot keep."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import bridge

TEXT = """<ir_version: 9, opset_import: ["" : 19]> g (float[1,4] x) => (float[1,3] y) {
    qx = QuantizeLinear(x, s, z) dx = DequantizeLinear(qx, s, z)
    w = DequantizeLinear(qw, sw, zw) h = MatMul(dx, w)
    qh = QuantizeLinear(h, s, z) dh = DequantizeLinear(qh, s, z)
    p = Softmax(dh)
    qp = QuantizeLinear(p, sp, z) y = DequantizeLinear(qp, sp, z)
}"""


@pytest.mark.provokes("scale-not-kept", "asymmetric-weights")
def test_a_scale_of_softmax_and_weights_with_a_zero_point_are_said(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    constants = {
        "s": np.float32(0.05),
        "z": np.int8(0),
        "sw": np.float32(0.01),
        "zw": np.int8(7),
        "sp": np.float32(0.02),
        "qw": generator.integers(-100, 100, (4, 3)).astype(np.int8),
    }
    model = onnx.parser.parse_model(TEXT)
    model.graph.initializer.extend(numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items())
    onnx.save(model, tmp_path / "q.onnx")
    samples = {"x": generator.normal(size=(16, 1, 4)).astype(np.float32)}
    result = bridge.convert(tmp_path / "q.onnx", calibration=bridge.Calibration.from_arrays(samples), output_dir=tmp_path / "out", threads=1)
    found = {finding.code: finding for finding in result.report.diagnostics}
    assert "qw" in found["asymmetric-weights"].message or "w" in found["asymmetric-weights"].message
    assert found["scale-not-kept"].severity == "warning"
