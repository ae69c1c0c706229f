"""Runs the ONNX backend node tests through `bridge convert --precision float32`.

    uv run python tests/operators/run_operators.py --cache FOLDER [--filter REGEX] [--jobs 2] [--samples] [--again STATUS]

One JSON line per case goes to `FOLDER/outcomes.jsonl`; a case is not run again while the sources of `bridge` that make its result are the same.
"""

import argparse
import hashlib
import json
import re
import sys
import time
from collections import Counter
from functools import partial
from pathlib import Path

import backend_cases
import forked
from outcomes import outcome

import bridge

SOURCES = (
    "graph",
    "convert",
    "tflite",
    "calibrate",
    "compare/runners.py",
    "compare/reference.py",
    "pipeline.py",
    "samples.py",
    "errors.py",
    "types.py",
)


def sources_digest() -> str:
    """SHA-256 of the sources that a result depends on."""
    digest = hashlib.sha256()
    root = Path(bridge.__file__).parent
    for name in SOURCES:
        for path in sorted((root / name).rglob("*.py")) if (root / name).is_dir() else [root / name]:
            if path.exists():
                digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def main() -> None:
    """Runs what the cache does not have, prints the counts."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--filter", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--timeout", type=float, default=60.0)
    parser.add_argument("--samples", action="store_true", help="give the case's inputs as samples")
    parser.add_argument("--only", default="", help="only cases whose last outcome matches this regex")
    parser.add_argument("--plain", action="store_true", help="without the expanded function bodies")
    args = parser.parse_args()
    args.cache.mkdir(parents=True, exist_ok=True)
    file = args.cache / ("with_samples.jsonl" if args.samples else "outcomes.jsonl")
    known = {line["case"]: line for line in map(json.loads, file.read_text().splitlines())} if file.exists() else {}
    cases = {name: case for name, case in backend_cases.collect().items() if not (args.plain and backend_cases.EXPANDED in name)}
    digest = sources_digest()
    wanted = [
        name
        for name in cases
        if re.search(args.filter, name)
        and (not args.only or re.search(args.only, json.dumps(known.get(name, {}))))
        and known.get(name, {}).get("sources") != digest
    ]
    forked.preload()
    started = time.perf_counter()
    function = partial(outcome, with_samples=args.samples)
    with file.open("a") as lines:
        for name, result in forked.run_all(wanted, lambda name: function(cases[name]), jobs=args.jobs, timeout_s=args.timeout):
            before = known.get(name, {}).get("status", "")
            line = {"case": name, "op_type": cases[name].op_type, "sources": digest, "status": "crash", **result}
            known[name] = line
            lines.write(json.dumps(line) + "\n")
            if args.filter or before not in ("", line["status"]):
                print(name, before, "->", line["status"], line.get("message", line.get("crash", "")))  # noqa: T201
    seconds = time.perf_counter() - started
    print(Counter(known[name]["status"] for name in cases if name in known), f"{len(wanted)} cases in {seconds:.0f} s", file=sys.stderr)  # noqa: T201


if __name__ == "__main__":
    main()
