"""How every format spells numbers and names; nothing in a name may reach a reader's terminal, browser or parser as more than text."""

import math
import re
from collections.abc import Iterable, Iterator

from bridge.clustering import MANY
from bridge.report.compression import Compression
from bridge.report.schema import Cost, Gate, GatePart, SampleError, TaskMetric

NOTHING = "-"
MAX_SAMPLE = 40  # of the name of a sample
MAX_NAME = 160  # characters of a name that a format shows
SHORT_MS = 0.1  # below, microseconds say more
UNITS = ((10**9, "GB"), (10**6, "MB"), (10**3, "kB"))


def visible(text: str, limit: int = MAX_NAME) -> str:
    """The text with control, direction and other unprintable characters as escapes, its middle left out above `limit`."""
    if len(text) > limit:
        half = (limit - 1) // 2
        text = f"{text[:half]}…{text[-half:]}"
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def number(value: float | None, digits: int = 1) -> str:
    """`24.6`, `∞`, `NaN`; a dash for what was not measured."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:.{digits}f}"


def decibel(value: float | None) -> str:
    """`24.6 dB`."""
    return NOTHING if value is None else f"{number(value)} dB"


def significant(value: float | None) -> str:
    """Three significant digits: `0.0312`, `1.2e-07`."""
    return number(value) if value is None or not math.isfinite(value) else f"{value:.3g}"


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 0 .. 1 as `98.5 %`."""
    return NOTHING if share is None else f"{number(share * 100, digits)} %"


def about(share: float | None) -> str:
    """An estimated share as `about 3 %`."""
    return NOTHING if share is None else f"about {percent(share, 0)}"


def conversions(cost: Cost) -> str:
    """What a run converts between integers and floats, `12 QUANTIZE and 9 DEQUANTIZE convert 40320 values`."""
    head = f"{cost.quantize_ops} QUANTIZE and {cost.dequantize_ops} DEQUANTIZE"
    return head if cost.converted_elements is None else f"{head} convert {cost.converted_elements} values"


def size(count: int | None) -> str:
    """Bytes as `4.20 MB`, in powers of 1000."""
    if count is None:
        return NOTHING
    return next((f"{count / unit:.2f} {name}" for unit, name in UNITS if count >= unit), f"{count} B")


def milliseconds(value: float | None) -> str:
    """`1.40 ms`."""
    return NOTHING if value is None else f"{number(value, 2)} ms"


def duration(ms: float | None) -> str:
    """`1.40 ms`, and `7 µs` for what would be next to nothing in ms."""
    return f"{ms * 1000:.0f} µs" if ms is not None and ms < SHORT_MS else milliseconds(ms)


def worst_samples(samples: Iterable[SampleError]) -> str:
    """`7 (12.1 dB), cat.png (14.0 dB)`."""
    return ", ".join(f"{visible(sample.sample, MAX_SAMPLE)} ({decibel(sample.sqnr_db)})" for sample in samples)


def base_name(path: str) -> str:
    """The file of a path of either kind of system; a name without folders as it is."""
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1] or path


def times(ratio: float | None) -> str:
    """`3.00x`."""
    return NOTHING if ratio is None else f"{number(ratio, 2)}x"


def shape(sizes: tuple[int, ...]) -> str:
    """`1 x 3 x 224 x 224`, `scalar` without axes."""
    return " x ".join(str(length) for length in sizes) or "scalar"


def gate_part(part: GatePart) -> str:
    """What one comparison found: `19.5 at fc_out, 3 of 54 miss it`."""
    if part.reason:
        return part.reason
    value = "NaN" if part.measured is None or math.isnan(part.measured) else f"{part.measured:.4g}"
    return f"{value} at {part.worst}" + (f", {part.missed} of {part.asked} miss it" if part.missed and part.asked > 1 else "")


def gate_place(gate: Gate) -> str:
    """Where a gate of one comparison has its worst value, and how many places miss it; else its reason."""
    if gate.worst is None or not gate.parts:
        return gate.worst or gate.reason
    part = gate.parts[0]
    return gate.worst + (f" ({part.missed} of {part.asked} miss it)" if part.missed and part.asked > 1 else "")


def metric_rows(metrics: Iterable[TaskMetric]) -> Iterator[tuple[str, str, str, str]]:
    """Name, of the float model, of the quantized file, what was lost."""
    for metric in metrics:
        unit = f" {metric.unit}" if metric.unit else ""
        name = f"{metric.name} of {metric.output}" if metric.output else metric.name
        yield name, f"{number(metric.float_value, 4)}{unit}", f"{number(metric.value, 4)}{unit}", f"{number(metric.drop, 4)}{unit}"


def compression_rows(block: Compression) -> tuple[tuple[str, str, str], ...]:
    """What was counted, in the float file, in the quantized file; nothing without integer weights."""
    if not block.weights:
        return ()
    counts = [f"more than {MANY}" if count is None else str(count) for count in (block.float_distinct, block.quantized_distinct)]
    return (
        ("size after gzip", size(block.float_gzip_bytes), size(block.quantized_gzip_bytes)),
        ("zeros in weights", percent(block.float_zeros), percent(block.quantized_zeros)),
        ("distinct values in a weight, at most", counts[0], counts[1]),
    )
