"""A rule that names nothing but the module path and the class of the training code ends up as exactly the float operators of the file.

The files say `/transformer/layers.3/norm1/LayerNormalization`, a torch user says `transformer.layers.3` and `LayerNorm`; classes are not in these files
at all (torch's TorchScript exporter wrote them). Expected is what the names in the ONNX file say, by hand.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest

import bridge
from bridge import quantize
from bridge.calibrate import read_ranges
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.files import digest
from bridge.tflite import model as tflite

SHARED = Path(__file__).parents[3] / "shared" / "models" / "models"
PRECISION = "static_wi8_ai8"
MOVING = frozenset({"RESHAPE", "TRANSPOSE"})
BORDERS = frozenset({"QUANTIZE", "DEQUANTIZE"})
RULE = """schema_version = 1
[[rules]]
id = "norms-of-one-layer"
reason = "r"
match = [{{ kind = "scope", glob = "{path}" }}, {{ kind = "module_class", classes = ["LayerNorm"] }}]
precision = "float32"
"""

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not beside the checkout")]


def samples(model: onnx.ModelProto, path: Path) -> Path:
    """Eight random samples, tokens of any embedding."""
    random = np.random.default_rng(0)
    arrays: dict[str, np.ndarray] = {}
    for value in model.graph.input:
        shape = [size.dim_value for size in value.type.tensor_type.shape.dim]
        kind = onnx.helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)
        whole = random.integers(1, 100, (8, *shape)) if kind.kind == "i" else random.uniform(0.5, 1.0, (8, *shape))
        arrays[value.name] = whole.astype(kind)
    np.savez(path, allow_pickle=False, **arrays)
    return path


def float_operators(path: Path) -> dict[str, str]:
    """Operators of a file that write floats, without those at the borders, by the tensor that each writes."""
    model = tflite.read(path)
    main = tflite.main_graph(model)
    found = {}
    for op in main.operators:
        written = main.tensors[op.outputs[0]]
        if tflite.op_name(model, op) not in BORDERS and tflite.dtype(written).kind == "f":
            found[tflite.text(written.name)] = tflite.op_name(model, op)
    return found


def computing(operators: Mapping[str, str]) -> set[tuple[str, str]]:
    """Without those that only move values: they have the type of what they move, whoever owns them."""
    return {(tensor, op) for tensor, op in operators.items() if op not in MOVING}


def owned_by(converted: Path, tensor_map: Path, nodes: Sequence[str]) -> dict[str, str]:
    """The operators of the float file that compute the nodes, likewise."""
    model, owners = tflite.read(converted), read_tensor_map(tensor_map).owners
    main = tflite.main_graph(model)
    mine = (op for op, owner in zip(main.operators, owners, strict=True) if owner in nodes)
    return {tflite.text(main.tensors[op.outputs[0]].name): tflite.op_name(model, op) for op in mine}


def all_int8(converted: Path, ranges: Path, target: Path) -> Path:
    """The same float file without any rule: what is float in it has no int8 kernel."""
    count = len(tflite.main_graph(tflite.read(converted)).operators)
    known = read_ranges(ranges, model_sha256=digest(converted))
    return quantize.quantize(converted, target, ranges=known, op_precisions=[PRECISION] * count, precision=PRECISION).path


CASES = [
    ("vit_cifar10_postnorm_relu", "transformer.layers.3.*", "/transformer/layers.3/", ("/norm1/", "/norm2/")),
    ("minilm_l6_sts_f16w", "l.3.*", "/l.3/", ("/n1/", "/n2/")),
    ("sr_scet_x4", "path1.1.arr.0.*", "/path1/path1.1/arr.0/", ("/norm1/", "/norm2/")),
]


@pytest.mark.parametrize(("name", "path", "prefix", "norms"), CASES, ids=[case[0] for case in CASES])
def test_a_rule_of_module_path_and_class_is_the_float_part_of_the_file(
    name: str, path: str, prefix: str, norms: tuple[str, ...], tmp_path: Path
) -> None:
    model = onnx.load(SHARED / f"{name}.onnx")
    rules = tmp_path / "mine.toml"
    rules.write_text(RULE.format(path=path), encoding="utf-8")
    data = samples(model, tmp_path / "samples.npz")
    result = bridge.convert(
        SHARED / f"{name}.onnx", calibration=data, evaluation=data, rules=(rules,), output_dir=tmp_path / "out", recover=(), compare=False, threads=1
    )  # fmt: skip

    out, float_file = tmp_path / "out", result.artifacts["float32"]
    inside = {node.name for node in model.graph.node if node.name.startswith(prefix) and any(norm in node.name for norm in norms)}
    (rule,) = result.report.rules
    assert len(rule.matched) == 2
    assert set(rule.matched) <= inside

    expected = owned_by(float_file, out / "tensor_map.json", rule.matched)
    left = float_operators(result.artifacts[PRECISION])
    without_kernel = float_operators(all_int8(float_file, out / "ranges.json", tmp_path / "all.tflite"))
    assert expected.items() <= left.items()
    assert computing(left) - computing(without_kernel) == computing(expected) - computing(without_kernel)
    assert len(expected.keys() - without_kernel.keys()) >= 2 * 4  # of each norm a mean, a difference, a square and its mean at least
