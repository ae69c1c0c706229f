"""From the options of a conversion to the scales of its file."""

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
from PIL import Image

import bridge
from bridge.tflite import model as tflite

NET = """
<ir_version: 9, opset_import: ["" : 17]>
net (float[1, 3, 12, 12] image) => (float[1, 4, 12, 12] logits)
<float[4, 3, 1, 1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}, float[4, 4, 1, 1] v = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}>
{
    [first] hidden = Conv(image, w)
    [cut] positive = Relu(hidden)
    [last] logits = Conv(positive, v)
}
"""
RULES = """
schema_version = 1
[[rules]]
id = "known-range"
reason = "The sensor saturates there."
match = [{ kind = "name", glob = "cut" }]
range = [0.0, 2.55]
[[rules]]
id = "tails"
reason = "Rare peaks."
match = [{ kind = "name", glob = "last" }]
observer = "percentile:99"
"""


def test_pictures_observers_and_ranges_of_rules_reach_the_scales(tmp_path: Path) -> None:
    onnx.save(onnx.parser.parse_model(NET), tmp_path / "net.onnx")
    (tmp_path / "rules.toml").write_text(RULES)
    random = np.random.default_rng(0)
    for position in range(20):
        (tmp_path / "photos" / str(position % 4)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(0, 256, (12, 12, 3), np.uint8)).save(tmp_path / "photos" / str(position % 4) / f"{position}.png")
    result = bridge.convert(
        tmp_path / "net.onnx",
        calibration=tmp_path / "photos",
        preprocess="unit",
        observer="mse",
        rules=(tmp_path / "rules.toml",),
        recover=(),
        compare=False,
        output_dir=tmp_path / "out",
    )
    ranges = json.loads((tmp_path / "out" / "ranges.json").read_text())
    assert (ranges["observer"], ranges["samples"]) == ("mse", 15)  # a quarter is held out
    fixed, tails = ranges["choices"].values()
    assert (fixed["fixed"], tails["observer"]) == ([0.0, 2.55], "percentile:99")
    assert [(rule.id, rule.precision, rule.range, rule.deciding) for rule in result.report.rules] == [
        ("known-range", "", "range 0 .. 2.55", ("cut",)),
        ("tails", "", "percentile:99", ("last",)),
    ]
    scales = [
        tensor.quantization.scale for tensor in tflite.main_graph(tflite.read(result.artifacts["static_wi8_ai8"])).tensors if tensor.quantization
    ]
    assert any(scale is not None and len(scale) == 1 and np.isclose(scale[0], 0.01, rtol=1e-6) for scale in scales)
