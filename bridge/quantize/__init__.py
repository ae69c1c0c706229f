"""Float TFLite to quantized TFLite: `quantize`, and the table of what can be quantized."""

from bridge.quantize.broken_constraints import broken_constraints
from bridge.quantize.corrections import Corrections, merge
from bridge.quantize.missing_kernels import why_no_kernel
from bridge.quantize.op_table import JOINING, OPS, has_kernel
from bridge.quantize.precisions import INTEGER_WEIGHTS, PRECISIONS, find_precision, finest
from bridge.quantize.quantizer import quantize, quantize_graph

__all__ = [
    "INTEGER_WEIGHTS",
    "JOINING",
    "OPS",
    "PRECISIONS",
    "Corrections",
    "broken_constraints",
    "find_precision",
    "finest",
    "has_kernel",
    "merge",
    "quantize",
    "quantize_graph",
    "why_no_kernel",
]
