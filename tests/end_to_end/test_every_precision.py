"""A transformer that the repository ships in every precision and in mixtures: the files load, run on every kernel set and keep what they should."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.calibrate import read_ranges
from bridge.conversion_result import ConversionResult
from bridge.files import digest
from bridge.quantize import PRECISIONS, quantize
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels
from bridge.types import QuantizedModel

MODELS = Path(__file__).parents[2] / "models"
SHARED = Path(__file__).parents[3] / "shared" / "models" / "models"
FOLDER = tempfile.TemporaryDirectory(prefix="bridge-test-")
VIT = "digits_vit"
KERNELS: tuple[Kernels, ...] = ("optimized", "builtin", "reference")

# What each precision keeps of the outputs of `digits_vit` with every operator in it, rounded down from what was measured: 6 dB per bit, less
# what the layers add up.
KEPT_DB = {
    "float32": 120.0,
    "float16": 60.0,
    "weight_only_wi8_afp32": 36.0,
    "static_wi8_ai16": 36.0,
    "dynamic_wi8_afp32": 32.0,
    "static_wi8_ai8": 20.0,
    "weight_only_wi4_afp32": 12.0,
}
LARGEST_RATIO = {"float16": 0.6, "weight_only_wi4_afp32": 0.3}  # of the float file; 0.45 for 8-bit weights
MIXTURES: Mapping[str, Callable[[int, str], str]] = {
    "all": lambda index, op: list(PRECISIONS)[index % len(PRECISIONS)],
    "by operator": lambda index, op: {"FULLY_CONNECTED": "static_wi8_ai8", "BATCH_MATMUL": "static_wi8_ai16", "ADD": "static_wi8_ai16"}.get(
        op, "float32"
    ),
}


@cache
def converted(name: str) -> ConversionResult:
    source, data = MODELS / name / "model.onnx", MODELS / name / "calibration.npz"
    return bridge.convert(source, calibration=data, rules=("all-int8",), compare=False, output_dir=Path(FOLDER.name) / name)


def in_precisions(result: ConversionResult, wanted: Sequence[str], label: str) -> QuantizedModel:
    source = result.artifacts["float32"]
    ranges = read_ranges(result.output_dir / "ranges.json", model_sha256=digest(source))
    return quantize(source, result.output_dir / f"{label}.tflite", ranges=ranges, op_precisions=wanted, precision="static_wi8_ai8")


def op_names(path: Path) -> list[str]:
    model = tflite.read(path)
    return [tflite.op_name(model, operator) for operator in tflite.main_graph(model).operators]


def outputs(path: Path, images: np.ndarray, kernels: Kernels = "optimized") -> np.ndarray:
    interpreter = Interpreter(path, kernels=kernels)
    (spec,) = interpreter.inputs
    shape = [int(size) for size in spec.shape]
    fed = [image.transpose(1, 2, 0) if image.ndim == 3 and image.shape[-1] != shape[-1] else image for image in images]
    return np.stack([interpreter.run({spec.name: image.reshape(shape)})[0].astype(np.float64) for image in fed])


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    return float(10 * np.log10(np.sum(reference**2) / max(np.sum((reference - candidate) ** 2), 1e-30)))


@cache
def images() -> np.ndarray:
    data = np.load(MODELS / VIT / "evaluation.npz")
    (name,) = [name for name in data.files if name != "labels"]
    samples: np.ndarray = data[name][:32]
    return samples


@cache
def kept_db(precision: str, kernels: Kernels = "optimized") -> float:
    """Of the outputs, with every operator in one precision."""
    result = converted(VIT)
    source = result.artifacts["float32"]
    made = in_precisions(result, [precision] * len(op_names(source)), f"{precision}-{kernels}")
    return sqnr_db(outputs(source, images()), outputs(made.path, images(), kernels))


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_transformer_keeps_its_outputs(precision: str, kernels: Kernels) -> None:
    assert kept_db(precision, kernels) >= KEPT_DB[precision]


def test_int16_activations_are_worth_at_least_12_db_to_a_transformer() -> None:
    assert kept_db("static_wi8_ai16") >= kept_db("static_wi8_ai8") + 12


@pytest.mark.parametrize("precision", [name for name in PRECISIONS if name != "float32"])
def test_weights_take_the_room_of_their_type_and_every_exception_has_a_reason(precision: str) -> None:
    result = converted(VIT)
    source = result.artifacts["float32"]
    made = in_precisions(result, [precision] * len(op_names(source)), precision)
    assert made.path.stat().st_size <= LARGEST_RATIO.get(precision, 0.45) * source.stat().st_size
    assert any(op.precision == precision for op in made.ops)
    assert all(op.reason for op in made.ops if op.precision != precision)


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("mixture", MIXTURES)
def test_mixed_files_run_and_keep_what_their_coarsest_part_keeps(mixture: str, kernels: Kernels) -> None:
    result = converted(VIT)
    source = result.artifacts["float32"]
    wanted = [MIXTURES[mixture](index, op) for index, op in enumerate(op_names(source))]
    made = in_precisions(result, wanted, f"mixed-{kernels}")
    assert len({op.precision for op in made.ops}) >= 3
    assert sqnr_db(outputs(source, images()), outputs(made.path, images(), kernels)) >= KEPT_DB[min(set(wanted), key=KEPT_DB.__getitem__)]


def test_a_rule_file_mixes_precisions_and_the_report_names_them(tmp_path: Path) -> None:
    rules = tmp_path / "mixed.toml"
    rules.write_text(
        """schema_version = 1
[[rules]]
id = "matrices"
reason = "The weights of the matrices are most of the file."
match = [{ kind = "op_type", op_types = ["Gemm", "MatMul"] }]
precision = "dynamic_wi8_afp32"
[[rules]]
id = "sums"
reason = "Residual sums carry the widest range."
match = [{ kind = "pattern", patterns = ["residual_add"] }]
precision = "static_wi8_ai16"
"""
    )
    model = MODELS / VIT
    result = bridge.convert(
        model / "model.onnx",
        calibration=model / "calibration.npz",
        evaluation=model / "evaluation.npz",
        rules=("all-int8", rules),
        output_dir=tmp_path / "out",
        threads=1,
    )
    found = {node.precision for node in result.report.nodes}
    assert {"dynamic_wi8_afp32", "static_wi8_ai16", "static_wi8_ai8"} <= found
    (output,) = result.report.outputs
    assert output.top1_quantized is not None
    assert output.top1_float is not None
    assert output.top1_quantized >= output.top1_float - 0.02


def test_float_activations_need_no_data(tmp_path: Path) -> None:
    """Nothing is calibrated, so nothing is synthetic and the file is fit for use."""
    result = bridge.convert(MODELS / VIT / "model.onnx", precision="dynamic_wi8_afp32", rules=("all-int8",), output_dir=tmp_path / "out", threads=1)
    assert result.artifacts["dynamic_wi8_afp32"].name == "model.dynamic_wi8_afp32.tflite"
    assert result.report.summary.deployable
    assert "calibrate" not in result.report.timing_s
    assert "synthetic-calibration" not in {finding.code for finding in result.report.diagnostics}
    assert not (tmp_path / "out" / "ranges.json").exists()


SCRIPT = """
import json, sys, tempfile
from pathlib import Path
from bridge.calibrate import read_ranges
from bridge.files import digest
from bridge.quantize import PRECISIONS, quantize
source, count = Path(sys.argv[1]), int(sys.argv[2])
ranges = read_ranges(source.parent / "ranges.json", model_sha256=digest(source))
mixed = [list(PRECISIONS)[index % len(PRECISIONS)] for index in range(count)]
wanted = {name: [name] * count for name in PRECISIONS} | {"mixed": mixed}
with tempfile.TemporaryDirectory() as folder:
    made = {name: quantize(source, Path(folder) / "q", ranges=ranges, op_precisions=list(asked)).sha256 for name, asked in wanted.items()}
print(json.dumps(made))
"""


def test_every_precision_gives_the_same_bytes_in_every_process() -> None:
    source = converted(VIT).artifacts["float32"]
    found = []
    for seed in ("1", "2"):
        command = [sys.executable, "-c", SCRIPT, str(source), str(len(op_names(source)))]
        done = subprocess.run(command, env={**os.environ, "PYTHONHASHSEED": seed}, check=True, capture_output=True, text=True)
        found.append(json.loads(done.stdout))
    assert found[0] == found[1]
    assert len(set(found[0].values())) == len(PRECISIONS) + 1


# Where the file leaves sizes open.
INPUT_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {"ppocr_v3_det": {"x": (1, 3, 320, 320)}, "oww_melspectrogram": {"input": (1, 16000)}}
QUICK = ("mlt_kws_dscnn", "mnist_lstm")


def shared_models() -> list[object]:
    names = sorted(path.stem for path in SHARED.glob("*.onnx") if "custom_domain" not in path.stem) or ["absent"]
    return [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in names]


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared models are not beside the checkout")
@pytest.mark.parametrize("name", shared_models())
def test_a_shared_model_runs_in_every_precision_and_in_two_mixtures(name: str, tmp_path: Path) -> None:
    """Ranges of random data say nothing about accuracy, but every kernel has to load, run and give finite numbers."""
    result = bridge.convert(SHARED / f"{name}.onnx", rules=("all-int8",), compare=False, output_dir=tmp_path, input_shapes=INPUT_SHAPES.get(name, {}))
    names = op_names(result.artifacts["float32"])
    wanted = {precision: [precision] * len(names) for precision in PRECISIONS}
    wanted |= {label: [choose(index, op) for index, op in enumerate(names)] for label, choose in MIXTURES.items()}
    rng = np.random.default_rng(0)
    for label, asked in wanted.items():
        made = in_precisions(result, asked, label)
        interpreter = Interpreter(made.path)
        feeds = {spec.name: rng.integers(0, 2, [int(size) for size in spec.shape]).astype(spec.dtype) for spec in interpreter.inputs}
        assert all(np.isfinite(output).all() for output in interpreter.run(feeds)), label
