"""Writes a minimal file for each finding about a kernel and prints what each kernel set makes of it: `python tests/conformance/reproduce.py FOLDER [ID ...]`.

`<id>.tflite` takes integers; `<id>.npz` holds inputs for it. Ids may be the beginning of several.
"""

import sys
from pathlib import Path

import numpy as np
from findings import ALL, FINDINGS, Finding
from one_op import Exact, steps_of, with_forms

from bridge.errors import ToolError
from bridge.tflite import model as tflite
from bridge.tflite.interpreter import Interpreter, Kernels


def write(finding: Finding, folder: Path) -> list[str]:
    """Writes the file and its inputs, first axis = samples; returns a line per kernel set."""
    model = with_forms(finding.op, finding.forms, finding.version)
    content = tflite.serialize(model)
    (folder / f"{finding.id}.tflite").write_bytes(content)
    try:
        exact = Exact(model, finding.op.samples())
    except ToolError as error:
        return [f"refused, in float as well: {error}"]
    inputs = {name: np.stack([stored[name] for stored in exact.stored]) for name in exact.stored[0]}
    np.savez(folder / f"{finding.id}.npz", **inputs)  # type: ignore[arg-type]  # savez takes arrays by name
    return [f"{kernels:9} {outcome(exact, kernels)}" for kernels in ALL]


def outcome(exact: Exact, kernels: Kernels) -> str:
    """The worst value that a kernel set gives, next to the exact one in the same steps; or its refusal."""
    try:
        interpreter = Interpreter(exact.content, kernels=kernels)
        runs = [interpreter.run(stored)[0] for stored in exact.stored]
    except ToolError as error:
        return f"refuses the file: {str(error).splitlines()[0][:120]}"
    output = exact.outputs[0]
    plain = output.quantization is None or output.quantization.scale is None
    got = np.concatenate([run.reshape(-1) for run in runs]).astype(np.float64)
    wanted = np.concatenate([(each[0] if plain else steps_of(each[0], output)).reshape(-1) for each in exact.wanted]).astype(np.float64)
    off = np.abs(got - wanted)
    worst = int(off.argmax())
    return f"gives {got[worst]:g} for {wanted[worst]:.2f}, {off[worst]:.2f} off; {np.mean(off > 1):.0%} of all values more than 1 off"


def main(arguments: list[str]) -> int:
    """Command line."""
    if not arguments:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    folder = Path(arguments[0])
    folder.mkdir(parents=True, exist_ok=True)
    for finding in FINDINGS:
        if not arguments[1:] or any(finding.id.startswith(wanted) for wanted in arguments[1:]):
            sys.stdout.write("\n  ".join([finding.id, *write(finding, folder)]) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
