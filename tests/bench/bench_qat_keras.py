"""A Keras CNN that loses points in post-training quantization with few weight bits, and quantization-aware training that brings them back.

    uv run python tests/bench/bench_qat_keras.py MODEL.h5 DATA_FOLDER WORK_FOLDER [--bits 4] [--per-tensor] [--minutes 6] > qat_keras.json

MODEL.h5 is a trained Keras classifier that ends in a softmax, DATA_FOLDER holds its calibration.npz and evaluation.npz with labels. Both files are
made by the same preparation, with the same scales of weights; the one of `post_training` is not trained. The other learns to give the float model's
scores on the calibration samples, flipped and shifted: no labels are used, and no sample of the evaluation. All accuracies are those of TFLite files
in the LiteRT interpreter.
"""

import argparse
import contextlib
import json
import sys
import time
from pathlib import Path
from typing import Any

with contextlib.suppress(ModuleNotFoundError):
    import torch._dynamo  # noqa: F401  # its LLVM and TensorFlow's bear each other in this order only
import keras
import numpy as np

import bridge
from bridge import qat
from bridge.tflite.interpreter import Interpreter

BATCH = 50


def scores_of(model: Any) -> Any:
    """The model without its softmax."""
    last = model.layers[-1]
    if getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        return keras.models.clone_model(model)
    raise SystemExit("The last layer has no softmax.")


def changed(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A batch [N, height, width, channels], each flipped and shifted by up to 3 pixels."""
    found = []
    for picture in pictures:
        down, right = rng.integers(-3, 4, 2)
        padded = np.pad(picture, ((3, 3), (3, 3), (0, 0)), mode="edge")
        height, width = picture.shape[:2]
        moved = padded[3 + down : 3 + down + height, 3 + right : 3 + right + width]
        found.append(moved[:, ::-1] if rng.random() < 0.5 else moved)
    return np.stack(found)


def accuracy(path: Path, samples: np.ndarray, labels: np.ndarray) -> float:
    runner = Interpreter(path, threads=1)
    name = runner.inputs[0].name
    return float(np.mean([np.argmax(runner.run({name: sample[None]})[0]) == label for sample, label in zip(samples, labels, strict=True)]))


def batches(teacher: Any, samples: np.ndarray, minutes: float) -> Any:
    """Pictures and the float model's scores, until the time is over."""
    rng, end = np.random.default_rng(0), time.process_time() + 60 * minutes
    while time.process_time() < end:
        pictures = changed(samples[rng.integers(0, len(samples), BATCH)], rng)
        yield pictures, teacher(pictures, training=False)


def file_of(prepared: Any, folder: Path) -> Path:
    result = qat.convert(prepared, output_dir=folder, threads=1, compare=False)
    return Path(result.artifacts["static_wi8_ai8"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("work", type=Path)
    parser.add_argument("--bits", type=int, default=4)
    parser.add_argument("--per-tensor", action="store_true")
    parser.add_argument("--minutes", type=float, default=6.0)
    parser.add_argument("--rate", type=float, default=3e-4)
    options = parser.parse_args()
    keras.utils.set_random_seed(0)
    loaded = keras.saving.load_model(options.model, compile=False)
    weights = loaded.get_weights()
    teacher = scores_of(loaded)
    teacher.set_weights(weights)
    with np.load(options.data / "calibration.npz") as data:
        calibration = next(iter(data.values())).astype(np.float32)
    with np.load(options.data / "evaluation.npz") as data:
        labels = data["labels"]
        samples = next(value for name, value in data.items() if name != "labels").astype(np.float32)
    plain = bridge.convert(
        teacher,
        calibration=bridge.Calibration.from_arrays({teacher.inputs[0].name: calibration}),
        output_dir=options.work / "plain",
        threads=1,
        compare=False,
    )
    prepared = qat.prepare(teacher, (calibration,), rules=("default",), per_channel=not options.per_tensor, weight_bits=options.bits)
    before = file_of(prepared, options.work / "post_training")
    optimizer = keras.optimizers.Adam(options.rate)
    prepared.compile(optimizer, "mse")
    started, clock, steps = time.process_time(), time.perf_counter(), 0
    for pictures, wanted in batches(teacher, calibration, options.minutes):
        used = (time.process_time() - started) / (60 * options.minutes)
        optimizer.learning_rate.assign(options.rate * 0.5 * (1 + np.cos(np.pi * min(used, 1.0))))
        prepared.train_on_batch(pictures, wanted)
        steps += 1
    trained_s, passed_s = time.process_time() - started, time.perf_counter() - clock
    qat.freeze(prepared)
    after = file_of(prepared, options.work / "trained")
    found = {
        "float": accuracy(Path(plain.artifacts["float32"]), samples, labels),
        "int8": accuracy(Path(plain.artifacts["static_wi8_ai8"]), samples, labels),
        "post_training": accuracy(before, samples, labels),
        "trained": accuracy(after, samples, labels),
    }
    lost = found["float"] - found["post_training"]
    json.dump(
        {
            "model": options.model.name,
            "weight_bits": options.bits,
            "per_channel": not options.per_tensor,
            "calibration_samples": len(calibration),
            "evaluation_samples": len(samples),
            "accuracy": found,
            "lost_points": round(100 * lost, 2),
            "brought_back": round((found["trained"] - found["post_training"]) / lost, 3) if lost > 0 else None,
            "steps": steps,
            "training_cpu_s": round(trained_s, 1),
            "training_s": round(passed_s, 1),
        },
        sys.stdout,
        indent=2,
    )
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
