"""What rules ask of calibration samples reaches them: where values lie, which ranges meet in one node."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import bridge
from bridge.calibrate import read_ranges
from bridge.files import digest

MODEL = """<ir_version: 8, opset_import: ["" : 17]>
net (float[1,64] x) => (float[1,128] y) <float[64,64] w = {0}> {
    scaled = MatMul(x, w)
    small = Tanh(x)
    y = Concat<axis = 1>(scaled, small)
}"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A model with a wide and a narrow tensor in one Concat, and samples of which one value in a thousand is huge."""
    model = onnx.parser.parse_model(MODEL)
    random = np.random.default_rng(3)
    weight = onnx.numpy_helper.from_array(np.eye(64, dtype=np.float32) * 10, "w")
    model.graph.initializer[0].CopyFrom(weight)
    for place, node in enumerate(model.graph.node):
        node.name = ("matmul", "tanh", "concat")[place]
    onnx.save(model, tmp_path / "net.onnx")
    samples = random.uniform(-1, 1, (64, 1, 64)).astype(np.float32)
    samples[5, 0, 7] = 80.0
    np.savez(tmp_path / "samples.npz", x=samples)
    return tmp_path / "net.onnx", tmp_path / "samples.npz"


def test_rules_about_ranges_take_the_nodes_that_calibration_shows(files: tuple[Path, Path], tmp_path: Path) -> None:
    rules = tmp_path / "mine.toml"
    rules.write_text(
        """schema_version = 1
[[rules]]
id = "mismatch"
reason = "r"
match = [{ kind = "scale_mismatch", at_least = 100.0 }]
precision = "float32"
[[rules]]
id = "outliers"
reason = "r"
match = [{ kind = "outliers", at_least = 10.0 }]
precision = "static_wi8_ai16"
""",
        encoding="utf-8",
    )
    result = bridge.convert(
        files[0], calibration=files[1], evaluation=files[1], rules=(rules,), output_dir=tmp_path / "out", recover=(), compare=False
    )
    assert {node.name: node.rule for node in result.report.nodes} == {"matmul": "outliers", "tanh": None, "concat": "outliers"}
    assert {rule.id: list(rule.matched) for rule in result.report.rules} == {"mismatch": ["concat"], "outliers": ["matmul", "concat"]}
    kept = read_ranges(tmp_path / "out" / "ranges.json", model_sha256=digest(result.artifacts["float32"]))
    assert kept.spreads is not None
    assert kept.own_sqnr_db is None
