"""Operators that ONNX had on trial before opset 8; converters from Core ML and Caffe2 wrote them, onnxruntime still runs them."""

import numpy as np
import onnx_ir as ir

from bridge.graph.contrib.expansion import scaled, total
from bridge.graph.lowering.replacement import Builder, Replacement


def affine(build: Builder, node: ir.Node) -> Replacement | str:
    """Alpha * X + beta."""
    value = scaled(build, total(build, node.inputs[0]), node.attributes.get_float("alpha", 1.0))
    return build.done(build.op("Add", value, build.scalar(node.attributes.get_float("beta", 0.0))))


def image_scaler(build: Builder, node: ir.Node) -> Replacement | str:
    """Scale * X + bias per channel of [N, C, H, W]."""
    value = scaled(build, total(build, node.inputs[0]), node.attributes.get_float("scale", 1.0))
    bias = np.array(node.attributes.get_floats("bias", []), np.float32).reshape(1, -1, 1, 1)
    return build.done(build.op("Add", value, build.constant(bias)) if bias.size else value)


def parametric_softplus(build: Builder, node: ir.Node) -> Replacement | str:
    """Alpha * log(exp(beta * X) + 1)."""
    value = scaled(build, total(build, node.inputs[0]), node.attributes.get_float("beta", 1.0))
    return build.done(scaled(build, build.op("Softplus", value), node.attributes.get_float("alpha", 1.0)))


def scale(build: Builder, node: ir.Node) -> Replacement | str:
    """Scale * X."""
    return build.done(scaled(build, total(build, node.inputs[0]), node.attributes.get_float("scale", 1.0)))


def scaled_tanh(build: Builder, node: ir.Node) -> Replacement | str:
    """Alpha * tanh(beta * X)."""
    value = scaled(build, total(build, node.inputs[0]), node.attributes.get_float("beta", 1.0))
    return build.done(scaled(build, build.op("Tanh", value), node.attributes.get_float("alpha", 1.0)))
