"""`uv run python tests/fuzz --inputs 20000 --seed 1`: damages files, feeds them to the commands, prints counts as JSON; exit 1 if one ended badly."""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path


def main() -> int:
    """Prints the counts."""
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # a process with threads is no process to fork
    from fuzz import SHARES, SHARES_OF_FRAMEWORKS, fuzz

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first input of each loader")
    parser.add_argument("--loaders", nargs="+", default=list(SHARES), choices=[*SHARES, *SHARES_OF_FRAMEWORKS])
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--seconds", type=float, default=20.0, help="what one input may take")
    parser.add_argument("--memory-mb", type=int, default=2048, help="what one input may take on top of what is loaded")
    parser.add_argument("--keep", type=Path, help="folder for the inputs that ended badly")
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        counts, bad, slowest = fuzz(options, Path(folder))
    result = {
        "inputs": sum(sum(found.values()) for found in counts.values()),
        "seed": options.seed,
        "seconds": round(time.monotonic() - started, 1),
        "slowest_s": slowest,
        "counts": counts,
        "bad": bad,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
