"""onnxruntime against TFLite: errors of every layer and every output, and what the quantized file costs."""

from bridge.compare.bindings import bind_inputs
from bridge.compare.comparison import Compared, Comparison, compare_files, node_of
from bridge.compare.compression import Compression, gzip_bytes, measure_compression
from bridge.compare.cost import Cost, cost_findings, measure_cost
from bridge.compare.divergence import Divergence, first_divergence
from bridge.compare.early import Early
from bridge.compare.metrics import METRICS
from bridge.compare.mismatched_scales import find_mismatched_scales
from bridge.compare.outputs import candidate
from bridge.compare.passes import DEFAULT_MEMORY_MB
from bridge.compare.reference import Reference, evaluator_instead
from bridge.compare.rows import CLIPPED
from bridge.compare.runners import OnnxRunner
from bridge.compare.runs import ModelRun, Run, compare_runs
from bridge.compare.tflite_reference import TFLiteRunner
from bridge.compare.traces import TFLiteRun, Trace, record
from bridge.compare.value_ranges import Values, look_at_values

__all__ = [
    "CLIPPED",
    "DEFAULT_MEMORY_MB",
    "METRICS",
    "Compared",
    "Comparison",
    "Compression",
    "Cost",
    "Divergence",
    "Early",
    "ModelRun",
    "OnnxRunner",
    "Reference",
    "Run",
    "TFLiteRun",
    "TFLiteRunner",
    "Trace",
    "Values",
    "bind_inputs",
    "candidate",
    "compare_files",
    "compare_runs",
    "cost_findings",
    "evaluator_instead",
    "find_mismatched_scales",
    "first_divergence",
    "gzip_bytes",
    "look_at_values",
    "measure_compression",
    "measure_cost",
    "node_of",
    "record",
]
