"""The layers as a table for other programs: CSV, and Parquet with the extra `parquet`."""

import csv
import io
import math
from collections.abc import Mapping

from bridge.errors import UsageError
from bridge.report.schema import Layer, Node, Report
from bridge.report.wording import visible

TEXT = ("node", "op_type", "scope", "precision", "rule", "tensor", "tflite_tensor", "status", "reason")
NUMBERS = ("conversion_sqnr_db", "inherited_sqnr_db", "own_sqnr_db", "rmse_over_scale", "cosine", "max_abs")
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # what a spreadsheet takes for one
WHOLE = 1 << 30  # no name is cut: other tables are joined by it

type Value = str | float | None


def columns(report: Report) -> Mapping[str, list[Value]]:
    """Column by name: those of TEXT and NUMBERS, then the further metrics of the report; a row per layer, None for what was not measured."""
    nodes = {node.name: node for node in report.nodes}
    metrics = [metric.name for metric in report.metrics]
    rows = [_row(layer, nodes[layer.node], metrics) for layer in report.layers]
    return {name: [row[name] for row in rows] for name in (*TEXT, *NUMBERS, *metrics)}


def render_csv(report: Report) -> str:
    """RFC 4180, lines ending as in Unix; `inf`, `-inf`, `nan` as in report.json. A name that a spreadsheet takes for a formula has `'` in front."""
    table = columns(report)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(table)
    writer.writerows([_cell(value) for value in row] for row in zip(*table.values(), strict=True))
    return file.getvalue()


def parquet(report: Report) -> bytes:
    """A Parquet file with one row per layer.

    Raises:
        UsageError: pyarrow is not installed.
    """
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise UsageError(
            "Parquet needs pyarrow, which is not installed.", hint="uv sync --extra parquet, or take --format csv.", code="missing-package"
        ) from error
    text, number = pyarrow.string(), pyarrow.float64()
    made = pyarrow.table({name: pyarrow.array(values, text if name in TEXT else number) for name, values in columns(report).items()})
    sink = io.BytesIO()
    pyarrow.parquet.write_table(made, sink)
    return sink.getvalue()


def _row(layer: Layer, node: Node, metrics: list[str]) -> dict[str, Value]:
    about = {"op_type": node.op_type, "scope": node.scope, "precision": node.precision, "rule": node.rule}
    fields = {name: getattr(layer, name) for name in (*TEXT, *NUMBERS) if name not in about}
    return fields | about | {name: layer.metrics.get(name) for name in metrics}


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return repr(value) if math.isfinite(value) else str(value)
    text = visible(value, WHOLE)
    return f"'{text}" if text.startswith(FORMULA) else text
