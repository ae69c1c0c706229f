import importlib
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from bridge.calibrate import Dataset, calibrate, from_arrays, synthetic, with_choices
from bridge.calibrate.watch import LARGE, watch
from bridge.errors import InputError, ToolError, UsageError
from bridge.files import digest, write_bytes
from bridge.observer_names import OBSERVER_NAMES
from bridge.tflite import model as tflite
from bridge.tflite.parallel import Stream, run
from bridge.types import InputBinding, RangeChoice, TensorRange, TensorSpec

X = TensorSpec("x", (1, 2, 3), "float32")  # the user feeds [1, 2, 3], the file takes [1, 3, 2]
BINDINGS = [InputBinding("x", "serving_x", (1, 2, 3), (0, 2, 1), "float32")]
VALUES = np.random.default_rng(1).standard_normal((20, 2, 3)).astype(np.float32)


def square_reshape_negate(folder: Path) -> Path:
    """`y = -reshape(x * x)`."""
    model = tflite.new_model("hand made")
    graph = tflite.main_graph(model)
    x, squared = (tflite.add_tensor(model, graph, name, "FLOAT32", (1, 3, 2)) for name in ("serving_x", "squared"))
    flat, y = (tflite.add_tensor(model, graph, name, "FLOAT32", (6,)) for name in ("flat", "y"))
    shape = tflite.add_tensor(model, graph, "shape", "INT32", (1,), buffer=tflite.add_buffer(model, np.array([6], np.int32)))
    graph.operators = [
        tflite.add_op(model, "MUL", 1, (x, x), (squared,)),
        tflite.add_op(model, "RESHAPE", 1, (squared, shape), (flat,)),
        tflite.add_op(model, "NEG", 1, (flat,), (y,)),
    ]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    write_bytes(folder / "model.tflite", tflite.serialize(model))
    return folder / "model.tflite"


def silent(steps: int) -> None:
    del steps


@pytest.mark.parametrize("observer", OBSERVER_NAMES)
def test_the_number_of_threads_makes_no_difference(tmp_path: Path, observer: str) -> None:
    path = square_reshape_negate(tmp_path)
    found = [calibrate(path, from_arrays({"x": VALUES}, [X]), BINDINGS, observer=observer, threads=threads, progress=silent) for threads in (1, 2, 5)]
    assert found[0] == found[1] == found[2]
    assert found[0].observer == observer


def test_a_tensor_has_the_observer_and_the_clip_that_were_chosen_for_it(tmp_path: Path) -> None:
    path = square_reshape_negate(tmp_path)
    choices = {
        "flat": RangeChoice(observer="percentile:90.0"),
        "serving_x": RangeChoice(clip=(-0.5, 100.0)),
        "y": RangeChoice(fixed=(-7.0, 1.0)),
        "unknown": RangeChoice(observer="mse"),
    }
    ranges = calibrate(path, from_arrays({"x": VALUES}, [X]), BINDINGS, choices=choices, threads=2, progress=silent)
    assert 1e-3 < ranges.tensors["flat"].minimum < ranges.tensors["flat"].maximum < 3.0
    np.testing.assert_allclose(ranges.tensors["flat"].maximum, np.percentile(VALUES * VALUES, 95.0), rtol=1 / 32)
    assert ranges.tensors["squared"] == ranges.tensors["flat"]  # the same values
    assert ranges.tensors["serving_x"] == TensorRange(-0.5, float(VALUES.max()))
    assert ranges.tensors["y"] == TensorRange(-7.0, 1.0)
    assert ranges.choices == {name: choices[name] for name in ("serving_x", "flat", "y")}


def test_ranges_of_an_earlier_run_are_fixed_and_clipped_too(tmp_path: Path) -> None:
    path = square_reshape_negate(tmp_path)
    given = calibrate(path, from_arrays({"x": VALUES}, [X]), BINDINGS, threads=1, progress=silent)
    assert with_choices(given, path, {}) == given
    found = with_choices(given, path, {"flat": RangeChoice(fixed=(0.0, 1.0)), "y": RangeChoice(clip=(-2.0, 0.0)), "serving_x": RangeChoice("mse")})
    assert found.tensors["squared"] == found.tensors["flat"] == TensorRange(0.0, 1.0)
    assert found.tensors["y"] == TensorRange(-2.0, given.tensors["y"].maximum)
    assert found.tensors["serving_x"] == given.tensors["serving_x"]


def test_a_clip_beside_all_values_is_its_nearer_end(tmp_path: Path) -> None:
    path = square_reshape_negate(tmp_path)
    choices = {"squared": RangeChoice(clip=(100.0, 200.0)), "y": RangeChoice(clip=(5.0, 6.0))}
    ranges = calibrate(path, from_arrays({"x": VALUES}, [X]), BINDINGS, choices=choices, threads=1, progress=silent)
    assert ranges.tensors["squared"] == TensorRange(100.0, 100.0)
    assert ranges.tensors["y"] == TensorRange(5.0, 5.0)


def test_values_of_a_chosen_tensor_are_shown_where_extents_would_do_for_the_others(tmp_path: Path) -> None:
    assert watch(tflite.read(large_file(tmp_path, "NEG", "ABS")), extents=True, valued={"y0"}).reduced == (False, True)


def test_the_step_of_a_wider_type_is_told_to_the_observer(tmp_path: Path) -> None:
    values = np.random.default_rng(2).standard_t(2.0, (800, 2, 3)).astype(np.float32)
    found = [
        calibrate(square_reshape_negate(tmp_path), from_arrays({"x": values}, [X]), BINDINGS, observer="mse", bits=bits, threads=1, progress=silent)
        for bits in ({}, {"serving_x": 16})
    ]
    eight, sixteen = (one.tensors["serving_x"] for one in found)
    assert sixteen == TensorRange(float(values.min()), float(values.max()))  # clipping costs more than a step of a 65534th
    assert eight != sixteen


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_ranges_are_those_of_the_formulas(tmp_path: Path, threads: int) -> None:
    path = square_reshape_negate(tmp_path)
    told: list[int] = []
    ranges = calibrate(path, from_arrays({"x": VALUES}, [X]), BINDINGS, threads=threads, progress=told.append)
    squares = VALUES * VALUES
    low, high = float(squares.min()), float(squares.max())
    assert dict(ranges.tensors) == {
        "serving_x": TensorRange(float(VALUES.min()), float(VALUES.max())),
        "squared": TensorRange(low, high),
        "flat": TensorRange(low, high),
        "y": TensorRange(-high, -low),
    }
    assert (ranges.samples, ranges.source, ranges.model_sha256) == (20, "arrays", digest(path))
    assert sum(told) == 20


def test_a_reshaped_tensor_is_not_computed_again(tmp_path: Path) -> None:
    watched = watch(tflite.read(square_reshape_negate(tmp_path)), extents=True)
    assert watched.names == ("serving_x", "squared", "flat", "y")
    assert watched.source == (0, 1, 1, 2)
    assert [
        tflite.text(tflite.main_graph(tflite.parse(watched.exposed.mapped(), where="exposed")).tensors[index].name) for index in watched.seen
    ] == [
        "serving_x",
        "squared",
        "y",
    ]


def large_file(folder: Path, *ops: str) -> Path:
    """A chain of unary operators on [1, 4, LARGE / 2]: x -> y0 -> y1 ..."""
    model = tflite.new_model("large")
    graph = tflite.main_graph(model)
    tensors = [tflite.add_tensor(model, graph, name, "FLOAT32", (1, 4, LARGE // 2)) for name in ("x", *(f"y{index}" for index in range(len(ops))))]
    graph.operators = [tflite.add_op(model, op, 1, (source,), (target,)) for op, source, target in zip(ops, tensors[:-1], tensors[1:], strict=True)]
    graph.inputs, graph.outputs = np.array(tensors[:1], np.int32), np.array(tensors[-1:], np.int32)
    write_bytes(folder / "large.tflite", tflite.serialize(model))
    return folder / "large.tflite"


LARGE_X = TensorSpec("x", (1, 4, LARGE // 2), "float32")
LARGE_BINDINGS = [InputBinding("x", "x", (1, 4, LARGE // 2), (0, 1, 2), "float32")]


def test_extents_of_large_tensors_are_taken_in_the_file_and_are_the_same(tmp_path: Path) -> None:
    path = large_file(tmp_path, "NEG", "ABS")
    assert watch(tflite.read(path), extents=True).reduced == (True, True)
    assert watch(tflite.read(path), extents=False).reduced == (False, False)
    data = synthetic([LARGE_X], seed=1, samples=5)
    values = np.stack([sample["x"] for sample in data])
    ranges = calibrate(path, data, LARGE_BINDINGS, threads=2, progress=silent)
    assert ranges.tensors["y0"] == TensorRange(float(-values.max()), float(-values.min()))
    assert ranges.tensors["y1"] == TensorRange(float(np.abs(values).min()), float(np.abs(values).max()))


def test_what_a_nan_may_reach_shows_its_values(tmp_path: Path) -> None:
    assert watch(tflite.read(large_file(tmp_path, "NEG", "LOG", "ABS")), extents=True).reduced == (True, False, False)


@pytest.mark.provokes("non-finite-activations")
def test_an_infinite_extent_is_looked_at_again(tmp_path: Path) -> None:
    path = large_file(tmp_path, "NEG", "ABS")
    model = tflite.read(path)
    tflite.main_graph(model).operators[0] = tflite.add_op(model, "ADD", 1, (0, 0), (1,))
    write_bytes(path, tflite.serialize(model))
    assert watch(model, extents=True).reduced == (True, True)
    values = np.full((2, 1, 4, LARGE // 2), 2.0, np.float32)
    values[1, 0, 0, 5] = 3e38  # twice that is infinite
    data = from_arrays({"x": values}, [LARGE_X])
    ranges = calibrate(path, data, LARGE_BINDINGS, threads=1, progress=silent)
    assert ranges.tensors["y0"] == ranges.tensors["y1"] == TensorRange(4.0, 4.0)
    assert [warning.code for warning in ranges.warnings if warning.code == "non-finite-activations"] == ["non-finite-activations"]


def test_integer_activations_have_no_range(tmp_path: Path) -> None:
    model = tflite.new_model("hand made")
    graph = tflite.main_graph(model)
    x = tflite.add_tensor(model, graph, "ids", "INT32", (1, 4))
    y = tflite.add_tensor(model, graph, "y", "INT32", (1, 4))
    graph.operators = [tflite.add_op(model, "MUL", 1, (x, x), (y,))]
    graph.inputs, graph.outputs = np.array([x], np.int32), np.array([y], np.int32)
    write_bytes(tmp_path / "model.tflite", tflite.serialize(model))
    data = synthetic([TensorSpec("ids", (1, 4), "int64")], seed=0, samples=2)
    ranges = calibrate(tmp_path / "model.tflite", data, [InputBinding("ids", "ids", (1, 4), (0, 1), "int32")], threads=1, progress=silent)
    assert dict(ranges.tensors) == {}


@pytest.mark.provokes("calibrated-without-delegate")
def test_a_file_that_the_delegate_refuses_runs_on_the_builtin_kernels_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = square_reshape_negate(tmp_path)
    data = from_arrays({"x": VALUES}, [X])
    expected = calibrate(path, data, BINDINGS, threads=2, progress=silent)

    module = importlib.import_module("bridge.calibrate.calibrate")  # the function of the same name hides it from a plain import

    class Refusing(module.Interpreter):  # type: ignore[name-defined,misc]  # stands for a delegate that cannot prepare a node
        def __init__(self, model: bytes, *, kernels: str, threads: int) -> None:
            if kernels == "optimized":
                raise ToolError("the model: LiteRT cannot load it: failed to prepare")
            super().__init__(model, kernels=kernels, threads=threads)

    monkeypatch.setattr(module, "Interpreter", Refusing)
    ranges = calibrate(path, data, BINDINGS, threads=2, progress=silent)
    assert ranges.tensors == expected.tensors
    assert [warning.code for warning in ranges.warnings] == ["calibrated-without-delegate"]
    assert "failed to prepare" in ranges.warnings[0].message


@pytest.mark.provokes("bad-input")
def test_a_failure_in_the_middle_of_the_data_ends_all_workers(tmp_path: Path) -> None:
    class Breaking(Dataset):
        def __iter__(self) -> Iterator[dict[str, np.ndarray]]:
            yield from (self[position] for position in range(5))
            raise InputError("sample 5 cannot be read")

    data = Breaking({"x": VALUES}, [X], source="arrays")
    with pytest.raises(InputError, match="sample 5 cannot be read"):
        calibrate(square_reshape_negate(tmp_path), data, BINDINGS, threads=2, progress=silent)


@pytest.mark.provokes("tool-failed")
def test_a_failure_of_one_worker_ends_the_others() -> None:
    begun = threading.Event()

    def fails(stream: Stream) -> None:
        next(iter(stream))
        begun.set()
        raise ToolError("worker failed")

    def works(stream: Stream) -> None:
        for _ in stream:
            begun.wait(5.0)

    endless = ({"x": VALUES} for _ in iter(int, 1))
    with pytest.raises(ToolError, match="worker failed"):
        run([works, fails], Stream(endless, silent))


def test_each_sample_goes_to_one_worker() -> None:
    taken: list[int] = []

    def collect(stream: Stream) -> None:
        taken.extend(position for position, _ in stream)

    run([collect, collect, collect], Stream([{"x": VALUES}] * 50, silent))
    assert sorted(taken) == list(range(50))


@pytest.mark.provokes("bad-usage")
def test_an_unknown_observer_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no observer 'median'") as caught:
        calibrate(square_reshape_negate(tmp_path), from_arrays({"x": VALUES}, [X]), BINDINGS, observer="median", threads=1, progress=silent)
    assert "min_max" in caught.value.hint


@pytest.mark.provokes("data-count")
def test_no_samples_are_refused(tmp_path: Path) -> None:
    empty = from_arrays({"x": VALUES}, [X]).subset([])
    with pytest.raises(InputError, match="no samples to calibrate on"):
        calibrate(square_reshape_negate(tmp_path), empty, BINDINGS, threads=1, progress=silent)
