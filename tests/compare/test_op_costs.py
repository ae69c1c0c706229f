from pathlib import Path

import numpy as np
import pytest
from two_layers import B1, SAMPLES, W1, H, X, int8_file, layer_in_int8, stored

from bridge.compare import op_costs as module
from bridge.compare.op_costs import Conversion, op_costs, single
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter

OWNERS = {1: "first", 2: "second"}


def test_an_operator_alone_computes_what_it_does_inside(tmp_path: Path) -> None:
    path = int8_file(tmp_path)
    runner = Interpreter(single(tflite.read(path), 1))
    assert [spec.name for spec in runner.inputs] == ["x_int8"]
    fed = stored(SAMPLES[0], X).astype(np.int8)
    np.testing.assert_array_equal(runner.run({"x_int8": fed})[0], layer_in_int8(fed.astype(float), W1, B1, X, H))


def test_the_model_is_left_as_it_is(tmp_path: Path) -> None:
    model = tflite.read(int8_file(tmp_path))
    before = tflite.serialize(model)
    op_costs(model, OWNERS)
    assert tflite.serialize(model) == before


def test_every_operator_is_counted_by_name_and_type_and_shares_add_up(tmp_path: Path) -> None:
    found = op_costs(tflite.read(int8_file(tmp_path)), OWNERS)
    assert {(row.op, row.type, row.count) for row in found.operators} == {
        ("FULLY_CONNECTED", "INT8", 2),
        ("QUANTIZE", "INT8", 1),
        ("DEQUANTIZE", "FLOAT32", 1),
    }
    assert all(row.alone_ms is not None and row.alone_ms >= 0.0 for row in found.operators)
    assert {row.node for row in found.busiest} == {"first", "second"}


def test_times_are_summed_by_operator_and_by_node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_times", lambda model: {0: 1.0, 1: 4.0, 2: 2.0, 3: 1.0})
    found = op_costs(tflite.read(int8_file(tmp_path)), OWNERS)
    assert [(row.op, row.alone_ms, row.share) for row in found.operators] == [
        ("FULLY_CONNECTED", 6.0, 0.75),
        ("QUANTIZE", 1.0, 0.125),
        ("DEQUANTIZE", 1.0, 0.125),
    ]
    assert [(row.node, row.ops, row.alone_ms, row.share) for row in found.busiest] == [
        ("first", ("FULLY_CONNECTED",), 4.0, 0.5),
        ("second", ("FULLY_CONNECTED",), 2.0, 0.25),
    ]
    assert set(found.conversions) == {Conversion("QUANTIZE", "", ("first",), 4, 1.0), Conversion("DEQUANTIZE", "second", (), 2, 1.0)}


def test_equal_operators_are_measured_once_and_none_after_the_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = tflite.read(int8_file(tmp_path))
    main = tflite.main_graph(model)
    main.operators = [*main.operators, *main.operators]
    measured: list[bytes] = []

    def fake(content: bytes) -> float:
        measured.append(content)
        return 2.0 if len(measured) == 1 else 5.0

    monkeypatch.setattr(module, "_alone_ms", fake)
    found = {(row.op, row.count, row.alone_ms) for row in op_costs(model, {}).operators}
    assert found == {("FULLY_CONNECTED", 4, 12.0), ("QUANTIZE", 2, 6.0), ("DEQUANTIZE", 2, 6.0)}
    assert len(measured) == 1 + 4  # the call alone, then two layers and two conversions
    monkeypatch.setattr(module, "BUDGET_S", -1.0)
    assert {row.alone_ms for row in op_costs(model, {}).operators} == {None}
