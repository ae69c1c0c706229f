"""Runs inside the environment of TensorFlow: one SavedModel and its calibration samples in, one quantized file per setting out.

    python bench_quantizers_in_tensorflow.py JOB.json

The job names the SavedModel, the samples (one array per input of the model, in its layout, leading axis = samples), the file for the float
conversion, and the settings with their output files. The answer is one JSON object: setting -> seconds or the error.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf


def full_integer(converter: "tf.lite.TFLiteConverter") -> None:
    """Integer kernels only; an operator without one is an error."""
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]


def float_fallback(converter: "tf.lite.TFLiteConverter") -> None:
    """What has no integer kernel stays float."""
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]


def per_tensor(converter: "tf.lite.TFLiteConverter") -> None:
    """One scale per weight."""
    float_fallback(converter)
    converter._experimental_disable_per_channel = True


SETTINGS: dict[str, Callable[["tf.lite.TFLiteConverter"], None]] = {
    "full integer": full_integer,
    "float fallback": float_fallback,
    "float fallback, per tensor": per_tensor,
}


def signature_names(job: dict[str, str]) -> dict[str, str]:
    """Name of each input of the SavedModel -> name of its samples: the same, up to what TensorFlow does to names, else the only one of that shape."""
    signature = tf.saved_model.load(job["saved_model"]).signatures["serving_default"].structured_input_signature[1]
    with np.load(job["samples"]) as archive:
        shapes = {name: archive[name].shape[1:] for name in archive.files}
    found = {}
    for name, spec in signature.items():
        same = [known for known in shapes if plain(known) in (plain(name), plain(spec.name))]
        fitting = [known for known, shape in shapes.items() if spec.shape.is_compatible_with(shape)]
        (found[name],) = same or fitting
    return found


def plain(name: str) -> str:
    """Letters and digits only."""
    return re.sub(r"[^0-9a-z]", "", name.lower())


def samples(path: Path, names: dict[str, str]) -> Iterator[dict[str, np.ndarray]]:
    """One set of inputs at a time, by their names in the SavedModel."""
    with np.load(path) as archive:
        arrays = {name: archive[known] for name, known in names.items()}
    for row in zip(*arrays.values(), strict=True):
        yield dict(zip(arrays, row, strict=True))


def converted(job: dict[str, str], setting: str, names: dict[str, str]) -> bytes:
    """The bytes of the quantized file."""
    converter = tf.lite.TFLiteConverter.from_saved_model(job["saved_model"])
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: samples(Path(job["samples"]), names)
    SETTINGS[setting](converter)
    return bytes(converter.convert())


def main() -> None:
    """Works through the settings of the job."""
    job = json.loads(Path(sys.argv[1]).read_text())
    answer: dict[str, dict[str, object]] = {}
    names = signature_names(job)
    Path(job["float_output"]).write_bytes(tf.lite.TFLiteConverter.from_saved_model(job["saved_model"]).convert())
    for setting, output in job["settings"].items():
        started = time.perf_counter()
        if setting == "float fallback" and "seconds" in answer["full integer"]:
            answer[setting] = {"error": "every operator has an integer kernel, so it is the file before"}
            continue
        try:
            Path(output).write_bytes(converted(job, setting, names))
            answer[setting] = {"seconds": time.perf_counter() - started}
        except Exception as error:  # noqa: BLE001  # whatever the tool raises is its answer for this setting
            answer[setting] = {"error": f"{type(error).__name__}: {error}"[:400]}
        Path(job["answer"]).write_text(json.dumps(answer))


if __name__ == "__main__":
    main()
