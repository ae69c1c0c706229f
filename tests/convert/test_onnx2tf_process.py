import contextlib
import shlex
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import onnx.parser
import psutil
import pytest

import bridge
from bridge import ahead
from bridge.convert import onnx2tf_process
from bridge.convert.onnx2tf_process import Onnx2tfOptions
from bridge.errors import ToolError, UsageError

MODEL = '<ir_version: 8, opset_import: ["" : 17]> g (float[1, 4] x) => (float[1, 4] y) { z = Relu (x) y = Softmax (z) }'


def run_script(script: str, folder: Path, monkeypatch: pytest.MonkeyPatch, *, timeout_s: float = 60.0, memory_limit_mb: int = 0) -> Path:
    monkeypatch.setenv(ahead.COMMAND_VARIABLE, shlex.join([sys.executable, "-c", script]))
    model = folder / "work" / "model.onnx"
    model.parent.mkdir()
    model.write_bytes(b"onnx")
    options = Onnx2tfOptions(folder / "onnx2tf.log", timeout_s=timeout_s, memory_limit_mb=memory_limit_mb)
    return onnx2tf_process.run(model, keep_inputs=("x",), options=options)


def test_the_file_it_writes_is_returned_and_what_it_prints_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = "import sys, pathlib; a = sys.argv; print(a); f = pathlib.Path(a[a.index('-o') + 1]); f.mkdir(); (f / 'model_float32.tflite').write_bytes(b'T')"
    assert run_script(script, tmp_path, monkeypatch).read_bytes() == b"T"
    assert "'-kat', 'x'" in (tmp_path / "onnx2tf.log").read_text()


def test_a_failure_names_the_exit_code_the_last_words_and_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match=r"exit code 3 and wrote no file: .*the cause") as caught:
        run_script("import sys; print('the cause'); sys.exit(3)", tmp_path, monkeypatch)
    assert "onnx2tf.log" in caught.value.hint


def test_success_without_a_file_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="exit code 0 and wrote no file"):
        run_script("pass", tmp_path, monkeypatch)


@pytest.mark.provokes("onnx2tf-failed")
def test_a_crash_names_the_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="killed by signal SIGSEGV"):
        run_script("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", tmp_path, monkeypatch)


@pytest.mark.provokes("onnx2tf-timeout")
def test_the_time_limit_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match=r"did not finish within 0\.5 s"):
        run_script("import time; time.sleep(60)", tmp_path, monkeypatch, timeout_s=0.5)


def test_the_memory_limit_stops_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ToolError, match="MemoryError"):
        run_script("import time; time.sleep(0.5); bytearray(2 << 30)", tmp_path, monkeypatch, memory_limit_mb=1024)


def test_a_command_of_another_environment_converts_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command is a program of its own, with arguments; here it hands over to the onnx2tf that is installed."""
    program = tmp_path / "other environment"
    program.write_text(f'#!/bin/sh\necho started with "$1" >&2\nshift\nexec {shlex.quote(sys.executable)} -m onnx2tf "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv(ahead.COMMAND_VARIABLE, f"{shlex.quote(str(program))} --quick")
    onnx.save_model(onnx.parser.parse_model(MODEL), tmp_path / "net.onnx")
    result = bridge.convert(tmp_path / "net.onnx", precision="float32", output_dir=tmp_path / "out", compare=False)
    assert result.report.versions["onnx2tf"] == f"{shlex.quote(str(program))} --quick"
    assert "started with --quick" in (tmp_path / "out" / "onnx2tf.log").read_text()
    assert result.artifacts["float32"].is_file()


def test_a_program_that_may_not_be_run_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "onnx2tf"
    program.write_text("#!/bin/sh\n")
    monkeypatch.setenv(ahead.COMMAND_VARIABLE, str(program))
    with pytest.raises(UsageError, match="Permission denied") as caught:
        onnx2tf_process.run(tmp_path / "model.onnx", keep_inputs=(), options=Onnx2tfOptions(tmp_path / "log"))
    assert caught.value.hint == "Check BRIDGE_ONNX2TF."


def test_a_command_with_an_open_quote_is_a_usage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ahead.COMMAND_VARIABLE, "'uvx onnx2tf")
    with pytest.raises(UsageError, match="BRIDGE_ONNX2TF cannot be read: No closing quotation"):
        onnx2tf_process.command()


def test_a_command_that_does_not_exist_is_a_usage_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ahead.COMMAND_VARIABLE, "/no/such/command")
    with pytest.raises(UsageError, match="cannot be started as /no/such/command"):
        onnx2tf_process.run(tmp_path / "model.onnx", keep_inputs=(), options=Onnx2tfOptions(tmp_path / "log"))


@pytest.mark.provokes("missing-package")
def test_without_onnx2tf_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ahead.COMMAND_VARIABLE, raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(UsageError, match="onnx2tf is not installed") as caught:
        onnx2tf_process.command()
    assert onnx2tf_process.INSTALL_COMMAND in caught.value.hint


def test_a_python_that_waits_runs_the_module_as_a_new_one_would(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ahead.COMMAND_VARIABLE, raising=False)
    run = Mock(wraps=ahead.run)
    monkeypatch.setattr(ahead, "run", run)
    logs = []
    for name in ("waits", "new"):
        (tmp_path / name).mkdir()
        onnx.save_model(onnx.parser.parse_model(MODEL), tmp_path / name / "model.onnx")
        log = tmp_path / f"{name}.log"
        with contextlib.nullcontext() if name == "new" else ahead.started("model.onnx"):
            written = onnx2tf_process.run(tmp_path / name / "model.onnx", keep_inputs=(), options=Onnx2tfOptions(log))
        logs.append((written.read_bytes(), log.read_text().splitlines()[0].replace(str(tmp_path / name), "")))
    assert logs[0] == logs[1]
    run.assert_called_once()
    assert (
        (tmp_path / "waits" / "onnx2tf" / "schema_generated.py").stat().st_size
        < 100
        < (tmp_path / "new" / "onnx2tf" / "schema_generated.py").stat().st_size
    )
    assert "it/s" not in (tmp_path / "waits.log").read_text()


def test_what_waits_ends_with_the_block_or_with_us(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ahead.COMMAND_VARIABLE, raising=False)
    with ahead.started("model.tflite"):
        assert ahead.take() is None
    others = set(psutil.Process().children())  # of other tests, such as Python's tracker of shared memory
    with ahead.started("model.onnx"):
        (process,) = set(psutil.Process().children()) - others
    assert not process.is_running()
    script = "from bridge import ahead; ahead.start('a.onnx'); print(ahead._waiting[0].pid, flush=True); import os; os._exit(0)"
    pid = int(subprocess.run([sys.executable, "-c", script], capture_output=True, check=True, cwd=tmp_path).stdout)
    with contextlib.suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(30)


def test_one_that_has_ended_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ahead.COMMAND_VARIABLE, raising=False)
    onnx.save_model(onnx.parser.parse_model(MODEL), tmp_path / "model.onnx")
    with ahead.started("model.onnx"):
        ahead._waiting[0].kill()
        ahead._waiting[0].wait()
        assert onnx2tf_process.run(tmp_path / "model.onnx", keep_inputs=(), options=Onnx2tfOptions(tmp_path / "log")).is_file()
