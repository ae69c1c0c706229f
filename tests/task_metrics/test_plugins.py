"""Metrics of the user: how they are named, found, called and refused."""

import threading
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import bridge
from bridge.calibrate.dataset import from_arrays
from bridge.errors import InputError, UsageError
from bridge.task_metrics import Measurement, check_metrics, find_metrics
from bridge.types import TensorSpec

type Outputs = Mapping[str, np.ndarray]


def error(reference: Outputs, candidate: Outputs, truth: np.ndarray | None) -> float:
    return float(np.abs(candidate["y"] - reference["y"]).mean())


@bridge.metric(whole=True, better="lower", unit="px", needs_truth=True)
def spread(reference: Outputs, candidate: Outputs, truth: np.ndarray) -> np.float64:
    assert candidate["y"].shape == (4, 2)
    assert truth.tolist() == [0, 10, 20, 30]
    return np.float64(np.ptp(candidate["y"]) + truth.max())


SOURCE = "def lost(reference, candidate, truth):\n    return sum(abs(candidate[name] - reference[name]).max() for name in reference)\n"


def _run(*metrics: object) -> Measurement:
    measured = Measurement(find_metrics(metrics, ["y"]), lambda position: np.asarray(10 * position))  # type: ignore[arg-type]  # what is refused too
    for position in (1, 0, 3, 2):  # threads finish in any order
        value = np.array([position, position + 1.0])
        measured.add(position, {"y": value}, {"y": value + 0.5 * position})
    return measured


def test_a_function_per_sample_is_averaged_for_both_models() -> None:
    (found,) = _run(error).results()
    assert (found.name, found.value, found.float_value, found.samples) == ("error", (0 + 0.5 + 1 + 1.5) / 4, 0.0, 4)


def test_a_function_of_all_samples_gets_them_in_order() -> None:
    (found,) = _run(spread).results()
    assert (found.value, found.float_value, found.better, found.unit) == (5.5 + 30, 4 + 30.0, "lower", "px")


def test_a_metric_is_found_in_a_file_and_in_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_metrics.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    results = _run("own_metrics.py:lost", "again=own_metrics:lost").results()
    assert [(one.name, one.value) for one in results] == [("lost", 0.75), ("again", 0.75)]


def test_one_of_several_outputs_is_named() -> None:
    (metric,) = find_metrics(["top1@scores"], ["boxes", "scores"])
    assert (metric.name, metric.output) == ("top1", "scores")


def _raises(reference: Outputs, candidate: Outputs, truth: object) -> float:
    raise ValueError("no\nway")


def _text(reference: Outputs, candidate: Outputs, truth: object) -> str:
    return "0.5"


@pytest.mark.parametrize(
    ("metrics", "outputs", "message"),
    [
        (["top2"], ["y"], "There is no metric 'top2'"),
        (["top1"], ["a", "b"], "Metric top1: the model has 2 outputs"),
        (["top1@c"], ["a", "b"], "Metric top1: the model has no output 'c'"),
        (["top1", "top1@y"], ["y"], "Two metrics are called 'top1'"),
        (["my-top=top1"], ["y"], "There is no metric 'my-top=top1'|A metric has a name of letters"),
        ([":f"], ["y"], "':f' names no function"),
        (["no_such_module_at_all:f"], ["y"], "There is no module 'no_such_module_at_all'"),
        (["json:nothing"], ["y"], "json has no function 'nothing'"),
    ],
)
def test_what_names_no_metric_is_refused(metrics: list[str], outputs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        find_metrics(metrics, outputs)


@pytest.mark.parametrize(
    ("function", "message"), [(_raises, "_raises raised ValueError: no way"), (_text, "_text returned no number. Received: str")]
)
def test_a_function_that_fails_is_one_sentence(function: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _run(function)


@pytest.mark.provokes("data-labels")
def test_a_metric_that_needs_the_truth_refuses_data_without_it() -> None:
    bare = from_arrays({"x": np.zeros((3, 2), np.float32)}, [TensorSpec("x", (2,), "float32")], source="eval.npz")
    with pytest.raises(UsageError, match=r"Metric top1 needs the truth, and the evaluation data \(eval\.npz\) have none"):
        Measurement.of(["top1"], ["y"], bare)
    assert Measurement.of(["cosine"], ["y"], bare).watch is not None
    assert Measurement.of([], ["y"], bare).watch is None


def test_a_gate_over_a_metric_that_nobody_measures_is_refused_before_any_work() -> None:
    check_metrics(["top1"], asked=["top1"], compares=True)
    with pytest.raises(UsageError, match="A gate asks for the metric 'top5', which is not measured"):
        check_metrics(["top1"], asked=["top1", "top5"], compares=True)
    with pytest.raises(UsageError, match="Metric top1 is measured while both models are compared"):
        check_metrics(["top1"], asked=(), compares=False)


def test_threads_may_add_at_once() -> None:
    measured = Measurement(find_metrics([error], ["y"]), lambda _: None)
    values = [np.array([float(position)]) for position in range(200)]

    def work(start: int) -> None:
        for position in range(start, 200, 4):
            measured.add(position, {"y": values[position]}, {"y": values[position] * 2})

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (measured.results()[0].value, measured.results()[0].samples) == (99.5, 200)
