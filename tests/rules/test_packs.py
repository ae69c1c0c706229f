import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace
from pydantic import BaseModel

from bridge.rules import PRECISIONS, Applied, apply, json_schema, list_packs, load
from bridge.rules.matchers import KINDS, PATTERNS
from bridge.rules.schema import RuleDocument
from bridge.types import NodeFacts

FOLDER = Path(__file__).parents[2] / "exclusion_rules"
README = (FOLDER / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```toml\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
type Node = Callable[..., NodeFacts]


def run(*names: str, nodes: list[NodeFacts], default: str = "static_wi8_ai8") -> Applied:
    return apply(load(names), nodes, default_precision=default)


def test_the_json_schema_is_current() -> None:
    stored = (FOLDER / "schema.json").read_text(encoding="utf-8")
    assert stored == json_schema(), "regenerate it: python -m bridge.rules > exclusion_rules/schema.json"


def test_the_json_schema_names_every_kind_and_refuses_unknown_keys() -> None:
    schema = json.loads(json_schema())
    assert schema["additionalProperties"] is False
    named = {one["properties"]["kind"]["const"] for one in schema["$defs"].values() if "kind" in one["properties"]}
    assert named == set(KINDS)
    assert set(schema["$defs"]["Rule"]["properties"]["precision"]["anyOf"][0]["enum"]) == set(PRECISIONS)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.toml")), ids=lambda path: path.stem)
def test_a_pack_loads_and_describes_itself(path: Path) -> None:
    (file,) = load([path.stem])
    assert file.label == f"exclusion_rules/{path.name}"
    assert file.description
    assert all(rule.optional for rule in file.rules)  # a pack is for every model
    assert path.read_text(encoding="utf-8").startswith("#:schema ./schema.json\n")


def test_the_readme_lists_every_pack_kind_pattern_and_precision() -> None:
    for word in (*(pack.name for pack in list_packs()), *KINDS, *PRECISIONS, *(set(PATTERNS) - {"mish", "hard_swish"})):
        assert f"`{word}`" in README, word


def test_the_readme_measures_every_pack_on_every_kind_of_model() -> None:
    measured = README.partition("<!-- bench_packs: begin -->")[2].partition("<!-- bench_packs: end -->")[0]
    columns = {cell.strip() for line in measured.splitlines() if line.startswith("| model |") for cell in line.split("|")}
    assert columns >= {pack.name for pack in list_packs()} - {"transformer"} | {"default, transformer"}
    for model in ("mlt_kws_dscnn", "vit_cifar10_postnorm_relu", "yolox_nano_coco", "sr_scet_x4", "mnist_lstm"):
        assert len(re.findall(rf"^\| {model} \|", measured, flags=re.MULTILINE)) == 3, model


def test_the_readme_has_examples() -> None:
    assert len(BLOCKS) == 2


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_of_the_readme_is_a_rule_file(block: str) -> None:
    document = RuleDocument.model_validate(tomllib.loads(block))
    assert document.rules


def test_the_examples_of_the_readme_use_every_kind_and_every_key() -> None:
    def keys(value: BaseModel) -> set[str]:
        found = {f"{getattr(value, 'kind', '')}.{name}" for name in value.model_fields_set}
        for inner in (getattr(value, name) for name in value.model_fields_set):
            for one in inner if isinstance(inner, tuple) else (inner,):
                if isinstance(one, BaseModel):
                    found |= keys(one)
        return found

    used = set().union(*(keys(RuleDocument.model_validate(tomllib.loads(block))) for block in BLOCKS))
    assert used >= {f"{kind}.kind" for kind in KINDS}


def test_patterns_that_the_graph_marks_are_known_to_rules() -> None:
    folder = Path(__file__).parents[2] / "bridge" / "graph" / "patterns"
    marked = {
        name
        for path in folder.glob("*.py")
        for name in re.findall(r'^[A-Z]+ = "([a-z0-9_]+)"$', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    }
    assert "layer_norm" in marked
    assert marked <= set(PATTERNS), "add it to PatternName in bridge/rules/matchers.py"


DEFAULT = {
    "layer_norm": "layer-norm",
    "rms_norm": "layer-norm",
    "group_norm": "group-norm",
    "instance_norm": "group-norm",
    "gelu": "gelu",
    "silu": "swish-family",
    "mish": "swish-family",
    "hard_swish": "swish-family",
    "masked_softmax": "masked-softmax",
    "residual_add": "residual-add",
    "softmax": None,
    "batch_norm": None,
    "l2_norm": None,
    "cnn_residual_add": None,
    "hard_sigmoid": None,
    "elu": None,
    "selu": None,
    "celu": None,
    "log_softmax": None,
    "attention": None,
    "squeeze_excite": None,
    "rescaling": None,
    "positional_embedding": None,
    "first_layer": None,
    "last_layer": None,
    "detection_tail": None,
    None: None,
}


@pytest.mark.parametrize("pattern", DEFAULT, ids=str)
def test_the_default_pack_takes_what_it_says(pattern: str | None, node: Node) -> None:
    decision = run("default", nodes=[node("a", patterns=() if pattern is None else (pattern,))]).decisions["a"]
    assert decision.rule == DEFAULT[pattern]
    assert decision.precision == ("float32" if decision.rule else "static_wi8_ai8")
    assert set(DEFAULT) == {*PATTERNS, None}


@pytest.mark.parametrize(("domain", "rule"), [("", None), ("ai.onnx", None), ("com.microsoft", "custom-op"), ("mine", "custom-op")])
def test_the_default_pack_keeps_custom_operators_float(domain: str, rule: str | None, node: Node) -> None:
    assert run("default", nodes=[node("a", "Anything", domain=domain)]).decisions["a"].rule == rule


@pytest.mark.parametrize("default", ["static_wi8_ai8", "dynamic_wi8_afp32"])
def test_all_int8_excludes_nothing_alone_or_after_others(default: str, node: Node) -> None:
    nodes = [node("a", patterns=("layer_norm",)), node("b", "Softmax", shape=(1, 1000))]
    for names in (("all-int8",), ("default", "outputs", "all-int8")):
        assert {one.precision for one in run(*names, nodes=nodes, default=default).decisions.values()} == {default}
    assert run("all-int8", "default", nodes=nodes).decisions["a"].rule == "layer-norm"


def taken(pack: str, nodes: list[NodeFacts]) -> dict[str, str]:
    """The nodes for which a rule of the pack decides, and the precision."""
    return {one.node: one.precision for one in run(pack, nodes=nodes).decisions.values() if one.rule}


def test_rescaling_takes_batch_norm_and_constants_per_channel(node: Node) -> None:
    nodes = [
        node("bn", "BatchNormalization", patterns=["batch_norm", "rescaling"]),
        node("scale", "Mul", patterns=["rescaling"]),
        node("gate", "Mul", inputs=["a", "b"]),
        node("half", "Mul", weight=(1,)),
    ]
    assert taken("rescaling", nodes) == {"bn": "float32", "scale": "float32"}


def test_first_layers_takes_the_layers_that_read_the_inputs_and_no_lookup(node: Node) -> None:
    first = ["first_layer"]
    nodes = [node("pad", "Pad"), node("conv1", "Conv", patterns=first), node("words", "Gather", patterns=first), node("conv2", "Conv")]
    assert taken("first-layers", nodes) == {"conv1": "float32"}


def test_detection_head_takes_what_makes_boxes_of_maps(node: Node) -> None:
    tail = ["detection_tail"]
    nodes = [node("conv", "Conv", patterns=["last_layer"]), node("list", "Reshape", patterns=tail), node("score", "Sigmoid", patterns=tail)]
    assert taken("detection-head", nodes) == {"list": "float32", "score": "float32"}


@pytest.mark.parametrize(
    ("own_sqnr_db", "precision"), [(-10.1, "float32"), (-10.0, "dynamic_wi8_afp32"), (23.9, "dynamic_wi8_afp32"), (24.0, "static_wi8_ai8")]
)
def test_transformer_gives_matrices_that_int8_activations_harm_int8_weights_alone(own_sqnr_db: float, precision: str, node: Node) -> None:
    nodes = [
        replace(node("ffn", "Gemm", weight=(384, 10)), own_sqnr_db=own_sqnr_db),
        replace(node("small", "Gemm", weight=(256, 10)), own_sqnr_db=own_sqnr_db),
        replace(node("product", "MatMul", inputs=["q", "k"]), own_sqnr_db=own_sqnr_db),
        replace(node("conv", "Conv", weight=(4, 4, 3, 3)), own_sqnr_db=own_sqnr_db),
    ]
    decisions = run("default", "transformer", nodes=nodes).decisions
    assert decisions["ffn"].precision == precision
    assert {decisions[name].precision for name in ("small", "product", "conv")} <= {"float32", "static_wi8_ai8"}


def test_transformer_keeps_attention_and_positions_float(node: Node) -> None:
    nodes = [
        node("scores", "MatMul", patterns=["attention"]),
        node("positions", "Add", patterns=["positional_embedding"]),
        node("projection", "Gemm"),
    ]
    assert taken("transformer", nodes) == {"scores": "float32", "positions": "float32"}


@pytest.mark.parametrize(("classes", "rule"), [(99, None), (100, "softmax-many-classes"), (1000, "softmax-many-classes")])
def test_outputs_takes_the_last_softmax_over_many_classes(classes: int, rule: str | None, node: Node) -> None:
    nodes = [node("attention", "Softmax", shape=(1, 4, 197, 197)), node("head", "Softmax", shape=(1, classes), axis=1)]
    decisions = run("outputs", nodes=nodes).decisions
    assert decisions["attention"].rule is None
    assert decisions["head"].rule == rule
