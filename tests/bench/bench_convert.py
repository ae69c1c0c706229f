"""Whole `bridge convert` against onnx2tf followed by AI Edge Quantizer's calibrate and quantize, cold start, taking turns.

    uv run python tests/bench/bench_convert.py MODEL.onnx CALIBRATION.npz [--runs 3] [--keep-layout]

AI Edge Quantizer needs a LiteRT of its own, so it runs in the environment whose Python `--peer-python` names
(`uv venv peer && uv pip install --python peer/bin/python ai-edge-quantizer==0.10.0`). Prints one JSON object: seconds of each run, and the ratio
of the medians.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

PEER = """
import sys, numpy as np
from ai_edge_quantizer import quantizer, recipe
tflite, data, output, moved = sys.argv[1:]
arrays = np.load(data)
def samples():
    for i in range(len(arrays[arrays.files[0]])):
        yield {name: np.ascontiguousarray(np.moveaxis(arrays[name][i][None], 1, -1) if moved == "1" else arrays[name][i][None]) for name in arrays.files}
q = quantizer.Quantizer(tflite, recipe.static_wi8_ai8())
key = "serving_default"
result = q.calibrate({key: list(samples())})
q.quantize(result).export_model(output, overwrite=True)
"""


def timed(*commands: list[str]) -> float:
    """Seconds of the commands one after the other, process starts included."""
    started = time.perf_counter()
    for command in commands:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    """Runs both roads in turn."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--keep-layout", action="store_true", help="the model takes NHWC images already")
    parser.add_argument("--input-name", default="input")
    parser.add_argument("--peer-python", required=True)
    args = parser.parse_args()
    ours, theirs = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        copy, script = folder / "model.onnx", folder / "peer.py"
        script.write_text(PEER)
        for _ in range(args.runs):
            output = folder / "ours"
            shutil.rmtree(output, ignore_errors=True)
            ours.append(
                timed([sys.executable, "-m", "bridge", "convert", str(args.model), "--calibration", str(args.calibration), "-o", str(output)])
            )
            shutil.copy(args.model, copy)
            onnx2tf = [sys.executable, "-m", "onnx2tf", "-i", str(copy), "-o", str(folder / "theirs"), "-v", "error", "-n", "-osd"]
            if args.keep_layout:
                onnx2tf += ["-kat", args.input_name]
            tflite = folder / "theirs" / "model_float32.tflite"
            quantize = [args.peer_python, str(script), str(tflite), str(args.calibration), str(folder / "theirs.tflite"), "01"[not args.keep_layout]]
            theirs.append(timed(onnx2tf, quantize))
    print(json.dumps({"model": args.model.name, "bridge_s": ours, "onnx2tf_and_peer_s": theirs, "ratio": median(ours) / median(theirs)}))  # noqa: T201


if __name__ == "__main__":
    main()
