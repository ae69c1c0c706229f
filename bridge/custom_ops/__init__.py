"""Operators outside of the ONNX standard: what users register for them, and what a model makes of it."""

from bridge.custom_ops.builder import Builder, Tensor
from bridge.custom_ops.check import check_decompositions
from bridge.custom_ops.cut import CutModel, cut
from bridge.custom_ops.decompose import CustomCall, custom_calls, with_decompositions
from bridge.custom_ops.extract import part_between
from bridge.custom_ops.modules import configured_modules, load_modules
from bridge.custom_ops.registry import CustomOp, register_op, registered_ops

__all__ = [
    "Builder",
    "CustomCall",
    "CustomOp",
    "CutModel",
    "Tensor",
    "check_decompositions",
    "configured_modules",
    "custom_calls",
    "cut",
    "load_modules",
    "part_between",
    "register_op",
    "registered_ops",
    "with_decompositions",
]
