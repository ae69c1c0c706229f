"""Names that the converter keeps, and the way back."""

import re

import numpy as np
import onnx_ir as ir
import pytest
from onnx_text import Normalize

from bridge.graph.safe_names import safe_names


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("conv1", "conv1"),
        ("/encoder/layer.3/MatMul_output_0", "encoder_layer_3_MatMul_output_0"),
        ("serving_default_input:0", "serving_default_input_0"),
        ("1002", "tensor_1002"),
        ("a;b", "a_b"),
        ("größe", "gr_e"),
        ("///", "tensor"),
        ("x" * 300, "x" * 300),
    ],
)
def test_a_name_becomes_letters_digits_and_underscores(name: str, safe: str) -> None:
    assert safe_names([name], fallback="tensor") == {name: safe}


def test_names_stay_unique_whatever_the_case() -> None:
    names = ["a.b", "a/b", "a_b", "A_B", "a_b_2", "", "/"]
    table = safe_names(names, fallback="tensor")
    assert table["a_b"] == "a_b"  # a safe name stays although two others would like it
    assert table["a_b_2"] == "a_b_2"
    assert len({safe.lower() for safe in table.values()}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", safe) for safe in table.values())


def test_the_model_has_safe_names_and_the_tables_lead_back(normalized: Normalize) -> None:
    model = normalized("(float[2] x) => (float[2] y) { t = Relu(x) u = Neg(t) y = Add(u, c) }", constants={"c": np.ones(2, np.float32)}).source
    renames = {"x": "in:0", "t": "/a/Relu", "u": "/A/relu", "y": "7", "c": "a_Relu"}
    for node in model.graph.node:
        node.input[:] = [renames[name] for name in node.input]
        node.output[:] = [renames[name] for name in node.output]
        node.name = f"/node/{node.op_type}"
    for value in (*model.graph.input, *model.graph.output, *model.graph.initializer):
        value.name = renames[value.name]
    result = normalized(model)
    graph = result.graph
    used = [value.name or "" for node in graph.model.graph for value in (*node.inputs, *node.outputs) if value is not None]
    assert all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in used)
    assert len({name.lower() for name in used}) == 5
    assert set(graph.tensor_names.values()) == set(renames.values())
    assert [node.name for node in graph.nodes] == ["/node/Relu", "/node/Neg", "/node/Add"]
    assert {graph.node_names[node.name or ""] for node in graph.model.graph} == {"/node/Relu", "/node/Neg", "/node/Add"}
    assert [spec.name for spec in (*graph.inputs, *graph.outputs)] == ["in:0", "7"]
    assert result.worst_sqnr_db() == float("inf")
    assert isinstance(graph.model, ir.Model)
