"""The view of the graph that rules get."""

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import Normalize

from bridge.graph import provenance
from bridge.graph.facts import node_facts

RANDOM = np.random.default_rng(6)


def test_a_node_shows_its_tensors_in_the_users_names(normalized: Normalize) -> None:
    text = '(float[1, 3, 8, 8] x) => (float[1, 4, 6, 6] y) { [c] y = Conv<strides = [1, 1], auto_pad = "VALID">(x, w, b) }'
    result = normalized(text, constants={"w": RANDOM.standard_normal((4, 3, 3, 3)).astype(np.float32), "b": np.ones(4, np.float32)})
    (facts,) = result.graph.nodes
    assert (facts.name, facts.op_type, facts.domain) == ("c", "Conv", "")
    assert [(spec.name, spec.shape, spec.dtype) for spec in facts.inputs] == [
        ("x", (1, 3, 8, 8), "float32"),
        ("w", (4, 3, 3, 3), "float32"),
        ("b", (4,), "float32"),
    ]
    assert [(spec.name, spec.shape) for spec in facts.outputs] == [("y", (1, 4, 6, 6))]
    assert facts.constant_inputs == (1, 2)
    assert dict(facts.attributes) == {"strides": (1, 1), "auto_pad": "VALID"}
    with pytest.raises(TypeError):
        facts.attributes["strides"] = 2  # type: ignore[index]  # read-only on purpose


def test_names_are_unique_and_every_node_of_the_model_has_one(normalized: Normalize) -> None:
    text = "(float[1, 3, 4] x) => (float[1, 3, 4] y) { h = MatMul(x, w) r = Add(h, x) a = Relu(r) y = MatMul(a, w) }"
    result = normalized(text, constants={"w": RANDOM.standard_normal((4, 4)).astype(np.float32)})
    names = [node.name for node in result.graph.nodes]
    assert len(set(names)) == len(names)
    assert set(result.graph.node_names.values()) == set(names)
    assert set(result.graph.node_names) == {node.name for node in result.graph.model.graph}


def test_a_node_tells_what_it_is_before_where_it_lies(normalized: Normalize) -> None:
    text = "(float[1, 8] x) => (float[1, 8] y) { [s] y = Softmax(x) }"
    graph = normalized(text).graph.model.graph
    provenance.place(graph[0], "attention")
    (facts,) = node_facts(ir.Model(graph, ir_version=8), {})
    assert facts.patterns == ("softmax", "attention")


def test_several_nodes_for_one_name_are_shown_as_one(normalized: Normalize) -> None:
    result = normalized(
        "(float[1, 3, 4] x) => (float[1, 3, 2] y) { [dense] y = MatMul(x, w) }", constants={"w": RANDOM.standard_normal((4, 2)).astype(np.float32)}
    )
    assert result.ops == ["Reshape", "Gemm", "Reshape"]
    (facts,) = result.graph.nodes
    assert (facts.name, facts.op_type, facts.origins) == ("dense", "Gemm", ("dense",))
    assert [(spec.name, spec.shape) for spec in facts.inputs] == [("x", (1, 3, 4)), ("w", (4, 2))]
    assert [(spec.name, spec.shape) for spec in facts.outputs] == [("y", (1, 3, 2))]
    assert facts.constant_inputs == (1,)
    assert sorted(result.graph.node_names) == ["dense", "dense_Reshape", "dense_Reshape_2"]


def test_nodes_come_in_topological_order(normalized: Normalize) -> None:
    text = "(float[2] x) => (float[2] y) { [z] a = Relu(x) [m] b = Neg(a) [a] y = Add(a, b) }"
    assert [node.name for node in normalized(text).graph.nodes] == ["z", "m", "a"]


def test_every_source_node_is_accounted_for(normalized: Normalize) -> None:
    text = """(float[1, 4] x) => (float[1, 4] y) {
        one = Constant<value_float = 1.0>() two = Add(one, one) lost = Neg(x) t = Mul(x, two) u = Identity(t) y = Relu(u)
    }"""
    result = normalized(text)
    assert {node.name: (node.status, node.into) for node in result.graph.source_nodes} == {
        "Constant_0": ("constant", None),
        "Add_1": ("folded", None),
        "Neg_2": ("dead", None),
        "Mul_3": ("kept", "Mul_3"),
        "Identity_4": ("fused", "Mul_3"),
        "Relu_5": ("kept", "Relu_5"),
    }
    assert all(node.reason for node in result.graph.source_nodes if node.status != "kept")


def test_an_optional_operand_that_is_absent_leaves_no_gap(normalized: Normalize) -> None:
    text = "(float[4] x) => (float[4] y) { y = Clip(x, , high) }"
    (facts,) = normalized(text, constants={"high": np.float32(1)}).graph.nodes
    assert [spec.name for spec in facts.inputs] == ["x", "high"]
    assert facts.constant_inputs == (1,)


def test_an_operator_that_is_spelled_out_keeps_its_type(normalized: Normalize) -> None:
    result = normalized("(float[1, 3] x) => (float[1, 3] y) { [act] y = Elu<alpha = 0.5>(x) }")
    (facts,) = result.graph.nodes
    assert len(result.ops) > 1
    assert (facts.name, facts.op_type, dict(facts.attributes)) == ("act", "Elu", {})
    assert [(spec.name, spec.shape) for spec in (*facts.inputs, *facts.outputs)] == [("x", (1, 3)), ("y", (1, 3))]
