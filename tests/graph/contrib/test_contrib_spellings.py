"""Activations, norms and products that onnxruntime's optimizer writes, tensor by tensor."""

import numpy as np
import onnx
import onnx.parser
import pytest
from onnx import numpy_helper
from onnx_text import Normalize

RANDOM = np.random.default_rng(12)


def model(body: str, *, x: str = "2, 3, 8", outputs: str = "float y", constants: dict[str, tuple[int, ...]] | None = None) -> onnx.ModelProto:
    text = f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> g (float[{x}] x, float[{x}] z) => ({outputs}) {{ {body} }}'
    parsed = onnx.parser.parse_model(text)
    for output in parsed.graph.output:
        output.type.tensor_type.ClearField("shape")
    for name, shape in (constants or {}).items():
        parsed.graph.initializer.append(numpy_helper.from_array(RANDOM.standard_normal(shape).astype(np.float32), name))
    return parsed


@pytest.mark.parametrize(
    ("body", "constants", "outputs"),
    [
        ("y = com.microsoft.Gelu(x)", {}, "float y"),
        ("y = com.microsoft.BiasGelu(x, b)", {"b": (8,)}, "float y"),
        ("y = com.microsoft.FastGelu(x)", {}, "float y"),
        ("y = com.microsoft.FastGelu(x, b)", {"b": (8,)}, "float y"),
        ("y = com.microsoft.QuickGelu(x)", {}, "float y"),
        ("y = com.microsoft.QuickGelu<alpha = 1.5>(x)", {}, "float y"),
        ("y = com.microsoft.SkipLayerNormalization<epsilon = 0.001>(x, z, g, b)", {"g": (8,), "b": (8,)}, "float y"),
        ("y, m, i, s = com.microsoft.SkipLayerNormalization(x, z, g, b, c)", {"g": (8,), "b": (8,), "c": (8,)}, "float y, float s"),
        ("y = com.microsoft.SkipSimplifiedLayerNormalization<epsilon = 0.001>(x, z, g)", {"g": (8,)}, "float y"),
        ("y = SimplifiedLayerNormalization<epsilon = 0.001>(x, g)", {"g": (8,)}, "float y"),
        ("y = com.microsoft.FusedMatMul<alpha = 0.5>(x, w)", {"w": (8, 5)}, "float y"),
        ("y = com.microsoft.FusedMatMul<transB = 1>(x, w)", {"w": (5, 8)}, "float y"),
    ],
)
def test_the_spelling_equals_the_operator(normalized: Normalize, body: str, constants: dict[str, tuple[int, ...]], outputs: str) -> None:
    result = normalized(model(body + " t = Relu(z) q = Neg(t)", outputs=outputs + ", float q", constants=constants))
    assert {node.domain for node in result.graph.nodes} == {""}
    assert result.graph.source_nodes[0].status == "kept"
    assert result.worst_sqnr_db() > 95  # FastGelu's tanh is an approximation in onnxruntime


@pytest.mark.parametrize(
    "activation",
    [
        'activation = "Relu"',
        'activation = "LeakyRelu", activation_params = [0.2]',
        'activation = "Clip", activation_params = [-0.5, 0.5]',
        'activation = "HardSigmoid", activation_params = [0.3, 0.4]',
    ],
)
def test_a_fused_convolution_is_taken_apart(normalized: Normalize, activation: str) -> None:
    body = f"y = com.microsoft.FusedConv<pads = [1, 1, 1, 1], strides = [2, 2], {activation}>(x, w, b) q = Neg(z)"
    result = normalized(model(body, x="1, 3, 6, 6", outputs="float y, float q", constants={"w": (4, 3, 3, 3), "b": (4,)}))
    assert result.ops.count("Conv") == 1
    assert result.worst_sqnr_db() > 110
