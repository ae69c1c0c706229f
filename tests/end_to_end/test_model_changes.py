"""Rules that change the model: what is converted, what it is proved and compared against, and what the report says."""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

import bridge
from bridge.report.schema import Report
from bridge.tflite import model as tflite

NET = """
<ir_version: 9, opset_import: ["" : 17]>
net (float[1, 3, 8, 8] image) => (float[1, 4, 8, 8] logits)
<float[4, 3, 1, 1] w = {1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 1, 1}, float[4, 4, 1, 1] v = {1, 0, 0, 0.5, 0, 1, 0, 0, 0, 0, 1, 0, 0.25, 0, 0, 1}>
{
    [first] hidden = Conv(image, w)
    [gate] opened = Sigmoid(hidden)
    [swish] active = Mul(hidden, opened)
    [last] logits = Conv(active, v)
}
"""
RULES = """
schema_version = 1
[[rules]]
id = "cheap-swish"
reason = "HardSwish has an int8 kernel."
match = [{ kind = "pattern", patterns = ["silu"] }]
replace = "hard_swish"
[[rules]]
id = "camera"
reason = "Pixels end there."
match = [{ kind = "tensor", glob = "image" }]
range = [-4.0, 4.0]
[[rules]]
id = "int8-tails"
reason = "Rare peaks."
match = [{ kind = "name", glob = "first" }]
clip = [-2.5, 2.5]
[[rules]]
id = "float-tails"
reason = "Rare peaks."
match = [{ kind = "name", glob = "last" }]
clip = [-1.5, 1.5]
precision = "float32"
"""


def convert(tmp_path: Path, rules: str) -> Report:
    onnx.save(onnx.parser.parse_model(NET), tmp_path / "net.onnx")
    (tmp_path / "rules.toml").write_text(rules)
    random = np.random.default_rng(0)
    for name, count in (("calibration", 16), ("evaluation", 8)):
        np.savez(tmp_path / f"{name}.npz", image=random.standard_normal((count, 1, 3, 8, 8)).astype(np.float32))
    return bridge.convert(
        tmp_path / "net.onnx",
        calibration=tmp_path / "calibration.npz",
        evaluation=tmp_path / "evaluation.npz",
        rules=(tmp_path / "rules.toml",),
        recover=(),
        output_dir=tmp_path / "out",
        threads=1,
    ).report


def exact(image: np.ndarray, *, swish: bool, last: bool, first: bool = False) -> np.ndarray:
    """The net in NumPy, with some of the changes."""
    w, v = (onnx.numpy_helper.to_array(tensor)[:, :, 0, 0] for tensor in onnx.parser.parse_model(NET).graph.initializer)
    hidden = np.einsum("oc,nchw->nohw", w, image)
    hidden = np.clip(hidden, -2.5, 2.5) if first else hidden
    active = hidden * (np.clip(hidden / 6 + 0.5, 0, 1) if swish else 1 / (1 + np.exp(-hidden)))
    logits = np.einsum("oc,nchw->nohw", v, active)
    return np.asarray(np.clip(logits, -1.5, 1.5) if last else logits)


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    return float(10 * np.log10((reference**2).sum() / ((reference - candidate) ** 2).sum()))


def test_changes_reach_the_file_and_the_report_says_what_they_cost(tmp_path: Path) -> None:
    report = convert(tmp_path, RULES)
    image = np.load(tmp_path / "evaluation.npz")["image"][:, 0]
    plain = exact(image, swish=False, last=False)

    rows = {row.node: row for row in report.replacements.changes}
    assert {name: (row.kind, row.by, row.in_graph, row.rule) for name, row in rows.items()} == {
        "swish": ("replace", "hard_swish", True, "cheap-swish"),
        "first": ("clip", "-2.5 .. 2.5", False, "int8-tails"),
        "last": ("clip", "-1.5 .. 1.5", True, "float-tails"),
    }
    alone = {name: row.outputs[0].sqnr_db for name, row in rows.items()}
    expected = {"swish": {"swish": True}, "first": {"first": True}, "last": {"last": True}}
    for name, made in expected.items():
        options = {"swish": False, "last": False} | made
        np.testing.assert_allclose(alone[name], sqnr_db(plain, exact(image, **options)), atol=1e-3)
    together = sqnr_db(plain, exact(image, swish=True, last=True, first=True))
    np.testing.assert_allclose(report.replacements.together[0].sqnr_db, together, atol=1e-3)

    ops = [tflite.op_name(model, op) for model in [tflite.read(tmp_path / "out" / "net.float32.tflite")] for op in tflite.main_graph(model).operators]
    assert "HARD_SWISH" in ops
    assert "LOGISTIC" not in ops
    # The comparison is against the model as it was given, so the conversion error holds what the float file does differently by design.
    converted = sqnr_db(plain, exact(image, swish=True, last=True))
    assert report.outputs[0].conversion_sqnr_db is not None
    np.testing.assert_allclose(report.outputs[0].conversion_sqnr_db, converted, atol=1e-3)
    assert report.divergence is None or report.divergence.error != "conversion"
    assert report.coverage.mapped + report.coverage.explained == 4


def test_the_range_of_a_model_input_is_what_the_rule_says(tmp_path: Path) -> None:
    convert(tmp_path, RULES)
    model = tflite.read(tmp_path / "out" / "net.static_wi8_ai8.tflite")
    main = tflite.main_graph(model)
    quantize = next(op for op in main.operators if tflite.op_name(model, op) == "QUANTIZE" and op.inputs[0] == main.inputs[0])
    scale = main.tensors[quantize.outputs[0]].quantization.scale[0]
    np.testing.assert_allclose(scale, 8.0 / 255.0, rtol=1e-6)


@pytest.mark.provokes("replacement-stays-float")
def test_a_replaced_function_that_another_rule_keeps_float_is_pointed_at(tmp_path: Path) -> None:
    text = RULES + '[[rules]]\nid = "keep"\nreason = "."\nmatch = [{ kind = "name", glob = "swish" }]\nprecision = "float32"\n'
    (finding,) = (one for one in convert(tmp_path, text).diagnostics if one.code == "replacement-stays-float")
    assert "Rule 'cheap-swish' replaces 'swish' by hard_swish, but rule 'keep' keeps them float." in finding.message
