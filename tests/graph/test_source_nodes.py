"""Names of the user's nodes, scopes, functions and branches."""

import numpy as np
import onnx.parser
import pytest
from onnx_text import Normalize


def test_nameless_nodes_are_named_by_operator_and_position(normalized: Normalize) -> None:
    result = normalized("(float[2] x) => (float[2] y) { t = Relu(x) y = Neg(t) }")
    assert [node.name for node in result.graph.source_nodes] == ["Relu_0", "Neg_1"]
    assert [node.name for node in result.graph.nodes] == ["Relu_0", "Neg_1"]


def test_repeated_names_become_unique(normalized: Normalize) -> None:
    result = normalized("(float[2] x) => (float[2] y) { [a] t = Relu(x) [a] u = Neg(t) [a_1] y = Abs(u) }")
    assert [node.name for node in result.graph.source_nodes] == ["a", "a_1", "a_1_2"]
    assert [node.outputs for node in result.graph.source_nodes] == [("t",), ("u",), ("y",)]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("/encoder/layer.3/attention/MatMul", "encoder/layer.3/attention"), ("model/dense/MatMul", "model/dense"), ("Conv_12", ""), ("/Add", "")],
)
def test_scope_comes_from_a_name_with_slashes(normalized: Normalize, name: str, expected: str) -> None:
    model = normalized("(float[2] x) => (float[2] y) { y = Relu(x) }").source
    model.graph.node[0].name = name
    result = normalized(model)
    assert result.graph.nodes[0].scope == expected
    assert result.graph.source_nodes[0].scope == expected


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        ("['', 'encoder', 'encoder.layer.3', 'encoder.layer.3.attention', 'matmul']", "encoder/layer.3/attention"),
        ("['', 'relu']", ""),
        ("['', 'blocks.0', 'linear']", "blocks.0"),
        ("no list", ""),
    ],
)
def test_scope_comes_from_what_the_dynamo_exporter_records(normalized: Normalize, recorded: str, expected: str) -> None:
    model = normalized("(float[2] x) => (float[2] y) { [node_relu] y = Relu(x) }").source
    model.graph.node[0].metadata_props.add(key="pkg.torch.onnx.name_scopes", value=recorded)
    assert normalized(model).graph.nodes[0].scope == expected


CLASSES = "['vit.Vit', 'vit.Block', 'torch.nn.modules.normalization.LayerNorm', 'aten.layer_norm.default']"
NAMESPACE = ": vit.Vit/blocks.0: vit.Block/blocks.0.norm1: torch.nn.modules.normalization.LayerNorm/layer_norm: aten.layer_norm.default"


@pytest.mark.parametrize(
    ("key", "recorded", "expected"),
    [
        ("pkg.torch.onnx.class_hierarchy", CLASSES, ("vit.Vit", "vit.Block", "torch.nn.modules.normalization.LayerNorm")),
        ("pkg.torch.onnx.class_hierarchy", "['vit.Vit', 'aten.add.Tensor']", ("vit.Vit",)),
        ("pkg.torch.onnx.class_hierarchy", "(" * 5000, ()),
        ("namespace", NAMESPACE, ("vit.Vit", "vit.Block", "torch.nn.modules.normalization.LayerNorm")),
        ("namespace", "some/where", ()),
    ],
)
def test_classes_come_from_what_the_dynamo_exporter_records(normalized: Normalize, key: str, recorded: str, expected: tuple[str, ...]) -> None:
    model = normalized("(float[2] x) => (float[2] y) { [node_relu] y = Relu(x) }").source
    model.graph.node[0].metadata_props.add(key=key, value=recorded)
    assert normalized(model).graph.nodes[0].module_classes == expected


def test_the_namespace_tells_the_scope_where_it_stands_alone(normalized: Normalize) -> None:
    model = normalized("(float[2] x) => (float[2] y) { [node_relu] y = Relu(x) }").source
    model.graph.node[0].metadata_props.add(key="namespace", value=NAMESPACE)
    assert normalized(model).graph.nodes[0].scope == "blocks.0/norm1"


def test_a_node_that_the_exporter_made_lies_where_all_its_neighbours_do(normalized: Normalize) -> None:
    model = normalized("(float[2] x) => (float[2] y) { [a] s = Relu(x) [b] t = Neg(s) [c] y = Abs(t) }").source
    for node, inner in zip(model.graph.node, ("qkv", "", "heads"), strict=True):
        if inner:
            node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=f"['', 'blocks.0', 'blocks.0.{inner}', 'op']")
            node.metadata_props.add(key="pkg.torch.onnx.class_hierarchy", value=f"['Net', 'Block', '{inner.title()}', 'aten.op']")
    between = normalized(model).node("b")
    assert between.scope == "blocks.0"
    assert between.module_classes == ("Net", "Block")


def test_scope_survives_fusing_into_gemm(normalized: Normalize) -> None:
    text = "(float[1, 3, 4] x) => (float[1, 3, 2] y) { t = MatMul(x, w) y = Add(t, b) }"
    model = normalized(text, constants={"w": np.ones((4, 2), np.float32), "b": np.ones(2, np.float32)}).source
    for node in model.graph.node:
        node.name = f"/ffn/{node.op_type}"
    assert normalized(model).node("/ffn/MatMul").scope == "ffn"


FUNCTION = """
<ir_version: 8, opset_import: ["" : 17, "mine" : 1]>
g (float[2] x) => (float[2] y) {
    [first] t = mine.Twice(x)
    [second] y = mine.Twice(t)
}
<domain: "mine", opset_import: ["" : 17]>
Twice (a) => (b) {
    [double] c = Add(a, a)
    b = Relu(c)
}
"""


def test_nodes_of_a_local_function_are_named_after_the_call(normalized: Normalize) -> None:
    result = normalized(onnx.parser.parse_model(FUNCTION))
    names = [node.name for node in result.graph.source_nodes]
    assert names[0] == "first/double"
    assert len(set(names)) == 4
    assert [name.partition("/")[0] for name in names] == ["first", "first", "second", "second"]
    assert {node.status for node in result.graph.source_nodes} == {"kept"}
    assert result.worst_sqnr_db() == float("inf")


def test_a_repaired_operator_keeps_its_one_name(normalized: Normalize) -> None:
    text = FUNCTION.replace("mine", "bridge.repair")
    result = normalized(onnx.parser.parse_model(text))
    assert {origin for node in result.graph.nodes for origin in node.origins} == {"first", "second"}
    assert [node.name for node in result.graph.nodes] == ["first", "second"]


def test_nodes_of_a_branch_that_is_always_taken_are_named_after_the_if(normalized: Normalize) -> None:
    text = """(float[2] x) => (float[2] y) {
        [choice] y = If(c) <then_branch = a () => (float[2] p) { [yes] p = Neg(x) }, else_branch = b () => (float[2] q) { [no] q = Abs(x) }>
    }"""
    result = normalized(text, constants={"c": np.array(True)})
    assert result.ops == ["Neg"]
    assert result.origin("choice/yes").status == "kept"
    assert result.origin("choice/no").status in ("dead", "folded")
    assert result.worst_sqnr_db() == float("inf")
