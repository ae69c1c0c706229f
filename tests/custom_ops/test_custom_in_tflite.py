"""Custom layers in the files: CUSTOM operators, decompositions and local functions, float in a quantized file."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from custom_model import SIZES, SWOOSH, model, save, scope, swoosh
from onnx import numpy_helper

import bridge
from bridge.errors import ToolError, UsageError
from bridge.sources import open_model
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

__all__ = ["scope"]  # a fixture of every test here

PICTURE = """
<ir_version: 8, opset_import: ["" : 17, "my.layers" : 1]>
g (float[1, 3, 8, 8] x) => (float[1, 6, 6, 6] y) {
    [conv1] a = Conv<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x, w1, b1)
    [act] s = my.layers.Swoosh<gain = 1.5>(a)
    [conv2] y = Conv<kernel_shape = [3, 3]>(s, w2, b2)
}
"""
PICTURE_SIZES = {"w1": (5, 3, 3, 3), "b1": (5,), "w2": (6, 5, 3, 3), "b2": (6,)}


def convert(folder: Path, **options: Any) -> bridge.ConversionResult:
    settings: dict[str, Any] = {"calibration": folder / "data.npz", "output_dir": folder / "out", "threads": 1, "recover": ()}
    return bridge.convert(folder / "model.onnx", **(settings | options))


def ops(path: Path) -> list[tuple[str, list[str], list[str]]]:
    """Name, types of what is read and of what is written, per operator."""
    content = tflite.read(path)
    main = tflite.main_graph(content)
    kinds = [tflite.TYPE_NAMES[tensor.type] for tensor in main.tensors]
    return [(tflite.op_name(content, op), [kinds[i] for i in op.inputs], [kinds[i] for i in op.outputs]) for op in main.operators]


def halves(path: Path) -> tuple[bytes, bytes]:
    """The file up to what its CUSTOM operator reads, and from what it writes on."""
    pieces = []
    for behind in (False, True):
        content = tflite.read(path)
        main = tflite.main_graph(content)
        place = next(index for index, op in enumerate(main.operators) if tflite.op_name(content, op).startswith("CUSTOM"))
        custom = main.operators[place]
        main.operators = main.operators[place + 1 :] if behind else main.operators[:place]
        if behind:
            tflite.set_ends(content, {"s": int(custom.outputs[0])}, {"y": int(main.outputs[0])})
        else:
            tflite.set_ends(content, {"x": int(main.inputs[0])}, {"a": int(custom.inputs[0])})
        pieces.append(tflite.serialize(content))
    return pieces[0], pieces[1]


@pytest.mark.provokes("custom-op")
def test_a_custom_operator_gets_its_operands_in_the_layout_of_the_model(tmp_path: Path) -> None:
    save(tmp_path, PICTURE, PICTURE_SIZES, shape=(1, 3, 8, 8))
    bridge.register_op("my.layers", "Swoosh", tflite_custom="SwooshKernel", reference=swoosh)
    result = convert(tmp_path, rules=("all-int8",))
    written = result.artifacts["static_wi8_ai8"]
    content = tflite.read(written)
    main = tflite.main_graph(content)
    (custom,) = [op for op in main.operators if tflite.op_name(content, op) == "CUSTOM:SwooshKernel"]
    assert tflite.custom_options(custom) == {"gain": 1.5}
    assert [tflite.shape(main.tensors[index]) for index in (*custom.inputs, *custom.outputs)] == [(1, 5, 8, 8), (1, 5, 8, 8)]
    assert [len(main.inputs), len(main.outputs)] == [1, 1]
    assert ("CUSTOM:SwooshKernel", ["FLOAT32"], ["FLOAT32"]) in ops(written)
    assert {kinds[0] for name, kinds, _ in ops(written) if name == "CONV_2D"} == {"INT8"}
    with pytest.raises(ToolError, match=r"(?s)custom op.*SwooshKernel"):
        Interpreter(written)

    x = np.random.default_rng(5).standard_normal((1, 3, 8, 8)).astype(np.float32)
    proto = model(PICTURE, PICTURE_SIZES)
    w = {tensor.name: numpy_helper.to_array(tensor) for tensor in proto.graph.initializer}
    before, behind = halves(result.artifacts["float32"])
    first = Interpreter(before)
    shown = first.run({first.inputs[0].name: x.transpose(0, 2, 3, 1)})[0]
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    np.testing.assert_allclose(shown, np.einsum("nchwij,mcij->nmhw", windows, w["w1"]) + w["b1"][:, None, None], atol=1e-4)
    second = Interpreter(behind)
    s = swoosh(shown, gain=1.5)
    inner = np.einsum("nchwij,mcij->nmhw", np.lib.stride_tricks.sliding_window_view(s, (3, 3), axis=(2, 3)), w["w2"]) + w["b2"][:, None, None]
    np.testing.assert_allclose(second.run({second.inputs[0].name: s})[0], inner.transpose(0, 2, 3, 1), atol=1e-3)

    assert {output.name for output in result.report.outputs} == {"y", "a"}
    assert next(found.message for found in result.report.diagnostics if found.code == "custom-op").startswith(
        "The files hold CUSTOM operators in float32: SwooshKernel (node 'act')"
    )
    assert next(layer.reason for layer in result.report.layers if layer.node == "act").startswith("what a TFLite CUSTOM operator writes")
    assert next(node.precision for node in result.report.nodes if node.name == "act") == "float32"
    names = [node.name for node in result.report.nodes]
    joined = [(names[writer], names[reader]) for writer, reader in result.report.edges if "act" in (names[writer], names[reader])]
    assert [reader for _, reader in joined].count("act") == [writer for writer, _ in joined].count("act") == 1


def test_integer_inputs_are_refused_beside_a_custom_operator(tmp_path: Path) -> None:
    save(tmp_path)
    bridge.register_op("my.layers", "Swoosh", tflite_custom="SwooshKernel", reference=swoosh)
    with pytest.raises(UsageError, match="With TFLite CUSTOM operators inputs and outputs stay as they are"):
        convert(tmp_path, input_dtype="int8")


def test_the_node_of_a_custom_operator_stands_in_its_place(tmp_path: Path) -> None:
    path, _ = save(tmp_path)
    bridge.register_op("my.layers", "Swoosh", tflite_custom="SwooshKernel", reference=swoosh)
    opened = open_model(path, input_shapes={})
    assert [(node.name, node.op_type, node.domain) for node in opened.graph.nodes] == [
        ("fc1", "Gemm", ""),
        ("act", "Swoosh", "my.layers"),
        ("fc2", "Gemm", ""),
    ]
    assert [node.name for node in opened.graph.source_nodes] == ["fc1", "act", "fc2"]


def build_swoosh(build: Any, x: Any, bias: Any, *, gain: float) -> Any:
    y = build.op("Add", x, bias)
    return build.op("Mul", y, build.op("Sigmoid", build.op("Mul", y, gain)))


LOCAL = (
    SWOOSH
    + """
<domain: "my.layers", opset_import: ["" : 17]>
Swoosh <gain> (x, bias) => (y) {
    [sum] s = Add(x, bias)
    [gain] g = Constant<value_float: float = @gain>()
    [times] z = Mul(s, g)
    [gate] p = Sigmoid(z)
    [out] y = Mul(s, p)
}
"""
)


@pytest.mark.parametrize("local", [False, True], ids=["registered", "local function"])
def test_a_custom_layer_is_float_in_a_quantized_file(tmp_path: Path, local: bool) -> None:
    save(tmp_path, LOCAL.replace("ir_version: 8", "ir_version: 10") if local else SWOOSH, SIZES)
    if not local:
        bridge.register_op("my.layers", "Swoosh", build_swoosh, reference=swoosh)
    result = convert(tmp_path)
    inside = [node for node in result.report.nodes if node.name.startswith("act/")]
    assert {node.precision for node in inside if node.tflite_ops} == {"float32"}
    assert {node.rule for node in inside if node.tflite_ops} == {"custom-op"}
    kinds = {name: {kind for kind in (*read, *wrote)} for name, read, wrote in ops(result.artifacts["static_wi8_ai8"])}
    assert kinds["LOGISTIC"] == {"FLOAT32"}
    assert "INT8" in {kind for name, found in kinds.items() if name == "FULLY_CONNECTED" for kind in found}
    assert [found.code for found in result.report.diagnostics if found.code.startswith("custom-op")] == ([] if local else ["custom-op-checked"])
    mapped = {layer.node for layer in result.report.layers if layer.status == "mapped"}
    assert {node.name for node in inside if node.tflite_ops} <= mapped  # what is inside of it is compared too


def test_a_rule_may_replace_a_function_beside_a_custom_operator(tmp_path: Path) -> None:
    text = SWOOSH.replace("[fc2] y = Gemm(s, w2, b2)", "[gate] q = Sigmoid(s) [silu] r = Mul(s, q) [fc2] y = Gemm(r, w2, b2)")
    path, _ = save(tmp_path, text)
    bridge.register_op("my.layers", "Swoosh", tflite_custom="SwooshKernel", reference=swoosh)
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'schema_version = 1\n[[rules]]\nid = "r"\nreason = "cheaper"\nmatch = [{ kind = "pattern", patterns = ["silu"] }]\n'
        'replace = "hard_swish"\nprecision = "static_wi8_ai8"\n'
    )
    result = convert(tmp_path, rules=(rules,))
    assert [name for name, _, _ in ops(result.artifacts["static_wi8_ai8"])].count("CUSTOM:SwooshKernel") == 1
    assert next(node.precision for node in result.report.nodes if node.name == "act") == "float32"
    assert path.is_file()
