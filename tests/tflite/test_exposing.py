import sys
from pathlib import Path

import numpy as np
import pytest

from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from two_layers import float_file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A file with a signature, whose length is no multiple of what aligns the lists behind it."""
    model = tflite.read(float_file(tmp_path))
    main = tflite.main_graph(model)
    tflite.add_signature(model, "serving_default", {"a": int(main.inputs[0])}, {"b": int(main.outputs[0])})
    file = tmp_path / "signed.tflite"
    file.write_bytes(tflite.serialize(model) + b"\0")
    return file


def test_a_file_that_nobody_changed_gets_other_outputs_without_being_written_again(path: Path) -> None:
    model = tflite.read_once(path)
    shown = list(tflite.activations(model))[::-1]
    exposed = tflite.expose(model, shown)
    assert exposed.size < path.stat().st_size + 100
    assert list(tflite.main_graph(model).outputs) != shown
    made = tflite.parse(exposed.mapped(), where="exposed")
    assert list(tflite.main_graph(made).outputs) == shown
    assert not made.signatureDefs
    again = tflite.parse(tflite.expose(tflite.read(path), shown).mapped(), where="written again")
    made.signatureDefs = again.signatureDefs
    assert tflite.serialize(made) == tflite.serialize(again)


def test_its_tensors_have_the_values_of_the_file_written_again(path: Path) -> None:
    model = tflite.read_once(path)
    shown = [index for index in tflite.activations(model) if index not in tflite.main_graph(model).inputs]
    patched, written = (Interpreter(tflite.expose(one, shown)) for one in (model, tflite.copied(model)))
    feeds = {"x": np.random.default_rng(0).standard_normal((1, 4)).astype(np.float32)}
    for value, wanted in zip(patched.run(feeds), written.run(feeds), strict=True):
        np.testing.assert_array_equal(value, wanted)
