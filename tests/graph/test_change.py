"""Changes of the graph against the same changes in the user's model, both in onnxruntime."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx_text import SEED, Normalize, Normalized, run, sqnr_db

from bridge.errors import UnsupportedModelError
from bridge.graph import ChangedGraph, ChangedSource, change, changed_source
from bridge.types import RangeChoice, RangeDecision, ReplacementDecision, SourceModel

RANDOM = np.random.default_rng(SEED)
W, V = RANDOM.standard_normal((8, 16)).astype(np.float32), RANDOM.standard_normal((16, 8)).astype(np.float32)
IO = "(float[2, 4, 8] x) => (float[2, 4, 8] y)"
ERF_GELU = "s = Constant<value_float = 1.41421356>() h = Constant<value_float = 0.5>() o = Constant<value_float = 1.0>()"
FORMS = {
    "Gelu": ("y = Gelu(x)", "gelu", 20),
    "spelled gelu": (f"{ERF_GELU} a = Div(x, s) b = Erf(a) c = Add(b, o) d = Mul(x, c) y = Mul(d, h)", "gelu", 17),
    "spelled silu": ("a = Sigmoid(x) y = Mul(x, a)", "silu", 13),
    "silu of a slope": ("k = Constant<value_float = 1.5>() b = Mul(x, k) a = Sigmoid(b) y = Mul(x, a)", "silu", 13),
    "Mish": ("y = Mish(x)", "mish", 18),
    "mish": ("a = Softplus(x) b = Tanh(a) y = Mul(x, b)", "mish", 13),
    "Erf": ("y = Erf(x)", "erf", 13),
    "Sigmoid": ("y = Sigmoid(x)", "sigmoid", 13),
}
NAMES = {"gelu": ("gelu_tanh", "gelu_polynomial", "gelu_sigmoid", "hard_swish"), "silu": ("hard_swish",), "mish": ("hard_swish",), "erf": ("erf_polynomial",), "sigmoid": ("hard_sigmoid",)}  # fmt: skip


def replacing(model: Normalized, name: str, nodes: Sequence[str] | None = None) -> dict[str, ReplacementDecision]:
    return {node.name: ReplacementDecision(node.name, name, "r", "f.toml", 3) for node in model.graph.nodes if nodes is None or node.name in nodes}


def clipping(tensor: str, node: str, low: float, high: float) -> RangeDecision:
    return RangeDecision(tensor, node, RangeChoice(clip=(low, high)), "c", "f.toml", 4)


def source(model: Normalized, changed: ChangedGraph) -> ChangedSource:
    return changed_source(SourceModel(proto=model.source, digest="d"), changed.swaps)


def switched(changed: ChangedSource, *on: int) -> dict[str, np.ndarray]:
    return {switch.name: np.array(index in on) for index, switch in enumerate(changed.switches)}


def user_values(changed: ChangedSource, feeds: Mapping[str, np.ndarray], *on: int) -> dict[str, np.ndarray]:
    """Every tensor of the user's model with some of the changes."""
    session_outputs = [output for node in changed.proto.graph.node for output in node.output]
    return run(changed.proto, {**feeds, **switched(changed, *on)}, session_outputs)


def graph_values(model: Normalized, changed: ChangedGraph, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The tensors of the changed graph by the user's names."""
    proto = ir.to_proto(changed.graph.model)
    onnx.checker.check_model(proto, full_check=True)
    safe = {user: name for name, user in changed.graph.tensor_names.items()}
    wanted = [output for node in proto.graph.node for output in node.output if output in changed.graph.tensor_names]
    found = run(proto, {safe[name]: value for name, value in feeds.items()}, wanted)
    return {changed.graph.tensor_names[name]: value for name, value in found.items() if name in changed.graph.tensor_names}


def assert_same(model: Normalized, changed: ChangedGraph, *on: int) -> dict[str, np.ndarray]:
    """The changed graph computes what the user's model with the switches on computes, tensor by tensor, and with all off nothing changes."""
    feeds, reference = model.feeds(), source(model, changed)
    expected, received = user_values(reference, feeds, *on), graph_values(model, changed, feeds)
    shared = set(expected) & set(received)
    assert {output.name for output in model.source.graph.output} <= shared
    assert min(sqnr_db(expected[name], received[name]) for name in shared) > 90
    plain = run(model.source, feeds, [])
    off = user_values(reference, feeds)
    assert all(np.array_equal(plain[name], off[name]) for name in plain)
    return expected


@pytest.mark.parametrize(("form", "name"), [(form, name) for form, (_, function, _) in FORMS.items() for name in NAMES[function]])
def test_a_function_is_replaced_however_it_is_spelled(normalized: Normalize, form: str, name: str) -> None:
    body, function, opset = FORMS[form]
    model = normalized(f"{IO} {{ {body} }}", opset=opset)
    changed = change(model.graph, replacing(model, name), [])
    (swap,) = changed.swaps
    assert (swap.change.kind, swap.change.function, swap.change.by, swap.change.tensor) == ("replace", function, name, "y")
    assert changed.diagnostics == ()
    values = assert_same(model, changed, 0)
    assert 10 < sqnr_db(run(model.source, model.feeds(), [])["y"], values["y"]) < 90  # it is another function


def test_the_nodes_that_a_replacement_takes_in_say_so(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ [gate] a = Sigmoid(x) [out] y = Mul(x, a) }}")
    changed = change(model.graph, replacing(model, "hard_swish", ["gate"]), [])
    gate, out = changed.graph.source_nodes
    assert (gate.status, gate.into, gate.reason) == ("fused", "out", "replaced together with out")
    assert out.status == "kept"
    assert [node.name for node in changed.graph.nodes] == ["out"]
    assert [node.op_type for node in changed.graph.model.graph] == ["HardSwish"]
    assert [node.op_type for node in model.graph.model.graph] == ["Sigmoid", "Mul"]  # the given graph stays


def test_what_others_read_of_a_replaced_function_stays(normalized: Normalize) -> None:
    model = normalized("(float[2, 4, 8] x) => (float[2, 4, 8] y, float[2, 4, 8] z) { a = Sigmoid(x) y = Mul(x, a) z = Neg(a) }")
    changed = change(model.graph, replacing(model, "hard_swish"), [])
    assert [swap.change.tensor for swap in changed.swaps] == ["y"]
    assert_same(model, changed, 0)


def test_one_replaced_function_behind_another(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ a = Sigmoid(x) b = Mul(x, a) t = Exp(b) c = Sigmoid(t) y = Mul(t, c) }}")
    changed = change(model.graph, replacing(model, "hard_swish"), [])
    assert [swap.change.tensor for swap in changed.swaps] == ["b", "y"]
    assert_same(model, changed, 0, 1)


def test_a_gelu_between_two_layers_whose_reshapes_are_gone(normalized: Normalize) -> None:
    body = f"{ERF_GELU} t = MatMul(x, w) a = Div(t, s) b = Erf(a) c = Add(b, o) d = Mul(t, c) g = Mul(d, h) y = MatMul(g, v)"
    model = normalized(f"{IO} {{ {body} }}", constants={"w": W, "v": V})
    assert model.ops.count("Reshape") == 2  # one before and one behind all of it
    changed = change(model.graph, replacing(model, "gelu_polynomial", [node.name for node in model.graph.nodes if "gelu" in node.patterns]), [])
    assert_same(model, changed, 0)


def test_the_bias_of_a_contrib_operator_is_not_replaced(normalized: Normalize) -> None:
    text = f'<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1]> g {IO} {{ y = com.microsoft.BiasGelu(x, b) }}'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(W[:, 0], "b"))
    model = normalized(proto)
    names = [node.name for node in model.graph.nodes if "gelu" in node.patterns]
    assert_same(model, change(model.graph, replacing(model, "gelu_tanh", names), []), 0)


@pytest.mark.provokes("replacement-not-done")
def test_a_part_that_is_no_whole_function_is_reported(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ [only] y = Relu(x) }}")
    (said,) = change(model.graph, replacing(model, "hard_swish"), []).diagnostics
    assert (said.code, said.severity) == ("replacement-not-done", "warning")
    assert "Rule 'r' (f.toml:3) replaces 'only' by hard_swish, but no whole function was found there" in said.message


def test_a_clip_in_the_graph_is_an_operator_and_one_of_integers_is_only_listed(normalized: Normalize) -> None:
    model = normalized("(float[2, 4, 8] x) => (float[2, 4, 8] y, float[2, 4, 8] z) { [a] t = Exp(x) [b] y = Neg(t) [c] z = Sqrt(t) }")
    clip = clipping("t", "a", 0.5, 2.0)
    real = change(model.graph, {}, [(clip, True)])
    assert [node.op_type for node in real.graph.model.graph] == ["Exp", "Clip", "Neg", "Sqrt"]
    values = assert_same(model, real, 0)
    assert values["t"].min() == 0.5
    assert values["t"].max() == 2.0
    assert [(swap.change.by, swap.change.in_graph) for swap in real.swaps] == [("0.5 .. 2", True)]
    listed = change(model.graph, {}, [(clip, False)])
    assert [node.op_type for node in listed.graph.model.graph] == ["Exp", "Neg", "Sqrt"]
    assert [swap.change.in_graph for swap in listed.swaps] == [False]
    assert user_values(source(model, listed), model.feeds(), 0)["t"].max() == 2.0


def test_a_model_input_and_a_model_output_are_clipped(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ [a] t = Neg(x) [b] y = Exp(t) }}")
    changed = change(model.graph, {}, [(clipping("x", "a", -0.5, 0.5), True), (clipping("y", "b", 0.0, 1.2), True)])
    assert [value.name for value in changed.graph.model.graph.inputs] == ["x"]
    values = assert_same(model, changed, 0, 1)
    assert np.abs(values["t"]).max() == 0.5
    assert values["y"].max() == np.float32(1.2)


def test_a_replaced_function_is_clipped_behind_it(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ a = Sigmoid(x) [out] y = Mul(x, a) }}")
    changed = change(model.graph, replacing(model, "hard_swish"), [(clipping("y", "out", 0.0, 1.0), True)])
    assert [node.op_type for node in changed.graph.model.graph] == ["HardSwish", "Clip"]
    assert assert_same(model, changed, 0, 1)["y"].max() == 1.0


def test_a_function_inside_a_branch_is_refused(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ [only] y = Gelu(x) }}", opset=20)
    changed = change(model.graph, replacing(model, "gelu_tanh"), [])
    (swap,) = changed.swaps
    elsewhere = type(swap)(swap.change, ("branch/only",), swap.slope)
    with pytest.raises(UnsupportedModelError, match=r"'only': rule 'r' \(f.toml:3\) changes what is not computed in the main graph"):
        changed_source(SourceModel(proto=model.source, digest="d"), [elsewhere])


def test_a_function_of_two_tensors_is_refused(normalized: Normalize) -> None:
    model = normalized("(float[2, 4, 8] x, float[2, 4, 8] z) => (float[2, 4, 8] y) { [sum] t = Add(x, z) [gate] a = Sigmoid(t) [out] y = Mul(t, a) }")
    (swap,) = change(model.graph, replacing(model, "hard_swish"), []).swaps
    wide = type(swap)(swap.change, ("sum", "gate", "out"), swap.slope)
    with pytest.raises(UnsupportedModelError, match=r"'out': rule 'r' \(f.toml:3\) replaces a function of one tensor. Received: 'x', 'z'"):
        changed_source(SourceModel(proto=model.source, digest="d"), [wide])


def test_nothing_to_change_gives_the_graph_itself(normalized: Normalize) -> None:
    model = normalized(f"{IO} {{ y = Relu(x) }}")
    assert change(model.graph, {}, []).graph is model.graph
