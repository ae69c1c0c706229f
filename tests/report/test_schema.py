import json
import math
from pathlib import Path

import pytest

from bridge.errors import InputError
from bridge.report import schema
from bridge.report.schema import Report

SCHEMA_FILE = Path(schema.__file__).with_name("report.schema.json")
# Keys that other tools rely on.
KEYS = {
    "": "schema_version model versions precision artifacts inputs outputs rules nodes layers coverage cost calibration diagnostics timing_s peak_rss_mb verdict",
    "model": "path sha256 framework nodes",
    "outputs.0": "name sqnr_db cosine top1_agreement top1_float top1_quantized",
    "rules.0": "id file line matched near_misses",
    "nodes.0": "name op_type scope precision rule reason tflite_ops",
    "layers.0": "node tensor tflite_tensor permutation evidence status reason conversion_sqnr_db inherited_sqnr_db own_sqnr_db rmse_over_scale",
    "coverage": "nodes mapped explained",
    "cost": "float_ms quantized_ms quantize_ops dequantize_ops transpose_ops float_mac_share float_bytes quantized_bytes",
    "calibration": "samples source warnings",
    "diagnostics.0": "code severity node message hint",
    "verdict": "passed gates",
}


@pytest.mark.parametrize("where", KEYS)
def test_report_json_has_the_keys_that_other_tools_rely_on(report: Report, where: str) -> None:
    value = json.loads(report.to_json())
    for step in filter(None, where.split(".")):
        value = value[int(step)] if step.isdigit() else value[step]
    assert set(KEYS[where].split()) <= set(value)


def test_report_json_comes_back_as_the_same_report(report: Report) -> None:
    again = Report.from_json(report.to_json())
    assert again == report
    assert again.to_json() == report.to_json()


def test_infinity_and_nan_are_strings_in_json_and_floats_in_python(report: Report) -> None:
    output = report.outputs[0].model_copy(update={"sqnr_db": math.inf, "cosine": math.nan, "max_abs": -math.inf})
    text = report.model_copy(update={"outputs": (output,)}).to_json()
    row = json.loads(text, parse_constant=pytest.fail)["outputs"][0]
    assert (row["sqnr_db"], row["cosine"], row["max_abs"]) == ("inf", "nan", "-inf")
    again = Report.from_json(text).outputs[0]
    assert (again.sqnr_db, again.max_abs) == (math.inf, -math.inf)
    assert again.cosine is not None
    assert math.isnan(again.cosine)


def test_a_number_in_quotes_is_no_number(report: Report) -> None:
    with pytest.raises(InputError, match=r"outputs\.0\.sqnr_db: .*a number, or one of inf, -inf, nan\. Received: '24\.6'"):
        Report.from_json(report.to_json().replace('"sqnr_db": 24.6', '"sqnr_db": "24.6"'))


def test_keys_of_a_later_version_are_ignored(report: Report) -> None:
    assert Report.from_json(report.to_json().replace('"precision"', '"colour": "red", "precision"', 1)) == report


def test_a_report_of_another_schema_version_is_refused(report: Report) -> None:
    with pytest.raises(InputError, match=r"old\.json: schema_version: .* Received: '2'") as caught:
        Report.from_json(report.to_json().replace('"schema_version": 1', '"schema_version": 2'), where="old.json")
    assert "schema_version 1" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 1}', b"\xff\xfe"])
def test_what_is_no_report_is_refused_in_one_sentence(text: str | bytes) -> None:
    with pytest.raises(InputError, match=r"^report\.json: ") as caught:
        Report.from_json(text)
    assert "\n" not in caught.value.message


def test_every_node_and_layer_stands_on_a_line_of_its_own(report: Report) -> None:
    lines = report.to_json().splitlines()
    assert sum(line.startswith('{"name": ') and '"op_type"' in line for line in lines) == len(report.nodes)
    assert sum(line.startswith('{"node": ') and '"tflite_tensor"' in line for line in lines) == len(report.layers)


def test_the_committed_json_schema_is_current() -> None:
    assert SCHEMA_FILE.read_text() == schema.json_schema(), (
        f"run: python -c \"from bridge.report.schema import json_schema; print(json_schema(), end='')\" > {SCHEMA_FILE}"
    )


def test_the_json_schema_says_how_infinity_is_spelt() -> None:
    sqnr = json.loads(SCHEMA_FILE.read_text())["$defs"]["Output"]["properties"]["sqnr_db"]
    assert {"enum": ["inf", "-inf", "nan"]} in sqnr["anyOf"]
