"""The models in models/ are what their README says."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest

MODELS = Path(__file__).parents[2] / "models"
NAMES = sorted(path.parent.name for path in MODELS.glob("*/train.py"))
ROW = re.compile(r"\| `(?P<name>\w+)/model\.onnx` \| (?P<values>\d+) \| (?P<size>\d+) \| (?P<accuracy>[\d.]+) \| `(?P<sha256>[0-9a-f]{64})` \|")
FILES = ("model.onnx", "calibration.npz", "evaluation.npz", "train.py")

Arrays = dict[str, npt.NDArray[np.generic]]
each_model = pytest.mark.parametrize("name", NAMES)


@dataclass(frozen=True, slots=True)
class Measured:
    values: int
    size: int
    accuracy: float
    sha256: str


def table() -> dict[str, Measured]:
    rows = ROW.finditer((MODELS / "README.md").read_text(encoding="utf-8"))
    return {row["name"]: Measured(int(row["values"]), int(row["size"]), float(row["accuracy"]), row["sha256"]) for row in rows}


def arrays(name: str, file: str) -> Arrays:
    with np.load(MODELS / name / file) as data:
        return dict(data)


def session(name: str, *, optimize: bool = True) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if not optimize:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(MODELS / name / "model.onnx", options, providers=["CPUExecutionProvider"])


def logits(name: str, *, optimize: bool = True) -> npt.NDArray[np.float32]:
    running = session(name, optimize=optimize)
    return np.concatenate([running.run(None, {"image": image[None]})[0] for image in arrays(name, "evaluation.npz")["image"]])


def op_types(name: str) -> set[str]:
    return {node.op_type for node in onnx.load(MODELS / name / "model.onnx").graph.node}


def test_the_table_has_one_row_for_each_model() -> None:
    assert len(NAMES) >= 4
    assert sorted(table()) == NAMES


@each_model
def test_every_file_is_there_and_small(name: str) -> None:
    for file in FILES:
        assert 0 < (MODELS / name / file).stat().st_size < 1_000_000, file


@each_model
def test_the_model_is_valid_onnx_of_the_size_and_digest_in_the_table(name: str) -> None:
    path, row = MODELS / name / "model.onnx", table()[name]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert sum(int(np.prod(w.dims)) for w in model.graph.initializer if w.data_type == onnx.TensorProto.FLOAT) == row.values
    assert path.stat().st_size == row.size
    assert hashlib.sha256(path.read_bytes()).hexdigest() == row.sha256


@each_model
def test_the_accuracy_is_the_one_in_the_table(name: str) -> None:
    found = float(np.mean(logits(name).argmax(axis=1) == arrays(name, "evaluation.npz")["labels"]))
    assert found == pytest.approx(table()[name].accuracy, abs=0.0005)  # one image is 0.0028
    assert found >= 0.95


@each_model
def test_the_data_fits_the_only_input(name: str) -> None:
    (source,) = session(name).get_inputs()
    assert source.type == "tensor(float)"
    assert source.shape[0] == 1
    calibration, evaluation = arrays(name, "calibration.npz"), arrays(name, "evaluation.npz")
    assert set(calibration) == {source.name}
    assert set(evaluation) == {source.name, "labels"}
    for data in (calibration, evaluation):
        assert data[source.name].dtype == np.float32
        assert data[source.name].shape[1:] == tuple(source.shape[1:])
        assert len(data[source.name]) >= 100
    assert evaluation["labels"].dtype == np.int64
    assert evaluation["labels"].shape == (len(evaluation[source.name]),)
    assert set(evaluation["labels"].tolist()) == set(range(10))


@each_model
def test_no_image_both_calibrates_and_evaluates(name: str) -> None:
    calibration = {image.tobytes() for image in arrays(name, "calibration.npz")["image"]}
    evaluation = {image.tobytes() for image in arrays(name, "evaluation.npz")["image"]}
    assert len(calibration) >= 100
    assert calibration.isdisjoint(evaluation)


@each_model
def test_no_file_tells_where_it_was_made(name: str) -> None:
    model = (MODELS / name / "model.onnx").read_bytes()
    assert not re.search(rb"/(home|root|tmp|work|Users)/|site-packages|train\.py", model)


def test_both_transformers_compute_the_same_from_different_ops() -> None:
    plain, spelled = "digits_vit", "digits_vit_handwritten"
    assert {"LayerNormalization", "Gelu"} <= op_types(plain)
    assert not {"LayerNormalization", "Gelu"} & op_types(spelled)
    assert {"ReduceMean", "Sub", "Pow", "Sqrt", "Div", "Erf"} <= op_types(spelled)
    # Optimizer off, else onnxruntime fuses the spelled one back. float32 rounding through three blocks gives 4e-6 on logits of about 8.
    np.testing.assert_allclose(logits(spelled, optimize=False), logits(plain, optimize=False), rtol=0, atol=1e-4)


def test_the_dynamo_model_names_the_module_of_every_node_that_the_exporter_did_not_rewrite() -> None:
    wanted = {"pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"}
    nodes = onnx.load(MODELS / "digits_vit" / "model.onnx").graph.node
    nameless = [node.op_type for node in nodes if not wanted <= {entry.key for entry in node.metadata_props}]
    assert nameless == ["Split"] * 3  # torch's optimizer turns SplitToSequence into Split without the metadata
    assert any("vit.Attention" in entry.value for node in nodes for entry in node.metadata_props)


def test_the_cnn_keeps_its_batch_norms_and_one_has_no_convolution_before_it() -> None:
    graph = onnx.load(MODELS / "digits_cnn_bn_silu" / "model.onnx").graph
    makers = {output: node.op_type for node in graph.node for output in node.output}
    before = [makers[node.input[0]] for node in graph.node if node.op_type == "BatchNormalization"]
    assert sorted(before) == ["Add"] + ["Conv"] * 14
    groups = [a.i for node in graph.node if node.op_type == "Conv" for a in node.attribute if a.name == "group"]
    assert max(groups) > 1


def test_the_keras_model_takes_channels_last_images() -> None:
    (source,) = session("digits_keras_cnn_bn_swish").get_inputs()
    assert source.shape == [1, 16, 16, 1]
