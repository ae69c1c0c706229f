import sys
from pathlib import Path

import pytest

from bridge.errors import InputError, UnsupportedModelError
from bridge.tflite import model as tflite

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from two_layers import float_file, int8_file


def test_a_path_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "file.tflite"
    float_file(tmp_path).replace(path)
    first = tflite.read_once(path)
    assert tflite.read_once(path) is first
    int8_file(tmp_path).replace(path)
    second = tflite.read_once(path)
    assert len(tflite.main_graph(first).operators) == 2
    assert len(tflite.main_graph(second).operators) == 4
    tflite.forget_files()
    assert tflite.read_once(path) is not second


def test_a_missing_file_is_said_as_by_read(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        tflite.read_once(tmp_path / "none.tflite")


def test_a_type_that_numpy_does_not_have_is_said() -> None:
    model = tflite.new_model("m")
    index = tflite.add_tensor(model, tflite.main_graph(model), "s", "STRING", (2,))
    with pytest.raises(UnsupportedModelError, match="the tensor 's' of type STRING"):
        tflite.dtype(tflite.main_graph(model).tensors[index])
