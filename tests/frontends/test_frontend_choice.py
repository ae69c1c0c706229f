"""Which frontend reads a source."""

from pathlib import Path

import onnx.parser
import pytest

from bridge import frontends
from bridge.errors import InputError, UsageError

MODEL = """
<ir_version: 8, opset_import: ["" : 17]>
g (float[2] x) => (float[2] y) { y = Relu(x) }
"""


@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_as_onnx(tmp_path: Path, kind: type) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx.parser.parse_model(MODEL).SerializeToString())
    source = frontends.load(kind(path), input_shapes={})
    assert source.framework == "onnx"
    assert source.path == path


@pytest.mark.provokes("model-not-found")
def test_a_missing_path_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        frontends.load(tmp_path / "model.onnx", input_shapes={})


@pytest.mark.provokes("unknown-source")
def test_a_source_of_an_unknown_type_names_the_known_frontends() -> None:
    with pytest.raises(UsageError, match=r"builtins\.int") as caught:
        frontends.load(7, input_shapes={})
    assert "ONNX file" in caught.value.hint
