"""A pruned and clustered model whose rescaling layer stays float by rule."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bridge
from bridge.tflite import model as tflite

RNG = np.random.default_rng(9)
CENTERS = np.array([-0.6, -0.2, 0.0, 0.25, 0.7], np.float32)


def weight(*shape: int) -> np.ndarray:
    """Five values, of which one is zero; channels of different size."""
    values = RNG.standard_normal(shape) * np.linspace(0.2, 0.8, shape[0])[:, None, None, None]
    found: np.ndarray = CENTERS[np.argmin(np.abs(values[..., None] - CENTERS), axis=-1)]
    return found


def test_zeros_and_values_are_kept_beside_a_float_layer_and_reported(tmp_path: Path) -> None:
    constants = {
        "v": weight(8, 3, 3, 3),
        "w": weight(8, 8, 3, 3),
        "factor": RNG.uniform(0.1, 3, (1, 8, 1, 1)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], "first", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"], "relu"),
        helper.make_node("Mul", ["b", "factor"], ["c"], "scale"),
        helper.make_node("Sigmoid", ["c"], ["d"], "gate"),
        helper.make_node("Conv", ["d", "w"], ["y"], "second", kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, channels, 8, 8)) for name, channels in (("x", 3), ("y", 8))]
    graph = helper.make_graph(nodes, "net", ends[:1], ends[1:], [numpy_helper.from_array(value, name) for name, value in constants.items()])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "net.onnx")
    np.savez(tmp_path / "samples.npz", x=RNG.standard_normal((20, 3, 8, 8)).astype(np.float32))
    result = bridge.convert(tmp_path / "net.onnx", calibration=tmp_path / "samples.npz", rules=["rescaling"], output_dir=tmp_path / "out", threads=1)
    precisions = {node.name: node.precision for node in result.report.nodes}
    assert (precisions["first"], precisions["scale"], precisions["second"]) == ("static_wi8_ai8", "float32", "static_wi8_ai8")

    model = tflite.read(result.artifacts["static_wi8_ai8"])
    stored = [
        tflite.constant(model, one)
        for one in tflite.main_graph(model).tensors
        if tflite.is_constant(model, one) and tflite.TYPE_NAMES[one.type] == "INT8" and len(tflite.shape(one)) == 4
    ]
    for source in (constants["v"], constants["w"]):
        (integers,) = [one for one in stored if one.size == source.size]
        floats = source.transpose(0, 2, 3, 1)
        assert np.array_equal(integers == 0, floats == 0)
        assert len(np.unique(integers)) == len(CENTERS)

    block = result.report.compression
    zeros = np.mean(np.concatenate([constants[name].reshape(-1) == 0 for name in "vw"]))
    assert block.float_zeros == block.quantized_zeros
    assert block.quantized_zeros is not None
    assert abs(block.quantized_zeros - zeros) < 1e-9
    assert (block.float_distinct, block.quantized_distinct) == (5, 5)
    assert [row.scales for row in block.weights] == [1, 1]
