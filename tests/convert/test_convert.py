from hashlib import sha256
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from bridge.convert import InputLayout, Onnx2tfOptions, to_float_tflite
from bridge.errors import ToolError
from bridge.graph import normalize
from bridge.types import ConvertedModel, SourceModel

NETWORK = """<ir_version: 10, opset_import: ["" : 20]> g (float[1,3,8,8] x) => (float[1,4,8,8] y)
<float[4,3,3,3] w, float[4] b, float[1,1,8,4] scale> {
    convolved = Conv <pads = [1, 1, 1, 1]> (x, w, b)
    clipped = Relu(convolved)
    exact = Gelu(clipped)
    doubled = Add(exact, exact)
    y = Gelu <approximate = "tanh"> (doubled)
}"""


def source() -> SourceModel:
    proto = onnx.parser.parse_model(NETWORK)
    generator = np.random.default_rng(0)
    del proto.graph.initializer[:]
    for name, shape in (("w", (4, 3, 3, 3)), ("b", (4,))):
        proto.graph.initializer.append(onnx.numpy_helper.from_array(generator.standard_normal(shape).astype(np.float32) / 3, name))
    for node in proto.graph.node:
        node.name = f"net/{node.output[0]}"
    return SourceModel(proto=proto, digest=sha256(proto.SerializeToString()).hexdigest())


def convert(folder: Path, *, input_layout: InputLayout = "auto", spoil: float = 0.0) -> ConvertedModel:
    model = source()
    shown = onnx.ModelProto()
    shown.CopyFrom(model.proto)
    shown.graph.output.extend(onnx.ValueInfoProto(name=node.output[0]) for node in shown.graph.node[:-1])
    session = onnxruntime.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    generator = np.random.default_rng(1)
    return to_float_tflite(
        normalize(model, input_shapes={}),
        folder / "net.tflite",
        reference=lambda feeds: {name: value + np.float32(spoil) for name, value in zip(names, session.run(None, dict(feeds)), strict=True)},
        probes=[{"x": generator.standard_normal((1, 3, 8, 8)).astype(np.float32)} for _ in range(2)],
        input_layout=input_layout,
        options=Onnx2tfOptions(folder / "onnx2tf.log"),
        threads=1,
    )


def test_every_tensor_is_mapped_and_both_gelus_are_right(tmp_path: Path) -> None:
    tensor_map = convert(tmp_path).tensor_map
    status = {pair.node: pair.status for pair in tensor_map.pairs}
    own = dict.fromkeys(("net/clipped", "net/exact", "net/doubled", "net/y"), "mapped")
    assert status == {"net/convolved": "fused"} | own  # the Relu is part of the convolution
    assert all(pair.sqnr_db is not None and pair.sqnr_db > 100 for pair in tensor_map.pairs if pair.status == "mapped")
    assert set(tensor_map.owners) == own.keys()


@pytest.mark.parametrize(("layout", "permutation"), [("auto", (0, 2, 3, 1)), ("nhwc", (0, 2, 3, 1)), ("keep", (0, 1, 2, 3))])
def test_the_binding_says_how_the_input_is_fed(tmp_path: Path, layout: InputLayout, permutation: tuple[int, ...]) -> None:
    (binding,) = convert(tmp_path, input_layout=layout).tensor_map.inputs
    assert (binding.onnx_name, binding.permutation) == ("x", permutation)


@pytest.mark.provokes("outputs-differ")
def test_a_file_that_disagrees_with_the_reference_is_no_success(tmp_path: Path) -> None:
    with pytest.raises(ToolError, match="does not compute what onnxruntime computes at 'y'"):
        convert(tmp_path, spoil=0.1)
    assert not (tmp_path / "net.tflite").exists()
