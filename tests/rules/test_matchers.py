from collections.abc import Callable

import pytest
from pydantic import TypeAdapter, ValidationError

from bridge.rules.context import Context
from bridge.rules.matcher import BaseMatcher
from bridge.rules.matchers import KINDS, Matcher
from bridge.types import NodeFacts

ADAPTER: TypeAdapter[BaseMatcher] = TypeAdapter(Matcher)
type Node = Callable[..., NodeFacts]


def matcher(**fields: object) -> BaseMatcher:
    return ADAPTER.validate_python(fields)


def holds(fields: dict[str, object], one: NodeFacts, *others: NodeFacts) -> bool:
    return matcher(**fields).matches(one, Context((one, *others)))


def refusal(fields: dict[str, object], one: NodeFacts, *others: NodeFacts) -> str:
    return matcher(**fields).refusal(one, Context((one, *others)))


MATCHES = [
    ({"kind": "op_type", "op_types": ["Softmax"]}, {"op_type": "Softmax"}),
    ({"kind": "op_type", "op_types": ["Conv", "Gemm"]}, {"op_type": "Gemm"}),
    ({"kind": "pattern", "patterns": ["layer_norm", "gelu"]}, {"patterns": ("gelu",)}),
    ({"kind": "pattern", "patterns": ["attention"]}, {"patterns": ("masked_softmax", "attention")}),
    ({"kind": "domain", "domains": ["com.microsoft"]}, {"domain": "com.microsoft"}),
    ({"kind": "domain", "domains": ["ai.onnx"]}, {"domain": ""}),
    ({"kind": "domain", "domains": [""]}, {"domain": "ai.onnx"}),
    ({"kind": "dtype", "dtypes": ["int64"]}, {"dtype": "int64"}),
    ({"kind": "name", "glob": "encoder/*"}, {"name": "encoder/Add"}),
    ({"kind": "name", "glob": "ln/Sqrt"}, {"name": "ln/Add", "origins": ["ln/Sqrt", "ln/Add"]}),
    ({"kind": "name", "regex": r".*layer\.(0|11)/.*"}, {"name": "encoder/layer.11/Add"}),
    ({"kind": "scope", "glob": "encoder/layer.3"}, {"scope": "encoder/layer.3"}),
    ({"kind": "scope", "glob": "encoder/layer.3"}, {"scope": "encoder/layer.3/attention/self"}),
    ({"kind": "scope", "glob": "encoder/*/attention"}, {"scope": "encoder/layer.3/attention/self"}),
    ({"kind": "scope", "glob": "**/attention"}, {"scope": "encoder/layer.3/attention"}),
    ({"kind": "scope", "glob": "blocks[0]"}, {"scope": "blocks[0]/mlp"}),
    ({"kind": "tensor", "glob": "tokens"}, {"inputs": ["a", "tokens"]}),
    ({"kind": "tensor", "glob": "tokens"}, {"outputs": ["tokens"]}),
    ({"kind": "tensor", "glob": "*/out"}, {"outputs": ["head/out"]}),
    ({"kind": "attribute", "name": "axis"}, {"axis": 0}),
    ({"kind": "attribute", "name": "axis", "equals": -1}, {"axis": -1}),
    ({"kind": "attribute", "name": "alpha", "equals": 0.1}, {"alpha": 0.10000000149011612}),
    ({"kind": "attribute", "name": "mode", "equals": "linear"}, {"mode": "linear"}),
    ({"kind": "attribute", "name": "dilations", "equals": [2, 2]}, {"dilations": (2, 2)}),
    ({"kind": "attribute", "name": "dilations", "equals": [2, 2]}, {"dilations": [2, 2]}),
    ({"kind": "axis_size", "at_least": 513}, {"shape": (1, 8, 513)}),
    ({"kind": "axis_size", "at_most": 8}, {"shape": (1, 8, 513), "axis": 1}),
    ({"kind": "axis_size", "axis": 0, "at_least": 2, "at_most": 2}, {"shape": (2, 8), "axis": 1}),
    ({"kind": "fan_in", "at_least": 27, "at_most": 27}, {"op_type": "Conv", "weight": (16, 3, 3, 3)}),
    ({"kind": "fan_in", "at_least": 9, "at_most": 9}, {"op_type": "Conv", "weight": (16, 1, 3, 3), "group": 16}),
    ({"kind": "fan_in", "at_least": 18, "at_most": 18}, {"op_type": "ConvTranspose", "weight": (4, 8, 3, 3), "group": 2}),
    ({"kind": "fan_in", "at_least": 64, "at_most": 64}, {"op_type": "Gemm", "weight": (64, 10)}),
    ({"kind": "fan_in", "at_least": 64, "at_most": 64}, {"op_type": "Gemm", "weight": (10, 64), "transB": 1}),
    ({"kind": "fan_in", "at_least": 64, "at_most": 64}, {"op_type": "MatMul", "weight": (3, 64, 10)}),
    ({"kind": "channels", "at_least": 16, "at_most": 16}, {"op_type": "Conv", "weight": (16, 3, 3, 3)}),
    ({"kind": "channels", "at_least": 16, "at_most": 16}, {"op_type": "ConvTranspose", "weight": (4, 8, 3, 3), "group": 2}),
    ({"kind": "channels", "at_least": 10, "at_most": 10}, {"op_type": "Gemm", "weight": (64, 10)}),
    ({"kind": "channels", "at_least": 10, "at_most": 10}, {"op_type": "Gemm", "weight": (10, 64), "transB": 1}),
    ({"kind": "channels", "at_least": 10, "at_most": 10}, {"op_type": "MatMul", "weight": (3, 64, 10)}),
    ({"kind": "channels", "at_least": 32, "at_most": 32}, {"op_type": "PRelu", "weight": (32, 1, 1)}),
    ({"kind": "channels", "at_least": 32, "at_most": 32}, {"op_type": "BatchNormalization", "weight": (32,)}),
    ({"kind": "constant_inputs", "at_least": 1}, {"op_type": "Mul", "weight": (1,)}),
    ({"kind": "constant_inputs", "at_most": 0}, {"op_type": "Mul"}),
    ({"kind": "not", "condition": {"kind": "op_type", "op_types": ["Conv"]}}, {"op_type": "Relu"}),
    ({"kind": "any", "conditions": [{"kind": "op_type", "op_types": ["Conv"]}, {"kind": "scope", "glob": "head"}]}, {"scope": "head"}),
]


@pytest.mark.parametrize(("fields", "facts"), MATCHES, ids=lambda value: str(value))
def test_a_condition_holds(fields: dict[str, object], facts: dict[str, object], node: Node) -> None:
    assert holds(fields, node(**facts))


NEAR_MISSES = [
    ({"kind": "op_type", "op_types": ["Softmax"]}, {"op_type": "LogSoftmax"}, "op type is one of 'Softmax'. Received: 'LogSoftmax'"),
    ({"kind": "pattern", "patterns": ["gelu"]}, {"patterns": ("silu",)}, "pattern is one of 'gelu'. Received: 'silu'"),
    ({"kind": "pattern", "patterns": ["gelu"]}, {}, "pattern is one of 'gelu'. Received: no pattern"),
    ({"kind": "domain", "domains": ["com.microsoft"]}, {}, "operator domain is one of 'com.microsoft'. Received: ''"),
    ({"kind": "dtype", "dtypes": ["int64"]}, {"dtype": "int32"}, "output dtype is one of 'int64'. Received: 'int32'"),
    ({"kind": "name", "glob": "a/*"}, {"name": "a/b/c"}, "node name matches glob 'a/*'. Received: 'a/b/c'"),
    ({"kind": "name", "regex": "b"}, {"name": "abc", "origins": ["x", "abc"]}, "node name matches regex 'b'. Received: 'abc', 'x'"),
    ({"kind": "scope", "glob": "layer.1"}, {"scope": "layer.11"}, "module path matches glob 'layer.1'. Received: 'layer.11'"),
    ({"kind": "scope", "glob": "**"}, {}, "module path matches glob '**'. Received: no module path"),
    ({"kind": "tensor", "glob": "z"}, {}, "tensor name matches glob 'z'. Received: 'x', 'y'"),
    ({"kind": "attribute", "name": "axis", "equals": 1}, {"axis": 2}, "attribute 'axis' equals 1. Received: 2"),
    ({"kind": "attribute", "name": "axis"}, {"op_type": "Softmax"}, "attribute 'axis' is set. Received: no 'axis' on Softmax"),
    ({"kind": "attribute", "name": "pads", "equals": [0, 0]}, {"pads": (0, 0, 0)}, "attribute 'pads' equals (0, 0). Received: (0, 0, 0)"),
    ({"kind": "axis_size", "at_least": 513}, {"shape": (513, 512)}, "output axis size is at least 513. Received: 512"),
    ({"kind": "axis_size", "at_most": 3, "axis": 2}, {"shape": (1, 1)}, "output axis size is at most 3. Received: no output axis size"),
    ({"kind": "axis_size", "at_most": 3}, {"shape": (1, "n")}, "output axis size is at most 3. Received: no output axis size"),
    ({"kind": "fan_in", "at_least": 28}, {"op_type": "Conv", "weight": (16, 3, 3, 3)}, "fan-in is at least 28. Received: 27"),
    ({"kind": "fan_in", "at_least": 1}, {"op_type": "MatMul", "inputs": ["a", "b"]}, "fan-in is at least 1. Received: no fan-in"),
    ({"kind": "fan_in", "at_least": 1}, {"op_type": "Conv", "domain": "mine", "weight": (1, 1, 1, 1)}, "fan-in is at least 1. Received: no fan-in"),
    ({"kind": "channels", "at_most": 15}, {"op_type": "Conv", "weight": (16, 3, 3, 3)}, "channel count is at most 15. Received: 16"),
    ({"kind": "channels", "at_least": 1}, {"op_type": "Mul", "weight": (16,)}, "channel count is at least 1. Received: no channel count"),
    ({"kind": "channels", "at_least": 1}, {"op_type": "MatMul", "inputs": ["a", "b"]}, "channel count is at least 1. Received: no channel count"),
    (
        {"kind": "constant_inputs", "at_least": 2, "at_most": 3},
        {"weight": (1,)},
        "number of constant inputs is at least 2 and at most 3. Received: 1",
    ),
    (
        {"kind": "not", "condition": {"kind": "op_type", "op_types": ["Conv"]}},
        {"op_type": "Conv"},
        "not (op type is one of 'Conv'). Received: 'Conv'",
    ),
    (
        {"kind": "any", "conditions": [{"kind": "op_type", "op_types": ["Conv"]}, {"kind": "scope", "glob": "head"}]},
        {"op_type": "Relu", "scope": "header"},
        "any of (op type is one of 'Conv'; module path matches glob 'head'). Received: 'Relu'; 'header'",
    ),
]


@pytest.mark.parametrize(("fields", "facts", "text"), NEAR_MISSES, ids=lambda value: str(value))
def test_a_condition_that_does_not_hold_says_what_it_received(fields: dict[str, object], facts: dict[str, object], text: str, node: Node) -> None:
    one = node(**facts)
    assert not holds(fields, one)
    assert refusal(fields, one) == text


def test_an_integer_attribute_is_not_taken_for_a_float_or_a_boolean_by_accident(node: Node) -> None:
    assert holds({"kind": "attribute", "name": "alpha", "equals": 1}, node(alpha=1.0))
    assert not holds({"kind": "attribute", "name": "alpha", "equals": 0.1}, node(alpha=0.1001))


def test_position_counts_in_topological_order_among_the_op_types_alone(node: Node) -> None:
    nodes = [node("a", "Relu"), node("b", "Conv"), node("c", "Gemm"), node("d", "Relu"), node("e", "Conv")]
    context = Context(nodes)

    def names(**end: int) -> list[str]:
        one = matcher(kind="position", op_types=["Conv", "Gemm"], **end)
        return [other.name for other in nodes if one.matches(other, context)]

    assert names(first=1) == ["b"]
    assert names(last=1) == ["e"]
    assert names(last=2) == ["c", "e"]
    assert names(first=9) == names(last=9) == ["b", "c", "e"]
    one = matcher(kind="position", op_types=["Conv", "Gemm"], last=1)
    assert one.refusal(nodes[1], context) == "is among the last 1 of 'Conv', 'Gemm'. Received: number 1 of 3"
    assert one.refusal(nodes[0], context) == "is among the last 1 of 'Conv', 'Gemm'. Received: Relu"


def test_region_is_every_path_between_the_tensors_and_nothing_beside_it(node: Node) -> None:
    nodes = [
        node("before", inputs=["in"], outputs=["s"]),
        node("left", inputs=["s"], outputs=["l"]),
        node("right", inputs=["s"], outputs=["r"]),
        node("dangling", inputs=["s"], outputs=["d"]),
        node("aside", inputs=["in"], outputs=["o"]),
        node("join", inputs=["l", "r", "o"], outputs=["t"]),
        node("after", inputs=["t"], outputs=["out"]),
    ]
    context = Context(nodes)

    def names(**border: list[str]) -> list[str]:
        one = matcher(kind="region", **border)
        return [other.name for other in nodes if one.matches(other, context)]

    assert names(start=["s"], end=["t"]) == ["left", "right", "join"]
    assert names(start=["s"]) == ["left", "right", "dangling", "join", "after"]
    assert names(end=["s"]) == ["before"]
    assert names(start=["l", "r"], end=["out"]) == ["join", "after"]
    assert names(start=["t"], end=["s"]) == []
    one = matcher(kind="region", start=["s"], end=["t"])
    assert one.refusal(nodes[0], context) == "lies on a path from 's' to 't'. Received: 'before' lies outside"
    assert matcher(kind="region", start=["s"]).describe() == "lies on a path from 's' to the model outputs"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"kind": "name"}, "give either glob or regex"),
        ({"kind": "name", "glob": "a", "regex": "a"}, "give either glob or regex"),
        ({"kind": "name", "regex": "(a"}, "a '\\)' is missing"),
        ({"kind": "name", "glob": "a" * 1025}, "at most 1024 characters"),
        ({"kind": "name", "regex": "a" * 257}, "at most 256 characters"),
        ({"kind": "position", "op_types": ["Conv"]}, "give either first or last"),
        ({"kind": "position", "op_types": ["Conv"], "first": 1, "last": 1}, "give either first or last"),
        ({"kind": "position", "op_types": ["Conv"], "first": 0}, "greater than or equal to 1"),
        ({"kind": "region"}, "give start, end or both"),
        ({"kind": "axis_size"}, "give at_least, at_most or both"),
        ({"kind": "fan_in", "at_least": 2, "at_most": 1}, "at_least 2 is larger than at_most 1"),
        ({"kind": "fan_in", "at_least": True}, "valid integer"),
        ({"kind": "op_type", "op_types": []}, "at least 1 item"),
        ({"kind": "any", "conditions": []}, "at least 1 item"),
        ({"kind": "pattern", "patterns": ["layernorm"]}, "layer_norm"),
        ({"kind": "not", "condition": {"kind": "nothing"}}, "nothing"),
        ({"kind": "op_type", "op_types": ["Conv"], "more": 1}, "not permitted"),
    ],
)
def test_a_malformed_condition_is_refused(fields: dict[str, object], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        matcher(**fields)


SUGGESTIONS = [
    ({"kind": "op_type", "op_types": ["Sofmax"]}, "'Sofmax', did you mean 'Softmax'?"),
    ({"kind": "op_type", "op_types": ["Conv"]}, "op type in this model: 'Add', 'Softmax'"),
    ({"kind": "pattern", "patterns": ["gelu"]}, "pattern in this model: 'masked_softmax'"),
    ({"kind": "name", "glob": "enc/*"}, "'*' does not cross '/', '**' does: 'enc/layer.0/Add'"),
    ({"kind": "name", "glob": "Enc/**"}, "upper and lower case differ: 'enc/layer.0/Add'"),
    ({"kind": "name", "glob": "Softmax_*"}, "the whole name must match: 'enc/layer.0/Softmax_1'"),
    ({"kind": "name", "glob": "enc/layer.7/Add"}, "'enc/layer.7/Add', did you mean 'enc/layer.0/Add'?"),
    ({"kind": "name", "glob": "zzz"}, "a node name here looks like 'enc/layer.0/Add', 'enc/layer.0/Softmax_1'"),
    ({"kind": "name", "regex": "Add"}, "a regex must match the whole name; put '.*' where anything may stand"),
    ({"kind": "scope", "glob": "enc/layer.9"}, "'enc/layer.9', did you mean 'enc/layer.0'?"),
    ({"kind": "tensor", "glob": "tokenz"}, "'tokenz', did you mean 'tokens'?"),
    ({"kind": "region", "start": ["tokenz"]}, "'tokenz', did you mean 'tokens'?"),
    ({"kind": "region", "start": ["y"], "end": ["tokens"]}, "no path leads from start to end"),
    ({"kind": "position", "op_types": ["Gemm"], "last": 1}, "op type in this model: 'Add', 'Softmax'"),
    ({"kind": "attribute", "name": "axes"}, "'axes', did you mean 'axis'?"),
    ({"kind": "axis_size", "at_least": 100}, "output axis size runs from 1 to 8 in this model"),
    ({"kind": "fan_in", "at_least": 100}, "no node of this model has a fan-in"),
    ({"kind": "dtype", "dtypes": ["int8"]}, "output dtype in this model: 'float32'"),
]


@pytest.mark.parametrize(("fields", "text"), SUGGESTIONS, ids=lambda value: str(value))
def test_a_condition_that_holds_nowhere_says_what_would(fields: dict[str, object], text: str, node: Node) -> None:
    scope = "enc/layer.0"
    nodes = [
        node("enc/layer.0/Add", "Add", scope=scope, inputs=["tokens"], shape=(1,)),
        node("enc/layer.0/Softmax_1", "Softmax", scope=scope, patterns=("masked_softmax",), axis=-1),
    ]
    one = matcher(**fields)
    assert not any(one.matches(other, Context(nodes)) for other in nodes)
    assert one.suggestion(Context(nodes)) == text


def test_control_characters_of_a_model_do_not_reach_the_terminal(node: Node) -> None:
    text = refusal({"kind": "name", "glob": "a"}, node("\x1b[31mred"))
    assert text == r"node name matches glob 'a'. Received: '\\x1b[31mred'"


def test_every_kind_says_what_it_is_for() -> None:
    assert set(KINDS) >= {"op_type", "pattern", "name", "domain", "not", "any"}
    for kind, cls in KINDS.items():
        assert cls.__doc__, kind
