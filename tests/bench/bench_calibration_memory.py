"""Memory of calibrating a network of the size of a ViT-S/16 (22 million parameters, 400 activations), above the file itself; prints JSON.

    python tests/bench/bench_calibration_memory.py [--observers min_max,percentile,entropy,mse] [--samples 500] [--threads 2]

Each observer runs in a process of its own. `above_model_mb` is its peak of resident memory, less what it had before calibrating (Python, NumPy, LiteRT),
less the size of the file.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from vit_file import SIDE, write_vit

from bridge import calibrate
from bridge.calibrate import Dataset
from bridge.types import InputBinding, TensorSpec

LIMIT_MB = 1500
SHAPE = (1, SIDE, SIDE, 3)


class RandomPictures:
    """Pictures that exist only while they are looked at."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: int) -> np.ndarray:
        return np.random.default_rng(row).standard_normal(SHAPE, np.float32)


def measure(path: Path, *, observer: str, samples: int, threads: int) -> dict[str, object]:
    """In this process."""
    data = Dataset({"image": RandomPictures(samples)}, [TensorSpec("image", SHAPE, "float32")], source="random pictures")
    binding = InputBinding("image", "image", SHAPE, (0, 1, 2, 3), "float32")
    before = _peak_mb()
    started = time.perf_counter()
    ranges = calibrate.calibrate(path, data, [binding], observer=observer, threads=threads, progress=lambda _: None)
    seconds = time.perf_counter() - started
    file_mb = path.stat().st_size / 2**20
    return {
        "observer": observer,
        "samples": samples,
        "threads": threads,
        "tensors": len(ranges.tensors),
        "seconds": round(seconds, 1),
        "model_mb": round(file_mb),
        "peak_rss_mb": round(_peak_mb()),
        "above_model_mb": round(_peak_mb() - before - file_mb),
        "limit_mb": LIMIT_MB,
    }


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--observers", default="min_max,percentile,entropy,mse")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)  # the measured process gets it
    options = parser.parse_args()
    if options.file is not None:
        json.dump(measure(options.file, observer=options.observers, samples=options.samples, threads=options.threads), sys.stdout)
        return
    results = []
    with tempfile.TemporaryDirectory() as folder:
        path = write_vit(Path(folder) / "vit_s.tflite")
        for observer in options.observers.split(","):
            command = [sys.executable, __file__, "--observers", observer, "--samples", str(options.samples), "--threads", str(options.threads)]
            done = subprocess.run([*command, "--file", str(path)], check=True, capture_output=True, text=True)
            results.append(json.loads(done.stdout))
    json.dump(results, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
