"""Ranges of any size give a file that LiteRT takes or refuses: its kernels check multipliers with assertions, and one that fails ends the process."""

import random
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from cases import CASES
from msgspec.structs import replace as with_other
from one_op import OneOp, calibrate

from bridge.quantize import OPS
from bridge.quantize.op_table import Scales
from bridge.quantize.quantizer import quantize
from bridge.types import Ranges, TensorRange

INTEGER = ("static_wi8_ai8", "static_wi8_ai16")
FACTORS = (1e-37, 1e-20, 1e-12, 1e-7, 1e-3, 1.0, 1.0, 1e3, 1e7, 1e12, 1e16, 1e25, 1e36)
DRAWS = 12  # files of each operator and precision
LARGEST = 3e38

LOADS = """
import contextlib, sys
import numpy as np
from bridge.errors import ToolError
from bridge.tflite.interpreter import Interpreter
for path in sys.argv[1:]:
    for kernels in ("optimized", "builtin", "reference"):
        print(path, kernels, flush=True)
        with contextlib.suppress(ToolError):
            loaded = Interpreter(open(path, "rb").read(), kernels=kernels)
            loaded.run({spec.name: np.zeros(spec.shape, spec.dtype) for spec in loaded.inputs})
"""


def scaled(op: OneOp, ranges: Ranges, chance: random.Random) -> tuple[OneOp, Ranges]:
    """The operator with constants and ranges of other sizes, each its own."""

    def bounded(value: float) -> float:
        return max(-LARGEST, min(LARGEST, value))

    tensors = {name: (span, chance.choice(FACTORS)) for name, span in ranges.tensors.items()}
    constants = {
        position: np.clip(value.astype(np.float64) * chance.choice(FACTORS), -LARGEST, LARGEST).astype(np.float32)
        if value.dtype == np.float32
        else value
        for position, value in op.constants.items()
    }
    spans = {name: TensorRange(bounded(span.minimum * factor), bounded(span.maximum * factor)) for name, (span, factor) in tensors.items()}
    return replace(op, constants=constants), with_other(ranges, tensors=spans)


def test_a_file_of_any_ranges_does_not_end_the_process(tmp_path: Path) -> None:
    computing = {case.model.op: case.model for case in CASES if case.model.op in OPS and OPS[case.model.op].scales is Scales.OWN}
    chance, made = random.Random(1), []
    for name, op in computing.items():
        ranges = calibrate(op.build(), op.samples())
        for precision in INTEGER if not OPS[name].moves_data else ():
            for draw in range(DRAWS if precision in OPS[name].kernels else 0):
                other, spans = scaled(op, ranges, chance)
                (tmp_path / "float.tflite").write_bytes(other.build())
                target = tmp_path / f"{name}-{precision}-{draw}.tflite"
                outcome = quantize(tmp_path / "float.tflite", target, ranges=spans, op_precisions=[precision]).ops[0]
                made += [target] if outcome.precision == precision else []
    assert len({path.name.split("-")[0] for path in made}) > 20
    done = subprocess.run([sys.executable, "-c", LOADS, *map(str, made)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"LiteRT ends the process with {done.stdout.splitlines()[-1]}"
