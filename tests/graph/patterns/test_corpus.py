"""Every spelling of the corpus is recognised as a whole, nothing beside it is, and the numbers stay: recall 100 %."""

import re
from pathlib import Path

import corpus_files
import numpy as np
import pytest
import spelled_texts
from onnx_text import Normalize

from bridge.graph import normalize

ROOT = Path(__file__).parents[3]
SPELLINGS = sorted({corpus_files.spelling_of(path) for path in corpus_files.files()})
TEXTS = {
    f"{name} ({kind})": (name, text)
    for kind, texts in (("by hand", spelled_texts.BY_HAND), ("contrib", spelled_texts.CONTRIB))
    for name, text in texts.items()
}
WITHOUT_PATHS = "dynamo-17"  # torch converts opset 18 to 17 by a tool that loses the module paths


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_what_an_exporter_writes_is_recognised(spelling: str) -> None:
    findings = {path.name: corpus_files.examine_file(path) for path in corpus_files.files() if corpus_files.spelling_of(path) == spelling}
    assert findings
    assert {name: finding for name, finding in findings.items() if not finding.recognised} == {}


@pytest.mark.parametrize("name", TEXTS)
def test_what_is_written_by_hand_is_recognised(name: str) -> None:
    key, text = TEXTS[name]
    finding = corpus_files.examine(spelled_texts.source(*text), key.split("/")[0])
    assert finding.recognised, finding


@pytest.mark.parametrize(
    "path", [path for path in corpus_files.files() if corpus_files.exporter_of(path) == WITHOUT_PATHS], ids=corpus_files.spelling_of
)
def test_a_file_without_module_paths_has_the_same_operators_marked(path: Path) -> None:
    sibling = path.with_name(path.name.replace(WITHOUT_PATHS, "dynamo-18"))
    assert corpus_files.marked_ops(path) == corpus_files.marked_ops(sibling)


def test_the_corpus_covers_every_pattern_that_rules_know() -> None:
    schema = (ROOT / "exclusion_rules" / "schema.json").read_text(encoding="utf-8")
    covered = {name.split("/")[0] for name in (*SPELLINGS, *spelled_texts.BY_HAND)}
    assert {name for name in covered if f'"{name}"' not in schema} == set()
    assert covered >= {"attention", "squeeze_excite", "rescaling", "positional_embedding", "first_layer", "last_layer", "detection_tail"}


def test_the_page_of_the_corpus_is_current() -> None:
    page = (ROOT / "docs" / "patterns.md").read_text(encoding="utf-8")
    rows = {match[1]: match[2].count("yes") for match in re.finditer(r"^\| `([^`]+)` \|(.*)$", page, re.MULTILINE)}
    files = [corpus_files.spelling_of(path) for path in corpus_files.files()]
    spelled = [*files, *spelled_texts.BY_HAND, *spelled_texts.CONTRIB]
    assert rows == {name: spelled.count(name) for name in spelled}
    assert f"{len(spelled)} of {len(spelled)} recognised" in page, "uv run python tests/graph/patterns/corpus_table.py > docs/patterns.md"


NEAR_MISSES = {
    "attention without softmax": ("s = MatMul(q, k) p = Relu(s) y = MatMul(p, v)", "attention"),
    "attention with constant values": ("s = MatMul(q, k) p = Softmax<axis=-1>(s) y = MatMul(p, w)", "attention"),
    "attention with constant keys of no head": ("s = MatMul(q, w) p = Softmax<axis=-1>(s) y = MatMul(p, v)", "attention"),
    "attention whose softmax is a gate": ("s = MatMul(q, k) p = Softmax<axis=-1>(s) y = Mul(p, s)", "attention"),
    "squeeze without layers": ("m = ReduceMean(i, spatial) g = Sigmoid(m) y = Mul(i, g)", "squeeze_excite"),
    "excite of another tensor": ("m = ReduceMean(j, spatial) r = Conv(m, k8) g = Sigmoid(r) y = Mul(i, g)", "squeeze_excite"),
    "spatial gate": ("r = Conv(i, k1) g = Sigmoid(r) y = Mul(i, g)", "squeeze_excite"),
    "bias of a layer": ("h = MatMul(x, w) y = Add(h, b)", "rescaling"),
    "factor of every element": ("r = Relu(x) y = Mul(r, w2)", "rescaling"),
    "one number in the middle": ("h = MatMul(x, w) r = Relu(h) m = Mul(r, half) y = MatMul(m, w)", "rescaling"),
    "table behind the last layer": ("h = MatMul(x, w) y = Add(h, table)", "positional_embedding"),
    "bias per channel": ("r = Relu(x) a = Add(r, b) y = MatMul(a, w)", "positional_embedding"),
    "two lookups of two types": ("e = Gather(words, n) f = Gather(kinds, n) a = Add(e, f) y = MatMul(a, w)", "positional_embedding"),
    "classifier": ("c = Conv(i, k8) m = ReduceMean(c, spatial) f = Flatten(m) y = Softmax(f)", "detection_tail"),
    "segmentation": ("c = Conv(i, k8) y = Sigmoid(c)", "detection_tail"),
    "two answers of one picture": ("c = Conv(i, k8) m = ReduceMean(c, spatial) s = Sigmoid(m) y = Add(s, s)", "detection_tail"),
    "elu of another slope": ("l = LeakyRelu<alpha=0.3>(x) y = Neg(l)", "elu"),
    "exponential without the one": ("g = Greater(x, zero) e = Exp(x) y = Where(g, x, e)", "elu"),
    "elu upside down": ("g = Less(x, zero) e = Exp(x) s = Sub(e, one) y = Where(g, x, s)", "elu"),
    "hard sigmoid of another offset": ("m = Mul(x, fifth) a = Add(m, fifth) u = Min(a, one) y = Max(u, zero)", "hard_sigmoid"),
    "clip to one": ("u = Min(x, one) y = Max(u, zero)", "hard_sigmoid"),
    "gelu of another constant": ("m = Mul(x, quicker) s = Sigmoid(m) y = Mul(x, s)", "gelu"),
    "selu of another scale": ("e = Elu<alpha=1.67>(x) y = Mul(e, two)", "selu"),
    "log of a mean": ("e = Exp(x) s = ReduceMean(e, last) l = Log(s) y = Sub(x, l)", "log_softmax"),
    "log of half a sum": ("h = Mul(x, half) e = Exp(h) s = ReduceSum(e, last) l = Log(s) y = Sub(x, l)", "log_softmax"),
    "length along another axis": ("u = Mul(x, x) s = ReduceSum(u, first) t = ReduceSum(x, last) r = Sqrt(s) y = Div(t, r)", "l2_norm"),
    "length of another tensor": ("z = Relu(x) l = ReduceL2(z, last) y = Div(x, l)", "l2_norm"),
    "sum of magnitudes": ("a = Abs(x) s = ReduceSum(a, last) y = Div(x, s)", "l2_norm"),
    "inner sum of a softmax without exponential": ("r = Relu(x) s = ReduceSum(r, last) y = Div(r, s)", "softmax"),
    "variance of another axis": ("m = ReduceMean(x, last) d = Sub(x, m) u = Mul(d, d) p = ReduceMean(u, first) e = Add(p, one) r = Sqrt(e) y = Div(d, r)", "layer_norm"),
}  # fmt: skip


@pytest.mark.parametrize("name", NEAR_MISSES)
def test_a_near_miss_is_not_recognised(name: str) -> None:
    body, pattern = NEAR_MISSES[name]
    source = spelled_texts.near_miss(body)
    graph = normalize(source, input_shapes={})
    assert [node.name for node in graph.nodes if pattern in node.patterns] == []


@pytest.mark.parametrize("inner", ["t_s", "t_p", "t_c"])
def test_an_inner_value_of_attention_that_is_an_output_stays(normalized: Normalize, inner: str) -> None:
    source = spelled_texts.source(*spelled_texts.BY_HAND["attention/scale_after"])
    source.proto.graph.output.add(name=inner).type.tensor_type.elem_type = 1
    result = normalized(source.proto)
    assert result.worst_sqnr_db() > 100
    assert [node.op_type for node in result.graph.nodes if "attention" in node.patterns].count("MatMul") == 2


def test_the_second_of_two_stacked_lstms_with_states_of_their_own_is_not_first(normalized: Normalize) -> None:
    text = """(float[1, 1, 4] x, float[1, 1, 3] h, float[1, 1, 3] c, float[1, 1, 3] k, float[1, 1, 3] d) => (float[1, 1, 2] y) {
        [a] p, ph, pc = LSTM<hidden_size = 3>(x, w, r, , , h, c) q = Squeeze(p, one) [b] s, sh, sc = LSTM<hidden_size = 3>(q, v, r, , , k, d)
        t = Squeeze(s, one) [z] y = MatMul(t, m) }"""
    random = np.random.default_rng(0)
    shapes = {"w": (1, 12, 4), "v": (1, 12, 3), "r": (1, 12, 3), "m": (3, 2)}
    constants = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()} | {"one": np.array([1])}
    result = normalized(text, constants=constants)
    assert [node.name for node in result.graph.nodes if "first_layer" in node.patterns] == ["a"]
    assert [node.name for node in result.graph.nodes if "last_layer" in node.patterns] == ["z"]
