"""Boxes and scores in one Concat: the check names it, and the rule that it gives restores the scores."""

import functools
import re
import tempfile
import tomllib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from detector import samples, save_detector

import bridge
from bridge.conversion_result import ConversionResult
from bridge.report import RENDERERS
from bridge.report.schema import Diagnostic
from bridge.tflite.interpreter import Interpreter

FOLDER = tempfile.TemporaryDirectory(prefix="bridge-test-")
INT8 = "static_wi8_ai8"


@functools.cache
def converted(*rules: str) -> ConversionResult:
    folder = Path(FOLDER.name)
    np.savez(folder / "data.npz", image=samples(24))
    target = folder / f"out{len(list(folder.glob('out*')))}"
    return bridge.convert(
        save_detector(folder / "detector.onnx"),
        calibration=folder / "data.npz",
        evaluation=folder / "data.npz",
        rules=rules,
        output_dir=target,
        layer_samples=2,
        threads=1,
    )


def found(result: ConversionResult) -> list[Diagnostic]:
    return [finding for finding in result.report.diagnostics if finding.code == "mismatched-scales"]


def scores_sqnr_db(result: ConversionResult) -> float:
    """Of the class scores alone, by hand: onnxruntime against the LiteRT interpreter."""
    session = onnxruntime.InferenceSession(Path(FOLDER.name) / "detector.onnx", providers=["CPUExecutionProvider"])
    interpreter, (binding,) = Interpreter(result.artifacts[INT8]), result.report.inputs
    signal = noise = 0.0
    for image in samples(24)[:, None]:
        (expected,) = session.run(None, {"image": image})
        (received,) = interpreter.run({binding.tflite_name: image.transpose(binding.permutation)})
        signal += float(np.square(expected[..., 4:].astype(np.float64)).sum())
        noise += float(np.square(expected[..., 4:].astype(np.float64) - received.reshape(expected.shape)[..., 4:]).sum())
    return float(10 * np.log10(signal / noise))


def pasted(rule: str) -> str:
    path = Path(FOLDER.name) / "mine.toml"
    path.write_text(f"schema_version = 1\n\n{rule}\n")
    return str(path)


def test_the_concat_is_named_with_what_the_scores_lose() -> None:
    result = converted("all-int8")
    assert scores_sqnr_db(result) < 5.0
    (finding,) = found(result)
    assert (finding.severity, finding.node) == ("warning", "head/concat")
    numbers = re.fullmatch(
        r"All inputs get one scale, which 'boxes' \(0 \.\. (\d+)\) needs: 'scores' \((.*) \.\. (.*)\) keeps (.*) dB, in a scale of its own (.*) dB\.",
        finding.message,
    )
    assert numbers is not None
    box, low, high, kept, alone = map(float, numbers.groups())
    assert 600 < box < 700
    assert low == pytest.approx(0.0, abs=0.01)
    assert high == pytest.approx(1.0, abs=0.01)
    assert kept < 5.0 < 45.0 < alone


def test_the_rule_that_it_gives_restores_the_scores_and_leaves_the_layers_in_int8() -> None:
    (finding,) = found(converted("all-int8"))
    (rule,) = tomllib.loads(finding.rule)["rules"]
    assert rule["id"] == "mismatched-scales-head-concat"
    assert [condition["glob"] for condition in rule["match"][0]["conditions"]] == ["head/concat", "head/reshape"]
    result = converted("all-int8", pasted(finding.rule))
    assert scores_sqnr_db(result) > 30.0
    assert found(result) == []
    precisions = {node.name: node.precision for node in result.report.nodes}
    assert {precisions[name] for name in ("trunk/conv", "box/conv", "score/conv", "score/sigmoid")} == {INT8}
    assert {precisions[name] for name in ("head/concat", "head/reshape")} == {"float32"}


def test_the_default_pack_keeps_the_scores_by_itself() -> None:
    result = converted("default")
    assert scores_sqnr_db(result) > 30.0
    assert found(result) == []
    rules = {node.name: node.rule for node in result.report.nodes}
    assert rules["head/concat"] == "own-error"
    assert rules["box/conv"] is None


def test_every_format_shows_the_rule() -> None:
    result = converted("all-int8")
    (finding,) = found(result)
    folder = result.output_dir
    assert all(line in (folder / "report.md").read_text() for line in finding.rule.splitlines())
    assert "mismatched-scales-head-concat" in (folder / "report.html").read_text()
    assert finding.rule.splitlines()[1] in RENDERERS["terminal"].render(result.report)
