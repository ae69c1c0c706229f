"""The graph stage: any ONNX model in, one normalised `Graph` out."""

from bridge.graph.deferred_sympy import import_onnx_ir

import_onnx_ir()  # before any module below imports it the slow way

from bridge.graph.local_functions import inline_local_functions  # noqa: E402  # see above
from bridge.graph.normalize import normalize  # noqa: E402

__all__ = ["inline_local_functions", "normalize"]
