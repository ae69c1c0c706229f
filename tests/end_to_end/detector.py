"""A detector in miniature: boxes of 0 .. 640 pixels and class scores of 0 .. 1 in one Concat."""

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

SIDE, ANCHORS, CLASSES = 16, 64, 3
RNG_SEED = 7


def save_detector(path: Path) -> Path:
    """conv trunk -> box head (ReLU, 0 .. about 640) and score head (Sigmoid), each Transpose and Reshape to [1, 64, .], Concat to [1, 64, 7]."""
    rng = np.random.default_rng(RNG_SEED)

    def weights(name: str, outputs: int, inputs: int, size: int, gain: float) -> onnx.TensorProto:
        value = rng.standard_normal((outputs, inputs, size, size)) * gain / np.sqrt(inputs * size * size)
        return numpy_helper.from_array(value.astype(np.float32), name)

    nodes = [
        helper.make_node("Conv", ["image", "w1"], ["c1"], "trunk/conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["c1"], ["features"], "trunk/relu"),
        helper.make_node("Conv", ["features", "w_box"], ["b1"], "box/conv"),
        helper.make_node("Relu", ["b1"], ["b2"], "box/relu"),
        helper.make_node("Transpose", ["b2"], ["b3"], "box/transpose", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["b3", "box_shape"], ["boxes"], "box/reshape"),
        helper.make_node("Conv", ["features", "w_score"], ["s1"], "score/conv"),
        helper.make_node("Transpose", ["s1"], ["s2"], "score/transpose", perm=[0, 2, 3, 1]),
        helper.make_node("Reshape", ["s2", "score_shape"], ["s3"], "score/reshape"),
        helper.make_node("Sigmoid", ["s3"], ["scores"], "score/sigmoid"),
        helper.make_node("Concat", ["boxes", "scores"], ["joined"], "head/concat", axis=2),
        helper.make_node("Reshape", ["joined", "out_shape"], ["detections"], "head/reshape"),
    ]
    constants = [
        weights("w1", 8, 3, 3, 1.5),
        weights("w_box", 4, 8, 1, 210.0),
        weights("w_score", CLASSES, 8, 1, 2.0),
        numpy_helper.from_array(np.array([1, ANCHORS, 4]), "box_shape"),
        numpy_helper.from_array(np.array([1, ANCHORS, CLASSES]), "score_shape"),
        numpy_helper.from_array(np.array([1, ANCHORS, 1, 4 + CLASSES]), "out_shape"),
    ]
    graph = helper.make_graph(
        nodes,
        "detector",
        [helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("detections", onnx.TensorProto.FLOAT, [1, ANCHORS, 1, 4 + CLASSES])],
        constants,
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def samples(count: int) -> np.ndarray:
    """[count, 3, 16, 16] float32."""
    return np.random.default_rng(RNG_SEED + 1).standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)
