import json
from pathlib import Path

import pytest

from bridge.convert.tensor_map_file import read_tensor_map, tensor_map_json
from bridge.errors import InputError
from bridge.types import InputBinding, TensorMap, TensorPair

PAIR = TensorPair(
    "conv", "y", "mapped", tflite_tensor="y_nhwc", onnx_shape=(1, 4, 8, 8), permutation=(0, 3, 1, 2), evidence="values", sqnr_db=float("inf")
)
GONE = TensorPair("add", "z", "fused", reason="part of relu")
MAP = TensorMap(
    pairs=(PAIR, GONE),
    inputs=(InputBinding("x", "x", (1, 3, 8, 8), (0, 2, 3, 1), "float32"),),
    outputs=(PAIR,),
    owners=("conv", ""),
    absorbed={"add": ("relu",)},
)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "tensor_map.json"
    path.write_text(tensor_map_json(MAP, model_sha256="ab"))
    assert read_tensor_map(path) == MAP


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is no JSON"),
        ("[]", "is no tensor map of schema_version 1. Received: None"),
        ('{"schema_version": 2}', "Received: 2"),
        (json.dumps(json.loads(tensor_map_json(MAP, model_sha256="ab").replace("Infinity", "1e9")) | {"pairs": [{"node": 3}]}), "pairs.0"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "tensor_map.json"
    path.write_text(text)
    with pytest.raises(InputError, match=message) as caught:
        read_tensor_map(path)
    assert "tensor_map.json" in caught.value.hint


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_tensor_map(tmp_path / "none.json")
