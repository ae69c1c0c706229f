import json
from pathlib import Path

import numpy as np
import pytest
import workloads
from msgspec.structs import replace
from workloads import FLOAT, INT8, LAYERS, SAMPLES, SIZE, prepared, small_workload, specs

from bridge.calibrate import Calibration
from bridge.errors import InputError, UsageError
from bridge.preparing import Request, prepare
from bridge.progress import Silent, Stages
from bridge.quantize import Corrections
from bridge.task_metrics import TaskMetric
from bridge.task_metrics.embeddings import Cosine
from bridge.tune import workload as workload_module
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.settings import Setting
from bridge.tune.trial import Spec, run_trial, trial_key
from bridge.tune.workload import Workload
from bridge.types import QuantizedSource, TensorRange


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return small_workload(tmp_path_factory.mktemp("workload"))


def test_all_float_is_the_float_file_and_costs_nothing(workload: Workload) -> None:
    trial = run_trial(workload.folder, Spec((FLOAT,) * LAYERS, "min_max"))
    assert trial.placed == (FLOAT,) * LAYERS
    assert trial.outputs[0].sqnr_db == workload.facts.float_outputs[0].sqnr_db == np.inf, "the float file is exact"
    assert (trial.float_mac_share, trial.quantize_ops, trial.dequantize_ops, trial.converted_elements) == (1.0, 0, 0, 0)
    assert trial.quantized_ms is None


def test_latency_is_measured_where_it_is_asked_for(workload: Workload) -> None:
    spec = Spec((INT8,) * LAYERS, "min_max", latency=True)
    trial = run_trial(workload.folder, spec)
    assert trial.quantized_ms is not None
    assert trial.float_ms is not None
    assert trial_key(workload, spec) != trial_key(workload, Spec(spec.op_precisions, spec.setting))


def test_threads_change_no_figure(workload: Workload) -> None:
    spec = specs()[3]
    assert run_trial(workload.folder, spec, threads=3) == run_trial(workload.folder, spec)


def test_the_same_model_and_data_give_the_same_workload_wherever_it_is(workload: Workload, tmp_path: Path) -> None:
    other = small_workload(tmp_path)
    assert other.digest == workload.digest
    assert trial_key(other, specs()[1]) == trial_key(workload, specs()[1])
    assert small_workload(tmp_path, metrics=("cosine",)).digest != workload.digest, "another metric, in the same folder"


def test_the_key_of_a_trial_follows_what_the_quantizer_gets(tmp_path: Path) -> None:
    request, made = prepared(tmp_path)
    assert made.ranges is not None
    workload = Workload.write(tmp_path / "workload", made, [Setting("a", made.ranges)], request=request)
    before = trial_key(workload, Spec((INT8,) * LAYERS, "a"))
    wide = replace(made.ranges, tensors={name: TensorRange(2 * one.minimum, 2 * one.maximum) for name, one in made.ranges.tensors.items()})
    bias = Corrections({0: np.ones(SIZE, np.float32)})
    for setting in (Setting("moved", replace(made.ranges, source="elsewhere")), Setting("wide", wide), Setting("bias", made.ranges, bias)):
        workload.with_setting(setting)
    assert workload.settings == ("a", "bias", "moved", "wide")
    keys = [trial_key(workload, Spec((INT8,) * LAYERS, name)) for name in workload.settings]
    assert keys[0] == keys[2] == before, "the name of a setting, and where the data lay, are no part of it"
    assert len(set(keys)) == 3


def test_a_workload_that_is_written_again_forgets_its_settings(tmp_path: Path) -> None:
    request, made = prepared(tmp_path)
    assert made.ranges is not None
    spec, seen = specs()[0], []
    for factor in (1, 3):
        wider = {name: TensorRange(factor * one.minimum, factor * one.maximum) for name, one in made.ranges.tensors.items()}
        settings = [Setting("min_max", replace(made.ranges, tensors=wider))]
        workload = Workload.write(tmp_path / "workload", made, settings, request=request)
        seen.append((workload.digest, run_trial(workload.folder, spec).outputs[0].sqnr_db))
        Workload(workload.folder).with_setting(Setting(f"another-{factor}", made.ranges))
    assert seen[0][0] == seen[1][0]
    assert seen[0][1] > seen[1][1] + 3.0, "with wider ranges int8 has coarser steps"
    assert workload.settings == ("another-3", "min_max")


def test_settings_come_back_as_they_were(workload: Workload) -> None:
    ranges = workload.setting("min_max").ranges
    corrections = Corrections({1: np.full(SIZE, 0.1, np.float32)}, {0: np.eye(SIZE, dtype=np.float32)}, {2: np.full(SIZE, 3e-3, np.float32)})
    workload.with_setting(Setting("percentile:99.9/a", ranges, corrections))
    found = Workload(workload.folder).setting("percentile:99.9/a")
    assert found.ranges == ranges
    for kind in ("biases", "weights", "weight_scales"):
        mine, theirs = getattr(corrections, kind), getattr(found.corrections, kind)
        assert mine.keys() == theirs.keys()
        assert all(np.array_equal(mine[index], theirs[index]) for index in mine)


def test_a_name_stands_for_one_setting(workload: Workload) -> None:
    first = workload.setting("min_max")
    workload.with_setting(first)
    with pytest.raises(UsageError, match="There is another setting 'min_max' already"):
        workload.with_setting(Setting("min_max", first.ranges, Corrections({0: np.ones(SIZE, np.float32)})))
    with pytest.raises(InputError, match=r"there is no setting 'mse'. Received: .*'min_max'"):
        workload.setting("mse")


def test_other_versions_of_the_kernels_are_refused(tmp_path: Path) -> None:
    workload = small_workload(tmp_path)
    facts = workload.folder / workload_module.FACTS
    content = json.loads(facts.read_text())
    content["versions"]["ai-edge-litert"] = "1.0.0"
    facts.write_text(json.dumps(content))
    with pytest.raises(UsageError, match=r"was written with ai-edge-litert 1.0.0, this process has 2\."):
        run_trial(workload.folder, specs()[0])


def test_a_folder_without_a_workload(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"workload\.json: cannot be read"):
        run_trial(tmp_path, specs()[0])
    (tmp_path / workload_module.FACTS).write_text("{}")
    with pytest.raises(InputError, match="is no workload of this version"):
        run_trial(tmp_path, specs()[0])


def test_samples_are_spread_evenly(tmp_path: Path) -> None:
    request, made = prepared(tmp_path)
    workload = Workload.write(tmp_path / "workload", made, [], request=request, samples=4)
    data = made.data.evaluation
    assert (len(data), len(workload.samples)) == (SAMPLES, 4)
    for position in range(4):
        assert np.array_equal(workload.samples[position]["x"], data[3 * position]["x"])
    assert workload.samples.labels is not None
    assert data.labels is not None
    assert workload.samples.labels.tolist() == data.labels[::3].tolist()


def test_a_function_that_a_name_leads_to_is_measured_in_other_processes(tmp_path: Path) -> None:
    workload = small_workload(tmp_path, metrics=("top1", workloads.float_norm))
    with open_executor() as here, open_executor(workers=2) as there:
        mine = Lab(workload, here, tmp_path / "one").measure(specs()[:2])
        assert Lab(workload, there, tmp_path / "two").measure(specs()[:2]) == mine
    assert [one.name for one in mine[0].task_metrics] == ["top1", "float_norm"]


def test_a_live_metric_works_in_its_own_process_only(tmp_path: Path) -> None:
    live = TaskMetric("mine", lambda: Cosine("y_4"))
    workload = small_workload(tmp_path, metrics=(live,))
    with open_executor() as here:
        (trial,) = Lab(workload, here, tmp_path / "one").measure(specs()[:1])
    assert trial.task_metrics[0].name == "mine"
    with open_executor(workers=2) as there:
        lab = Lab(workload, there, tmp_path / "two")
        with pytest.raises(UsageError, match="Metric mine is a live object that other processes cannot find by a name"):
            lab.measure(specs()[:1])
    assert small_workload(tmp_path / "again", metrics=(live,)).digest != workload.digest, "nobody can tell whether it is the same function"


def test_another_version_of_a_function_is_another_workload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_metric.py").write_text("def one(reference, candidate, truth):\n    return 1.0\n")
    first = small_workload(tmp_path / "a", metrics=("my_metric.py:one",)).digest
    assert small_workload(tmp_path / "b", metrics=("my_metric.py:one",)).digest == first
    (tmp_path / "my_metric.py").write_text("def one(reference, candidate, truth):\n    return 2.0\n")
    assert small_workload(tmp_path / "c", metrics=("my_metric.py:one",)).digest != first


def test_a_quantized_model_is_refused(tmp_path: Path) -> None:
    request, made = prepared(tmp_path)
    quantized = replace(made, opened=replace(made.opened, quantized=QuantizedSource({}, {}, frozenset())))
    with pytest.raises(UsageError, match="The model is quantized already"):
        Workload.write(tmp_path / "workload", quantized, [], request=request)


def test_labels_are_not_needed(tmp_path: Path) -> None:
    values = np.random.default_rng(1).standard_normal((SAMPLES, 1, SIZE)).astype(np.float32)
    source = Calibration.from_arrays({"x": values})
    request = Request(source=workloads.dense_net(tmp_path / "net.tflite"), calibration=source, evaluation=source)
    made = prepare(request, tmp_path, tmp_path / "log", Stages(Silent()))
    workload = Workload.write(tmp_path / "workload", made, [Setting("min_max", made.ranges)], request=request)
    assert run_trial(workload.folder, specs()[0]).outputs[0].top1_quantized is None
