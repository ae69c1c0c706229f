from typing import Any

import pytest
from msgspec.structs import replace

from bridge.errors import UsageError
from bridge.quantize import OPS
from bridge.report.build import build
from bridge.report.node_rows import MOVING
from bridge.report.schema import Node, Report


def _node(report: Report, name: str) -> Node:
    return next(node for node in report.nodes if node.name == name)


def test_every_node_of_the_users_file_has_a_row_in_its_order(report: Report, stages: dict[str, Any]) -> None:
    assert [node.name for node in report.nodes] == [node.name for node in stages["graph"].source_nodes]


def test_a_fused_node_shows_the_precision_and_the_rule_of_the_node_that_stands_for_it(report: Report) -> None:
    mean = _node(report, "ln/mean")
    assert (mean.precision, mean.rule, mean.into, mean.tflite_ops) == ("float32", "layer-norm", "ln/div", ("MEAN", "SUB"))
    assert (mean.status, mean.status_reason, mean.reason) == ("fused", "part of layer_norm", "Per-token variance collapses in int8.")


def test_precision_is_what_the_file_holds_not_what_was_planned(report: Report) -> None:
    gelu = _node(report, "gelu")
    assert (gelu.precision, gelu.requested, gelu.rule, gelu.reason) == ("float32", "static_wi8_ai8", None, "no int8 kernel for GELU")


def test_a_node_with_int8_and_float_ops_is_mixed_and_lists_them(report: Report) -> None:
    softmax = _node(report, "softmax")
    assert softmax.precision == "mixed"
    assert list(zip(softmax.tflite_ops, softmax.tflite_precisions, strict=True)) == [("SUB", "float32"), ("SOFTMAX", "static_wi8_ai8")]


def test_a_node_inside_another_nodes_op_shows_that_op(report: Report) -> None:
    assert (_node(report, "relu").precision, _node(report, "relu").tflite_ops) == ("static_wi8_ai8", ("CONV_2D",))


def test_a_node_without_any_op_has_no_precision_but_a_reason(report: Report) -> None:
    assert (_node(report, "flat").precision, _node(report, "flat").reason) == (None, "no operator of the TFLite file belongs to it")
    assert (_node(report, "shape").precision, _node(report, "shape").reason) == (None, "the shape is fixed")


def test_an_op_that_the_quantizer_removed_does_not_make_a_node_mixed(stages: dict[str, Any]) -> None:
    quantized = stages["quantized"]
    ops = tuple(replace(op, quantized_index=None) if op.op == "SUB" and op.reason else op for op in quantized.ops)
    report = build(**(stages | {"quantized": replace(quantized, ops=ops)}))
    assert _node(report, "softmax").precision == "static_wi8_ai8"


def test_an_op_that_only_moves_data_does_not_make_a_node_mixed(stages: dict[str, Any]) -> None:
    quantized = stages["quantized"]
    ops = tuple(replace(op, op="RESHAPE", reason="moves data") if op.op == "SUB" and op.reason else op for op in quantized.ops)
    softmax = _node(build(**(stages | {"quantized": replace(quantized, ops=ops)})), "softmax")
    assert (softmax.precision, softmax.reason, softmax.tflite_ops) == ("static_wi8_ai8", "the default precision", ("RESHAPE", "SOFTMAX"))


def test_a_node_that_only_moves_data_has_the_precision_of_its_ops(stages: dict[str, Any]) -> None:
    quantized = stages["quantized"]
    ops = tuple(replace(op, op="RESHAPE") if op.op == "GELU" else op for op in quantized.ops)
    assert _node(build(**(stages | {"quantized": replace(quantized, ops=ops)})), "gelu").precision == "float32"


def test_the_ops_that_only_move_data_are_those_of_the_op_table() -> None:
    assert {row.name for row in OPS.values() if row.moves_data} == MOVING


def test_coverage_splits_nodes_into_mapped_explained_and_the_rest(report: Report) -> None:
    assert (report.coverage.nodes, report.coverage.mapped, report.coverage.explained) == (11, 7, 4)


@pytest.mark.parametrize(("status", "reason"), [("missing", "no TFLite tensor has its values"), ("fused", "")])
def test_a_tensor_that_is_missing_or_has_no_reason_is_not_explained(stages: dict[str, Any], status: Any, reason: str) -> None:
    layers = tuple(replace(layer, status=status, reason=reason) if layer.tensor == "conv_out" else layer for layer in stages["layers"])
    assert build(**(stages | {"layers": layers})).coverage.explained == 3


def test_a_tensor_nobody_reported_on_still_has_a_row(stages: dict[str, Any]) -> None:
    tensor_map = replace(stages["converted"].tensor_map, pairs=stages["converted"].tensor_map.pairs[:5])
    report = build(**(stages | {"layers": (), "converted": replace(stages["converted"], tensor_map=tensor_map)}))
    rows = {layer.tensor: (layer.status, layer.reason) for layer in report.layers}
    assert len(rows) == 11
    assert rows["relu_out"] == ("mapped", "nothing was compared in this run")
    assert rows["fc_out"] == ("missing", "the tensor map has no row for it")
    assert rows["left_out"] == ("dead", "no output depends on it")


def test_worst_layers_are_ranked_by_own_error_with_the_cause_and_a_rule(report: Report) -> None:
    assert [(layer.node, layer.own_sqnr_db) for layer in report.summary.worst] == [("fc", 19.5), ("softmax", 28.1), ("relu", 35.2)]
    assert report.summary.worst[0].hint.startswith("Far more than the rounding of its output")
    assert report.summary.worst[1].hint.startswith("Somewhat more")
    assert report.summary.worst[2].hint.startswith("A good layer")
    assert 'match = [{ kind = "name", glob = "fc" }]' in report.summary.worst[0].rule


def test_nan_is_the_worst_layer_and_infinity_is_none_of_them(stages: dict[str, Any]) -> None:
    layers = tuple(replace(layer, own_sqnr_db=float("nan")) if layer.tensor == "scores" else layer for layer in stages["layers"])
    assert [layer.node for layer in build(**(stages | {"layers": layers})).summary.worst] == ["softmax", "fc", "relu"]


def test_neighbours_outside_the_precision_are_one_island_and_int8_between_two_makes_two(report: Report) -> None:
    assert [(island.precision, island.nodes, island.rules) for island in report.islands] == [
        ("float32", ("ln/div",), ("layer-norm",)),
        ("mixed", ("gelu", "softmax"), ()),
    ]


def test_a_node_without_an_op_does_not_split_an_island(stages: dict[str, Any]) -> None:
    quantized = stages["quantized"]
    ops = tuple(replace(op, precision="float32") if op.op in ("CONV_2D", "FULLY_CONNECTED") else op for op in quantized.ops)
    report = build(**(stages | {"quantized": replace(quantized, ops=ops)}))
    assert [island.nodes for island in report.islands] == [("conv", "relu", "ln/div", "fc", "gelu", "softmax")]


def test_a_rule_keeps_what_it_matched_apart_from_what_it_decided(report: Report) -> None:
    layer_norm, all_int8 = report.rules
    assert (layer_norm.matched, layer_norm.deciding) == (("ln/div",), ("ln/div",))
    assert (all_int8.matched, all_int8.deciding) == (("ln/div",), ())


def test_inputs_say_what_to_feed(report: Report) -> None:
    image = report.inputs[0]
    assert (image.name, image.shape, image.dtype) == ("image", (1, 3, 4, 4), "float64")
    assert (image.tflite_name, image.tflite_shape, image.tflite_dtype, image.layout) == ("serving_image:0", (1, 4, 4, 3), "float32", "NHWC")


@pytest.mark.parametrize(
    ("permutation", "layout"), [((0, 1, 2, 3), "as in the source model"), ((3, 0, 1, 2), "source axes in the order (3, 0, 1, 2)")]
)
def test_other_input_layouts_are_said_in_words(stages: dict[str, Any], permutation: tuple[int, ...], layout: str) -> None:
    converted = stages["converted"]
    binding = replace(converted.tensor_map.inputs[0], permutation=permutation)
    report = build(**(stages | {"converted": replace(converted, tensor_map=replace(converted.tensor_map, inputs=(binding,)))}))
    assert report.inputs[0].layout == layout


def test_only_float_inputs_take_the_chosen_input_dtype(stages: dict[str, Any]) -> None:
    converted = stages["converted"]
    ids = replace(converted.tensor_map.inputs[0], dtype="int64")
    assert build(**stages, input_dtype="int8").inputs[0].tflite_dtype == "int8"
    with_ids = replace(converted, tensor_map=replace(converted.tensor_map, inputs=(ids,)))
    assert build(**(stages | {"converted": with_ids}), input_dtype="int8").inputs[0].tflite_dtype == "int64"


def test_outputs_are_listed_also_when_nothing_was_compared(stages: dict[str, Any]) -> None:
    output = build(**(stages | {"outputs": (), "gates": ()})).outputs[0]
    assert (output.name, output.sqnr_db, output.tflite_tensor) == ("scores", None, "tfl_scores")


def test_summary_counts_precisions_and_warnings(report: Report) -> None:
    assert dict(report.summary.precisions) == {"float32": 4, "none": 3, "static_wi8_ai8": 3, "mixed": 1}
    assert (report.summary.warnings, report.summary.deployable) == (2, True)


def test_synthetic_ranges_are_not_for_deployment(stages: dict[str, Any]) -> None:
    assert not build(**(stages | {"ranges": replace(stages["ranges"], source="synthetic")})).summary.deployable


def test_a_float_run_has_no_islands_and_no_precisions(stages: dict[str, Any]) -> None:
    report = build(**(stages | {"quantized": None, "ranges": None, "gates": ()}))
    assert (report.precision, report.islands, report.calibration.source, dict(report.digests)) == ("float32", (), "none", {"float32": "f10a" * 16})
    assert {node.precision for node in report.nodes} == {None}


def test_artifacts_are_relative_to_the_report(report: Report) -> None:
    assert dict(report.artifacts) == {"float32": "net.float32.tflite", "static_wi8_ai8": "net.static_wi8_ai8.tflite"}


def test_gates_decide_the_verdict(report: Report) -> None:
    assert not report.verdict.passed
    assert [(gate.passed, gate.measured, gate.worst) for gate in report.verdict.gates] == [(True, 24.6, "scores"), (False, 19.5, "fc_out")]


def test_a_gate_that_cannot_be_read_is_a_usage_error(stages: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="unknown name"):
        build(**(stages | {"gates": ("snr>=3",)}))
