"""The main job on the models that the repository ships; oracles are onnxruntime, the LiteRT interpreter and the flatbuffer itself."""

import functools
import json
import math
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert import interpreter as litert

import bridge
from bridge.conversion_result import ConversionResult
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

MODELS = Path(__file__).parents[2] / "models"
NAMES = ("digits_cnn_bn_silu", "digits_vit", "digits_vit_handwritten", "digits_keras_cnn_bn_swish")
VITS = NAMES[1:3]
FOLDER = tempfile.TemporaryDirectory(prefix="bridge-test-")


@functools.cache
def converted(name: str, rules: tuple[str, ...] = ("default",)) -> ConversionResult:
    model = MODELS / name
    target = Path(FOLDER.name) / f"{name}-{'-'.join(rules)}"
    return bridge.convert(
        model / "model.onnx", calibration=model / "calibration.npz", evaluation=model / "evaluation.npz", rules=rules, output_dir=target
    )


def float_ops(path: Path) -> list[str]:
    """Operators of the file that write float32, without the borders."""
    model = tflite.read(path)
    main = tflite.main_graph(model)
    found = []
    for op in main.operators:
        if tflite.dtype(main.tensors[op.outputs[0]]) == np.float32 and tflite.op_name(model, op) != "DEQUANTIZE":
            found.append(tflite.op_name(model, op))
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_float_file_agrees_with_onnxruntime_and_the_int8_file_keeps_the_accuracy(name: str) -> None:
    (output,) = converted(name).report.outputs
    assert output.conversion_sqnr_db is not None
    assert output.conversion_sqnr_db >= 80.0
    assert output.top1_float is not None
    assert output.top1_quantized is not None
    assert output.top1_quantized >= output.top1_float - 0.01


@pytest.mark.parametrize("name", NAMES)
def test_the_report_states_what_the_files_give_when_run_by_hand(name: str) -> None:
    result = converted(name)
    (output,) = result.report.outputs
    (binding,) = result.report.inputs
    data = np.load(MODELS / name / "evaluation.npz")
    session = onnxruntime.InferenceSession(MODELS / name / "model.onnx", providers=["CPUExecutionProvider"])
    interpreter = Interpreter(result.artifacts["static_wi8_ai8"])
    signal = noise = 0.0
    hits = []
    for sample, label in zip(data[binding.name], data["labels"], strict=True):
        value = sample.reshape(binding.shape)
        (expected,) = session.run(None, {binding.name: value})
        (received,) = interpreter.run({binding.tflite_name: value.transpose(binding.permutation)})
        signal += float(np.square(expected.astype(np.float64)).sum())
        noise += float(np.square(expected.astype(np.float64) - received.reshape(expected.shape)).sum())
        hits.append(received.argmax() == label)
    assert output.sqnr_db == pytest.approx(10 * np.log10(signal / noise), abs=0.01)
    assert output.top1_quantized == pytest.approx(np.mean(hits), abs=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_every_node_has_a_row_and_nearly_all_that_count_are_mapped(name: str) -> None:
    report = converted(name).report
    assert {layer.node for layer in report.layers} == {node.name for node in report.nodes}
    counting = [layer for layer in report.layers if layer.status in ("mapped", "missing")]
    assert sum(layer.status == "mapped" for layer in counting) >= 0.95 * len(counting)
    assert all(layer.reason for layer in report.layers if layer.status != "mapped")


@pytest.mark.parametrize("name", VITS)
def test_every_norm_and_gelu_of_a_transformer_is_float_in_the_file(name: str) -> None:
    result = converted(name)
    ops = float_ops(result.artifacts["static_wi8_ai8"])
    model = tflite.read(result.artifacts["float32"])
    every = [tflite.op_name(model, op) for op in tflite.main_graph(model).operators]
    assert every.count("GELU") == ops.count("GELU") > 0
    assert every.count("SQRT") + every.count("RSQRT") == ops.count("SQRT") + ops.count("RSQRT") > 0
    assert "FULLY_CONNECTED" not in ops
    named = [node for node in result.report.nodes if node.precision == "float32"]
    assert all(node.rule or node.reason for node in named)


@pytest.mark.parametrize("name", VITS)
def test_with_all_int8_only_what_has_no_kernel_is_float_and_the_report_says_so(name: str) -> None:
    result = converted(name, ("default", "all-int8"))
    reasons = [node.reason for node in result.report.nodes if node.precision in ("float32", "mixed")]
    assert reasons
    assert all("kernel" in reason or "data" in reason for reason in reasons), reasons


def test_the_handwritten_spelling_gets_the_same_decisions_as_the_modules() -> None:
    module, handwritten = (sorted(float_ops(converted(name).artifacts["static_wi8_ai8"])).count("GELU") for name in VITS)
    assert module == handwritten


def test_results_of_two_processes_with_different_hash_seeds_are_identical(tmp_path: Path) -> None:
    files = []
    for seed in ("1", "2"):
        target = tmp_path / seed
        model = MODELS / "digits_vit"
        command = [
            sys.executable,
            "-m",
            "bridge",
            "convert",
            str(model / "model.onnx"),
            "--calibration",
            str(model / "calibration.npz"),
            "-o",
            str(target),
        ]
        subprocess.run(command, check=True, capture_output=True, env=os.environ | {"PYTHONHASHSEED": seed})
        files.append([(target / f"model.{kind}.tflite").read_bytes() for kind in ("float32", "static_wi8_ai8")])
    assert files[0] == files[1]


def test_the_folder_holds_everything_and_the_source_is_untouched(tmp_path: Path) -> None:
    source = MODELS / "digits_cnn_bn_silu" / "model.onnx"
    before = source.read_bytes()
    result = converted("digits_cnn_bn_silu")
    names = {path.name for path in result.output_dir.iterdir()}
    assert names == {
        "model.float32.tflite", "model.static_wi8_ai8.tflite", "report.json", "report.html", "report.md", "junit.xml", "tensor_map.json",
        "ranges.json", "onnx2tf.log",
    }  # fmt: skip
    assert source.read_bytes() == before
    assert json.loads((result.output_dir / "report.json").read_text())["schema_version"] == 1


def test_ranges_are_taken_back(tmp_path: Path) -> None:
    first = converted("digits_cnn_bn_silu")
    model = MODELS / "digits_cnn_bn_silu"
    known, evaluation = first.output_dir / "ranges.json", model / "evaluation.npz"
    corrected = bridge.convert(
        model / "model.onnx", calibration=model / "calibration.npz", evaluation=evaluation, ranges=known, output_dir=tmp_path / "corrected"
    )
    assert corrected.artifacts["static_wi8_ai8"].read_bytes() == first.artifacts["static_wi8_ai8"].read_bytes()
    again = bridge.convert(model / "model.onnx", evaluation=evaluation, ranges=known, output_dir=tmp_path / "out")
    assert again.artifacts["static_wi8_ai8"].read_bytes() == first.artifacts["static_wi8_ai8"].read_bytes()
    codes = {finding.code for finding in again.report.diagnostics}
    assert not codes & {"synthetic-calibration", "synthetic-evaluation"}
    assert again.report.summary.deployable
    assert again.report.options["rules"] == ("default",)


def onnx_macs(path: Path) -> dict[str, int]:
    """Multiply-accumulates of every Conv, Gemm and MatMul of the user's file, by node, from the shapes that ONNX infers."""
    model = onnx.shape_inference.infer_shapes(onnx.load(path))
    graph = model.graph
    shapes = {
        value.name: [axis.dim_value or 1 for axis in value.type.tensor_type.shape.dim] for value in (*graph.value_info, *graph.output, *graph.input)
    }
    shapes |= {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    found = {}
    for node in graph.node:
        outputs = math.prod(shapes[node.output[0]])
        if node.op_type == "Conv":
            found[node.name] = outputs * math.prod(shapes[node.input[1]][1:])
        elif node.op_type in ("Gemm", "MatMul"):
            transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
            found[node.name] = outputs * shapes[node.input[0]][0 if transposed else -1]
    return found


@pytest.mark.parametrize("rules", [("all-int8",), ("default",)])
def test_the_share_of_float_arithmetic_is_that_of_the_onnx_nodes_that_stay_float(rules: tuple[str, ...]) -> None:
    result = converted("digits_vit", rules)
    precision = {node.name: node.precision for node in result.report.nodes}
    macs = onnx_macs(MODELS / "digits_vit" / "model.onnx")
    floats = sum(count for name, count in macs.items() if precision[name] == "float32")
    assert result.report.cost.float_mac_share == pytest.approx(floats / sum(macs.values()))


@pytest.mark.parametrize("name", NAMES)
def test_the_cost_block_counts_what_the_file_holds(name: str) -> None:
    result = converted(name)
    cost, path = result.report.cost, result.artifacts["static_wi8_ai8"]
    interpreter = litert.Interpreter(str(path), experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF)
    ops = Counter(op["op_name"] for op in interpreter._get_ops_details())  # LiteRT's own reader of the file
    assert (cost.quantize_ops, cost.dequantize_ops, cost.transpose_ops) == (ops["QUANTIZE"], ops["DEQUANTIZE"], ops["TRANSPOSE"])
    assert (cost.float_bytes, cost.quantized_bytes) == (result.artifacts["float32"].stat().st_size, path.stat().st_size)
    assert cost.cancelling_pairs == 0
