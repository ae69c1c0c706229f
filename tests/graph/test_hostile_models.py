"""Damaged models end in one of our errors, never in a traceback or a hang."""

import random
from pathlib import Path

import onnx
import onnx.parser
import pytest
from onnx import TensorProto

from bridge.errors import BridgeError, UnsupportedModelError
from bridge.frontends import onnx_file
from bridge.graph import normalize
from bridge.types import SourceModel

TEXT = """
<ir_version: 8, opset_import: ["" : 17]>
g (float["N", 3, 8, 8] x) => (float["N", 4] y)
<float[4, 3, 3, 3] w, float[36, 4] v, int64[1] minus = {-1}>
{
    c = Conv<pads = [0, 0, 0, 0], strides = [2, 2]>(x, w)
    r = Resize<mode = "linear">(c, , scales)
    p = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(r)
    s = Shape(p)
    zero = Constant<value_int = 0>()
    n = Gather(s, zero)
    axes = Constant<value_ints = [0]>()
    m = Unsqueeze(n, axes)
    target = Concat<axis = 0>(m, minus)
    f = Reshape(p, target)
    y = MatMul(f, v)
}
"""


def seed_model() -> onnx.ModelProto:
    model = onnx.parser.parse_model(TEXT.replace("<float[4, 3, 3, 3] w, float[36, 4] v, int64[1] minus = {-1}>", "<int64[1] minus = {-1}>"))
    for name, shape in (("w", (4, 3, 3, 3)), ("v", (36, 4)), ("scales", (4,))):
        values = [1.0, 1.0, 2.0, 2.0] if name == "scales" else [0.5] * (4 * 27 if name == "w" else 144)
        model.graph.initializer.append(onnx.helper.make_tensor(name, TensorProto.FLOAT, shape, values))
    return model


def mutate(model: onnx.ModelProto, chance: random.Random) -> None:
    """One structural damage."""
    graph = model.graph
    node = chance.choice(graph.node)
    kind = chance.randrange(7)
    if kind == 0 and node.input:
        node.input[chance.randrange(len(node.input))] = chance.choice(["", *(output for each in graph.node for output in each.output)])
    elif kind == 1:
        node.op_type = chance.choice(
            ["Relu", "Conv", "MatMul", "Reshape", "Concat", "Split", "LSTM", "Einsum", "If", "Loop", "Xyz", "Slice", "Pad", "Attention"]
        )
    elif kind == 2 and node.attribute:
        chance.choice(node.attribute).i = chance.choice([-1, 0, 2**62, -(2**62)])
    elif kind == 3 and node.attribute:
        del node.attribute[chance.randrange(len(node.attribute))]
    elif kind == 4:
        tensor = chance.choice(graph.initializer)
        tensor.dims[0] = chance.choice([0, 1, -1, 2**40])
    elif kind == 5 and node.input:
        del node.input[-1]
    else:
        chance.choice(graph.input).type.tensor_type.shape.dim[1].dim_value = chance.choice([0, -1, 7, 2**40])


def exit_code(path: Path) -> int:
    """What the command would end with; any other exception than ours fails the test."""
    try:
        normalize(onnx_file.load(path), input_shapes={})
    except BridgeError as error:
        return error.exit_code if error.message else 1
    return 0


def test_the_undamaged_model_is_fine() -> None:
    assert normalize(SourceModel(seed_model(), "d"), input_shapes={}).outputs[0].shape == (1, 4)


@pytest.mark.parametrize("seed", range(60))
def test_structural_damage(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    model = seed_model()
    for _ in range(chance.randint(1, 3)):
        mutate(model, chance)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert exit_code(path) in (0, 2, 3)


@pytest.mark.parametrize("seed", range(60))
def test_flipped_bits(seed: int, tmp_path: Path) -> None:
    chance = random.Random(seed)
    content = bytearray(seed_model().SerializeToString())
    for _ in range(chance.randint(1, 6)):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    assert exit_code(path) in (0, 2, 3)


def test_a_tensor_attribute_without_a_type_is_refused() -> None:
    model = seed_model()
    model.graph.node.append(onnx.helper.make_node("Constant", [], ["k"], value=TensorProto(data_type=0)))
    with pytest.raises(UnsupportedModelError, match="Graph pass 'read' cannot handle this model"):
        normalize(SourceModel(model, "d"), input_shapes={})
