"""Runs inside an environment with Pillow: task scores of model outputs, by the `samples.py` of a folder of models.

    python bench_quantizers_in_score.py FOLDER export MODEL OUT     calibration.npz and evaluation.npz of a model
    python bench_quantizers_in_score.py FOLDER score MODEL REFERENCE.npz OUTPUTS.npz...     one JSON list: score of each file of outputs

Outputs are arrays named like the model's outputs, [n, ...]; the reference are those of the float model on the same samples.
"""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np


def loaded(folder: Path) -> ModuleType:
    """The `samples.py` of the folder."""
    spec = importlib.util.spec_from_file_location("samples", folder / "samples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["samples"] = module
    spec.loader.exec_module(module)
    return module


def score(samples: ModuleType, name: str, reference: Path, files: list[str]) -> list[float]:
    """The model's own metric; the truth is read once."""
    spec = samples.MODELS[name]
    metric = spec["metric"]
    expected = dict(np.load(reference))
    if metric in samples.RELATIVE:
        return [samples.RELATIVE[metric](dict(np.load(file)), expected) for file in files]
    compute, truth_of = samples.METRICS[metric]
    truth = truth_of(spec)
    return [compute(next(iter(np.load(file).values())), truth, spec) for file in files]


def main() -> None:
    """Does what the arguments say."""
    folder, action, name, first, *rest = sys.argv[1:]
    samples = loaded(Path(folder))
    if action == "export":
        samples.export(name, Path(first))
        return
    sys.stdout.write(json.dumps({"metric": samples.MODELS[name]["metric"], "scores": score(samples, name, Path(first), rest)}) + "\n")


if __name__ == "__main__":
    main()
