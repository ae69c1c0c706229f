from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from test_outputs import Data
from two_layers import BINDINGS, SAMPLES, float_file, int8_file, onnx_model, tensor_map

from bridge.beside import Beside
from bridge.compare import Compared, Early, OnnxRunner, candidate, compare_files, early, outputs
from bridge.errors import ToolError
from bridge.tflite.interpreter import Interpreter


def compared(folder: Path, samples: Data, known: Early | None, runner: OnnxRunner) -> object:
    files = Compared(int8_file(folder), float_file(folder), tensor_map())
    return compare_files(runner, replace(files, early=known), samples, threads=2, progress=lambda _: None)


@pytest.mark.parametrize("room", [1 << 20, 30])
def test_the_comparison_finds_the_same_whatever_ran_before_it(room: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early, "KEPT_BYTES", room)
    samples, runner = Data(SAMPLES), OnnxRunner(onnx_model())
    with Beside(wanted=True) as beside:
        begun = Early(samples, beside)
        begun.start_reference(runner)
        begun.start_float_file(candidate(float_file(tmp_path), BINDINGS))
        beside.start(lambda: None)()  # both have ended
        known = begun.known()
        assert (len(known.expected), len(known.first)) == ((20, 20) if room > 30 else (4, 0))
        assert compared(tmp_path, samples, begun, runner) == compared(tmp_path, samples, None, runner)
    assert known.expected == {}


def test_what_ran_before_holds_no_memory_of_onnxruntime_and_opens_no_float_file_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def open_one(path: Path) -> Interpreter:
        opened.append(path)
        return Interpreter(path)

    monkeypatch.setattr(outputs, "Interpreter", open_one)
    with Beside(wanted=True) as beside:
        begun = Early(Data(SAMPLES), beside)
        begun.start_reference(OnnxRunner(onnx_model()))
        begun.start_float_file(candidate(float_file(tmp_path), BINDINGS))
        beside.start(lambda: None)()  # both have ended
        assert all(value.flags.owndata for values in begun.known().expected.values() for value in values.values())
        compared(tmp_path, Data(SAMPLES), begun, OnnxRunner(onnx_model()))
    assert opened
    assert set(opened) == {int8_file(tmp_path)}


def test_a_run_that_fails_before_the_comparison_fails_in_it(tmp_path: Path) -> None:
    class Fails(OnnxRunner):
        def outputs_only(self, *, threads: int) -> "Fails":
            return Fails(onnx_model(), threads=threads, intermediates=False)

        def run(self, feeds: Mapping[str, np.ndarray], tensors: Iterable[str] | None = None) -> Mapping[str, np.ndarray]:
            if np.array_equal(feeds["x"], SAMPLES[3]):
                raise ToolError("the fourth sample")
            return super().run(feeds, tensors)

    with Beside(wanted=True) as beside:
        begun = Early(Data(SAMPLES), beside)
        begun.start_reference(Fails(onnx_model()))
        with pytest.raises(ToolError, match="the fourth sample"):
            compared(tmp_path, Data(SAMPLES), begun, Fails(onnx_model()))
