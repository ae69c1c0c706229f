"""One conversion in a process of its own, for `bench_scale.py`: who takes how much processor time in each stage, and the peak of its memory.

With one thread there is no work side by side, so the clocks of `bridge.outside` can count processor time, on which other load of the machine has less
influence than on wall time.
"""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

from bridge import heap

with heap.kept():  # as the command does
    import bridge
    import bridge.cli_commands
    import bridge.pipeline
    from bridge import outside, progress

IMPORTED = time.process_time()  # since the process began, so with the start of Python
KINDS = {"opening": outside.OPENING, "inference": outside.INFERENCE}


class Profile:
    """Stages as rows of figures."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[str, float]] = {}
        self._plain = progress.Stages.__call__

    @contextlib.contextmanager
    def stage(self, stages: progress.Stages, name: str, total: int = 0) -> Iterator[None]:
        """In place of `Stages.__call__`."""
        Path("/proc/self/clear_refs").write_text("5")  # the peak of memory begins anew
        started, before, child = time.process_time(), {kind: clock.seconds for kind, clock in KINDS.items()}, _children()
        with self._plain(stages, name, total):
            yield
        spent = {kind: clock.seconds - before[kind] for kind, clock in KINDS.items()}
        row = self.rows.setdefault(name, dict.fromkeys(("own_s", "onnx2tf_s", *(f"{kind}_s" for kind in KINDS), "peak_mb"), 0.0))
        row["own_s"] += time.process_time() - started - sum(spent.values())
        row["onnx2tf_s"] += _children() - child
        for kind, seconds in spent.items():
            row[f"{kind}_s"] += seconds
        row["peak_mb"] = max(row["peak_mb"], _peak_mb())


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _peak_mb() -> float:
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def main() -> None:
    """Converts; prints one JSON object."""
    model, output, options = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3])
    ticking = SimpleNamespace(perf_counter=time.process_time)
    for module in (outside, progress):
        vars(module)["time"] = ticking  # `perf_counter` is all that they take from it
    profile = Profile()
    type.__setattr__(progress.Stages, "__call__", lambda stages, name, total=0: profile.stage(stages, name, total))
    before = time.process_time()
    result = bridge.convert(model, calibration=str(model.with_suffix(".npz")), output_dir=output, threads=1, timeout_s=7200.0, **options)
    whole = time.process_time() - before
    stages = {name: {figure: round(value, 3) for figure, value in row.items()} for name, row in profile.rows.items()}
    outsiders = {kind: round(sum(row[f"{kind}_s"] for row in profile.rows.values()), 3) for kind in KINDS}
    found = {
        "imports_s": round(IMPORTED, 3),
        "own_s": round(whole - sum(outsiders.values()), 3),
        "imports_and_own_s": round(IMPORTED + whole - sum(outsiders.values()), 3),
        "opening_s": outsiders["opening"],
        "inference_s": outsiders["inference"],
        "onnx2tf_s": round(sum(row["onnx2tf_s"] for row in profile.rows.values()), 3),
        "stages_over_whole": round(sum(result.report.timing_s.values()) / result.report.spent_s["whole"], 3),
        "peak_mb": round(max(row["peak_mb"] for row in profile.rows.values())),
        "float_mb": round(result.artifacts["float32"].stat().st_size / 1e6, 3),
        "stages": stages,
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
