"""Integer islands between float operators: merged where their borders cost more than they save."""

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from nets import INT8, Net, ops, precisions, quantized, ranges

from bridge.quantize.float_graph import graph_of
from bridge.quantize.islands import ALONE
from bridge.quantize.quantizer import quantize_graph

FLOAT = "float32"


def chain(folder: Path, *middle: str) -> Path:
    """Two convolutions with cheap operators between them."""
    net = Net()
    tensor = net.conv(net.input("x", 1, 8, 8, 3), "before", 1, 8, 8, 4)
    for position, op in enumerate(middle):
        tensor = net.op(op, [tensor], f"middle{position}", 1, 8, 8, 4)
    return net.save(folder / "net.tflite", net.conv(tensor, "after", 1, 8, 8, 4, channels=4))


@pytest.mark.parametrize("middle", [("RELU",), ("RELU", "ABS")])
@pytest.mark.parametrize("precision", [INT8, "static_wi8_ai16"])
def test_as_many_borders_as_operators_are_not_worth_it(middle: tuple[str, ...], precision: str, tmp_path: Path) -> None:
    made = quantized(chain(tmp_path, *middle), FLOAT, *[precision] * len(middle), FLOAT)
    assert ops(made.path) == ["CONV_2D", *middle, "CONV_2D"]
    assert all(outcome.reason == ALONE for outcome in made.ops[1:-1])


def test_an_island_that_is_shown_stays_whatever_was_known_of_the_file_without_it(tmp_path: Path) -> None:
    path = chain(tmp_path, "RELU")
    graph, known = graph_of(path), ranges(path)
    shown = replace(graph, outputs=(*graph.outputs, graph.ops[1].outputs[0]))
    made = [quantize_graph(one, where="net", ranges=known, op_precisions=[FLOAT, INT8, FLOAT])[1] for one in (graph, shown, graph)]
    assert [precisions(ops)[1] for ops in made] == [FLOAT, "int8", FLOAT]


def test_more_operators_than_borders_are_worth_it(tmp_path: Path) -> None:
    made = quantized(chain(tmp_path, "RELU", "ABS", "RELU6"), FLOAT, INT8, INT8, INT8, FLOAT)
    assert precisions(made.ops) == [FLOAT, "int8", "int8", "int8", FLOAT]


def test_an_operator_beside_another_on_integers_is_not_alone(tmp_path: Path) -> None:
    made = quantized(chain(tmp_path, "RELU"), INT8, INT8, FLOAT)
    assert precisions(made.ops) == ["int8", "int8", FLOAT]


def test_islands_of_both_integer_types_count_as_one(tmp_path: Path) -> None:
    made = quantized(chain(tmp_path, "RELU", "ABS"), INT8, "static_wi8_ai16", INT8, FLOAT)
    assert precisions(made.ops) == ["int8", "static_wi8_ai16", "int8", FLOAT]


def test_matrices_are_worth_any_border(tmp_path: Path) -> None:
    net = Net()
    tensor = net.op("FLOOR", [net.conv(net.input("x", 1, 8, 8, 3), "before", 1, 8, 8, 4)], "floor", 1, 8, 8, 4)
    path = net.save(tmp_path / "net.tflite", net.op("FLOOR", [net.conv(tensor, "conv", 1, 8, 8, 4, channels=4)], "after", 1, 8, 8, 4))
    assert precisions(quantized(path, FLOAT, FLOAT, INT8, FLOAT).ops) == [FLOAT, FLOAT, "int8", FLOAT]


def test_a_table_that_is_larger_than_what_is_read_of_it_stays_small(tmp_path: Path) -> None:
    net = Net()
    table = net.constant("table", np.random.default_rng(0).standard_normal((50, 4)).astype(np.float32))
    found = net.op("GATHER", [table, net.input("row", 1, dtype="int32")], "found", 1, 4, options=("GatherOptions", {}))
    path = net.save(tmp_path / "net.tflite", net.op("FLOOR", [found], "floor", 1, 4))
    assert precisions(quantized(path, INT8, FLOAT).ops) == ["int8", FLOAT]


def test_a_model_input_or_output_is_a_border_that_stays(tmp_path: Path) -> None:
    net = Net()
    relu = net.op("RELU", [net.input("x", 1, 8, 8, 3)], "relu", 1, 8, 8, 3)
    path = net.save(tmp_path / "net.tflite", net.op("ABS", [net.conv(relu, "conv", 1, 8, 8, 4)], "abs", 1, 8, 8, 4))
    assert precisions(quantized(path, INT8, FLOAT, INT8).ops) == ["int8", FLOAT, "int8"]
