"""A network of very many branches: none of them is bad, and their sum is."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import bridge

SIZE = 32
FLOAT_SUMS = """
schema_version = 1
[[rules]]
id = "float-sums"
reason = "Each of 63 additions rounds the sum again: 36.9 dB before, 27.5 dB behind them."
precision = "float32"
match = [{ kind = "name", glob = "sum*" }]
"""


def branches(folder: Path, count: int) -> Path:
    """The sum of `count` layers of one input, added one after the other."""
    generator = np.random.default_rng(0)
    nodes, constants, last = [], [], "b0"
    for place in range(count):
        constants.append(numpy_helper.from_array((generator.normal(size=(SIZE, SIZE)) / np.sqrt(SIZE)).astype(np.float32), f"w{place}"))
        nodes.append(helper.make_node("MatMul", ["x", f"w{place}"], [f"m{place}"], f"fc{place}"))
        nodes.append(helper.make_node("Tanh", [f"m{place}"], [f"b{place}"], f"tanh{place}"))
    for place in range(1, count):
        nodes.append(helper.make_node("Add", [last, f"b{place}"], [last := f"s{place}"], f"sum{place}"))
    inputs, outputs = ([helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, SIZE])] for name in ("x", last))
    model = helper.make_model(helper.make_graph(nodes, "g", inputs, outputs, constants), opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, folder / "wide.onnx")
    return folder / "wide.onnx"


@pytest.mark.parametrize(("count", "own", "accumulates"), [(64, False, True), (64, True, False), (6, False, False)])
def test_a_sum_of_many_branches_is_said_and_the_cure_helps(count: int, own: bool, accumulates: bool, tmp_path: Path) -> None:
    (tmp_path / "sums.toml").write_text(FLOAT_SUMS)
    data = bridge.Calibration.from_arrays({"x": np.random.default_rng(5).normal(size=(64, 1, SIZE)).astype(np.float32)})
    report = bridge.convert(
        branches(tmp_path, count),
        calibration=data,
        rules=(tmp_path / "sums.toml",) if own else (),
        recover=(),
        output_dir=tmp_path / "out",
        threads=1,
        layer_samples=8,
    ).report
    found = [finding for finding in report.diagnostics if finding.code == "wide-sum-error"]
    assert bool(found) == accumulates
    assert ((report.outputs[0].sqnr_db or 0.0) > 30) != accumulates
    if found:
        assert found[0].message.startswith(f"The sum of {count} branches keeps 2")
        assert found[0].node == f"sum{count - 1}"
