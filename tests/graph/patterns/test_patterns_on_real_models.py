"""Trained models from several exporters: everything that is known to be in them is found, and nothing else."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest
from onnx_text import sizes

from bridge.frontends import onnx_file
from bridge.graph import normalize

MODELS = Path(__file__).parents[3] / "../shared/models/models"
pytestmark = pytest.mark.skipif(not MODELS.is_dir(), reason="the trained models are not beside the checkout")

# Number of nodes by (pattern, operator); statistics of regions are counted by their one ReduceMean/ReduceSum pair.
EXPECTED = {
    "vit_cifar10_postnorm_relu": {("layer_norm", "LayerNormalization"): 13, ("softmax", "Softmax"): 6, ("residual_add", "Add"): 12},
    "minilm_l6_sts_f16w": {
        ("layer_norm", "LayerNormalization"): 13,
        ("gelu", "Gelu"): 6,
        ("masked_softmax", "Softmax"): 6,
        ("masked_softmax", "Add"): 6,
        ("residual_add", "Add"): 12,
        ("l2_norm", "ReduceL2"): 1,
    },
    "magika_standard_v1": {("gelu", "Gelu"): 3, ("layer_norm", "LayerNormalization"): 1, ("layer_norm", "ReduceMean"): 2, ("softmax", "Softmax"): 1},
    "magika_standard_v3_3": {("gelu", "Gelu"): 2, ("layer_norm", "LayerNormalization"): 1, ("layer_norm", "ReduceSum"): 2, ("softmax", "Softmax"): 1},
    "sr_bsrn_x4": {("gelu", "Gelu"): 46},
    "sr_scet_x4": {
        ("layer_norm", "LayerNormalization"): 2,
        ("gelu", "Gelu"): 1,
        ("softmax", "Softmax"): 1,
        ("residual_add", "Add"): 2,
        ("l2_norm", "ReduceL2"): 2,
    },
    "dtln_model_2": {("layer_norm", "LayerNormalization"): 1},
    "yolox_nano_coco": {("silu", "Sigmoid"): 104, ("silu", "Mul"): 104},
    "ppocr_v3_det": {("hard_swish", "HardSwish"): 20, ("hard_sigmoid", "HardSigmoid"): 8, ("batch_norm", "Conv"): 1},
    "mobilenetv2_tf2_ptq_deq": {("cnn_residual_add", "Add"): 10},
    "resnet20_cifar10": {("cnn_residual_add", "Add"): 7},
    "blazeface_front_128": {("cnn_residual_add", "Add"): 5},
    "basic_pitch": {},
    "dtln_model_1": {},
    "oww_melspectrogram": {},
}
SHAPES: dict[str, dict[str, tuple[int, ...]]] = {"ppocr_v3_det": {"x": (1, 3, 320, 320)}, "oww_melspectrogram": {"input": (1, 16000)}}
# Number of nodes by (place, operator): two products for each attention, two convolutions for each squeeze and excite, two or four per head of a detector.
PLACES = ("attention", "squeeze_excite", "rescaling", "positional_embedding", "first_layer", "last_layer", "detection_tail")
EXPECTED_PLACES = {
    "vit_cifar10_postnorm_relu": {("attention", "MatMul"): 12, ("attention", "Softmax"): 6, ("positional_embedding", "Add"): 1, ("first_layer", "Conv"): 1, ("last_layer", "Gemm"): 1},
    "minilm_l6_sts_f16w": {("attention", "MatMul"): 12, ("attention", "Softmax"): 6, ("positional_embedding", "Add"): 1, ("first_layer", "Gather"): 1, ("last_layer", "Gemm"): 1},
    "sr_scet_x4": {("attention", "MatMul"): 2, ("attention", "Softmax"): 1, ("first_layer", "Conv"): 1, ("last_layer", "Conv"): 2},
    "sr_bsrn_x4": {("rescaling", "Mul"): 5, ("first_layer", "Gemm"): 1, ("last_layer", "Conv"): 1},
    "ppocr_v3_det": {("squeeze_excite", "GlobalAveragePool"): 8, ("squeeze_excite", "Conv"): 16, ("squeeze_excite", "HardSigmoid"): 8, ("rescaling", "Conv"): 1, ("first_layer", "Conv"): 1, ("last_layer", "ConvTranspose"): 1},
    "yolox_nano_coco": {("first_layer", "Conv"): 1, ("last_layer", "Conv"): 9, ("detection_tail", "Sigmoid"): 6, ("detection_tail", "Concat"): 4},
    "yunet_n_320": {("first_layer", "Conv"): 1, ("last_layer", "Conv"): 12, ("detection_tail", "Sigmoid"): 6},
    "ultraface_RFB_320": {("first_layer", "Conv"): 1, ("last_layer", "Conv"): 8, ("detection_tail", "Softmax"): 1, ("detection_tail", "Exp"): 1},
    "blazeface_front_128": {("first_layer", "Conv"): 1, ("last_layer", "Conv"): 4, ("detection_tail", "Concat"): 2},
    "minifasnetv2_80": {("rescaling", "BatchNormalization"): 1, ("first_layer", "Conv"): 1, ("last_layer", "Gemm"): 1},
    "seg_espnetv2_s2_voc_256": {("rescaling", "Conv"): 20, ("first_layer", "Conv"): 4, ("last_layer", "Conv"): 1},
    "mobilenetv2_tf2_ptq_deq": {("first_layer", "Conv"): 1, ("last_layer", "Conv"): 1},
    "magika_standard_v1": {("first_layer", "Gemm"): 1, ("last_layer", "Gemm"): 1},
    "dtln_model_1": {("first_layer", "LSTM"): 1, ("last_layer", "Gemm"): 1},
}  # fmt: skip
HELPERS = {"Sub", "Sqrt", "Reciprocal", "Max", "Reshape", "Unsqueeze", "Clip", "Expand", "Div"}  # inner nodes of regions that are not counted above


@pytest.mark.parametrize("name", EXPECTED)
def test_a_trained_model_has_the_patterns_it_is_known_for(name: str) -> None:
    graph = normalize(onnx_file.load(MODELS / f"{name}.onnx"), input_shapes=SHAPES.get(name, {}))
    operations = [(pattern, node.op_type) for node in graph.nodes for pattern in node.patterns if pattern not in PLACES]
    found = Counter(operation for operation in operations if operation[1] not in HELPERS)
    wanted = EXPECTED[name]
    named = {pattern for pattern, _ in wanted}
    assert {key: count for key, count in found.items() if key in wanted} == wanted
    assert {pattern for pattern, _ in found} - named <= {"cnn_residual_add"}


@pytest.mark.parametrize("name", EXPECTED_PLACES)
def test_a_trained_model_has_the_places_that_its_architecture_has(name: str) -> None:
    graph = normalize(onnx_file.load(MODELS / f"{name}.onnx"), input_shapes=SHAPES.get(name, {}))
    found = Counter((pattern, node.op_type) for node in graph.nodes for pattern in node.patterns if pattern in PLACES)
    wanted = EXPECTED_PLACES[name]
    assert {key: count for key, count in found.items() if key in wanted} == wanted
    assert {pattern for pattern, _ in found} == {pattern for pattern, _ in wanted}


@pytest.mark.parametrize("name", ["magika_standard_v1", "magika_standard_v3_3", "sr_bsrn_x4", "sr_scet_x4", "dtln_model_2", "minilm_l6_sts_f16w"])
def test_fusing_does_not_change_what_a_trained_model_computes(name: str) -> None:
    path = MODELS / f"{name}.onnx"
    graph = normalize(onnx_file.load(path), input_shapes={})
    generator = np.random.default_rng(0)
    feed = {spec.name: generator.uniform(0, 200 if spec.dtype == "int32" else 1, sizes(spec)).astype(spec.dtype) for spec in graph.inputs}
    reference = _session(path.read_bytes()).run(None, feed)
    session = _session(ir.to_proto(graph.model).SerializeToString())
    renamed = {value.name: feed[spec.name] for value, spec in zip(session.get_inputs(), graph.inputs, strict=True)}
    for wanted, got in zip(reference, session.run(None, renamed), strict=True):
        noise = float(((wanted.astype(np.float64) - got) ** 2).sum())
        assert noise == 0.0 or 10 * np.log10((wanted.astype(np.float64) ** 2).sum() / noise) >= 100.0  # float32 rounding over the whole depth


def _session(model: bytes) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
