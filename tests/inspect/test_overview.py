import json
from collections.abc import Mapping
from pathlib import Path

import onnx
import pytest

from bridge.errors import RuleError, UsageError
from bridge.inspect import Inspection, inspect, render
from bridge.inspect.tflite_ops import TFLITE_OPS, without_kernel
from bridge.quantize import has_kernel
from bridge.tflite.model import OP_CODES
from bridge.types import NodeFacts, TensorSpec

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
small (float[1, 4, 8] x, float[1, 4, 8] z) => (float[1, 4, 8] y)
<float[8] scale = {1, 1, 1, 1, 1, 1, 1, 1}, float[8] bias = {0, 0, 0, 0, 0, 0, 0, 0.5}>
{
   [norm_ln] n = LayerNormalization(x, scale, bias)
   [act_relu] r = Relu(n)
   [act_div] d = Div(r, z)
   [head_softmax] y = Softmax <axis = -1> (d)
}
"""
RULE = '[[rules]]\nid = "{id}"\nreason = "because"\nmatch = [{{ kind = "name", glob = "{glob}" }}]\nprecision = "float16"\n'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "small.onnx"
    onnx.save(onnx.parser.parse_model(MODEL), path)
    return path


def rules(folder: Path, **globs: str) -> Path:
    path = folder / "mine.toml"
    path.write_text("schema_version = 1\n" + "".join(RULE.format(id=name, glob=glob) for name, glob in globs.items()))
    return path


def precisions(inspection: Inspection) -> Mapping[str, str]:
    return {node.name: node.precision for node in inspection.nodes}


def test_it_says_what_is_in_the_model(model: Path) -> None:
    found = inspect(model)
    assert (found.path, found.framework, found.precision) == (str(model), "onnx", "static_wi8_ai8")
    assert [(spec.name, spec.shape) for spec in found.inputs] == [("x", (1, 4, 8)), ("z", (1, 4, 8))]
    assert [spec.name for spec in found.outputs] == ["y"]
    assert found.source_ops == {"Div": 1, "LayerNormalization": 1, "Relu": 1, "Softmax": 1}
    assert found.ops == found.source_ops
    assert found.patterns == {"layer_norm": 1, "softmax": 1}


def test_it_says_which_rule_takes_which_node(model: Path, tmp_path: Path) -> None:
    found = inspect(model, rules=("default", rules(tmp_path, all="act_*", one="act_relu")))
    assert precisions(found) == {"norm_ln": "float32", "act_relu": "float16", "act_div": "float16", "head_softmax": "static_wi8_ai8"}
    relu = found.nodes[1]
    assert (relu.rule, relu.line, relu.overridden) == ("one", 7, ("all",))
    rule = next(rule for rule in found.rules if rule.id == "all")
    assert (rule.matched, rule.deciding) == (("act_relu", "act_div"), ("act_div",))


def test_it_says_what_has_no_kernel_where_int8_is_asked_for(model: Path, tmp_path: Path) -> None:
    assert inspect(model, rules=()).float_ops == {"DIV": ("norm_ln", "act_div"), "SQRT": ("norm_ln",)}
    assert inspect(model).float_ops == {"DIV": ("act_div",)}  # the norm is float by rule


@pytest.mark.provokes("rule-matches-nothing")
def test_a_rule_that_matches_nothing_is_a_finding_and_no_error(model: Path, tmp_path: Path) -> None:
    found = inspect(model, rules=(rules(tmp_path, typo="act_relv"),))
    (finding,) = [one for one in found.diagnostics if one.code == "rule-matches-nothing"]
    assert finding.severity == "error"
    assert "did you mean 'act_relu'?" in finding.message


def test_optional_rules_that_match_nothing_are_no_finding(model: Path) -> None:
    assert not [one for one in inspect(model).diagnostics if one.code.startswith("rule-")]


def test_a_broken_rule_file_and_an_unknown_precision_are_errors(model: Path, tmp_path: Path) -> None:
    path = rules(tmp_path, a="x")
    path.write_text(path.read_text() + "more = 1")
    with pytest.raises(RuleError, match="unknown key 'more'"):
        inspect(model, rules=(path,))
    with pytest.raises(UsageError, match="'int8' is not a precision"):
        inspect(model, precision="int8")


def test_json_holds_everything(model: Path) -> None:
    found = inspect(model)
    told = json.loads(found.to_json())
    assert told == found.as_dict()
    assert told["nodes"][0]["name"] == "norm_ln"
    assert told["nodes"][0]["rule"] == "layer-norm"
    assert told["inputs"][0] == {"name": "x", "shape": [1, 4, 8], "dtype": "float32"}
    assert told["float_ops"] == {"DIV": ["act_div"]}
    assert {rule["id"] for rule in told["rules"]} >= {"layer-norm", "gelu"}


def test_the_text_names_counts_rules_and_what_stays_float(model: Path, tmp_path: Path) -> None:
    text = render(inspect(model, rules=("default", rules(tmp_path, typo="act_relv"))))
    for line in (
        "input  x  float32 [1, 4, 8]",
        "4 nodes: Div 1, LayerNormalization 1, Relu 1, Softmax 1",
        "patterns: layer_norm 1, softmax 1",
        "precision: float32 1, static_wi8_ai8 3",
        "rules that match nothing: group-norm, gelu,",
        "info [no-integer-kernel]: act_div: 1 node stays float, for DIV has no static_wi8_ai8 kernel",
        "error [rule-matches-nothing]: ",
    ):
        assert line in text
    assert [word for line in text.splitlines() if line.startswith("layer-norm") for word in line.split()] == [
        "layer-norm", "exclusion_rules/default.toml:5", "float32", "1", "1", "norm_ln",
    ]  # fmt: skip


def test_the_text_does_not_grow_with_the_number_of_nodes(tmp_path: Path) -> None:
    def length(count: int) -> int:
        body = "".join(f"[n{index}] v{index + 1} = Sin(v{index})\n" for index in range(count))
        text = f'<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4] v0) => (float[1, 4] v{count}) {{ {body} }}'
        path = tmp_path / "long.onnx"
        onnx.save(onnx.parser.parse_model(text), path)
        return len(render(inspect(path, rules=(rules(tmp_path, some="n*"),))).splitlines())

    assert length(200) == length(10)


def test_names_from_a_hostile_model_stay_text(tmp_path: Path) -> None:
    proto = onnx.parser.parse_model(MODEL)
    proto.graph.node[1].name = "\x1b[31m[bold]red[/bold]"
    path = tmp_path / "hostile.onnx"
    onnx.save(proto, path)
    text = render(inspect(path, rules=(rules(tmp_path, all="**"),)))
    assert "\x1b" not in text
    assert r"\x1b[31m[bold]red[/bold]" in text


def facts(op_type: str, *dtypes: str, constants: tuple[int, ...] = (), domain: str = "") -> NodeFacts:
    inputs = tuple(TensorSpec(f"i{place}", (1,), dtype) for place, dtype in enumerate(dtypes))
    return NodeFacts("n", op_type, domain, (), "", ("n",), inputs, (TensorSpec("o", (1,), "float32"),), constants)


@pytest.mark.parametrize(
    ("node", "precision", "expected"),
    [
        (facts("Div", "float32", "float32"), "static_wi8_ai8", ("DIV",)),
        (facts("Div", "float32", "float32", constants=(1,)), "static_wi8_ai8", ()),  # becomes a product
        (facts("Div", "float32", "float32"), "float32", ()),
        (facts("Div", "int64", "int64"), "static_wi8_ai8", ()),  # shape arithmetic
        (facts("Div", "float32", "float32", domain="mine"), "static_wi8_ai8", ()),
        (facts("Relu", "float32"), "static_wi8_ai8", ()),
        (facts("NoSuchOp", "float32"), "static_wi8_ai8", ()),
    ],
)
def test_kernels_are_forecast_for_float_activations_only(node: NodeFacts, precision: str, expected: tuple[str, ...]) -> None:
    assert without_kernel(node, precision, lambda op, asked: asked == "float32" or op in ("RELU", "MUL")) == expected


def test_the_table_speaks_of_operators_that_exist() -> None:
    assert set(TFLITE_OPS) <= {one.name for one in onnx.defs.get_all_schemas()}
    assert {op for ops in TFLITE_OPS.values() for op in ops} <= set(OP_CODES)
    assert has_kernel("CONV_2D", "static_wi8_ai8")
