"""A file that is changed in place computes what one that is written anew computes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from small_nets import INT8, RELU, Layers, job, min_max

from bridge.quantize.corrections import Corrections
from bridge.quantize.float_graph import FloatGraph, read_graph
from bridge.quantize.plan import Plan, make_plan
from bridge.quantize.quantizer import quantize_graph
from bridge.quantize.spans import spans_by_precision
from bridge.recover.trials import State, Trials
from bridge.recover.working_file import WorkingFile
from bridge.tflite import model as tflite
from bridge.tflite import pages, writing
from bridge.tflite.interpreter import Interpreter
from bridge.tflite.run_file import pages_used_again
from bridge.types import Ranges, TensorRange

RNG = np.random.default_rng(3)
VALUES = RNG.standard_normal((6, 1, 4, 4, 3)).astype(np.float32)
CHANNELS = 24  # weights of more than a kilobyte lie behind the flatbuffer, smaller ones inside


@pytest.fixture
def path(tmp_path: Path) -> Path:
    layers = Layers(1, 4, 4, 3).conv("a", RNG.standard_normal((CHANNELS, 3, 3, 3)), RNG.standard_normal(CHANNELS), activation=RELU)
    layers.depthwise("b", RNG.standard_normal((1, 3, 3, CHANNELS)), RNG.standard_normal(CHANNELS)).unary("LOGISTIC", "c")
    return layers.dense("y", RNG.standard_normal((3, 16 * CHANNELS)), RNG.standard_normal(3)).save(tmp_path / "net.tflite", "a")


@pytest.fixture(params=["of objects", "grown"])
def opened(request: pytest.FixtureRequest) -> Callable[[Path], FloatGraph]:
    """Reads a float file: as objects that are packed anew, or for models to grow out of its bytes."""
    read = tflite.read if request.param == "of objects" else lambda path: tflite.grown(tflite.read_once(path))
    return lambda path: read_graph(read(path), where="net")


def moved(ranges: Ranges, rng: np.random.Generator) -> Ranges:
    """Other ranges for some activations."""
    tensors = {
        name: TensorRange(one.minimum * rng.uniform(0.5, 2), one.maximum * rng.uniform(0.5, 2)) if rng.random() < 0.5 else one
        for name, one in ranges.tensors.items()
    }
    return Ranges(tensors, ranges.samples, ranges.observer, "")


def corrections(rng: np.random.Generator) -> Corrections:
    """Constants of all kinds for some operators."""
    weights = {0: rng.standard_normal((CHANNELS, 3, 3, 3)).astype(np.float32)}
    scales = {1: rng.uniform(0.01, 0.1, CHANNELS).astype(np.float32)}
    return Corrections({0: rng.standard_normal(CHANNELS).astype(np.float32), 3: rng.standard_normal(3).astype(np.float32)}, weights, scales)


def plan_of(graph: FloatGraph, precisions: list[str], ranges: Ranges, given: Corrections) -> Plan:
    spans = spans_by_precision(ranges)
    return make_plan(graph, precisions, spans, corrections=given, given={}, input_type="FLOAT32", output_type="FLOAT32")


def outputs(model: object) -> list[np.ndarray]:
    runner = Interpreter(model)  # type: ignore[arg-type]  # bytes, or a file that is not kept
    return [value for sample in VALUES for value in runner.run({"x": sample})]


def test_what_it_computes_is_what_a_file_written_anew_computes(path: Path, opened: Callable[[Path], FloatGraph]) -> None:
    rng = np.random.default_rng(0)
    graph, ranges = opened(path), min_max(path, VALUES)
    working, precisions = WorkingFile(graph), [INT8] * len(graph.ops)
    files = {}
    for turn in range(12):
        state = moved(ranges, rng), corrections(rng) if turn % 4 > 1 else Corrections()
        file = working.of(plan_of(graph, precisions, *state))
        anew, _ = quantize_graph(
            read_graph(tflite.read(path), where="net"), where="net", ranges=state[0], op_precisions=precisions, corrections=state[1]
        )
        for got, wanted in zip(outputs(file), outputs(tflite.serialize(anew)), strict=True):
            np.testing.assert_array_equal(got, wanted)
        files[id(file)] = file  # kept, so that no other one gets its id
    assert len(files) == 1


def test_files_made_of_it_hold_what_it_holds_now(path: Path, opened: Callable[[Path], FloatGraph], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "SMALLEST_BLOB", 1)  # these constants are like large ones
    monkeypatch.setattr(pages, "SMALLEST", 1)
    rng = np.random.default_rng(0)
    graph, ranges = opened(path), min_max(path, VALUES)
    working = WorkingFile(graph)
    with pages_used_again():
        for given in (Corrections(), corrections(rng), corrections(rng), Corrections()):
            plan = plan_of(graph, [INT8] * len(graph.ops), moved(ranges, rng), given)
            wanted = outputs(working.of(plan))
            for got in (outputs(tflite.run_file(tflite.copied(working.model(plan)))) for _ in range(2)):
                np.testing.assert_array_equal(np.concatenate(got, axis=None), np.concatenate(wanted, axis=None))


def test_a_constant_that_others_read_too_is_not_written_over(path: Path, opened: Callable[[Path], FloatGraph]) -> None:
    model = tflite.read(path)
    convolution, depthwise = tflite.main_graph(model).operators[:2]
    depthwise.inputs = np.asarray([*depthwise.inputs[:2], convolution.inputs[2]], np.int32)
    path.write_bytes(tflite.serialize(model))
    graph, ranges = opened(path), min_max(path, VALUES)
    working, given = WorkingFile(graph), Corrections({0: RNG.standard_normal(CHANNELS).astype(np.float32)}, {}, {})
    for one in (Corrections(), given, Corrections()):
        file = working.of(plan_of(graph, [INT8] * 4, ranges, one))
        anew, _ = quantize_graph(read_graph(tflite.read(path), where="net"), where="net", ranges=ranges, op_precisions=[INT8] * 4, corrections=one)
        for got, wanted in zip(outputs(file), outputs(tflite.serialize(anew)), strict=True):
            np.testing.assert_array_equal(got, wanted)


def test_other_operators_need_another_file(path: Path, opened: Callable[[Path], FloatGraph]) -> None:
    graph, ranges = opened(path), min_max(path, VALUES)
    working = WorkingFile(graph)
    first = working.of(plan_of(graph, [INT8] * 4, ranges, Corrections()))
    mixed = [INT8, "float32", INT8, INT8]
    second = working.of(plan_of(graph, mixed, ranges, Corrections()))
    assert second is not first
    anew, _ = quantize_graph(read_graph(tflite.read(path), where="net"), where="net", ranges=ranges, op_precisions=mixed)
    for got, wanted in zip(outputs(second), outputs(tflite.serialize(anew)), strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_state_asked_for_again_has_its_own_file_back(path: Path) -> None:
    trials = Trials(job(path, np.concatenate([VALUES, VALUES])))
    first, second = State(min_max(path, VALUES)), State(moved(min_max(path, VALUES), np.random.default_rng(1)))
    before = trials.score_file(trials.quantize(first), "fit")
    assert trials.score_file(trials.quantize(second), "fit").mean_db != before.mean_db
    np.testing.assert_array_equal(trials.score_file(trials.quantize(first), "fit").noise, before.noise)
