"""Rules in the words of the training code, on models as exporters wrote them: torch dynamo, torch TorchScript, Keras through tf2onnx."""

import functools
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from bridge import frontends, graph
from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher
from bridge.rules.matchers import Matcher
from bridge.types import NodeFacts

MODELS = Path(__file__).parents[2] / "models"
ADAPTER: TypeAdapter[BaseMatcher] = TypeAdapter(Matcher)
DYNAMO, TORCHSCRIPT, KERAS = "digits_vit", "digits_vit_handwritten", "digits_keras_cnn_bn_swish"


@functools.cache
def nodes(model: str) -> tuple[NodeFacts, ...]:
    return graph.normalize(frontends.load(MODELS / model / "model.onnx", input_shapes={}), input_shapes={}).nodes


def taken(model: str, *conditions: dict[str, object]) -> list[str]:
    context = Context(nodes(model))
    matchers = [ADAPTER.validate_python(one) for one in conditions]
    return [node.name for node in context.nodes if all(one.matches(node, context) for one in matchers)]


def scope(glob: str) -> dict[str, object]:
    return {"kind": "scope", "glob": glob}


def module_class(*names: str) -> dict[str, object]:
    return {"kind": "module_class", "classes": names}


@pytest.mark.parametrize(
    ("model", "norms"),
    [
        (DYNAMO, ["node_layer_norm_2", "node_layer_norm_3"]),
        (TORCHSCRIPT, ["/blocks.1/norm1/Add_1", "/blocks.1/norm2/Add_1"]),
    ],
)
def test_the_norms_of_one_block_are_named_alike_whoever_exported_the_model(model: str, norms: list[str]) -> None:
    assert taken(model, scope("blocks.1.*"), module_class("LayerNorm")) == norms
    assert taken(model, scope("blocks.1.norm?")) == norms
    assert taken(model, scope("blocks/1"), module_class("LayerNorm")) == []


def test_classes_of_the_user_are_told_by_dynamo_alone() -> None:
    attention = taken(DYNAMO, module_class("Attention"), scope("blocks.0"))
    assert {"node_MatMul_11", "node_Split_108", "node_matmul", "node_softmax", "node_MatMul_41"} <= set(attention)
    assert not {"node_layer_norm", "node_gelu", "node_add_1"} & set(attention)
    assert taken(DYNAMO, module_class("vit.Attention"), scope("blocks.0")) == attention
    assert taken(TORCHSCRIPT, module_class("Attention")) == []


def test_classes_of_torch_are_told_by_operators_where_the_file_has_none() -> None:
    linear = [name.rpartition("/")[0] for name in taken(TORCHSCRIPT, module_class("Linear"), scope("blocks.2"))]
    assert linear == [f"/blocks.2/{name}" for name in ("attention/qkv", "attention/projection", "expand", "reduce")]
    assert [node.partition("/activation")[0] for node in taken(TORCHSCRIPT, module_class("GELU"))] == ["/blocks.0", "/blocks.1", "/blocks.2"]


@pytest.mark.parametrize(
    ("layer", "found"),
    [
        ("stem", ["Conv__37"]),  # the exporter's own name; the weights tell the layer
        ("stem_bn", ["digits_cnn_1/stem_bn_1/batchnorm/mul_1__7", "Conv__37"]),  # folded into that convolution
        ("stem_swish", ["digits_cnn_1/stem_swish_1/Sigmoid", "digits_cnn_1/stem_swish_1/mul_1"]),
        ("head", ["digits_cnn_1/head_1/MatMul_Gemm__6"]),
        ("stay1_bn*", ["digits_cnn_1/stay1_bn_1/batchnorm/mul_1", "digits_cnn_1/stay1_bn_1/batchnorm/add_1"]),
        ("stay?_depthwise", ["digits_cnn_1/stay1_depthwise_1/depthwise", "digits_cnn_1/stay2_depthwise_1/depthwise"]),
        ("stay3_bn", []),
    ],
)
def test_keras_layers_have_the_names_of_the_training_code(layer: str, found: list[str]) -> None:
    assert taken(KERAS, {"kind": "layer", "names": [layer]}) == found
