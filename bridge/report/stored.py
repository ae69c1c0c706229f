"""Stored reports: read, and held to what every format takes for granted, since a file may come from anybody."""

from collections.abc import Iterator
from pathlib import Path

from bridge.errors import InputError
from bridge.report.schema import Report

HINT = "Give a report.json as `bridge convert` writes it."


def read_report(path: Path | str) -> Report:
    """A stored report.json.

    Raises:
        InputError: there is no such file, or it is no report, or its parts do not belong together.
    """
    try:
        report = Report.from_json(Path(path).read_bytes(), where=str(path))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}.", hint=HINT) from error
    for problem in _contradictions(report):
        raise InputError(f"{path}: {problem}.", hint=HINT)
    return report


def _contradictions(report: Report) -> Iterator[str]:
    """Parts that name what is not there, lists that belong together and differ in length."""
    nodes, tensors = {node.name for node in report.nodes}, {layer.tensor for layer in report.layers}
    for layer in report.layers:
        if layer.node not in nodes:
            yield f"a layer names the node {layer.node[:80]!r}, which is not among its nodes"
    for worst in report.summary.worst:
        if worst.node not in nodes or worst.tensor not in tensors:
            yield f"its worst layer {worst.tensor[:80]!r} is not among its layers"
    for histogram in report.histograms:
        if len(histogram.reference) != len(histogram.candidate):
            yield f"the histogram of {histogram.tensor[:80]!r} has {len(histogram.reference)} bins beside {len(histogram.candidate)}"
        if min((*histogram.reference, *histogram.candidate), default=0) < 0:
            yield f"the histogram of {histogram.tensor[:80]!r} has a negative count"
    for growth in report.calibration.growth:
        if len(growth.shares) != len(report.calibration.growth_median):
            yield f"the growth of {growth.tensor[:80]!r} has {len(growth.shares)} shares beside {len(report.calibration.growth_median)}"
