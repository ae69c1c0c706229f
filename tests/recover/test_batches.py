"""Several samples in one run of a file."""

import gc
import weakref
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from small_nets import RELU, Layers, job, min_max, run

from bridge.recover import batches, recover
from bridge.recover.batches import Batch, Outputs, Runner, batch_size, free_batch_axis, joined, keeps_samples_apart
from bridge.recover.score import Score
from bridge.recover.trials import State, Trials
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

RNG = np.random.default_rng(6)
VALUES = RNG.standard_normal((12, 1, 6, 6, 4)).astype(np.float32)
FEEDS = [{"x": value} for value in VALUES]


def net(folder: Path) -> Path:
    """A convolution, and a dense layer behind a reshape to one row."""
    layers = Layers(1, 6, 6, 4).conv("a", RNG.standard_normal((5, 3, 3, 4)), np.zeros(5), activation=RELU)
    return layers.reshape("row", 1, 180).dense("y", RNG.standard_normal((3, 180)), np.zeros(3)).save(folder / "net.tflite")


def test_a_batch_gives_what_its_samples_give_alone(tmp_path: Path) -> None:
    path = net(tmp_path)
    model = tflite.read(path)
    assert free_batch_axis(model)
    file = tflite.run_file(model)
    assert keeps_samples_apart(file, FEEDS[:4])
    found = Runner(file, threads=2).run(joined(FEEDS, 5))
    assert [len(one) for (one,) in found] == [5, 5, 2]
    np.testing.assert_allclose(np.concatenate([one for (one,) in found]), run(path, VALUES)[:, 0], rtol=1e-5, atol=1e-5)


def test_a_large_file_is_opened_once_however_many_threads_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, opened = net(tmp_path), list[int]()

    def counted(model: bytes, *, batch: int, kept_mapped: int) -> Interpreter:
        opened.append(batch)
        return Interpreter(model, batch=batch, kept_mapped=kept_mapped)

    monkeypatch.setattr(batches, "LARGE_KEPT", 0)
    monkeypatch.setattr(batches, "Interpreter", counted)
    found = Runner(path.read_bytes(), threads=2).run(joined(FEEDS, 1))
    assert opened == [1]
    np.testing.assert_array_equal(np.concatenate([one for (one,) in found]), run(path, VALUES)[:, 0])


def test_a_file_that_mixes_samples_is_found_out(tmp_path: Path) -> None:
    model = tflite.read(Layers(1, 6, 6, 4).mean_of_samples("mean").unary("RELU", "y").save(tmp_path / "net.tflite"))
    assert free_batch_axis(model)
    assert not keeps_samples_apart(tflite.run_file(model), FEEDS[:2])


def test_a_file_that_takes_no_second_sample_is_found_out(tmp_path: Path) -> None:
    layers = Layers(1, 6, 6, 4).reshape("rows", 36, 4).reshape("y", 1, 144)
    model = tflite.read(layers.save(tmp_path / "net.tflite"))
    assert free_batch_axis(model)
    assert not keeps_samples_apart(tflite.run_file(model), FEEDS[:2])


def test_an_output_without_an_axis_of_samples_has_no_free_one(tmp_path: Path) -> None:
    assert not free_batch_axis(tflite.read(Layers(1, 6, 6, 4).reshape("y", 36, 4).save(tmp_path / "net.tflite")))


def test_batches_are_smaller_where_a_sample_takes_more_work() -> None:
    assert [batch_size(work, 60) for work in (1e3, 8e6, 8.1e6, 3e7, 3.3e7)] == [8, 8, 4, 2, 1]
    assert batch_size(1e3, 5) == 4


def test_recovery_finds_the_same_in_batches_as_sample_by_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = net(tmp_path)
    known = min_max(path, VALUES)
    task = job(path, VALUES)
    assert Trials(task).in_batches
    found = recover(task, known, ["range_search", "bias_correction"], ranges_given=False)
    monkeypatch.setattr("bridge.recover.trials.batch_size", lambda work, samples: 1)
    assert not Trials(task).in_batches
    alone = recover(task, known, ["range_search", "bias_correction"], ranges_given=False)
    assert found.ranges == alone.ranges
    assert found.corrections.biases.keys() == alone.corrections.biases.keys()
    for index, bias in found.corrections.biases.items():
        np.testing.assert_allclose(bias, alone.corrections.biases[index], rtol=1e-5, atol=1e-7)


def test_a_small_file_runs_on_one_thread_and_several_threads_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = net(tmp_path)
    known, task = min_max(path, VALUES), replace(job(path, VALUES), threads=3)
    assert Trials(task).threads == 1
    alone = recover(task, known, ["range_search", "bias_correction"], ranges_given=False)
    monkeypatch.setattr("bridge.recover.trials.WORK_PER_THREAD", 1.0)
    monkeypatch.setattr("bridge.recover.trials.WORK_PER_OPENED_OPERATOR", 0.0)
    assert Trials(task).threads == 3
    together = recover(task, known, ["range_search", "bias_correction"], ranges_given=False)
    assert (together.ranges, together.diagnostics) == (alone.ranges, alone.diagnostics)
    assert together.corrections.biases.keys() == alone.corrections.biases.keys()
    for index, bias in together.corrections.biases.items():
        np.testing.assert_array_equal(bias, alone.corrections.biases[index])


def test_a_trial_ends_as_whole_runs_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bridge.recover.trials.batch_size", lambda work, samples: 1)
    monkeypatch.setattr("bridge.recover.trials.WORK_PER_STEP", 1.0)
    path = net(tmp_path)
    trials = Trials(job(path, VALUES))
    made = trials.quantize(State(min_max(path, VALUES)))
    score = trials.score_file(made, "fit")
    worse, better = (Score(score.signal, score.noise * factor) for factor in (1.5, 0.5))
    found = trials.better(made, "fit", worse)
    assert found is not None
    np.testing.assert_array_equal(found.noise, score.noise)
    ran: list[int] = []
    plain = Runner.run

    def counted(runner: Runner, given: Sequence[Batch]) -> list[Outputs]:
        ran.append(len(given))
        return plain(runner, given)

    monkeypatch.setattr(Runner, "run", counted)
    assert trials.better(made, "fit", better) is None
    needed = np.cumsum(np.sort(score.noise[:, 0])[::-1]) >= better.noise.sum()
    assert sum(ran) == int(needed.argmax()) + 1 < trials.count("fit")


def test_trials_leave_the_float_file_as_others_look_at_it(tmp_path: Path) -> None:
    path = net(tmp_path)
    before = tflite.serialize(tflite.read_once(path))
    assert Trials(job(path, VALUES)).in_batches
    assert tflite.serialize(tflite.read_once(path)) == before


def test_trials_leave_memory_with_whoever_had_them(tmp_path: Path) -> None:
    path = net(tmp_path)
    trials = Trials(job(path, VALUES))
    trials.score(State(min_max(path, VALUES)), "fit")
    known = weakref.ref(trials)
    gc.disable()  # which would find a circle at some time
    try:
        del trials
        assert known() is None
    finally:
        gc.enable()
