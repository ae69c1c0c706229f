"""Every shared model through both backends of onnx2tf: does the float file come out, proved, and what does it cost.

    uv run python tests/bench/bench_via_tensorflow.py MODELS_FOLDER DATA_FOLDER [NAME ...] [--via direct tensorflow]

MODELS_FOLDER holds NAME.onnx, DATA_FOLDER holds NAME/calibration.npz. Sizes that a model leaves open come from its samples. Prints one JSON object
per model and way, one a line: seconds, tensors of the map, agreement of the outputs with onnxruntime in dB, or why there is no file.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx

import bridge
from bridge.errors import BridgeError


def shapes(model: Path, data: Path) -> dict[str, tuple[int, ...]]:
    """Input name -> shape of one call, for the inputs whose sizes the model leaves open."""
    found = {}
    with np.load(data) as arrays:
        for value in onnx.load(model, load_external_data=False).graph.input:
            sizes = value.type.tensor_type.shape.dim
            if value.name in arrays and not all(size.dim_value > 0 for size in sizes):
                sample = arrays[value.name].shape[1:]
                found[value.name] = (1,) * (len(sizes) - len(sample)) + sample
    return found


def measured(model: Path, data: Path, via: str) -> dict[str, object]:
    """One row."""
    row: dict[str, object] = {"model": model.stem, "via": via}
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        try:
            report = bridge.convert(
                model,
                calibration=data,
                precision="float32",
                input_shapes=shapes(model, data),
                output_dir=folder,
                via=via,  # type: ignore[arg-type]  # checked by the parser
                saved_model=via == "tensorflow",
                compare=False,
                timeout_s=400.0,
            ).report
        except BridgeError as error:
            return row | {"seconds": round(time.perf_counter() - started, 1), "failed": error.message, "causes": list(error.causes)}
        saved = any((Path(folder) / "saved_model").rglob("*.pb"))
    coverage = report.coverage
    return row | {
        "seconds": round(time.perf_counter() - started, 1),
        "nodes": coverage.nodes,
        "mapped": coverage.mapped,
        "explained": coverage.explained,
        "saved_model": saved,
        "float_bytes": report.cost.float_bytes if report.cost else None,
    }


def main() -> None:
    """Runs them one after the other."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--via", nargs="+", choices=("direct", "tensorflow"), default=("direct", "tensorflow"))
    args = parser.parse_args()
    names = args.names or sorted(path.name for path in args.data.iterdir() if (path / "calibration.npz").is_file())
    for name in names:
        for via in args.via:
            row = measured(args.models / f"{name}.onnx", args.data / name / "calibration.npz", via)
            sys.stdout.write(f"{json.dumps(row)}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
