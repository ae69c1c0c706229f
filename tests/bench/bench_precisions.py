"""One model in every precision that people ask for: SQNR, top-1, size and latency of each file in one table.

    uv run python tests/bench/bench_precisions.py WORK models/digits_vit/model.onnx [--markdown docs/cookbook.md]
    uv run python tests/bench/bench_precisions.py WORK --data DATA MODEL.onnx

Samples stand beside the model or in DATA/<stem>/, as calibration.npz and evaluation.npz. Each row is a conversion of its own, with its defaults where the row
does not say otherwise. Latency of each file over that of the float file, both measured alternating by the conversion itself.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import bridge
from bridge.conversion_result import ConversionResult

INT8 = {"input_dtype": "int8", "output_dtype": "int8"}
ROWS: dict[str, dict[str, Any]] = {
    "float16 weights": {"precision": "float16"},
    "int8 weights, float activations": {"precision": "weight_only_wi8_afp32"},
    "dynamic range": {"precision": "dynamic_wi8_afp32"},
    "int16 activations": {"precision": "static_wi8_ai16", "rules": ("all-int8",)},
    "int8 with float islands": {},
    "all int8": {"rules": ("all-int8",)},
    "full integer": {"rules": ("all-int8",), **INT8},
}
BEGIN, END = "<!-- bench_precisions {}: begin -->", "<!-- bench_precisions {}: end -->"


def row(name: str, result: ConversionResult) -> dict[str, Any]:
    """What the report of a conversion says about its quantized file."""
    worst = min(result.report.outputs, key=lambda output: output.sqnr_db or 0.0)
    cost = result.report.cost
    return {
        "row": name,
        "sqnr_db": worst.sqnr_db,
        "top1": worst.top1_quantized,
        "top1_float": worst.top1_float,
        "bytes": cost.quantized_bytes,
        "float_bytes": cost.float_bytes,
        "latency_ratio": cost.quantized_ms / cost.float_ms if cost.quantized_ms and cost.float_ms else None,
        "float_ms": cost.float_ms,
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown; the float file first."""
    first = rows[0]
    top1 = first["top1_float"] is not None
    lines = [
        "| | SQNR, dB |" + (" top-1 |" if top1 else "") + " size, kB | latency over float |",
        "|---|---|" + ("---|" if top1 else "") + "---|---|",
    ]
    lines.append(
        f"| float32 | |{f' {first["top1_float"]:.4f} |' if top1 else ''} {first['float_bytes'] / 1000:.0f} | 1 ({first['float_ms']:.2f} ms) |"
    )
    for one in rows:
        latency = "" if one["latency_ratio"] is None else f"{one['latency_ratio']:.2f}"
        decibel = "" if one["sqnr_db"] is None else f"{one['sqnr_db']:.1f}"
        lines.append(f"| {one['row']} | {decibel} |{f' {one["top1"]:.4f} |' if top1 else ''} {one['bytes'] / 1000:.0f} | {latency} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("model", type=Path)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--markdown", type=Path, help="page with marks named after the model, between which the table goes")
    options = parser.parse_args()
    name = options.model.parent.name if options.data is None else options.model.stem
    data = options.model.parent if options.data is None else options.data / options.model.stem
    rows = [
        row(
            label,
            bridge.convert(
                options.model,
                calibration=data / "calibration.npz",
                evaluation=data / "evaluation.npz",
                output_dir=options.work / f"{index}",
                force=True,
                threads=1,
                **settings,
            ),
        )
        for index, (label, settings) in enumerate(ROWS.items())
    ]
    sys.stdout.write(json.dumps({"model": name, "rows": rows}, indent=1) + "\n")
    if options.markdown is not None:
        begin, end = BEGIN.format(name), END.format(name)
        head, _, rest = options.markdown.read_text(encoding="utf-8").partition(begin)
        _, _, tail = rest.partition(end)
        options.markdown.write_text(f"{head}{begin}\n\n{table(rows)}\n\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
