import json
import logging
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from workloads import small_workload, specs

from bridge.errors import ToolError, UsageError
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab, describe
from bridge.tune.processes import Processes
from bridge.tune.trial import Spec, Trial, run_trial
from bridge.tune.workload import Workload


class Counted:
    """A progress that remembers."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int]] = []
        self.steps = 0

    def stage(self, name: str, total: int) -> None:
        self.stages.append((name, total))

    def advance(self, steps: int) -> None:
        self.steps += steps


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    return small_workload(tmp_path_factory.mktemp("workload"))


@pytest.fixture(scope="module")
def expected(workload: Workload) -> list[Trial]:
    """What each trial measures, without a lab."""
    return [run_trial(workload.folder, spec) for spec in specs()]


def test_a_trial_is_measured_once_and_found_again(workload: Workload, expected: list[Trial], tmp_path: Path) -> None:
    asked, progress = specs()[:3], Counted()
    with open_executor() as executor:
        first = Lab(workload, executor, tmp_path, progress, planned=9)
        assert first.measure([asked[0], asked[1], asked[0]]) == [expected[0], expected[1], expected[0]]
        assert (first.asked, first.cached, first.ran) == (2, 0, 2)
        first.measure(asked[:2])
        assert (first.asked, first.cached, first.ran) == (2, 0, 2)
        second = Lab(workload, executor, tmp_path)
        assert second.measure(asked) == expected[:3]
        assert (second.asked, second.cached, second.ran) == (3, 2, 1)
    assert progress.stages == [("trials", 9)]
    assert progress.steps == 2


def test_processes_measure_what_one_process_does(workload: Workload, expected: list[Trial], tmp_path: Path) -> None:
    with open_executor(workers=2) as executor:
        assert Lab(workload, executor, tmp_path).measure(specs()) == expected
    assert len(list(tmp_path.iterdir())) == len(expected)


@pytest.mark.parametrize(
    "damage", [lambda text: text[: len(text) // 2], lambda text: text.replace('"quantized_bytes": ', '"quantized_bytes": 1'), lambda _: "[]"]
)
def test_a_damaged_file_is_measured_again(
    workload: Workload, expected: list[Trial], tmp_path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    with open_executor() as executor:
        Lab(workload, executor, tmp_path).measure(specs()[:1])
        (file,) = tmp_path.iterdir()
        whole = file.read_text()
        file.write_text(damage(whole))  # type: ignore[operator]
        with caplog.at_level(logging.WARNING):
            lab = Lab(workload, executor, tmp_path)
            assert lab.measure(specs()[:1]) == expected[:1]
    assert (lab.cached, lab.ran) == (0, 1)
    assert f"{file}: is damaged, the trial is measured again" in caplog.text
    assert json.loads(file.read_text())["key"] == file.stem


class Interrupted(Executor):
    """Ctrl-C when so many trials are done."""

    def __init__(self, after: int) -> None:
        self._pool, self._left, self.submitted = ThreadPoolExecutor(1), after, list[Future[Trial]]()

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # the base class says what
        future = self._pool.submit(fn, *args, **kwargs)
        future.add_done_callback(self._done)
        self.submitted.append(future)
        return future

    def _done(self, future: Future[Trial]) -> None:
        if not future.cancelled():
            self._left -= 1
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.2)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        self._pool.shutdown(wait, cancel_futures=cancel_futures)


def test_ctrl_c_keeps_what_arrived_and_cancels_the_rest(workload: Workload, tmp_path: Path) -> None:
    with Interrupted(after=4) as executor:
        lab = Lab(workload, executor, tmp_path)
        with pytest.raises(KeyboardInterrupt):
            lab.measure(specs())
    assert lab.ran == len(list(tmp_path.iterdir())) >= 4
    assert sum(future.cancelled() for future in executor.submitted) >= len(specs()) - 6


RUN = """
import signal
import sys
from pathlib import Path
from bridge.tune.executors import open_executor
from bridge.tune.lab import Lab
from bridge.tune.workload import Workload
from workloads import specs

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with open_executor(workers=int(sys.argv[3])) as executor:
        Lab(Workload(Path(sys.argv[1])), executor, Path(sys.argv[2])).measure(specs())
"""


@pytest.mark.parametrize(("workers", "end"), [(1, signal.SIGKILL), (2, signal.SIGKILL), (2, signal.SIGINT)])
def test_after_an_end_in_the_middle_only_what_is_missing_is_measured(
    workload: Workload, expected: list[Trial], tmp_path: Path, workers: int, end: signal.Signals
) -> None:
    script, cache = tmp_path / "run.py", tmp_path / "cache"
    script.write_text(RUN)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[2])])}
    command = [sys.executable, str(script), str(workload.folder), str(cache), str(workers)]
    run = subprocess.Popen(command, env=environment, start_new_session=True, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while len(list(cache.glob("[0-9a-f]*.json"))) < 3 and time.monotonic() < deadline:
        time.sleep(0.002)
    if end == signal.SIGINT:
        os.killpg(run.pid, end)  # as a terminal does: the workers get it too
    else:
        run.send_signal(end)
    said = run.communicate()[1].decode()
    assert run.returncode == -end
    assert said.count("Traceback") == (end == signal.SIGINT), said
    done = len(list(cache.glob("[0-9a-f]*.json")))
    assert 3 <= done < len(expected), "it ended in the middle"
    with open_executor() as executor:
        lab = Lab(workload, executor, cache)
        assert lab.measure(specs()) == expected
    assert (lab.cached, lab.ran) == (done, len(expected) - done)


def die_once(marker: str, folder: Path, spec: Spec, threads: int) -> Trial:
    if spec == specs()[5]:
        try:
            Path(marker).touch(exist_ok=False)
        except FileExistsError:
            pass
        else:
            os.kill(os.getpid(), signal.SIGKILL)
    return run_trial(folder, spec, threads)


def die_always(marker: str, folder: Path, spec: Spec, threads: int) -> Trial:
    if spec == specs()[5]:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_trial(folder, spec, threads)


class Deadly(Processes):
    """Processes that run another function than the one they are given."""

    def __init__(self, run: object, marker: Path) -> None:
        super().__init__(2)
        self._run, self._marker, self.sent = run, str(marker), 0

    def submit(self, fn, /, *args, **kwargs):  # type: ignore[no-untyped-def]  # the base class says what
        self.sent += 1
        return super().submit(self._run, self._marker, *args)  # type: ignore[arg-type]


def test_a_killed_process_loses_nothing(workload: Workload, expected: list[Trial], tmp_path: Path) -> None:
    with Deadly(die_once, tmp_path / "marker") as executor:
        lab = Lab(workload, executor, tmp_path / "cache")
        assert lab.measure(specs()) == expected
    assert (tmp_path / "marker").exists()
    assert lab.ran == len(expected) < executor.sent


def test_a_trial_that_always_kills_its_process_is_named(workload: Workload, tmp_path: Path) -> None:
    asked = specs()[:8]
    with Deadly(die_always, tmp_path / "marker") as executor:
        lab = Lab(workload, executor, tmp_path / "cache")
        with pytest.raises(ToolError, match=f"^Trial of {describe(asked[5])} ends its worker process every time.$"):
            lab.measure(asked)


def test_an_error_of_a_trial_names_it_and_the_others_are_kept(workload: Workload, tmp_path: Path) -> None:
    short = Spec(("float32",), "min_max")
    with open_executor() as executor:
        lab = Lab(workload, executor, tmp_path)
        with pytest.raises(UsageError, match=r"^Trial of setting 'min_max' with 1 float32: .*one precision per operator"):
            lab.measure([specs()[0], short])
    assert lab.ran == 1


def test_workers_are_counted_from_one() -> None:
    with pytest.raises(UsageError, match="workers=0"), open_executor(workers=0):
        pass


def test_processes_end_with_their_parent(tmp_path: Path) -> None:
    code = (
        "import os, sys, time\nfrom bridge.tune.processes import Processes\n"
        "if __name__ == '__main__':\n    print(Processes(1).submit(os.getpid).result(), flush=True)\n    time.sleep(60)\n"
    )
    (tmp_path / "run.py").write_text(code)
    run = subprocess.Popen(
        [sys.executable, str(tmp_path / "run.py")], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    )
    assert run.stdout is not None
    worker = int(run.stdout.readline())
    run.kill()
    run.wait()
    run.stdout.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{worker}").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not Path(f"/proc/{worker}").exists()
