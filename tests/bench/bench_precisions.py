"""One model in every precision that people ask for: SQNR, top-1, size and latency of each file in one table.

    uv run python tests/bench/bench_precisions.py WORK models/digits_vit/model.onnx [--markdown docs/cookbook.md]
    uv run python tests/bench/bench_precisions.py WORK --data DATA MODEL.onnx
    uv run --extra torch --with scikit-learn python tests/bench/bench_precisions.py WORK models/digits_cnn_bn_silu/model.onnx --qat

Samples stand beside the model or in DATA/<stem>/, as calibration.npz and evaluation.npz. Each row is a conversion of its own, with its defaults where the row
does not say otherwise. Latency of each file over that of the float file, both measured alternating by the conversion itself. `--qat` loads the weights of
`digits_cnn_bn_silu` into its torch module, checks that both compute the same, and trains it for some epochs with its int8 rounding.
"""

import argparse
import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import bridge
from bridge.conversion_result import ConversionResult

MODELS = Path(__file__).resolve().parents[2] / "models"
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


def trained(model: Path, work: Path, epochs: int) -> ConversionResult:
    """The CNN of the repository, trained on with the rounding of its int8 file; every operator integer."""
    import onnx
    import torch

    from bridge import qat

    sys.path[:0] = [str(MODELS), str(model.parent)]
    import digits  # type: ignore[import-not-found]  # a folder of scripts
    import torch_training  # type: ignore[import-not-found]

    spec = importlib.util.spec_from_file_location("digits_cnn", model.parent / "train.py")
    assert spec is not None
    assert spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    net = script.Cnn()
    stored = {one.name: torch.from_numpy(onnx.numpy_helper.to_array(one).copy()) for one in onnx.load(model).graph.initializer}
    missing = net.load_state_dict({name: value for name, value in stored.items() if name in net.state_dict()}, strict=False)
    assert all(name.endswith("num_batches_tracked") for name in missing.missing_keys), missing
    net.eval()
    with np.load(model.parent / "evaluation.npz") as data:
        evaluation, labels = data["image"], data["labels"]
    with np.load(model.parent / "calibration.npz") as data:
        calibration = data["image"]
    found = net(torch.from_numpy(evaluation)).argmax(1).numpy()
    assert abs(float(np.mean(found == labels)) - 0.9806) < 1e-4, "the module does not compute what the file does"
    train, _ = digits.load()
    torch.manual_seed(0)
    prepared = qat.prepare(net, (torch.from_numpy(calibration[:1]),), rules=("all-int8",))
    with torch.no_grad():
        for sample in calibration:
            prepared(torch.from_numpy(sample[None]))
    torch_training.fit(prepared, train, epochs=epochs, learning_rate=1e-3)
    qat.freeze(prepared)
    return qat.convert(
        prepared.eval(),
        (torch.from_numpy(calibration[:1]),),
        calibration=bridge.Calibration.from_npz(model.parent / "calibration.npz"),
        evaluation=bridge.Calibration.from_npz(model.parent / "evaluation.npz"),
        output_dir=work / "qat",
        force=True,
        threads=1,
    )


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
    parser.add_argument("--qat", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
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
    if options.qat:
        # The reference of this file is the trained module, not the model before: its SQNR would say something else than the others.
        rows.append(row("all int8, trained with its rounding", trained(options.model, options.work, options.epochs)) | {"sqnr_db": None})
    sys.stdout.write(json.dumps({"model": name, "rows": rows}, indent=1) + "\n")
    if options.markdown is not None:
        begin, end = BEGIN.format(name), END.format(name)
        head, _, rest = options.markdown.read_text(encoding="utf-8").partition(begin)
        _, _, tail = rest.partition(end)
        options.markdown.write_text(f"{head}{begin}\n\n{table(rows)}\n\n{end}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
