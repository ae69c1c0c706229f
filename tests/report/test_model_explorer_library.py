"""Node data in Model Explorer's own library, which brings a web server, so it is no dependency; run this with it:

uv run --with ai-edge-model-explorer pytest tests/report/test_model_explorer_library.py
"""

import json
from pathlib import Path

import pytest

import bridge
from bridge.report import RENDERERS

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
explorer = pytest.importorskip("model_explorer", reason="ai-edge-model-explorer is not installed")


def test_its_library_finds_every_tensor_of_the_node_data(tmp_path: Path) -> None:
    from dacite import from_dict
    from model_explorer.builtin_tflite_flatbuffer_adapter import BuiltinTfliteFlatbufferAdapter

    result = bridge.convert(MODEL / "model.onnx", calibration=MODEL / "calibration.npz", output_dir=tmp_path / "out", layer_samples=1)
    (collection,) = BuiltinTfliteFlatbufferAdapter().convert(str(result.artifacts["static_wi8_ai8"]), {})["graphCollections"]
    outputs = [output for graph in collection.graphs for node in graph["nodes"] for output in node.get("outputsMetadata", ())]
    tensors = {pair["value"] for output in outputs for pair in output["attrs"] if pair["key"] == "tensor_name"}
    for name in ("model-explorer", "model-explorer-own"):
        data = from_dict(explorer.node_data_builder.GraphNodeData, json.loads(RENDERERS[name].render(result.report)))
        assert len(data.results) >= 5
        assert set(data.results) <= tensors
