import sys
from pathlib import Path

import numpy as np
import pytest

from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from two_layers import B1, B2, SAMPLES, W1, W2, Builder, first, second

LARGE = 1 << 12  # values of a constant that lies behind the flatbuffer in a file that is run


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Two layers, and a large constant."""
    build = Builder()
    x, h, y, sums = (build.tensor(name, (1, size)) for name, size in (("x", 4), ("h", 3), ("y", 2), ("sums", LARGE)))
    build.dense(x, build.constant("w1", W1), build.constant("b1", B1), h, 1)
    build.dense(h, build.constant("w2", W2), build.constant("b2", B2), y, 1)
    large = build.constant("large", np.arange(LARGE, dtype=np.float32)[None])
    build.op("ADD", [large, large], [sums])
    return build.save(tmp_path / "model.tflite", [x], [y, sums])


def with_more(model: tflite.ModelT) -> tuple[tflite.ModelT, list[int]]:
    """The model with the negative of `h`, and `sums` plus a large constant; without the second of its own operators."""
    main = tflite.main_graph(model)
    names = [tflite.text(tensor.name) for tensor in main.tensors]
    sums, negative, sum_ = (
        names.index("sums"),
        *(tflite.add_tensor(model, main, name, "FLOAT32", (1, size)) for name, size in (("-h", 3), ("+", LARGE))),
    )
    constant = tflite.add_tensor(model, main, "other", "FLOAT32", (1, LARGE), buffer=tflite.add_buffer(model, np.ones((1, LARGE), np.float32)))
    del main.operators[1]
    main.operators += [
        tflite.add_op(model, "NEG", 1, [names.index("h")], [negative]),
        tflite.add_op(model, "ADD", 1, [sums, constant], [sum_]),
    ]
    return model, [names.index("h"), negative, sum_]


def test_what_has_grown_out_of_a_grown_one_leaves_that_as_it_is(path: Path) -> None:
    first_one = tflite.grown(tflite.read_once(path))
    names, count = [tensor.name for tensor in tflite.main_graph(first_one).tensors], len(first_one.buffers)
    model, shown = with_more(tflite.grown(first_one))
    assert tflite.has_grown(model)
    h, negative, _ = Interpreter(tflite.expose(model, shown)).run({"x": SAMPLES[0]})
    np.testing.assert_array_equal(negative, -h)
    assert ([tensor.name for tensor in tflite.main_graph(first_one).tensors], len(first_one.buffers)) == (names, count)


def test_what_was_added_is_computed_and_the_rest_stands_in_the_file_as_it_was(path: Path) -> None:
    model, shown = with_more(tflite.grown(tflite.read_once(path)))
    file = tflite.expose(model, shown)
    h, negative, sums = Interpreter(file).run({"x": SAMPLES[0]})
    np.testing.assert_allclose(h, first(SAMPLES[0]), rtol=1e-5)
    np.testing.assert_array_equal(negative, -h)
    np.testing.assert_array_equal(sums, 2 * np.arange(LARGE, dtype=np.float32)[None] + 1)
    with file.mapped() as content:
        assert path.read_bytes() in bytes(content)


def test_the_file_that_it_grew_out_of_is_as_it_was(path: Path) -> None:
    before = path.read_bytes()
    with_more(tflite.grown(tflite.read_once(path)))
    assert tflite.serialize(tflite.read_once(path)) == tflite.serialize(tflite.parse(before, where="before"))
    (y, _) = Interpreter(tflite.run_file(tflite.read(path))).run({"x": SAMPLES[0]})
    np.testing.assert_allclose(y, second(first(SAMPLES[0])), rtol=1e-5)


def test_a_model_of_no_file_grows_too(path: Path) -> None:
    model, shown = with_more(tflite.grown(tflite.parse(path.read_bytes(), where="memory")))
    assert not tflite.has_grown(model)
    _, negative, _ = Interpreter(tflite.expose(model, shown)).run({"x": SAMPLES[0]})
    np.testing.assert_allclose(negative, -first(SAMPLES[0]), rtol=1e-5)


def test_a_copy_of_what_has_grown_is_a_model_by_itself(path: Path) -> None:
    model, shown = with_more(tflite.grown(tflite.read_once(path)))
    copy = tflite.copied(model)
    tflite.main_graph(copy).outputs = np.asarray(shown, np.int32)
    _, negative, _ = Interpreter(tflite.serialize(copy)).run({"x": SAMPLES[0]})
    np.testing.assert_allclose(negative, -first(SAMPLES[0]), rtol=1e-5)
