"""Plants each fault of tests/compare/planted_faults.py into a conversion and asks the comparison for the node; prints a JSON line per fault.

    python tests/bench/bench_faults.py MODEL.onnx FOLDER DATA.npz [--samples 4]

FOLDER is what `bridge convert --rules all-int8` or any other conversion wrote. `first` is the node of the first finding that names one.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np

import bridge
from bridge.convert.tensor_map_file import read_tensor_map
from bridge.errors import ToolError
from bridge.files import write_bytes
from bridge.tflite import model as tflite

sys.path.insert(0, str(Path(__file__).parents[1] / "compare"))
from planted_faults import FAULTS, Fault


def measure(fault: Fault | None, model: Path, folder: Path, data: bridge.Calibration) -> dict[str, object]:
    """What the comparison says about one fault; about the files as they are for None."""
    report = json.loads((folder / "report.json").read_text())
    pair = tflite.read(folder / report["artifacts"]["float32"]), tflite.read(folder / report["artifacts"][report["precision"]])
    places = [] if fault is None else list(fault.plant(pair))
    name = "none" if fault is None else fault.name
    if fault is not None and not places:
        return {"fault": name, "fits": False}
    node = read_tensor_map(folder / "tensor_map.json").owners[places[0]] if places else None
    with tempfile.TemporaryDirectory() as scratch:
        files = [Path(scratch) / "float.tflite", Path(scratch) / "quantized.tflite"]
        for path, changed in zip(files, pair, strict=True):
            write_bytes(path, tflite.serialize(changed))
        try:
            found = bridge.compare(
                model,
                files[1],
                data=data,
                tensor_map=folder / "tensor_map.json",
                float_file=files[0],
                input_shapes={spec["name"]: tuple(spec["shape"]) for spec in report["inputs"]},
                layer_samples=100,
            )
            first: tuple[str | None, str | None] = next(((one.node, one.code) for one in found.diagnostics if one.node is not None), (None, None))
        except ToolError as error:  # LiteRT refuses the file; the sentence names the node
            first = (node if repr(node) in error.message else None, "tool-error")
    return {"fault": name, "fits": True, "node": node, "first": first[0], "code": first[1], "right": first[0] == node}


def main() -> None:
    """Prints a line per fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("model", "folder", "data"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--samples", type=int, default=4)
    options = parser.parse_args()
    with np.load(options.data) as arrays:
        data = bridge.Calibration.from_arrays({name: value[: options.samples] for name, value in arrays.items()})
    for fault in (None, *FAULTS):
        sys.stdout.write(json.dumps(measure(fault, options.model, options.folder, data)) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
