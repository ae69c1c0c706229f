"""The graph stage: any ONNX model in, one normalised `Graph` out."""

from bridge.graph.partial_imports import import_onnx_ir

import_onnx_ir()  # before any module below imports it the slow way

from bridge.graph.change import ChangedGraph, change  # noqa: E402  # see above
from bridge.graph.changed_source import ChangedSource, Switch, changed_source  # noqa: E402
from bridge.graph.constant_inputs import fix_inputs  # noqa: E402
from bridge.graph.float_types import narrowed  # noqa: E402
from bridge.graph.local_functions import inline_local_functions  # noqa: E402
from bridge.graph.normalize import normalize  # noqa: E402
from bridge.graph.quantized_source import is_quantized, split_quantization  # noqa: E402
from bridge.graph.size import refuse_large, refuse_large_file, size_findings  # noqa: E402
from bridge.graph.tflite_graph import tflite_graph  # noqa: E402

__all__ = [
    "ChangedGraph",
    "ChangedSource",
    "Switch",
    "change",
    "changed_source",
    "fix_inputs",
    "inline_local_functions",
    "is_quantized",
    "narrowed",
    "normalize",
    "refuse_large",
    "refuse_large_file",
    "size_findings",
    "split_quantization",
    "tflite_graph",
]
