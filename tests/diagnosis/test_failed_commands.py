"""What a failed command prints: one sentence, a hint, codes, and with --json the findings."""

import json
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from bridge import cli, supervised
from bridge.calibrate.dataset import from_arrays
from bridge.errors import InputError, ToolError, noted
from bridge.findings import Diagnostic
from bridge.inspect import finding_table
from bridge.types import TensorSpec

MODEL = Path(__file__).parents[2] / "models" / "digits_cnn_bn_silu"
PICTURE = TensorSpec("x", (1, 3, 8, 8), "float32")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def test_a_refused_model_gives_its_findings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17, "my" : 1]> g (float[2] x) => (float[2] y) { a = Relu(x) b = Relu(a) [odd] y = my.Odd(b) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    for command in (("inspect",), ("convert", "-o", tmp_path / "out")):
        assert run(command[0], tmp_path / "m.onnx", *command[1:], "--json") == 3
        captured = capsys.readouterr()
        told = json.loads(captured.out)
        assert told["error"]["code"] == "foreign-domain"
        assert told["error"]["exit_code"] == 3
        assert [(one["code"], one["severity"], one["node"]) for one in told["diagnostics"]] == [("foreign-domain", "error", "odd")]
        assert "`--to b` takes 2 of the 3 nodes" in told["diagnostics"][0]["hint"]
        assert "more: bridge findings foreign-domain" in captured.err
    assert run("inspect", tmp_path / "m.onnx") == 3
    assert capsys.readouterr().out == ""


def test_what_was_found_before_the_failure_is_told_with_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17]> g (float[N,3,H,W] x) => (float[N,3,H,W] y) { y = Relu(x) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    np.savez(tmp_path / "wrong.npz", y=np.zeros((20, 3, 8, 8), np.float32))
    arguments = ("convert", tmp_path / "m.onnx", "--input", "x=1x3x8x8", "-o", tmp_path / "out", "--json")
    assert run(*arguments, "--calibration", tmp_path / "wrong.npz") == 2
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["diagnostics"]] == ["data-missing-input"]
    error = InputError("m", code="data-shape")
    with pytest.raises(InputError), noted([Diagnostic("free-dimension", "warning", "Input 'x' was fixed to [1, 3, 1, 1].")]):
        raise error
    assert [finding.code for finding in error.findings] == ["data-shape", "free-dimension"]
    error.advise("Or so.")
    assert [finding.hint for finding in error.findings] == ["Or so.", ""]


@pytest.mark.parametrize(
    ("raised", "code", "ends", "said"),
    [
        pytest.param(
            RuntimeError("boom"), "internal-error", 1, "bridge itself failed: RuntimeError: boom", marks=pytest.mark.provokes("internal-error")
        ),
        pytest.param(
            OSError(28, "No space left on device", "r.json"), "file-system", 2, "r.json: No space", marks=pytest.mark.provokes("file-system")
        ),
        pytest.param(MemoryError(), "out-of-memory", 2, "not enough memory", marks=pytest.mark.provokes("out-of-memory")),
    ],
)
def test_what_is_not_the_models_fault_has_a_code_too(
    raised: Exception, code: str, ends: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise raised

    monkeypatch.setattr(sys.modules["bridge.inspect.overview"], "open_model", broken)
    assert run("inspect", MODEL / "model.onnx", "--json") == ends
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["code"] == code
    assert said in captured.err
    assert ("Traceback" in captured.err) == (code == "internal-error")


@pytest.mark.provokes("library-crashed")
def test_a_crash_of_a_library_is_an_error_with_a_code() -> None:
    with pytest.raises(ToolError, match="bridge ended by SIGSEGV: a native library crashed") as caught:
        supervised._exit_code(-11, asked_to_end=False)
    assert (caught.value.code, caught.value.exit_code) == ("library-crashed", 4)
    assert supervised._exit_code(-15, asked_to_end=True) == 143
    assert supervised._exit_code(3, asked_to_end=False) == 3


@pytest.mark.provokes("output-folder")
def test_a_folder_of_somebody_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    assert run("convert", MODEL / "model.onnx", "-o", tmp_path, "--json") == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "output-folder"


@pytest.mark.provokes("data-dtype")
def test_float64_data_for_a_float32_input() -> None:
    with pytest.raises(InputError, match=r"'x' must be float32. Received: float64\.") as caught:
        from_arrays({"x": np.zeros((100, 3, 8, 8))}, [PICTURE], source="calib.npz")
    assert (caught.value.code, "astype(numpy.float32)" in caught.value.hint) == ("data-dtype", True)


@pytest.mark.provokes("data-shape")
def test_nhwc_data_for_an_nchw_model() -> None:
    with pytest.raises(InputError, match=r"Received: \[100, 8, 8, 3\]") as caught:
        from_arrays({"x": np.zeros((100, 8, 8, 3), np.float32)}, [PICTURE], source="calib.npz")
    assert "looks like NHWC data for an NCHW input: save 'x' as array.transpose(0, 3, 1, 2)" in caught.value.hint


def test_findings_are_explained_and_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("findings", "samples-alike") == 0
    text = capsys.readouterr().out
    assert text.startswith("samples-alike (warning): ")
    assert "  cure     " in text
    assert run("findings", "sample-alike") == 2
    assert "did you mean 'samples-alike'?" in capsys.readouterr().err
    assert run("findings") == 0
    assert len(capsys.readouterr().out.splitlines()) > len(finding_table.finding_table())
    assert run("findings", "--json") == 0
    assert {one["code"] for one in json.loads(capsys.readouterr().out)} == {kind.code for kind in finding_table.finding_table()}
