"""What gates can ask for: the tables from names to values of a report."""

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType

from bridge.module_paths import scope_fits
from bridge.name_patterns import MAX_GLOB_LENGTH, glob_fits
from bridge.report.schema import Layer, Output, Report, TaskMetric

type Measured = tuple[str, float | None]  # what was measured, by name, and its value

MODEL = "the model"


def outputs(report: Report, glob: str, name: str) -> Iterable[Measured]:
    """A measure of the outputs whose name fits the glob; of all for an empty one."""
    read = OUTPUTS[name]
    return ((output.name, read(output)) for output in report.outputs if not glob or glob_fits(glob, output.name))


def layers(report: Report, glob: str, name: str) -> Iterable[Measured]:
    """A measure of the layers that the glob takes: by node, by tensor, or by the path of the module around the node."""
    read = LAYERS[name]
    scopes = {node.name: node.scope for node in report.nodes}
    return ((layer.tensor, read(layer)) for layer in report.layers if not glob or _takes(glob, layer, scopes.get(layer.node, "")))


def metrics(report: Report, glob: str, name: str) -> Iterable[Measured]:
    """A task metric of the quantized file; with `:float` behind its name that of the float model, with `:drop` what was lost."""
    del glob
    wanted, _, part = name.partition(":")
    read = METRIC_PARTS[part]
    return ((metric.output or MODEL, read(metric)) for metric in report.task_metrics if metric.name == wanted)


def model(report: Report, glob: str, name: str) -> Iterable[Measured]:
    """A measure of the whole run."""
    del glob
    return ((MODEL, MODELS[name](report)),)


def _takes(glob: str, layer: Layer, scope: str) -> bool:
    return len(glob) <= MAX_GLOB_LENGTH and (glob_fits(glob, layer.node) or glob_fits(glob, layer.tensor) or scope_fits(glob, scope))


def _top1_drop(output: Output) -> float | None:
    return drop(output.top1_float, output.top1_quantized)


def drop(before: float | None, after: float | None) -> float | None:
    """What was lost; None where one of both was not measured."""
    return None if before is None or after is None else round(before - after, 12)  # 0.95 - 0.94 is 0.01 to whoever writes the gate


def _ratio(part: float | None, whole: float | None) -> float | None:
    return part / whole if part is not None and whole else None


def _unexplained(report: Report) -> int:
    return report.coverage.nodes - report.coverage.mapped - report.coverage.explained


def _count(report: Report, severity: str) -> int:
    return sum(finding.severity == severity for finding in (*report.calibration.warnings, *report.diagnostics))


OUTPUTS: Mapping[str, Callable[[Output], float | None]] = MappingProxyType(
    {
        "sqnr": lambda output: output.sqnr_db,
        "conversion_sqnr": lambda output: output.conversion_sqnr_db,
        "cosine": lambda output: output.cosine,
        "max_abs": lambda output: output.max_abs,
        "top1_agreement": lambda output: output.top1_agreement,
        "top1_float": lambda output: output.top1_float,
        "top1_quantized": lambda output: output.top1_quantized,
        "top1_drop": _top1_drop,
    }
)
LAYERS: Mapping[str, Callable[[Layer], float | None]] = MappingProxyType(
    {
        "own_sqnr": lambda layer: layer.own_sqnr_db,
        "inherited_sqnr": lambda layer: layer.inherited_sqnr_db,
        "conversion_sqnr": lambda layer: layer.conversion_sqnr_db,
        "rmse_over_scale": lambda layer: layer.rmse_over_scale,
        "cosine": lambda layer: layer.cosine,
        "max_abs": lambda layer: layer.max_abs,
    }
)
METRIC_PARTS: Mapping[str, Callable[[TaskMetric], float]] = MappingProxyType(
    {"": lambda metric: metric.value, "float": lambda metric: metric.float_value, "drop": lambda metric: metric.drop}
)
MODELS: Mapping[str, Callable[[Report], float | None]] = MappingProxyType(
    {
        # cost
        "float_ms": lambda report: report.cost.float_ms,
        "quantized_ms": lambda report: report.cost.quantized_ms,
        "latency": lambda report: report.cost.quantized_ms,
        "speedup": lambda report: report.summary.speedup,
        "float_mac_share": lambda report: report.cost.float_mac_share,
        "quantize_ops": lambda report: report.cost.quantize_ops,
        "dequantize_ops": lambda report: report.cost.dequantize_ops,
        "transpose_ops": lambda report: report.cost.transpose_ops,
        "converted_elements": lambda report: report.cost.converted_elements,
        # size
        "size": lambda report: report.cost.quantized_bytes,
        "quantized_bytes": lambda report: report.cost.quantized_bytes,
        "float_bytes": lambda report: report.cost.float_bytes,
        "size_ratio": lambda report: report.summary.size_ratio,
        # compression
        "gzip_bytes": lambda report: report.compression.quantized_gzip_bytes,
        "gzip_ratio": lambda report: _ratio(report.compression.quantized_gzip_bytes, report.compression.float_gzip_bytes),
        "zeros": lambda report: report.compression.quantized_zeros,
        "distinct_values": lambda report: report.compression.quantized_distinct,
        # coverage
        "coverage": lambda report: _ratio(report.coverage.mapped + report.coverage.explained, report.coverage.nodes),
        "mapped": lambda report: _ratio(report.coverage.mapped, report.coverage.nodes),
        "unexplained_nodes": _unexplained,
        "float_nodes": lambda report: report.summary.precisions.get("float32", 0),
        # findings
        "errors": lambda report: _count(report, "error"),
        "warnings": lambda report: _count(report, "warning"),
        "peak_rss_mb": lambda report: report.peak_rss_mb,
    }
)
