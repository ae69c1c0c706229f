"""Names as exporters write them: torch's TorchScript and dynamo exporters, Keras through tf2onnx."""

from collections.abc import Callable, Sequence

import pytest
from msgspec.structs import replace
from pydantic import TypeAdapter

from bridge.module_paths import module_path
from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher
from bridge.rules.matchers import Matcher
from bridge.types import NodeFacts, TensorSpec

ADAPTER: TypeAdapter[BaseMatcher] = TypeAdapter(Matcher)
type Node = Callable[..., NodeFacts]


def scope(glob: str) -> BaseMatcher:
    return ADAPTER.validate_python({"kind": "scope", "glob": glob})


def classes(*names: str) -> BaseMatcher:
    return ADAPTER.validate_python({"kind": "module_class", "classes": names})


def layer(*names: str) -> BaseMatcher:
    return ADAPTER.validate_python({"kind": "layer", "names": names})


def taken(one: BaseMatcher, nodes: Sequence[NodeFacts]) -> list[str]:
    context = Context(nodes)
    return [node.name for node in nodes if one.matches(node, context)]


@pytest.mark.parametrize(
    ("in_file", "in_code"),
    [
        ("encoder/layer.3/attention/self/query", "encoder.layer.3.attention.self.query"),  # a ModuleList has no name of its own
        ("layer1/layer1.0/conv1", "layer1.0.conv1"),  # a Sequential is repeated before its members
        ("upsampler/upsampleOneStep/upsampleOneStep.0", "upsampler.upsampleOneStep.0"),
        ("conv_4/model/model.2/conv/conv", "conv_4.model.2.conv.conv"),
        ("path1/path1.0/arr.0/lrelu", "path1.0.arr.0.lrelu"),
        ("blocks.0/attention/qkv", "blocks.0.attention.qkv"),  # dynamo
        ("layer1/layer10", "layer1.layer10"),
        ("", ""),
    ],
)
def test_the_path_of_the_training_code_is_read_from_that_of_the_file(in_file: str, in_code: str) -> None:
    assert module_path(in_file) == in_code


ATTENTION = "encoder/layer.3/attention/self/query"
SCOPES = [
    ("encoder.layer.3", "encoder/layer.3", True),
    ("encoder.layer.3", ATTENTION, True),
    ("encoder.layer.3.*", "encoder/layer.3", True),  # what the layer's own forward computes
    ("encoder.layer.3.*", ATTENTION, True),
    ("encoder.layer.*.attention", ATTENTION, True),
    ("encoder.**.query", ATTENTION, True),
    ("**.self.query", ATTENTION, True),
    ("encoder", ATTENTION, True),
    ("layer1.0", "layer1/layer1.0/conv1", True),
    ("layer1.?.conv[12]", "layer1/layer1.0/conv1", True),
    ("encoder/layer.3/*", "encoder/layer.3", True),
    ("encoder/layer.*/attention", ATTENTION, True),
    ("encoder.layer.3", "encoder/layer.31", False),
    ("encoder.*.attention", ATTENTION, False),  # * stays between two dots
    ("encoder.layer.3.*.query", ATTENTION, False),
    ("layer.3", ATTENTION, False),
    ("attention", ATTENTION, False),
    ("encoder/layer/3", ATTENTION, False),
    ("encoder.layer.3.*", "encoder", False),
    ("**", "", False),
]


@pytest.mark.parametrize(("glob", "path", "fits"), SCOPES)
def test_a_module_path_fits_as_the_training_code_spells_it(glob: str, path: str, fits: bool, node: Node) -> None:
    assert (taken(scope(glob), [node("a", scope=path)]) == ["a"]) is fits


def test_a_near_miss_shows_the_path_in_the_notation_of_the_rule(node: Node) -> None:
    nodes = [node("a", scope="layer1/layer1.0/conv1")]
    assert scope("layer1.1").refusal(nodes[0], Context(nodes)) == "module path matches glob 'layer1.1'. Received: 'layer1.0.conv1'"
    assert scope("layer1/1").refusal(nodes[0], Context(nodes)) == "module path matches glob 'layer1/1'. Received: 'layer1/layer1.0/conv1'"


@pytest.mark.parametrize(
    ("glob", "text"),
    [
        ("encoder.*.attention", "'*' does not cross '.', '**' does: 'encoder.layer.3.attention'"),
        ("encoder.layer.4", "'encoder.layer.4', did you mean 'encoder.layer.3'?"),
        ("encoder.layer.3.attention.self.qery", "'encoder.layer.3.attention.self.qery', did you mean 'encoder.layer.3.attention.self.query'?"),
    ],
)
def test_a_path_that_no_node_has_is_corrected_in_its_own_notation(glob: str, text: str, node: Node) -> None:
    assert scope(glob).suggestion(Context([node("a", scope=ATTENTION)])) == text


DYNAMO = [
    ("norm1", "LayerNormalization", ["vit.Vit", "vit.Block", "torch.nn.modules.normalization.LayerNorm"]),
    ("qkv", "MatMul", ["vit.Vit", "vit.Block", "vit.Attention", "torch.nn.modules.linear.Linear"]),
    ("residual", "Add", ["vit.Vit", "vit.Block"]),
    ("rewritten", "Split", []),
]


@pytest.mark.parametrize(
    ("wanted", "names"),
    [
        ("LayerNorm", ["norm1"]),
        ("torch.nn.modules.normalization.LayerNorm", ["norm1"]),
        ("torch.nn.**.Linear", ["qkv"]),
        ("Block", ["norm1", "qkv", "residual"]),
        ("*tention", ["qkv"]),
        ("Layer", []),
        ("nn.LayerNorm", []),
    ],
)
def test_a_class_is_one_that_the_dynamo_exporter_wrote(wanted: str, names: list[str], node: Node) -> None:
    assert taken(classes(wanted), [node(name, op, classes=around) for name, op, around in DYNAMO]) == names


def test_where_the_file_names_classes_no_operator_is_taken_for_one(node: Node) -> None:
    nodes = [node("functional", "LayerNormalization", classes=["vit.Vit"]), node("module", "Gemm", classes=["vit.Vit", "torch.nn.Linear"])]
    assert taken(classes("LayerNorm", "Linear"), nodes) == ["module"]
    refusal = classes("LayerNorm").refusal(nodes[0], Context(nodes))
    assert refusal == "is inside a module of class 'LayerNorm'. Received: 'Vit'"


TORCHSCRIPT = [
    ({"patterns": ["layer_norm"], "op_type": "LayerNormalization"}, "LayerNorm"),
    ({"patterns": ["gelu", "rescaling"], "op_type": "Mul"}, "GELU"),
    ({"op_type": "Conv", "shape": (1, 8, 4, 4), "weight": (8, 3, 3, 3)}, "Conv2d"),
    ({"op_type": "Conv", "shape": (1, 8, 4), "weight": (8, 3, 3)}, "Conv1d"),
    ({"op_type": "ConvTranspose", "shape": (1, 8, 4, 4)}, "ConvTranspose2d"),
    ({"op_type": "Gemm", "weight": (8, 8)}, "Linear"),
    ({"op_type": "MatMul", "weight": (8, 8)}, "Linear"),
    ({"op_type": "Gather", "constants": [0]}, "Embedding"),
    ({"op_type": "BatchNormalization"}, "BatchNorm2d"),
    ({"op_type": "MaxPool", "shape": (1, 8, 4, 4)}, "MaxPool2d"),
    ({"op_type": "PRelu"}, "PReLU"),
    ({"op_type": "LSTM"}, "LSTM"),
    ({"patterns": ["silu"], "op_type": "Sigmoid"}, "SiLU"),
    ({"patterns": ["masked_softmax", "attention"], "op_type": "Softmax"}, "Softmax"),
    ({"patterns": ["masked_softmax", "attention"], "op_type": "Softmax"}, "MultiheadAttention"),
]


@pytest.mark.parametrize(("facts", "wanted"), TORCHSCRIPT, ids=[wanted for _, wanted in TORCHSCRIPT])
def test_without_classes_in_the_file_the_operator_tells_the_class_of_torch(facts: dict[str, object], wanted: str, node: Node) -> None:
    others = [node("b", "Add"), node("c", "MatMul", inputs=["x", "y"]), node("d", "Gather", inputs=["x", "y"]), node("e", "Gemm", domain="mine")]
    assert taken(classes(wanted), [node("a", **facts), *others]) == ["a"]


def test_without_classes_in_the_file_a_class_of_the_user_says_what_is_missing(node: Node) -> None:
    nodes = [node("a", "Relu"), node("b", "Add")]
    assert taken(classes("BertLayer"), nodes) == []
    assert classes("BertLayer").suggestion(Context(nodes)) == (
        "the file names no classes (torch's dynamo exporter writes them, the TorchScript exporter does not); told by their operators: 'ReLU'"
    )
    assert classes("BertLayer").refusal(nodes[0], Context(nodes)).endswith("Received: by its operator 'ReLU'")
    assert classes("BertLayer").refusal(nodes[1], Context(nodes)).endswith("the file names no classes, and the operator belongs to none of torch.nn")


KERAS = [
    ("functional_1/dense_1/MatMul_Gemm__3", "dense_1", True),
    ("StatefulPartitionedCall/model/dense_1/BiasAdd", "dense_1", True),
    ("model/conv2d/StatefulPartitionedCall/StatefulPartitionedCall/Conv2D", "conv2d", True),
    ("model/encoder/dense_1/MatMul", "encoder/dense_1", True),
    ("functional_1/dense_1/Gelu/mul_1", "dense_*", True),
    ("model_1/conv2d_5/Conv2D;model_1/batch_normalization_6/FusedBatchNormV3", "batch_normalization_6", True),
    ("functional_1/dense_10/MatMul", "dense_1", False),
    ("functional_1/dense_1", "dense_1", False),  # the name of the operation itself, not of a layer
    ("functional_1/encoder/x/dense_1/MatMul", "encoder/dense_1", False),
]


@pytest.mark.parametrize(("name", "wanted", "fits"), KERAS)
def test_a_keras_layer_is_found_in_the_names_of_tf2onnx(name: str, wanted: str, fits: bool, node: Node) -> None:
    assert (taken(layer(wanted), [node(name)]) == [name]) is fits


def test_a_layer_that_was_folded_into_another_is_found_by_the_tensor(node: Node) -> None:
    nodes = [node("model/conv2d/BiasAdd", "Conv", outputs=["model/batch_normalization/FusedBatchNormV3:0"]), node("model/activation/Relu")]
    assert taken(layer("batch_normalization"), nodes) == ["model/conv2d/BiasAdd"]
    refusal = layer("dense").refusal(nodes[0], Context(nodes))
    assert refusal == "belongs to the Keras layer 'dense'. Received: 'model/conv2d', 'model/batch_normalization'"
    assert layer("activatoin").suggestion(Context(nodes)) == "'activatoin', did you mean 'activation'?"


def test_a_layer_is_found_by_its_weights_where_the_exporter_gave_the_node_another_name(node: Node) -> None:
    nodes = [replace(node("Conv__37", "Conv", weight=(4, 1, 3, 3)), inputs=(TensorSpec("x", (1, 8), "float32"), TensorSpec("net/stem/convolution/merged_input:0", (4, 1, 3, 3), "float32")))]  # fmt: skip
    assert taken(layer("stem"), nodes) == ["Conv__37"]


def test_a_layer_of_a_model_that_was_called_before_has_a_number(node: Node) -> None:
    nodes = [node("net_1/dense_1/MatMul"), node("net_1/dense_2_1/MatMul"), node("net_1/head/MatMul"), node("net_1/head_1/MatMul")]
    assert taken(layer("dense"), nodes) == ["net_1/dense_1/MatMul"]
    assert taken(layer("dense_2"), nodes) == ["net_1/dense_2_1/MatMul"]
    assert taken(layer("head"), nodes) == ["net_1/head/MatMul"]
