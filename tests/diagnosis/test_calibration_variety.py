"""Calibration samples that know one kind of input: 100 times one picture, 100 of one class, labels in the data."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import Dataset, calibrate, synthetic
from bridge.calibrate.dataset import from_arrays
from bridge.calibrate.variety import check_classes, check_variety
from bridge.class_scores import scores
from bridge.tflite import model as tflite
from bridge.types import InputBinding, TensorSpec

PICTURE = TensorSpec("x", (1, 3, 8, 8), "float32")
GENERATOR = np.random.default_rng(3)


def dataset(pictures: np.ndarray, labels: np.ndarray | None = None) -> Dataset:
    named = {} if labels is None else {"labels": labels}
    return from_arrays({"x": pictures.astype(np.float32), **named}, [PICTURE], source="calib.npz")


def pictures(count: int) -> np.ndarray:
    """Each with a brightness and a pattern of its own."""
    return GENERATOR.normal(size=(count, 1, 1, 1)) + GENERATOR.normal(size=(count, 3, 8, 8))


@pytest.mark.provokes("samples-alike")
def test_one_sample_a_hundred_times_is_found() -> None:
    (finding,) = check_variety(dataset(np.repeat(pictures(1), 100, axis=0)))
    assert (finding.code, finding.severity) == ("samples-alike", "warning")
    assert "only 1 of 100 calibration samples are different ones" in finding.message


def test_frames_of_one_still_scene_are_found_by_their_variance() -> None:
    frames = pictures(1) + 0.02 * GENERATOR.normal(size=(100, 3, 8, 8))
    (finding,) = check_variety(dataset(frames))
    assert "are nearly the same" in finding.message


def test_samples_of_all_kinds_get_no_advice() -> None:
    assert check_variety(dataset(pictures(100), np.arange(100) % 10)) == ()
    assert check_variety(dataset(np.concatenate([pictures(80), np.repeat(pictures(1), 20, axis=0)]))) == ()  # some twice
    assert check_variety(dataset(np.repeat(pictures(1), 8, axis=0))) == ()  # few, which is said otherwise
    assert check_variety(synthetic([PICTURE], seed=0, samples=100)) == ()


@pytest.mark.provokes("one-class")
def test_a_hundred_samples_of_one_class_are_found_by_their_labels() -> None:
    (finding,) = check_variety(dataset(pictures(100), np.full(100, 3)))
    assert finding.code == "one-class"
    assert "all 100 calibration samples are of class 3" in finding.message


def logits(count: int, *, of: int | None = None, classes: int = 10) -> np.ndarray:
    """Scores of a classifier before its softmax: normal, and 6 more for one class."""
    values = GENERATOR.normal(size=(count, 1, classes))
    values[np.arange(count), 0, np.arange(count) % classes if of is None else of] += 6.0
    return values


def softmax(values: np.ndarray) -> np.ndarray:
    raised = np.exp(values)
    result: np.ndarray = raised / raised.sum(axis=-1, keepdims=True)
    return result


def said(outputs: np.ndarray, labels: np.ndarray | None = None) -> list[str]:
    samples = dataset(pictures(len(outputs)), labels)
    return [finding.message for finding in check_classes(samples, [[scores(value.astype(np.float32)) for value in outputs]])]


@pytest.mark.parametrize("classes", [2, 10, 1000])
@pytest.mark.parametrize("scale", [softmax, lambda values: values], ids=["probabilities", "logits"])
def test_samples_of_one_class_without_labels_are_found_by_what_the_model_says(scale: Callable[[np.ndarray], np.ndarray], classes: int) -> None:
    values = logits(100, of=1, classes=classes) + (4.0 * np.eye(classes)[1] if classes == 1000 else 0.0)
    assert said(scale(values)) == ["calib.npz: all 100 calibration samples are of class 1 for the float model."]
    assert said(scale(logits(100, classes=classes))) == []
    assert said(scale(values[:8])) == []  # by chance
    assert said(scale(values), labels=np.arange(100) % 10) == []  # the labels know better


@pytest.mark.parametrize(
    "outputs",
    [
        pytest.param(np.sort(GENERATOR.uniform(0.0, 320.0, (100, 1, 8)), axis=-1), id="corners in pixels"),
        pytest.param(np.sort(GENERATOR.uniform(0.0, 1.0, (100, 1, 8)), axis=-1), id="corners as shares"),
        pytest.param(GENERATOR.normal(size=(100, 1, 64)) * 0.1 + np.eye(64)[5], id="embedding with one large element"),
        pytest.param(GENERATOR.normal(size=(100, 1, 64)) * 9.0 + 90.0 * np.eye(64)[5], id="spectrum"),
        pytest.param(GENERATOR.normal(size=(100, 1, 40, 4)), id="boxes"),
    ],
)
def test_an_output_that_has_no_classes_is_none_of_one_class(outputs: np.ndarray) -> None:
    assert said(outputs) == []


@pytest.mark.parametrize("threads", [1, 2])
def test_calibration_looks_at_the_outputs_of_the_file(threads: int, tmp_path: Path) -> None:
    model = tflite.new_model("y = -x")
    graph = tflite.main_graph(model)
    x, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 10)) for name in "xy")
    graph.operators = [tflite.add_op(model, "NEG", 1, (x,), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    (tmp_path / "m.tflite").write_bytes(tflite.serialize(model))
    for values, codes in ((logits(100, of=3), ["one-class"]), (logits(100), [])):
        samples = from_arrays({"x": -values[:, 0].astype(np.float32)}, [TensorSpec("x", (1, 10), "float32")], source="calib.npz")
        bindings = [InputBinding("x", "x", (1, 10), (0, 1), "float32")]
        ranges = calibrate(tmp_path / "m.tflite", samples, bindings, threads=threads, progress=lambda _: None)
        assert [finding.code for finding in ranges.warnings if finding.code == "one-class"] == codes
