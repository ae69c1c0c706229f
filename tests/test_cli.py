"""The user's own door: `main(argv)`, what it prints, how it ends, what it leaves behind."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from ai_edge_litert.interpreter import Interpreter

from bridge.cli import main

MODEL = Path(__file__).parents[1] / "models" / "digits_cnn_bn_silu"
(INPUT,) = onnx.load(MODEL / "model.onnx").graph.input
NAME = INPUT.name
OUTPUT = onnx.load(MODEL / "model.onnx").graph.output[0].name
SHAPE = tuple(size.dim_value for size in INPUT.type.tensor_type.shape.dim)[1:]


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return int(ended.value.code or 0)


def save(path: Path, value: np.ndarray, *, name: str = NAME) -> Path:
    np.savez(path, **{name: value})  # type: ignore[arg-type]  # savez takes arrays by name
    return path


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def idle_rule(folder: Path) -> Path:
    match = '[{ kind = "name", glob = "no/such/node" }]'
    text = f'schema_version = 1\n[[rules]]\nid = "none"\nreason = "r"\nmatch = {match}\nprecision = "float32"\n'
    return written(folder / "idle.toml", text.encode())


# Options of a `convert` that cannot work, in place of the good ones, and what the message has to name.
CASES: dict[str, tuple[Callable[[Path], dict[str, object]], str]] = {
    "missing model": (lambda folder: {"model": folder / "nothing.onnx"}, "there is no such file"),
    "truncated model": (lambda folder: {"model": written(folder / "half.onnx", (MODEL / "model.onnx").read_bytes()[:70_000])}, "half.onnx"),
    "text file": (lambda folder: {"model": written(folder / "text.onnx", b"This is no model.\n" * 10)}, "text.onnx"),
    "missing data": (lambda folder: {"--calibration": folder / "nothing.npz"}, "nothing.npz"),
    "wrong shape": (lambda folder: {"--calibration": save(folder / "shape.npz", np.zeros((4, *SHAPE, 2), np.float32))}, "shape.npz"),
    "wrong dtype": (lambda folder: {"--calibration": save(folder / "dtype.npz", np.zeros((4, *SHAPE), np.float64))}, "float64"),
    "wrong name": (lambda folder: {"--calibration": save(folder / "name.npz", np.zeros((4, *SHAPE), np.float32), name="nobody")}, "nobody"),
    "unwritable folder": (lambda folder: {"--output": written(folder / "file", b"") / "out"}, "cannot write there"),
    "other files in the folder": (lambda folder: {"--output": written(folder / "full" / "mine.txt", b"keep").parent}, "holds other files"),
    "idle rule": (lambda folder: {"--rules": idle_rule(folder)}, "none"),
    "unknown pack": (lambda _: {"--rules": "defualt"}, "'defualt' is neither a rule pack nor a file"),
    "bad gate": (lambda _: {"--gate": "snr>=3"}, "snr"),
    "unknown metric": (lambda _: {"--metric": "top2"}, "There is no metric 'top2'"),
    "gate without its metric": (lambda _: {"--gate": "metric:top1>=0.9"}, "A gate asks for the metric 'top1'"),
    "metric without truth": (lambda _: {"--metric": "top1"}, "have none"),
    "bad input shape": (lambda _: {"--input": f"{NAME}=1xax3"}, "not a name and a shape"),
    "unknown precision": (lambda _: {"--precision": "int7"}, "int7"),
}


@pytest.mark.parametrize("case", CASES)
def test_what_cannot_work_ends_with_2_a_sentence_and_nothing_written(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options, named = CASES[case]
    arguments = {"model": MODEL / "model.onnx", "--calibration": MODEL / "calibration.npz", "--output": tmp_path / "out"} | options(tmp_path)
    before = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*"))
    assert run("convert", arguments.pop("model"), *(part for option in arguments.items() for part in option)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert named in captured.err
    assert "hint: " in captured.err
    assert "Traceback" not in captured.err
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == before


def test_an_operator_that_tflite_does_not_have_ends_with_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = '<ir_version: 8, opset_import: ["" : 17, "mine" : 1]> g (float[1,4] x) => (float[1,4] y) { a = mine.Magic(x) y = mine.Other(a) }'
    onnx.save(onnx.parser.parse_model(text), tmp_path / "m.onnx")
    assert run("convert", tmp_path / "m.onnx", "-o", tmp_path / "out") == 3
    message = capsys.readouterr().err
    assert "Magic" in message
    assert "Other" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.provokes("evaluation-held-out")
def test_a_failing_converter_ends_with_4_and_leaves_its_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BRIDGE_ONNX2TF", "sh -c 'echo broken; exit 9'")
    assert run("convert", MODEL / "model.onnx", "--calibration", MODEL / "calibration.npz", "-o", tmp_path / "out") == 4
    message = capsys.readouterr().err
    assert "exit code 9" in message
    assert "broken" in message
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["onnx2tf.log"]
    assert run("convert", MODEL / "model.onnx", "--calibration", MODEL / "calibration.npz", "-o", tmp_path / "out") == 4  # not refused for the log


@pytest.mark.provokes("baseline-differs")
def test_a_missed_gate_ends_with_5_after_the_report_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--calibration", MODEL / "calibration.npz", "--evaluation", MODEL / "evaluation.npz", "--layer-samples", 2]
    earlier = {"model": {"path": "m", "sha256": "0", "framework": "onnx", "nodes": 0}, "coverage": {"nodes": 0, "mapped": 0, "explained": 0}}
    earlier |= {"versions": {}, "precision": "float32", "artifacts": {}, "inputs": [], "outputs": [{"name": OUTPUT, "sqnr_db": 79.0}]}
    (tmp_path / "earlier.json").write_text(json.dumps(earlier | {"rules": [], "nodes": [], "layers": []}))
    held_to = [
        "--metric",
        "top1",
        "--metric",
        "top5",
        "--gate",
        "metric:top1>=0 and metric:top5:drop<=1",
        "--gate",
        "sqnr>=200",
        "--gate",
        "sqnr>=0",
        "--baseline",
        tmp_path / "earlier.json",
        "--tolerance",
        "sqnr=2",
    ]
    assert run("convert", MODEL / "model.onnx", *data, "-o", tmp_path / "out", *held_to, "--json") == 5
    report = json.loads(capsys.readouterr().out)
    assert report["verdict"]["passed"] is False
    _assert_top1_is_that_of_both_runtimes(report, tmp_path / "out" / "model.static_wi8_ai8.tflite")
    missed = [gate["expression"] for gate in report["verdict"]["gates"] if not gate["passed"]]
    assert missed == ["sqnr>=200", "baseline: SQNR lost by an output <= 2 dB"]
    assert "baseline-differs" in {finding["code"] for finding in report["diagnostics"]}
    assert json.loads((tmp_path / "out" / "report.json").read_text()) == report
    made = tmp_path / "out" / "model.static_wi8_ai8.tflite"
    assert run("compare", MODEL / "model.onnx", made, "--data", MODEL / "evaluation.npz", "--metric", "top1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["task_metrics"] == report["task_metrics"][:1]


def _assert_top1_is_that_of_both_runtimes(report: dict[str, Any], path: Path) -> None:
    with np.load(MODEL / "evaluation.npz") as data:
        values, labels = data[NAME].reshape(-1, 1, *SHAPE), data["labels"]
    session = onnxruntime.InferenceSession(MODEL / "model.onnx", providers=["CPUExecutionProvider"])
    expected = np.mean([session.run(None, {NAME: value})[0].argmax() == label for value, label in zip(values, labels, strict=True)])
    lite = Interpreter(str(path))
    lite.allocate_tensors()
    (taken,), (given,) = lite.get_input_details(), lite.get_output_details()
    hits = []
    for value, label in zip(values, labels, strict=True):
        lite.set_tensor(taken["index"], value.transpose(0, *report["inputs"][0]["permutation"][1:]))
        lite.invoke()
        hits.append(lite.get_tensor(given["index"]).argmax() == label)
    top1, top5 = report["task_metrics"]
    assert (top1["float_value"], top1["value"], top1["samples"]) == (pytest.approx(expected), pytest.approx(np.mean(hits)), len(labels))
    assert top1["drop"] == pytest.approx(expected - np.mean(hits))
    assert top5["value"] >= top1["value"]


def test_without_data_the_summary_says_not_for_deployment(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", MODEL / "model.onnx", "-o", tmp_path / "out") == 0
    assert "not for deployment" in capsys.readouterr().out.lower()


def test_inspect_names_patterns_rules_and_operators(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("inspect", MODEL / "model.onnx") == 0
    text = capsys.readouterr().out
    assert "silu" in text
    assert "Conv" in text
    assert run("inspect", MODEL / "model.onnx", "--json") == 0
    json.loads(capsys.readouterr().out)


def test_rules_commands(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("rules", "list") == 0
    assert "all-int8" in capsys.readouterr().out
    assert run("rules", "check", "default") == 0
    assert run("rules", "explain", MODEL / "model.onnx", "**") == 0
    assert "swish-family" in capsys.readouterr().out
    (tmp_path / "bad.toml").write_text('schema_version = 1\n[[rules]]\nidd = "x"\n')
    assert run("rules", "check", tmp_path / "bad.toml") == 2
    assert "unknown key 'idd', did you mean 'id'?" in capsys.readouterr().out
    assert run("rules", "schema") == 0
    assert json.loads(capsys.readouterr().out)["title"]


def test_rules_commands_print_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def printed(*arguments: object) -> list[dict[str, object]]:
        run("rules", *arguments, "--json")
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)
        return found

    mine = tmp_path / "mine.toml"
    rule = '[[rules]]\nid = "{}"\nreason = "r"\nmatch = [{{ kind = "{}", {} }}]\nprecision = "float32"\n'
    mine.write_text("schema_version = 1\n" + rule.format("convs", "op_type", 'op_types = ["Conv"]') + rule.format("all", "name", 'glob = "**"'))
    assert {"default", "transformer", "detection-head"} <= {pack["name"] for pack in printed("list")}
    (found,) = printed("check", mine)
    assert (found["code"], found["severity"]) == ("rule-unreachable", "warning")
    explained = printed("explain", MODEL / "model.onnx", "--rules", mine)
    assert {one["decision"]["rule"] for one in explained} == {"all"}  # type: ignore[index]  # a dataclass as JSON
    convs = [one for one in explained if one["op_type"] == "Conv"]
    assert convs
    assert all({"id": "convs", "file": str(mine), "line": 2, "action": "float32"} in one["overridden"] for one in convs)  # type: ignore[operator]  # likewise


def test_an_unknown_option_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("convert", "--nope") == 2
    assert "No such option" in capsys.readouterr().err


@pytest.mark.parametrize("text", ["axes", "axes=[1,", "=3"])
def test_a_constant_that_is_no_name_and_value_is_refused(text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["convert", str(tmp_path / "model.onnx"), "--constant", text])
    assert ended.value.code == 2
    assert "not a name and a value" in " ".join(capsys.readouterr().err.split())
