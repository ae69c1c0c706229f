"""Computes the value of single nodes with ONNX's reference implementation."""

from collections.abc import Sequence

import numpy as np
import onnx
import onnx_ir as ir

from bridge.graph.values import constant_array


def evaluate(value: ir.Value, known: dict[ir.Value, np.ndarray | None]) -> np.ndarray | None:
    """The contents of a value computed from constants alone, else None.

    Args:
        value: anywhere, also outside a graph.
        known: results so far, filled on the way.
    """
    if value in known:
        return known[value]
    producer = value.producer()
    result = constant_array(value)
    if result is None and producer is not None and producer.domain == "":
        operands = [None if operand is None else evaluate(operand, known) for operand in producer.inputs]
        if all(found is not None for found, operand in zip(operands, producer.inputs, strict=True) if operand is not None):
            result = compute(producer, operands)[producer.outputs.index(value)]
    known[value] = result
    return result


def compute(node: ir.Node, operands: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """What a standard operator without subgraphs writes for these operands."""
    from onnx.reference import ReferenceEvaluator  # most models need none

    proto = onnx.NodeProto(op_type=node.op_type, output=[f"y{index}" for index in range(len(node.outputs))])
    proto.input.extend("" if operand is None else f"x{index}" for index, operand in enumerate(operands))
    proto.attribute.extend(ir.serde.serialize_attribute(attribute) for attribute in node.attributes.values())
    feeds = {f"x{index}": operand for index, operand in enumerate(operands) if operand is not None}
    results: Sequence[np.ndarray] = ReferenceEvaluator(proto).run(None, feeds)  # type: ignore[assignment]  # a list, as the inputs are
    return [np.asarray(result) for result in results]
