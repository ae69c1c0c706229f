"""Real models: the normalised model equals the user's in onnxruntime, output by output and tensor by tensor."""

import hashlib
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime as ort
import pytest

from bridge.errors import UnsupportedModelError
from bridge.frontends import onnx_file
from bridge.graph import normalize

FOLDER = Path(__file__).parents[3] / "shared" / "models" / "models"
CUSTOM = "ort_superres_custom_domain"
# What the samples of these models look like where the file leaves sizes open.
INPUT_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {"ppocr_v3_det": {"x": (1, 3, 320, 320)}, "oww_melspectrogram": {"input": (1, 16000)}}
# Highest value of integer inputs: rows of the embedding, byte values, mask.
INTEGERS = {"input_ids": 9000, "bytes": 256}
LEAST_DB = 100  # float32 rounding in another order of operations stays above; a wrong constant or axis falls below 40
SAMPLES = 2

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not FOLDER.is_dir(), reason="the shared models are not beside the checkout")]


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.onnx")) or ["absent"]


def session(model: onnx.ModelProto, tensors: list[str]) -> ort.InferenceSession:
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    present = {output.name for output in copy.graph.output}
    copy.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors if name not in present)
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(copy.SerializeToString(), options, providers=["CPUExecutionProvider"])


def sample(name: str, shape: tuple[int, ...], dtype: str, seed: int) -> np.ndarray:
    """Smooth random data, 0 .. 1: images and signals have neighbours that look alike, and zeros would hide a wrong axis."""
    random = np.random.default_rng(seed)
    if dtype.startswith("int") or name in INTEGERS:
        return random.integers(0, INTEGERS.get(name, 2), shape).astype(dtype)
    if name == "attention_mask":
        return np.broadcast_to(np.arange(shape[-1]) < shape[-1] // 2 + seed, shape).astype(dtype)
    walk = np.cumsum(random.standard_normal(shape), axis=-1)
    return ((walk - walk.min()) / (walk.max() - walk.min())).astype(dtype)


def sqnr_db(reference: np.ndarray, candidate: np.ndarray) -> float:
    reference, candidate = (np.asarray(array, np.float64).ravel() for array in (reference, candidate))
    finite = np.isfinite(reference)
    assert (finite == np.isfinite(candidate)).all()
    noise = float(((reference - candidate)[finite] ** 2).sum())
    return float("inf") if noise == 0 else float(10 * np.log10((reference[finite] ** 2).sum() / noise))


@pytest.mark.parametrize("name", [name for name in names() if name != CUSTOM])
def test_every_shared_tensor_has_the_same_values(name: str) -> None:
    path = FOLDER / f"{name}.onnx"
    source = onnx_file.load(path)
    graph = normalize(source, input_shapes=INPUT_SHAPES.get(name, {}))
    assert graph.digest == hashlib.sha256(path.read_bytes()).hexdigest()
    model = ir.to_proto(graph.model)
    onnx.checker.check_model(model)
    assert all(value.shape is not None and value.shape.is_static() and value.dtype for node in graph.model.graph for value in node.outputs)
    safe = {user: name for name, user in graph.tensor_names.items()}
    assert {spec.name for spec in (*graph.inputs, *graph.outputs)} <= set(safe)
    written = {output for node in source.proto.graph.node for output in node.output}
    pairs = {name: user for name, user in graph.tensor_names.items() if user in written}
    reference, candidate = session(source.proto, list(pairs.values())), session(model, list(pairs))
    for seed in range(SAMPLES):
        feeds = {spec.name: sample(spec.name, tuple(int(size) for size in spec.shape), spec.dtype, seed) for spec in graph.inputs}
        expected = dict(zip([output.name for output in reference.get_outputs()], reference.run(None, feeds), strict=True))
        received = dict(
            zip(
                [output.name for output in candidate.get_outputs()],
                candidate.run(None, {safe[key]: value for key, value in feeds.items()}),
                strict=True,
            )
        )
        poor = {user: found for name, user in pairs.items() if (found := sqnr_db(expected[user], received[name])) < LEAST_DB}
        assert not poor


@pytest.mark.parametrize("name", [name for name in names() if name != CUSTOM])
def test_every_source_node_is_accounted_for(name: str) -> None:
    source = onnx_file.load(FOLDER / f"{name}.onnx")
    graph = normalize(source, input_shapes=INPUT_SHAPES.get(name, {}))
    assert len(graph.source_nodes) == len(source.proto.graph.node)
    standing = {node.name for node in graph.nodes}
    assert len(standing) == len(graph.nodes)
    assert set(graph.node_names.values()) == standing
    for node in graph.source_nodes:
        if node.status in ("kept", "fused"):
            assert node.into in standing
        else:
            assert node.into is None
            assert node.reason
    assert not any(node.op_type in ("MatMul",) and 1 in node.constant_inputs and len(node.inputs[1].shape) == 2 for node in graph.nodes)


@pytest.mark.skipif(not (FOLDER / f"{CUSTOM}.onnx").is_file(), reason="the shared models are not beside the checkout")
def test_the_model_with_custom_operators_is_refused_with_both_of_them() -> None:
    source = onnx_file.load(FOLDER / f"{CUSTOM}.onnx")
    with pytest.raises(UnsupportedModelError) as caught:
        normalize(source, input_shapes={"image": (25757,)})
    assert "DecodeImage of domain com.microsoft.extensions at 'pre_process_0'" in caught.value.message
    assert "EncodeImage of domain com.microsoft.extensions" in caught.value.message
