"""onnxruntime against TFLite: errors of every layer and every output, and what the quantized file costs."""

from bridge.compare.comparison import Comparison, compare_layers
from bridge.compare.compression import Compression, measure_compression
from bridge.compare.cost import Cost, measure_cost, slower
from bridge.compare.divergence import Divergence, first_divergence
from bridge.compare.files import compare_files
from bridge.compare.metrics import METRICS
from bridge.compare.mismatched_scales import find_mismatched_scales
from bridge.compare.reference import Reference, evaluator_instead
from bridge.compare.runners import OnnxRunner
from bridge.compare.tflite_reference import TFLiteRunner

__all__ = [
    "METRICS",
    "Comparison",
    "Compression",
    "Cost",
    "Divergence",
    "OnnxRunner",
    "Reference",
    "TFLiteRunner",
    "compare_files",
    "compare_layers",
    "evaluator_instead",
    "find_mismatched_scales",
    "first_divergence",
    "measure_compression",
    "measure_cost",
    "slower",
]
